/**
 * The core workloads of YCSB, A to F, with the mixes and distributions of its workload files. A record
 * has 10 fields of 100 bytes, side by side in one value. An update writes the whole record
 * (`writeallfields`): a key-value store has no fields; who must keep the others reads first, which is what F does.
 */
import {
  createDistribution,
  type DistributionName,
  loadPhase,
  Mix,
  type Shares,
  type Sizes,
  type Workload,
} from "./workload.ts";

interface Core {
  readonly about: string;
  readonly shares: Shares;
  readonly distribution: DistributionName;
  /** Smaller, since one scan reads 50 records in the mean. */
  readonly ops?: number;
}

const CORE: Readonly<Record<string, Core>> = {
  "ycsb-a": {
    about: "YCSB A, update heavy: 50 % reads, 50 % updates, zipfian",
    shares: { read: 0.5, update: 0.5 },
    distribution: "zipfian",
  },
  "ycsb-b": {
    about: "YCSB B, read mostly: 95 % reads, 5 % updates, zipfian",
    shares: { read: 0.95, update: 0.05 },
    distribution: "zipfian",
  },
  "ycsb-c": {
    about: "YCSB C, read only: zipfian",
    shares: { read: 1 },
    distribution: "zipfian",
  },
  "ycsb-d": {
    about: "YCSB D, read latest: 95 % reads, 5 % inserts, the newest records most",
    shares: { read: 0.95, insert: 0.05 },
    distribution: "latest",
  },
  "ycsb-e": {
    about: "YCSB E, short ranges: 95 % scans of 1 to 100 records from a zipfian start, 5 % inserts",
    shares: { scan: 0.95, insert: 0.05 },
    distribution: "zipfian",
    ops: 20_000,
  },
  "ycsb-f": {
    about: "YCSB F, read-modify-write: 50 % reads, 50 % read, change and write back, zipfian",
    shares: { read: 0.5, rmw: 0.5 },
    distribution: "zipfian",
  },
};

/** YCSB keeps twice the room that the inserts of a run are expected to need. */
const INSERT_ROOM = 2;

function createYcsb(name: string, { about, shares, distribution, ops = 200_000 }: Core): Workload {
  const inserts = (sizes: Sizes): number =>
    Math.ceil(sizes.ops * (shares.insert ?? 0) * INSERT_ROOM);
  return {
    name,
    about,
    keyOrder: "hashed",
    keyBytes: 23,
    valueBytes: 1000,
    count: 200_000,
    ops: () => ops,
    inserts,
    phases: (sizes) => [
      loadPhase(sizes.count),
      {
        name: "run",
        ops: sizes.ops,
        source: (random, records) => {
          const range = sizes.count + inserts(sizes);
          const chosen = createDistribution(sizes.distribution ?? distribution, range);
          return new Mix(shares, chosen, random, records);
        },
      },
    ],
  };
}

export const ycsb: readonly Workload[] = Object.entries(CORE).map(([name, core]) =>
  createYcsb(name, core),
);
