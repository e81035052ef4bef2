/** Overwrites all records again and again by chance, and notes disk over live bytes through time. */
import { uniform } from "../distributions.ts";
import { loadPhase, Mix, type Workload } from "./workload.ts";

/** Times that each record is overwritten, in the mean. */
const ROUNDS = 5;

export const space: Workload = {
  name: "space",
  about: "overwrites all records five times: disk over live bytes through time, and once drained",
  keyOrder: "hashed",
  keyBytes: 23,
  valueBytes: 400,
  count: 200_000,
  ops: (count) => count * ROUNDS,
  inserts: () => 0,
  phases: ({ count, ops }) => [
    { ...loadPhase(count), space: true },
    {
      name: "overwrite",
      ops,
      source: (random, records) => new Mix({ update: 1 }, uniform, random, records),
      space: true,
    },
  ],
};
