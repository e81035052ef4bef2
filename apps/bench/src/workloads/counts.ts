/**
 * A small run whose counts are the same each time: background work is waited for after every slice, so
 * that flushes and compactions meet the same files, and no two operations are on their way at once. Its counts gate CI; its times mean nothing.
 */
import { uniform } from "../distributions.ts";
import { KIND, loadPhase, Mix, type PhasePlan, type Shares, type Workload } from "./workload.ts";

function phase(name: string, ops: number, shares: Shares): PhasePlan {
  return {
    name,
    ops,
    source: (random, records) => new Mix(shares, uniform, random, records),
    drainSlices: true,
  };
}

export const counts: Workload = {
  name: "counts",
  about: "a small run for its counts: bytes written, syncs, blocks read per operation",
  keyOrder: "hashed",
  keyBytes: 23,
  valueBytes: 200,
  count: 60_000,
  ops: (count) => count / 2,
  isSync: true,
  memtableBytes: 2 ** 20,
  cacheBytes: 2 ** 20,
  inserts: () => 0,
  phases: ({ count, ops }) => [
    { ...loadPhase(count), drainSlices: true },
    phase("overwrite", ops, { update: 1 }),
    phase("read", ops, { read: 1 }),
    phase("missing", ops, { missing: 1 }),
    {
      name: "scan",
      ops: Math.ceil(ops / 100),
      source: (random, records) => ({
        next: (op) => {
          op.kind = KIND.scan;
          op.index = random.below(records.count);
          op.count = 50;
        },
      }),
    },
  ],
};
