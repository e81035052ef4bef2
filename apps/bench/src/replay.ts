/**
 * A trace of operations as a workload. A trace has keys and lengths, no values: those are drawn as
 * everywhere. Keys that it reads before it writes them are loaded first, as it began with a database that had them.
 *
 * A replay asks for what every store can do: operations of one batch or call go one by one, a scan goes
 * forward whatever its direction was, and at most so far as its limit; a deleteRange is left out.
 */
import { KeySet } from "./key-set.ts";
import { KeyTable } from "./key-table.ts";
import type { TraceOp } from "./trace/trace-op.ts";
import { KIND, type PhasePlan, type Source, type Workload } from "./workloads/workload.ts";

/** How a trace is replayed. Plain data. */
export interface ReplaySpec {
  readonly file: string;
  /** `recorded`: each operation when it was made; `full`: as fast as they go. */
  readonly speed: "recorded" | "full";
  /** Operations that are taken from its start; `undefined`: all. */
  readonly opsMax: number | undefined;
  /** Length of values of which the trace tells none. */
  readonly valueBytes: number;
}

/** A trace that was read. */
export interface Replay {
  readonly keys: KeyTable;
  readonly workload: Workload;
  readonly valueBytesMax: number;
  readonly skipped: number;
}

/** Its name among the workloads. */
export const TRACE = "trace";

/** Entries that a scan without a limit reads. */
const SCAN_ENTRIES_MAX = 10_000;
/** Values are cut to this. */
const VALUE_BYTES_MAX = 64 * 2 ** 20;
const LOAD_BATCH = 1000;

const KINDS: Readonly<Record<TraceOp["kind"], number>> = {
  get: KIND.read,
  getMany: KIND.read,
  put: KIND.update,
  merge: KIND.rmw,
  delete: KIND.delete,
  scan: KIND.scan,
  deleteRange: -1,
};

/** Collects the operations of a trace. */
class Collector {
  readonly keys: KeySet = new KeySet(1024);
  readonly kinds: number[] = [];
  readonly indices: number[] = [];
  readonly counts: number[] = [];
  readonly bytes: number[] = [];
  readonly dueMs: number[] = [];
  /** Length of a value of each key, 0: not told yet. */
  readonly keyBytes: number[] = [];
  /** Keys that were read before they were written. */
  readonly loaded: number[] = [];
  readonly #seen = new Set<number>();
  skipped = 0;

  add(op: TraceOp): void {
    const kind = KINDS[op.kind];
    if (kind < 0) {
      this.skipped++;
      return;
    }
    const index = this.keys.add(op.reverse === true ? (op.end ?? new Uint8Array()) : op.key);
    const bytes = Math.min(VALUE_BYTES_MAX, op.valueBytes);
    this.keyBytes[index] = Math.max(this.keyBytes[index] ?? 0, bytes);
    if (kind !== KIND.scan && !this.#seen.has(index)) {
      this.#seen.add(index);
      if (kind === KIND.read || kind === KIND.rmw) this.loaded.push(index);
    }
    this.kinds.push(kind);
    this.indices.push(index);
    this.counts.push(Math.min(SCAN_ENTRIES_MAX, op.limit));
    this.bytes.push(bytes);
    this.dueMs.push(op.atUs / 1000);
  }
}

/** Reads operations, from their start on. Throws when there are none. */
export async function collectReplay(
  source: AsyncIterable<readonly TraceOp[]>,
  spec: ReplaySpec,
): Promise<Replay> {
  const all = new Collector();
  const opsMax = spec.opsMax ?? Number.POSITIVE_INFINITY;
  for await (const ops of source) {
    for (const op of ops) if (all.kinds.length < opsMax) all.add(op);
    if (all.kinds.length >= opsMax) break;
  }
  if (all.kinds.length === 0) throw new Error(`${spec.file}: no operations that can be replayed`);
  const bytesOf = (index: number): number => all.keyBytes[index] || spec.valueBytes;
  const keys = all.keys.build();
  return {
    keys: new KeyTable(keys),
    workload: workloadOf(all, spec, keys.bytes.length / keys.count),
    valueBytesMax: all.keyBytes.reduce((max, bytes) => Math.max(max, bytes), spec.valueBytes),
    skipped: all.skipped,
  };

  function workloadOf(found: Collector, given: ReplaySpec, keyBytes: number): Workload {
    const ops = found.kinds.length;
    const load: PhasePlan = {
      name: "load",
      ops: found.loaded.length,
      batch: LOAD_BATCH,
      setup: true,
      source: (): Source => {
        let at = 0;
        return {
          next: (op) => {
            op.kind = KIND.insert;
            op.index = found.loaded[at++]!;
            op.bytes = bytesOf(op.index);
          },
        };
      },
    };
    const replay: PhasePlan = {
      name: "replay",
      ops,
      isReplay: true,
      ...(given.speed === "recorded" ? { dueMs: (n: number) => found.dueMs[n % ops]! } : {}),
      source: (): Source => {
        let at = 0;
        return {
          next: (op) => {
            op.kind = found.kinds[at]!;
            op.index = found.indices[at]!;
            op.count = found.counts[at]!;
            op.bytes = found.bytes[at]! || bytesOf(op.index);
            at = (at + 1) % ops;
          },
        };
      },
    };
    return {
      name: TRACE,
      about: `operations of ${given.file}, ${given.speed === "full" ? "as fast as they go" : "at the pace of the trace"}`,
      keyOrder: "hashed",
      keyBytes: Math.round(keyBytes),
      valueBytes: given.valueBytes,
      count: keys.count,
      ops: () => ops,
      inserts: () => 0,
      phases: () => (found.loaded.length > 0 ? [load, replay] : [replay]),
    };
  }
}

/** Reads a trace file. */
export async function readReplay(spec: ReplaySpec): Promise<Replay> {
  const { readTrace } = await import("./trace/read-trace.ts");
  return collectReplay(readTrace(spec.file), spec);
}
