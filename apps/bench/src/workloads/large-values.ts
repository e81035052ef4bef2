/** Values of 64 KiB: written, read by chance, half of them overwritten, read again. */
import { uniform } from "../distributions.ts";
import { inserts, Mix, type PhasePlan, type Shares, type Workload } from "./workload.ts";

function phase(name: string, ops: number, shares: Shares): PhasePlan {
  return { name, ops, source: (random, records) => new Mix(shares, uniform, random, records) };
}

export const largeValues: Workload = {
  name: "large-values",
  about: "values of 64 KiB: written, read, half of them overwritten, read again",
  keyOrder: "hashed",
  keyBytes: 23,
  valueBytes: 64 * 1024,
  count: 3000,
  ops: (count) => count,
  rawControl: true,
  inserts: () => 0,
  phases: ({ count, ops }) => [
    { name: "write", ops: count, source: inserts },
    phase("read", ops, { read: 1 }),
    phase("overwrite", Math.ceil(ops / 2), { update: 1 }),
    phase("read again", ops, { read: 1 }),
  ],
};
