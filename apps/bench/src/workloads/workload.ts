/**
 * What a workload is: phases that yield operations from a seed, and nothing else. A workload touches no
 * store, no clock and no file, so that every store is asked the same questions in the same order.
 */
import { type Distribution, Latest, ScrambledZipfian, uniform } from "../distributions.ts";
import type { Random } from "../random.ts";

/** What an operation does. */
export const KIND = {
  read: 0,
  update: 1,
  insert: 2,
  scan: 3,
  rmw: 4,
  missing: 5,
  delete: 6,
} as const;

/** Names of the kinds, by number. */
export const KIND_NAMES: readonly string[] = Object.keys(KIND);

/** One operation: a source overwrites it, so that none is made per operation. */
export interface Op {
  kind: number;
  /** Number of the record; of a scan, of its first one. */
  index: number;
  /** Entries that a scan reads. */
  count: number;
  /** Bytes of a value that is written; 0: as many as all have. */
  bytes: number;
}

/** How many records there are, as the operations drawn so far leave it. */
export interface Records {
  /** Records 0 to count - 1 were inserted. */
  count: number;
  /** Records for which there are keys. */
  readonly countMax: number;
}

/** Yields operations without end. */
export interface Source {
  next(op: Op): void;
}

/** A phase: so many operations of one source. */
export interface PhasePlan {
  readonly name: string;
  readonly ops: number;
  /** Makes its source; `records` is shared by all phases of a run. */
  readonly source: (random: Random, records: Records) => Source;
  /** Inserts are written as batches of so many. */
  readonly batch?: number;
  /** Background work is waited for at the end of each slice, not only of the phase. */
  readonly drainSlices?: boolean;
  /** Disk and live bytes are noted after each slice. */
  readonly space?: boolean;
  /** Prepares what the next phases measure: bound by its operations, also where a run has a duration. */
  readonly setup?: boolean;
  /** Scans begin at a place in key order, not at a record: `index` is the rank. */
  readonly ranked?: boolean;
  /** Writes values of any length, and deletes: of scans only the order is compared. */
  readonly isReplay?: boolean;
  /** When operation `n` is due, in ms of the phase; else a run is paced by its rate, or not at all. */
  readonly dueMs?: (n: number) => number;
}

/** What a workload is cut to. */
export interface Sizes {
  /** Records that are loaded. */
  readonly count: number;
  /** Operations of a measured phase. */
  readonly ops: number;
  /** How records are asked for, where a workload leaves that open. */
  readonly distribution?: DistributionName;
}

/** A workload and its defaults. */
export interface Workload {
  readonly name: string;
  readonly about: string;
  /** Whether keys in order of insertion are in order of bytes. */
  readonly keyOrder: "hashed" | "ordered";
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly count: number;
  /** Operations of a measured phase over that many records, if nothing else is asked for. */
  ops(count: number): number;
  /** Its calls are made in the calling thread, whatever was asked for. */
  readonly isSync?: boolean;
  /** Memory of the store, if nothing else is asked for. */
  readonly memtableBytes?: number;
  readonly cacheBytes?: number;
  /** Beside it stands a control that moves the same bytes in the same pieces to plain files. */
  readonly rawControl?: boolean;
  /** Records beyond the loaded ones that its inserts need. */
  inserts(sizes: Sizes): number;
  phases(sizes: Sizes): readonly PhasePlan[];
}

/** Entries in a batch of a load. */
const LOAD_BATCH = 1000;

/** Loads all records in order of insertion, by batches. */
export function loadPhase(count: number): PhasePlan {
  return { name: "load", ops: count, source: inserts, batch: LOAD_BATCH, setup: true };
}

/** Inserts record after record; with no key left, updates the last one. */
export function inserts(_random: Random, records: Records): Source {
  return {
    next: (op) => {
      op.kind = records.count < records.countMax ? KIND.insert : KIND.update;
      op.index = op.kind === KIND.insert ? records.count++ : records.count - 1;
    },
  };
}

/** Names of the distributions of requests. */
export const DISTRIBUTIONS = ["zipfian", "latest", "uniform"] as const;
export type DistributionName = (typeof DISTRIBUTIONS)[number];

/** Makes a distribution; `range`: records that there may ever be. */
export function createDistribution(name: DistributionName, range: number): Distribution {
  if (name === "zipfian") return new ScrambledZipfian(range);
  return name === "latest" ? new Latest() : uniform;
}

/** Shares of the kinds in a mix; together 1. */
export type Shares = Partial<Record<keyof typeof KIND, number>>;

/** Entries of one scan: 1 to this many, each as often, as in YCSB. */
const SCAN_LENGTH_MAX = 100;

/** Draws kinds by their shares and records by a distribution. */
export class Mix implements Source {
  readonly #random: Random;
  readonly #records: Records;
  readonly #distribution: Distribution;
  readonly #bounds: number[] = [];
  readonly #kinds: number[] = [];

  constructor(shares: Shares, distribution: Distribution, random: Random, records: Records) {
    this.#random = random;
    this.#records = records;
    this.#distribution = distribution;
    let sum = 0;
    for (const [name, share] of Object.entries(shares)) {
      sum += share;
      this.#bounds.push(sum);
      this.#kinds.push(KIND[name as keyof typeof KIND]);
    }
    if (Math.abs(sum - 1) > 1e-9) throw new Error(`shares add up to ${sum}`);
  }

  next(op: Op): void {
    const random = this.#random;
    const records = this.#records;
    const drawn = random.unit();
    let at = 0;
    while (at < this.#bounds.length - 1 && drawn >= this.#bounds[at]!) at++;
    const kind = this.#kinds[at]!;
    if (kind === KIND.insert && records.count < records.countMax) {
      op.kind = KIND.insert;
      op.index = records.count++;
      return;
    }
    op.kind = kind === KIND.insert ? KIND.update : kind;
    op.index = this.#distribution.draw(random, records.count);
    if (kind === KIND.scan) op.count = 1 + random.below(SCAN_LENGTH_MAX);
  }
}
