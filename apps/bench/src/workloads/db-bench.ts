/**
 * The benchmarks of LevelDB's and RocksDB's `db_bench`, under their names: keys of 16 bytes, values of
 * 100. Where db_bench's random reads meet keys that its random fill left out, all keys are there here.
 * `readwhilewriting` has one write to nine reads: one thread cannot do both at once.
 */
import { uniform } from "../distributions.ts";
import {
  inserts,
  KIND,
  loadPhase,
  Mix,
  type PhasePlan,
  type Records,
  type Shares,
  type Sizes,
  type Source,
  type Workload,
} from "./workload.ts";

type Plan = Omit<PhasePlan, "name" | "ops">;

function mixOf(shares: Shares): Plan {
  return { source: (random, records) => new Mix(shares, uniform, random, records) };
}

/** Writes keys of [0, count) by chance: some twice, some never. */
function fillRandom(sizes: Sizes): Plan {
  return {
    source: (random, records): Source => {
      records.count = sizes.count;
      return {
        next: (op) => {
          op.kind = KIND.update;
          op.index = random.below(sizes.count);
        },
      };
    },
  };
}

/** Entries that one scan of `readseq` reads. */
const SEQUENCE = 1000;

/** Reads all entries in key order, piece after piece, from the start again when the end is met. */
function readSequence(_random: unknown, records: Records): Source {
  let rank = 0;
  return {
    next: (op) => {
      if (rank >= records.count) rank = 0;
      op.kind = KIND.scan;
      op.index = rank;
      op.count = Math.min(SEQUENCE, records.count - rank);
      rank += op.count;
    },
  };
}

function seek(random: { below(end: number): number }, records: Records): Source {
  return {
    next: (op) => {
      op.kind = KIND.scan;
      op.index = random.below(records.count);
      op.count = 1;
    },
  };
}

interface Bench {
  readonly about: string;
  readonly plan: (sizes: Sizes) => Plan;
  /** Begins with an empty database. */
  readonly fills?: boolean;
  readonly rawControl?: boolean;
  readonly ops?: (sizes: Sizes) => number;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  fillseq: {
    about: "writes all keys in key order",
    plan: () => ({ source: inserts }),
    fills: true,
    rawControl: true,
  },
  fillrandom: {
    about: "writes as many keys as there are, by chance",
    plan: fillRandom,
    fills: true,
    rawControl: true,
  },
  overwrite: {
    about: "overwrites keys by chance",
    plan: () => mixOf({ update: 1 }),
    rawControl: true,
  },
  readrandom: { about: "reads keys by chance", plan: () => mixOf({ read: 1 }) },
  readmissing: { about: "asks for keys that are absent", plan: () => mixOf({ missing: 1 }) },
  readseq: {
    about: "reads all entries in key order, 1000 with each call",
    plan: () => ({ source: readSequence, ranked: true }),
    ops: ({ count }) => Math.ceil(count / SEQUENCE),
  },
  seekrandom: { about: "seeks a key and reads one entry", plan: () => ({ source: seek }) },
  readwhilewriting: {
    about: "reads by chance beside writes: one write to nine reads",
    plan: () => mixOf({ read: 0.9, update: 0.1 }),
  },
};

function createBench(name: string, { about, plan, fills, rawControl, ops }: Bench): Workload {
  return {
    name,
    about: `db_bench ${name}: ${about}`,
    keyOrder: "ordered",
    keyBytes: 16,
    valueBytes: 100,
    count: 500_000,
    ops: () => 300_000,
    ...(rawControl === undefined ? {} : { rawControl }),
    inserts: () => 0,
    phases: (sizes) => {
      const measured = {
        name,
        ops: fills === true ? sizes.count : (ops?.(sizes) ?? sizes.ops),
        ...plan(sizes),
      };
      return fills === true ? [measured] : [loadPhase(sizes.count), measured];
    },
  };
}

export const dbBench: readonly Workload[] = Object.entries(BENCHES).map(([name, bench]) =>
  createBench(name, bench),
);
