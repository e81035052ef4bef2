import { describe, expect, test } from "vitest";
import { OpsBench } from "../src/ops-bench.ts";
import { budgetOf, setupOf } from "../src/ops-run.ts";
import { parseOptions } from "../src/options.ts";
import { Random } from "../src/random.ts";
import { collectReplay, type Replay, type ReplaySpec } from "../src/replay.ts";
import type { PhaseResult } from "../src/result.ts";
import type { TraceOp } from "../src/trace/trace-op.ts";
import { temporaryFolder } from "./support/folder.ts";
import { type Faults, mapStore } from "./support/map-store.ts";

const spec: ReplaySpec = { file: "x", speed: "full", opsMax: undefined, valueBytes: 100 };

function op(kind: TraceOp["kind"], key: string, change: Partial<TraceOp> = {}): TraceOp {
  return { atUs: 0, kind, key: Buffer.from(key), valueBytes: 0, limit: 0, group: -1, ...change };
}

async function* source(ops: readonly TraceOp[]): AsyncGenerator<readonly TraceOp[]> {
  for (let at = 0; at < ops.length; at += 100) yield ops.slice(at, at + 100);
}

async function replay(
  ops: readonly TraceOp[],
  change: Partial<ReplaySpec> = {},
  { inFlight = 1, faults = {} }: { inFlight?: number; faults?: Faults } = {},
): Promise<{ read: Replay; phases: Record<string, Omit<PhaseResult, "startedMs">> }> {
  const read = await collectReplay(source(ops), { ...spec, ...change });
  const options = parseOptions(["--trace-file", "x", "--in-flight", `${inFlight}`]);
  const setup = setupOf(read.workload, options);
  const budget = budgetOf(read.workload, options, setup);
  const path = `${temporaryFolder()}/db`;
  const bench = new OpsBench(mapStore(faults), path, { budget, setup, replay: read });
  await bench.open();
  const phases: Record<string, Omit<PhaseResult, "startedMs">> = {};
  for (const [index, plan] of read.workload.phases(setup.sizes).entries()) {
    bench.begin(index);
    await bench.slice({ ops: plan.ops });
    phases[plan.name] = await bench.finish();
  }
  await bench.close();
  return { read, phases };
}

/** Random operations over few keys, keys with zero bytes and the empty one among them. */
function mixed(count: number): TraceOp[] {
  const random = new Random(5);
  return Array.from({ length: count }, (_, i) => {
    const keys = ["", "\0", "a", "a\0b", "b", "c", "d", "e"];
    const key = keys[random.below(keys.length)]!;
    const at = { atUs: i * 10 };
    const kind = random.below(6);
    if (kind === 0) return op("scan", key, { ...at, limit: 1 + random.below(5) });
    if (kind === 1) return op("delete", key, at);
    if (kind === 2) return op("merge", key, { ...at, valueBytes: random.below(300) });
    if (kind === 3) return op("put", key, { ...at, valueBytes: random.below(5000) });
    return op(kind === 4 ? "get" : "getMany", key, at);
  });
}

describe("a replay", () => {
  test.each([1, 16])(
    "asks for what the trace has, and every answer is right (%i in flight)",
    async (inFlight) => {
      const { phases } = await replay(mixed(3000), {}, { inFlight });
      expect(phases["replay"]).toMatchObject({ ops: 3000, wrong: 0 });
      expect(Object.keys(phases["replay"]!.latency).sort()).toEqual([
        "delete",
        "read",
        "rmw",
        "scan",
        "update",
      ]);
    },
  );

  test("loads what is read before it is written, in its later length, and nothing else", async () => {
    const ops = [
      op("get", "a"),
      op("put", "b", { valueBytes: 7 }),
      op("get", "b"),
      op("put", "a", { valueBytes: 70 }),
    ];
    const { phases } = await replay(ops);
    expect(phases["load"]).toMatchObject({ ops: 1, bytes: 71 });
    expect(phases["replay"]).toMatchObject({ ops: 4, wrong: 0, liveBytes: 1 + 70 + 1 + 7 });
    expect((await replay([op("put", "a", { valueBytes: 1 })])).phases["load"]).toBeUndefined();
  });

  test("notices wrong values, lengths, what came back from the dead, and scans out of order", async () => {
    const wrong = async (faults: Faults): Promise<number> =>
      (await replay(mixed(1000), {}, { faults })).phases["replay"]!.wrong!;
    expect(await wrong({ get: (_, value) => value?.subarray(1) })).toBeGreaterThan(100);
    expect(await wrong({ get: () => Buffer.alloc(3) })).toBeGreaterThan(300);
    expect(
      await wrong({ scan: ({ keys, values }) => ({ keys: [...keys].reverse(), values }) }),
    ).toBeGreaterThan(50);
  });

  test("at the recorded pace each operation is due when it was made", async () => {
    const ops = Array.from({ length: 50 }, (_, i) => op("get", "a", { atUs: i * 2000 }));
    const { phases } = await replay(ops, { speed: "recorded" });
    expect(phases["replay"]!.ms).toBeGreaterThan(97);
    expect(phases["replay"]!.latency["read"]!.corrected).toBe(true);
    expect((await replay(ops)).phases["replay"]!.latency["read"]!.corrected).toBeUndefined();
  });

  test("leaves out what not every store can do, and says how much; takes no more than asked", async () => {
    const ops = [op("deleteRange", "a"), op("get", "a"), op("get", "b")];
    expect((await replay(ops)).read.skipped).toBe(1);
    expect((await replay(ops, { opsMax: 1 })).phases["replay"]!.ops).toBe(1);
    await expect(replay([op("deleteRange", "a")])).rejects.toThrow("no operations");
  });
});
