import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { html, jsonForScript } from "../src/page/html.ts";
import { latencyPlot } from "../src/page/latency-plot.ts";
import { outlineOf } from "../src/page/outline.ts";
import { renderPage } from "../src/page/page.ts";
import type { Plot } from "../src/page/plot.ts";
import { ratioOf, spreadOf, verdictOf } from "../src/page/spread.ts";
import { timePlots } from "../src/page/time-plot.ts";
import type { BenchResult, Latency, PhaseResult, RunResult } from "../src/result.ts";
import { hostileResult, sampleResult } from "./support/page-result.ts";

/** What a reader without a script gets to see. */
function textOf(page: string): string {
  const body = page.slice(page.indexOf("<body>"));
  return body
    .replace(/<(script|style)[\s\S]*?<\/\1>/g, " ")
    .replace(/<[^>]*>/g, " ")
    .replace(/&nbsp;/g, " ")
    .replace(/\s+/g, " ");
}

/** The plots that the page hands to its script. */
function plotsOf(page: string): readonly Plot[] {
  const json = /<script type="application\/json" id="plots">([\s\S]*?)<\/script>/.exec(page)?.[1];
  return (JSON.parse(json ?? "") as { readonly plots: readonly Plot[] }).plots;
}

/** The cells of the row with a title, as text; of the first such row. */
function cellsOf(page: string, title: string): string[] {
  const rows = page.split("<tr>").map((row) => row.split("</tr>")[0]!);
  const row = rows.find((cells) => cells.startsWith(`<th scope="row">${title}<`)) ?? "";
  return row
    .split("<td")
    .slice(1)
    .map((cell) => textOf(`<body><td${cell}`).trim());
}

function phase(settings: Partial<PhaseResult> = {}): PhaseResult {
  return {
    name: "run",
    startedMs: 0,
    ops: 1000,
    bytes: 100_000,
    ms: 1000,
    latency: {},
    series: [],
    background: [],
    cpuMs: { user: 900, system: 100 },
    diskBytes: 2_000_000,
    peakRssBytes: 100 * 2 ** 20,
    ...settings,
  };
}

function resultOf(runs: readonly RunResult[], settings: Partial<BenchResult> = {}): BenchResult {
  return { ...sampleResult({ stores: ["aura", "rocksdb"], workloads: [] }), ...settings, runs };
}

function run(store: string, repeat: number, ...phases: readonly PhaseResult[]): RunResult {
  return { workload: "mixed", store, repeat, phases };
}

function latency(settings: Partial<Latency> = {}): Latency {
  const us = { meanUs: 10, p50Us: 10, p90Us: 20, p99Us: 40, p999Us: 80, maxUs: 100 };
  return { count: 1000, ...us, curve: [], ...settings };
}

describe("page", () => {
  test("of one store shows its figures and compares nothing", () => {
    const page = renderPage(sampleResult({ stores: ["aura"], repeats: 2 }));
    const text = textOf(page);
    expect(page).toContain("<title>Benchmark of aura</title>");
    expect(page).not.toContain('class="ratio ');
    expect(text).not.toMatch(/ahead|behind|undefined|NaN|Infinity/);
    expect(cellsOf(page, "p99 insert")[0]).toMatch(/ µs/);
    expect(plotsOf(page).map(({ title }) => title)).toContain("Throughput over time");
  });

  test("of three stores compares the first one with each", () => {
    const page = renderPage(sampleResult({ stores: ["aura", "rocksdb", "lmdb"] }));
    expect(textOf(page)).not.toMatch(/undefined|NaN|Infinity/);
    expect(page).toContain("<title>Benchmark of aura against rocksdb, lmdb</title>");
    expect(cellsOf(page, "throughput until drained")).toHaveLength(2);
    expect(textOf(page)).toContain("aura against rocksdb");
    expect(textOf(page)).toContain("aura against lmdb");
    const figures = page.match(/<figure /g)?.length;
    expect(plotsOf(page)).toHaveLength(figures ?? 0);
    // Under each plot: a table and the command.
    expect(page.match(/<details open><summary>Figures and command/g)).toHaveLength(figures ?? 0);
  });

  test("pairs repeats, and says which way is better", () => {
    const own = (p99Us: number) => ({ latency: { read: latency({ p99Us }) } });
    const page = renderPage(
      resultOf([
        run("aura", 0, phase({ ms: 1000, ...own(10) })),
        run("rocksdb", 0, phase({ ms: 2000, ...own(5) })),
        run("aura", 1, phase({ ms: 500, ...own(10) })),
        run("rocksdb", 1, phase({ ms: 2000, ...own(8) })),
        // No partner: shows among the values, counts in no ratio.
        run("aura", 2, phase({ ms: 10, ...own(1) })),
      ]),
    );
    expect(cellsOf(page, "throughput")).toEqual(["3.00× ▲ 2.00–4.00 · 500/s"]);
    expect(cellsOf(page, "p99 read")).toEqual(["0.65× ▼ 0.50–0.80 · 6.50 µs"]);
    expect(cellsOf(page, "peak RSS")[1]).toContain("1.00× ≈");
    expect(textOf(page)).toContain("Worst: 0.65× ▼ mixed · run, p99 read");
  });

  test("takes the drain into throughput where there is one", () => {
    const page = renderPage(
      resultOf([
        run("aura", 0, phase({ drainMs: 1000 })),
        run("rocksdb", 0, phase({ drainMs: 3000 })),
      ]),
    );
    expect(cellsOf(page, "throughput until drained")).toEqual(["2.00× ▲ 250/s"]);
    expect(textOf(page)).toContain("how far these ratios wobble is not known");
  });

  test("shows amplification by user bytes, and none of writes where only reads ran", () => {
    const write = { writtenBytes: 300_000, liveBytes: 1_000_000 };
    const runs = [
      run("aura", 0, phase({ ...write, latency: { insert: latency() } })),
      run("rocksdb", 0, phase({ ...write, writtenBytes: 150_000, latency: { insert: latency() } })),
    ];
    const page = renderPage(resultOf(runs));
    expect(cellsOf(page, "write, by calls")).toEqual(["3.00", "1.50 0.50× ▼"]);
    expect(cellsOf(page, "space")).toEqual(["2.00", "2.00 1.00× ≈"]);
    const reads = runs.map(({ store }) =>
      run(store, 0, phase({ ...write, latency: { read: latency() } })),
    );
    expect(renderPage(resultOf(reads))).not.toContain("write, by calls");
  });

  test("tells failures, wrong answers and interruption at its head", () => {
    const page = renderPage(
      resultOf(
        [
          run("aura", 0, phase({ wrong: 3, latency: { read: latency() } })),
          { ...run("rocksdb", 0), failure: "IO error: No space left on device" },
        ],
        { interrupted: true },
      ),
    );
    const head = textOf(page.slice(0, page.indexOf('id="ratios"')).concat("<body>"));
    for (const said of ["1 run failed", "No space left on device", "interrupted", "3 of 1,000"]) {
      expect(textOf(page)).toContain(said);
    }
    expect(page.indexOf("No space left")).toBeLessThan(page.indexOf('id="ratios"'));
    expect(cellsOf(page, "throughput")).toEqual(["failed"]);
    expect(head).not.toContain("undefined");
  });

  test("of a run that measured nothing still says how it was run", () => {
    for (const stores of [[], ["aura"], ["aura", "lmdb"]]) {
      const page = renderPage(sampleResult({ stores, workloads: [] }));
      expect(textOf(page)).toContain("Nothing was measured");
      expect(textOf(page)).toContain("npm run bench");
      expect(textOf(page)).toContain("AMD EPYC 7B13");
      expect(plotsOf(page)).toEqual([]);
    }
    const failed = { ...run("aura", 0), failure: "broken" };
    expect(textOf(renderPage(resultOf([failed])))).toContain("No phase was completed");
  });

  test("does without fields that are optional, or that a damaged file lacks", () => {
    const bare = renderPage(resultOf([run("aura", 0, phase()), run("lmdb", 0, phase())]));
    expect(textOf(bare)).not.toMatch(/undefined|NaN|Infinity|\[object/);
    expect(cellsOf(bare, "peak RSS")).toHaveLength(3);
    const needed = ["name", "startedMs", "ops", "ms"];
    const whole = sampleResult({ stores: ["aura", "rocksdb"], workloads: ["ycsb-a"], repeats: 1 });
    for (const field of Object.keys(whole.runs[0]!.phases[0]!)) {
      if (needed.includes(field)) continue;
      const runs = whole.runs.map((r) => ({
        ...r,
        phases: r.phases.map((p) => ({ ...p, [field]: undefined }) as unknown as PhaseResult),
      }));
      expect(textOf(renderPage({ ...whole, runs })), field).not.toMatch(/undefined|NaN|Infinity/);
    }
    const old = renderPage({ ...whole, format: 99 });
    expect(textOf(old)).toContain("format 99");
  });

  test("names every store's version, flags and facts, the machine and the settings", () => {
    const text = textOf(renderPage(sampleResult({ stores: ["aura", "lmdb"], seed: 7 })));
    for (const said of ["lmdb-native 1.4.2", "memtableBytes 64.0 MiB", "block-cache-capacity"]) {
      expect(text).toContain(said);
    }
    for (const said of ["Node.js v20.20.2", "seed 7", "bloomBitsPerKey", "commit 0123456789ab"]) {
      expect(text).toContain(said);
    }
  });

  test("shows what names hold as text", () => {
    const page = renderPage(hostileResult());
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
    expect(page).not.toMatch(/<img|<!--|<b onmouseover/);
    expect(["\u202e", "\u0000"].filter((char) => page.includes(char))).toEqual([]);
    expect(page.isWellFormed()).toBe(true);
    expect(textOf(page)).toContain("&lt;/script&gt;&lt;script&gt;alert(1)");
    expect(textOf(page)).toContain("__proto__");
    expect(plotsOf(page).map(({ title }) => title)).toContain("Latency of __proto__");
  });

  test("loads nothing, and lets only its own script run", () => {
    const page = renderPage(sampleResult());
    expect(page).not.toMatch(/(src|href)="(?!#|data:)/);
    expect(page).not.toMatch(/@import|url\(/);
    const script = /<script>([\s\S]*)<\/script>/.exec(page)?.[1] ?? "";
    const hash = createHash("sha256").update(script).digest("base64");
    const policy = page.replaceAll("&#39;", "'");
    expect(policy.includes(`default-src 'none'; script-src 'sha256-${hash}'`)).toBe(true);
    expect(page.includes("Copyright (c) 2022 Leon Sorokin")).toBe(true);
  });

  test("is the same for the same result", () => {
    expect(renderPage(sampleResult())).toBe(renderPage(sampleResult()));
  });
});

describe("latency plot", () => {
  const outline = (...latencies: readonly Latency[]) =>
    outlineOf(
      resultOf(latencies.map((read, i) => run("aura", i, phase({ latency: { read } })))),
    )[0]!.phases[0]!;

  test("puts 90, 99 and 99.9 % at equal distances, and the largest value at one of all", () => {
    const curve = [
      [0, 5],
      [90, 10],
      [99, 20],
      [99.9, 40],
      [100, 100],
    ] as const;
    const plot = latencyPlot(outline(latency({ count: 1e5, curve })), "read", ["aura"])!;
    expect(plot.xs).toEqual([0, 1, 2, 3, 5]);
    expect(plot.lines).toEqual([{ store: 0, ys: [5, 10, 20, 40, 100] }]);
  });

  test("joins repeats percentile by percentile: median and range", () => {
    const line = (us: number) =>
      latency({
        count: 100,
        curve: [
          [0, us],
          [90, us],
          [100, us],
        ],
      });
    const plot = latencyPlot(outline(line(10), line(30), line(20)), "read", ["aura"])!;
    const [{ ys, low, high }] = plot.lines as [Required<Plot["lines"][number]>];
    expect([ys, low, high]).toEqual([
      [20, 20, 20],
      [10, 10, 10],
      [30, 30, 30],
    ]);
  });

  test("a tail that most repeats do not reach has no line", () => {
    const short = latency({
      count: 100,
      curve: [
        [0, 10],
        [100, 10],
      ],
    });
    const long = latency({
      count: 1e6,
      curve: [
        [0, 10],
        [100, 10],
      ],
    });
    const plot = latencyPlot(outline(short, short, long), "read", ["aura"])!;
    expect(plot.xs).toEqual([0, 2, 6]);
    expect(plot.lines[0]!.ys).toEqual([10, 10, null]);
  });

  test("leaves out what is no point, and what no store has", () => {
    const odd = [
      [0, 10],
      [50, Number.NaN],
      [40, 11],
      [30, 9],
      [Number.NaN, 3],
      [100, 0],
    ] as const;
    const plot = latencyPlot(outline(latency({ count: 10, curve: odd })), "read", ["aura"])!;
    expect(plot.lines[0]!.ys).toEqual([10, 11, 0.05]);
    expect(latencyPlot(outline(latency()), "read", ["aura"])).toBeUndefined();
    expect(latencyPlot(outline(latency({ curve: odd })), "toString", ["aura"])).toBeUndefined();
  });
});

describe("plots over time", () => {
  const plots = (settings: Partial<PhaseResult>) =>
    timePlots(outlineOf(resultOf([run("aura", 0, phase(settings))]))[0]!.phases[0]!, ["aura"]);

  test("a last slice that is cut short counts for its length", () => {
    const series = [0, 500, 1000].map((atMs) => ({ atMs, ops: atMs === 1000 ? 10 : 50 }));
    const [plot] = plots({ series, ms: 1100 });
    expect(plot!.xs).toEqual([0.25, 0.75, 1.05]);
    expect(plot!.lines[0]!.ys).toEqual([100, 100, 100]);
  });

  test("many slices are joined, none is lost", () => {
    const series = Array.from({ length: 5000 }, (_, i) => ({ atMs: i * 10, ops: 7, p99Us: i }));
    const [rate, tail] = plots({ series, ms: 50_000 });
    expect(rate!.xs.length).toBeLessThanOrEqual(600);
    expect(new Set(rate!.lines[0]!.ys)).toEqual(new Set([700]));
    expect(tail!.lines[0]!.ys.at(-1)).toBe(4999);
  });

  test("background work stands in a lane of its store", () => {
    const series = [0, 500].map((atMs) => ({ atMs, ops: 50 }));
    const background = [{ fromMs: 100, toMs: 300, kind: "flush" }];
    const [plot] = plots({ series, background });
    expect(plot!.lanes).toEqual([{ store: 0, works: [[0.1, 0.3, "flush"]] }]);
  });

  test("the repeat of median throughput stands for a store", () => {
    const repeat = (i: number, ms: number): RunResult =>
      run(
        "aura",
        i,
        phase({ ms, ops: 100, series: [0, 1].map((s) => ({ atMs: (s * ms) / 2, ops: 50 })) }),
      );
    const { phases } = outlineOf(resultOf([repeat(0, 100), repeat(1, 400), repeat(2, 200)]))[0]!;
    expect(timePlots(phases[0]!, ["aura"])[0]!.xs).toEqual([0.05, 0.15]);
  });
});

describe("spread", () => {
  test("median, smallest and largest of the finite values", () => {
    expect(spreadOf([3, undefined, 1, Number.NaN, 2])).toEqual({
      median: 2,
      min: 1,
      max: 3,
      count: 3,
    });
    expect(spreadOf([4, 2])?.median).toBe(3);
    expect(spreadOf([undefined])).toBeUndefined();
  });

  test("ahead or behind only if all repeats agree", () => {
    const ratio = (own: number[], other: number[]) =>
      ratioOf(new Map(own.entries()), new Map(other.entries()), "more")!;
    expect(verdictOf(ratio([4, 4], [2, 3]))).toBe("ahead");
    expect(verdictOf(ratio([1, 1], [2, 3]))).toBe("behind");
    expect(verdictOf(ratio([4, 1], [2, 3]))).toBe("even");
    expect(ratioOf(new Map([[0, 0]]), new Map([[0, 1]]), "less")).toBeUndefined();
  });
});

test("templates escape all but markup", () => {
  const name = `<a href="x">'&`;
  expect(html`<p title="${name}">${[html`<b>${1}</b>`, undefined, name]}</p>`.text).toBe(
    '<p title="&lt;a href=&quot;x&quot;&gt;&#39;&amp;"><b>1</b>&lt;a href=&quot;x&quot;&gt;&#39;&amp;</p>',
  );
  const value = { name: "</script><!--\u2028&" };
  expect(jsonForScript(value).text).not.toMatch(/[<>&\u2028]/);
  expect(JSON.parse(jsonForScript(value).text)).toEqual(value);
});
