import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runNames } from "../src/names-run.ts";
import type { NamesOptions } from "../src/options.ts";
import { temporaryFolder } from "./support/folder.ts";
import { localHosts } from "./support/local-host.ts";
import { type Faults, mapStore } from "./support/map-store.ts";

const defaults: NamesOptions = {
  count: 200,
  data: undefined,
  dir: undefined,
  seed: 1,
  stores: ["aura", "rocksdb"],
  json: undefined,
};

async function run(
  options: Partial<NamesOptions>,
  { faults = {}, signal = new AbortController().signal }: { faults?: Faults; signal?: AbortSignal },
): Promise<{ code: number; text: string }> {
  let text = "";
  const output = { write: (part: string) => (text += part) };
  const hosts = localHosts(({ store }) => mapStore(store === "aura" ? faults : {}));
  const code = await runNames({ ...defaults, ...options }, output, signal, hosts);
  return { code, text };
}

describe("runNames", () => {
  test("prints stores and table, and writes the raw results", async () => {
    const json = join(temporaryFolder(), "results.json");
    const { code, text } = await run({ json }, {});
    expect(code).toBe(0);
    expect(text).toContain("200 keys of ");
    expect(text).toContain("rocksdb: map 0.0.0\n  set: kept=in memory");
    expect(text).toMatch(/load until drained .*\/s/);
    expect(text).toContain("values read back that were wrong: 0");
    const raw = JSON.parse(readFileSync(json, "utf8"));
    expect(raw).toMatchObject({ mismatches: 0, options: { seed: 1 }, sizes: { names: 200 } });
    expect(raw.machine.node).toBe(process.version);
    expect(raw.stores[1].samples.load.length).toBeGreaterThan(0);
  });

  test("fails with 1 when a value is wrong, and when a store fails", async () => {
    const wrong = await run({}, { faults: { get: () => Buffer.from("x") } });
    expect(wrong.code).toBe(1);
    expect(wrong.text).not.toContain("that were wrong: 0");
    const fail = (method: string) => (method === "drain" ? new Error("no disk") : undefined);
    const failed = await run({}, { faults: { fail } });
    expect(failed.code).toBe(1);
    expect(failed.text).toContain("of it: until accepted");
    expect(failed.text).toContain("failed: no disk");
  });

  test("ends with 130 when interrupted, and prints what ran", async () => {
    const interrupt = new AbortController();
    const fail = (method: string) => {
      if (method === "put") interrupt.abort(new Error("interrupted"));
      return undefined;
    };
    const { code, text } = await run({}, { faults: { fail }, signal: interrupt.signal });
    expect(code).toBe(130);
    expect(text).toContain("ordered scan");
    expect(text).not.toContain("reopen, drained");
  });

  test("takes the user's names, and leaves the databases in the user's folder", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "names.json");
    writeFileSync(data, JSON.stringify(["left-pad", "@scope/name", "ünï", "left-pad"]));
    const dir = join(folder, "databases");
    const { code, text } = await run({ data, dir, stores: ["aura"] }, {});
    expect(code).toBe(0);
    expect(text).toContain("3 keys of ");
    expect(existsSync(dir)).toBe(true);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("refuses a folder that is not empty, and files that cannot be used", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "names.txt");
    writeFileSync(data, "\n\n");
    await expect(run({ dir: folder }, {})).rejects.toThrow("not empty");
    await expect(run({ data }, {})).rejects.toThrow("none found");
    await expect(run({ data: join(folder, "missing") }, {})).rejects.toThrow("cannot read");
  });
});
