/**
 * Phases that change what is asked of a store, one after the other on the same database: what suits one of
 * them does not suit the next. Records are asked for by a zipfian distribution, but for `drift`, whose hot tenth
 * of the records moves through all of them.
 */
import {
  createDistribution,
  KIND,
  loadPhase,
  Mix,
  type PhasePlan,
  type Shares,
  type Sizes,
  type Workload,
} from "./workload.ts";

const HOT_SHARE = 0.1;
const HOT_REQUESTS = 0.9;
/** Writes of a burst, and the operations from one burst to the next. */
const BURST_WRITES = 2000;
const BURST_EVERY = 10_000;
/** Times that `cycle` swings between reading and writing, and how far. */
const CYCLES = 4;
const SWING = 0.45;

function mix(name: string, sizes: Sizes, shares: Shares, ops: number = sizes.ops): PhasePlan {
  return {
    name,
    ops,
    source: (random, records) =>
      new Mix(
        shares,
        createDistribution(sizes.distribution ?? "zipfian", records.countMax),
        random,
        records,
      ),
  };
}

/** Reads and updates whose share of updates is a function of the operation's number. */
function varying(name: string, sizes: Sizes, updates: (at: number) => number): PhasePlan {
  return {
    name,
    ops: sizes.ops,
    source: (random, records) => {
      const chosen = createDistribution(sizes.distribution ?? "zipfian", records.countMax);
      let at = 0;
      return {
        next: (op) => {
          op.kind = random.unit() < updates(at++) ? KIND.update : KIND.read;
          op.index = chosen.draw(random, records.count);
        },
      };
    },
  };
}

function drift(sizes: Sizes): PhasePlan {
  return {
    name: "drift",
    ops: sizes.ops,
    source: (random, records) => {
      let at = 0;
      return {
        next: (op) => {
          const { count } = records;
          const hot = Math.max(1, Math.floor(count * HOT_SHARE));
          const start = Math.floor((at++ / sizes.ops) * count);
          op.kind = random.unit() < 0.5 ? KIND.update : KIND.read;
          op.index =
            random.unit() < HOT_REQUESTS
              ? (start + random.below(hot)) % count
              : random.below(count);
        },
      };
    },
  };
}

/** A scan reads fifty records: fewer of them take as long. */
function scans(ops: number): number {
  return Math.ceil(ops / 20);
}

export const dynamic: Workload = {
  name: "dynamic",
  about: "what is asked for changes: write, read, balanced, scan, burst, drift, cycle",
  keyOrder: "hashed",
  keyBytes: 23,
  valueBytes: 400,
  count: 200_000,
  ops: () => 200_000,
  inserts: ({ ops }) => Math.ceil(scans(ops) * 0.05 * 2),
  phases: (sizes) => [
    loadPhase(sizes.count),
    mix("write", sizes, { update: 0.95, read: 0.05 }),
    mix("read", sizes, { read: 0.95, update: 0.05 }),
    mix("balanced", sizes, { read: 0.5, update: 0.5 }),
    mix("scan", sizes, { scan: 0.95, insert: 0.05 }, scans(sizes.ops)),
    varying("burst", sizes, (at) => (at % BURST_EVERY < BURST_WRITES ? 1 : 0)),
    drift(sizes),
    varying(
      "cycle",
      sizes,
      (at) => 0.5 + SWING * Math.sin((2 * Math.PI * CYCLES * at) / sizes.ops),
    ),
  ],
};
