/**
 * The page as a reader has it: opened in Chromium, in light, dark and on a phone, with and without a
 * script. `AURA_PAGE_SHOTS=<folder>` keeps the pages and pictures of them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from "vitest";
import { renderPage } from "../src/page/page.ts";
import type { BenchResult } from "../src/result.ts";
import { temporaryFolder } from "./support/folder.ts";
import { findChromium, PageBrowser, type View } from "./support/page-browser.ts";
import { hostileResult, sampleResult } from "./support/page-result.ts";

const chromium = findChromium();
if (chromium === undefined) {
  console.warn("SKIPPED: no chromium on the PATH, so nobody looks at the report page");
}

const desk: View = { width: 1280, height: 900 };
const phone: View = { width: 360, height: 740, phone: true };
const whole = sampleResult({
  stores: ["aura", "rocksdb", "lmdb", "classic-level"],
  workloads: ["load", "ycsb-a", "ycsb-c"],
});

/** Counts the pixels of each canvas that have the colour of a store, or are painted at all. */
const COUNT_PIXELS = `
[...document.querySelectorAll("figure[data-plot]")].map((figure) => {
  const canvas = figure.querySelector("canvas");
  if (canvas === null) return { painted: 0, stores: [] };
  const style = getComputedStyle(document.documentElement);
  const colours = [0, 1, 2, 3, 4, 5].map((i) =>
    parseInt(style.getPropertyValue("--store-" + i).trim().slice(1), 16));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const stores = colours.map(() => 0);
  let painted = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 0) continue;
    painted++;
    // Bands and lanes are paler; edges of lines have the colour, and less of it.
    if (data[at + 3] < 100) continue;
    const found = colours.findIndex((colour) =>
      Math.abs(data[at] - (colour >> 16)) +
      Math.abs(data[at + 1] - ((colour >> 8) & 255)) +
      Math.abs(data[at + 2] - (colour & 255)) < 30);
    if (found >= 0) stores[found]++;
  }
  return { painted, stores };
})`;

/** Has all plots drawn, as printing has. */
const DRAW_ALL = `dispatchEvent(new Event("beforeprint"))`;

interface Pixels {
  readonly painted: number;
  readonly stores: readonly number[];
}

describe.skipIf(chromium === undefined)("in a browser", () => {
  let browser: PageBrowser;

  beforeAll(async () => {
    browser = await PageBrowser.start(chromium!);
  }, 120_000);
  afterAll(() => browser?.close(), 60_000);
  beforeEach(() => onTestFailed(() => console.error(browser.complaints.join("\n"))));

  async function open(result: BenchResult, view: View, name: string): Promise<void> {
    const folder = process.env["AURA_PAGE_SHOTS"] ?? temporaryFolder();
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${name}.html`);
    writeFileSync(file, renderPage(result));
    await browser.open(pathToFileURL(file).href, view);
    const picture = await browser.screenshot();
    expect(picture.toString("latin1", 1, 4)).toBe("PNG");
    const scale = view.phone === true ? 2 : 1;
    expect([picture.readUInt32BE(16), picture.readUInt32BE(20)]).toEqual([
      view.width * scale,
      view.height * scale,
    ]);
    writeFileSync(join(folder, `${name}.png`), picture);
  }

  /** Keeps a picture of what is in view now, where pictures are kept. */
  async function keep(name: string): Promise<void> {
    const folder = process.env["AURA_PAGE_SHOTS"];
    if (folder !== undefined) {
      writeFileSync(join(folder, `${name}.png`), await browser.screenshot(true));
    }
  }

  async function drawAll(): Promise<readonly Pixels[]> {
    await browser.evaluate(DRAW_ALL);
    return browser.evaluate<readonly Pixels[]>(COUNT_PIXELS);
  }

  const sideways = (): Promise<number> =>
    browser.evaluate("document.documentElement.scrollWidth - innerWidth");
  const ground = (): Promise<string> =>
    browser.evaluate("getComputedStyle(document.body).backgroundColor");
  const click = (selector: string): Promise<void> =>
    browser.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);

  test.each([
    { name: "light", view: desk, colour: "rgb(255, 255, 255)" },
    { name: "dark", view: { ...desk, scheme: "dark" as const }, colour: "rgb(18, 22, 26)" },
    { name: "phone", view: phone, colour: "rgb(255, 255, 255)" },
    { name: "phone-dark", view: { ...phone, scheme: "dark" as const }, colour: "rgb(18, 22, 26)" },
  ])("$name: all plots are drawn, nothing is loaded, nothing scrolls sideways", async (look) => {
    await open(whole, look.view, look.name);
    expect(await ground()).toBe(look.colour);
    const plots = await drawAll();
    expect(plots.length).toBeGreaterThan(8);
    for (const { stores } of plots) {
      // Every store has its line in every plot; a line has some hundred pixels.
      for (const pixels of stores.slice(0, 4)) expect(pixels).toBeGreaterThan(60);
      // A colour of no store here.
      expect(stores[4]).toBe(0);
    }
    expect(await sideways()).toBe(0);
    expect(browser.requests).toHaveLength(1);
    expect(browser.complaints).toEqual([]);
    await keep(`${look.name}-whole`);
  });

  test("plots wait until they come near", async () => {
    await open(whole, phone, "near");
    const count = () => browser.evaluate<number>("document.querySelectorAll('canvas').length");
    expect(await count()).toBe(0);
    await browser.evaluate(`new Promise((resolve) => {
      const last = [...document.querySelectorAll("figure[data-plot]")].at(-1);
      new MutationObserver(resolve).observe(last, { childList: true, subtree: true });
      last.scrollIntoView();
    })`);
    const all = await browser.evaluate<number>("document.querySelectorAll('figure').length");
    expect(await count()).toBeGreaterThan(0);
    expect(await count()).toBeLessThan(all);
  });

  test("the switch changes colours, those of the plots as well", async () => {
    await open(whole, desk, "switch");
    const light = await drawAll();
    expect(light[0]!.stores[0]).toBeGreaterThan(60);
    await click('[data-set="dark"]');
    expect(await ground()).toBe("rgb(18, 22, 26)");
    // Counted by the colours of the dark page: a plot that kept the light ones would have none.
    const dark = await browser.evaluate<readonly Pixels[]>(COUNT_PIXELS);
    for (const { stores } of dark) expect(stores[0]).toBeGreaterThan(60);
    expect(await browser.evaluate("document.querySelector('[aria-pressed=true]').innerText")).toBe(
      "dark",
    );
    await click('[data-set="auto"]');
    expect(await ground()).toBe("rgb(255, 255, 255)");
  });

  test("a name in the legend takes its line out, and brings it back", async () => {
    await open(whole, desk, "legend");
    const before = (await drawAll())[0]!;
    await click("figure .legend button");
    const without = (await browser.evaluate<readonly Pixels[]>(COUNT_PIXELS))[0]!;
    expect(without.stores[0]).toBe(0);
    expect(without.stores[1]).toBeGreaterThan(60);
    await click("figure .legend button");
    const after = (await browser.evaluate<readonly Pixels[]>(COUNT_PIXELS))[0]!;
    expect(after.stores[0]).toBe(before.stores[0]);
  });

  test("keys read the values of a plot", async () => {
    await open(whole, desk, "keys");
    await drawAll();
    await browser.evaluate("document.querySelector('.plot').focus()");
    const legend = () => browser.evaluate<string>("document.querySelector('.legend').innerText");
    expect(await legend()).not.toContain("µs");
    await browser.press("End");
    expect(await legend()).toMatch(/ms[\s\S]*at 99\.9\d+ %/);
    await browser.press("Home");
    expect(await legend()).toMatch(/µs[\s\S]*at 0 %/);
    await browser.press("ArrowRight");
    expect(await legend()).not.toContain("at 0 %");
    await browser.press("Escape");
    expect(await legend()).not.toMatch(/µs|at /);
  });

  test("without a script the tables are there, open, and nothing promises more", async () => {
    await open(whole, { ...phone, script: false }, "no-script");
    const shown = await browser.evaluate<Record<string, number>>(`({
      closed: document.querySelectorAll("details:not([open])").length,
      tables: [...document.querySelectorAll("table")].filter((t) => t.offsetHeight > 0).length,
      figures: document.querySelectorAll("figure").length,
      switches: [...document.querySelectorAll("button")].filter((b) => b.offsetHeight > 0).length,
      empty: [...document.querySelectorAll(".plot")].filter((p) => p.offsetHeight > 0).length,
      notes: [...document.querySelectorAll("noscript .notice")].length,
    })`);
    const { figures = 0, tables = 0, ...rest } = shown;
    expect(tables).toBeGreaterThan(figures);
    expect(rest).toEqual({ closed: 0, switches: 0, empty: 0, notes: 1 });
    expect(await sideways()).toBe(0);
  });

  test("names that try to be more than text stay text", async () => {
    await open(hostileResult(), phone, "hostile");
    const plots = await drawAll();
    expect(plots.length).toBeGreaterThan(4);
    for (const { painted } of plots) expect(painted).toBeGreaterThan(1000);
    expect(await browser.evaluate("document.querySelectorAll('script').length")).toBe(2);
    expect(await browser.evaluate("document.querySelectorAll('img, [onmouseover]').length")).toBe(
      0,
    );
    expect(browser.requests).toHaveLength(1);
    expect(browser.complaints).toEqual([]);
    expect(await sideways()).toBe(0);
  });

  const failed = {
    ...sampleResult({ stores: ["aura", "rocksdb"], repeats: 2, workloads: ["load", "ycsb-a"] }),
    interrupted: true,
  };
  test.each([
    { name: "one-store", result: sampleResult({ stores: ["aura"], repeats: 1 }) },
    { name: "seven-stores", result: sampleResult({ stores: [..."abcdefg"], repeats: 1 }) },
    {
      name: "failed",
      result: {
        ...failed,
        runs: failed.runs.map((run) =>
          run.store === "rocksdb" && run.workload === "ycsb-a"
            ? { ...run, phases: [], failure: "IO error: No space left on device: /data/000123.sst" }
            : run,
        ),
      },
    },
    { name: "nothing", result: { ...failed, runs: [] } },
  ])("$name: drawn without complaint", async ({ name, result }) => {
    await open(result, phone, name);
    for (const { painted } of await drawAll()) expect(painted).toBeGreaterThan(1000);
    expect(await sideways()).toBe(0);
    expect(browser.complaints).toEqual([]);
    await keep(`${name}-whole`);
  });
});
