/**
 * The measured calls: drives one store, keeps the clock, and checks every value that comes back.
 *
 * The clock runs only while the store works: keys and values are made before, results are compared
 * after, a chunk at a time. All chance is drawn from the seed of the data and the number of the slice, so every
 * store gets the same calls in the same order.
 */
import { type Counters, folderBytes, readCounters } from "./counters.ts";
import type { DataSet } from "./data-set.ts";
import { createHistogram, latencyOf, recordMs } from "./latency.ts";
import { Random } from "./random.ts";
import type { Latency } from "./result.ts";
import type { Budget, Entries, Found, Store, StoreKind } from "./stores/store.ts";

/** What one slice of a phase took. */
export interface Sample {
  readonly ops: number;
  readonly ms: number;
  /** Bytes of keys and values that went in or came out. */
  readonly bytes: number;
  /** Values or keys that were not what they had to be. */
  readonly mismatches: number;
  /** Of single calls, where they were timed one by one. */
  readonly latency?: Latency;
}

/** What a store says of itself once it is open. */
export interface StoreDescription {
  readonly package: string;
  readonly version: string;
  /** Whether it can read in the calling thread. */
  readonly hasSync: boolean;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly facts: Readonly<Record<string, unknown>>;
  /** What it could not do as asked. */
  readonly note?: string;
}

/** How keys are looked up. */
export type GetWay = "each" | "many" | "sync";

/** Entries in a batch of the load: about 210 KB. */
export const BATCH_ENTRIES = 1000;
/** Batches of the load that are on their way at once. */
export const BATCHES_IN_FLIGHT = 2;
/** Gets in one call, and puts on their way at once. */
const GROUP = 64;

/** Keys that are looked up between two looks at the results. */
const CHUNK: number = GROUP * 16;
/** Streams of chance below this number belong to the data. */
const FIRST_STREAM = 1_000_000;

/** One store, its data, and a clock. */
export class StoreBench {
  readonly #kind: StoreKind;
  readonly #path: string;
  readonly #budget: Budget;
  readonly #data: DataSet;
  /** How often each name was put again. */
  readonly #revisions: Uint8Array;
  #store: Store | undefined;
  #ms = 0;
  #startedAt = 0;

  constructor(kind: StoreKind, path: string, budget: Budget, data: DataSet) {
    this.#kind = kind;
    this.#path = path;
    this.#budget = budget;
    this.#data = data;
    this.#revisions = new Uint8Array(data.count);
  }

  /** Opens the store and looks up one key, which is there if the names were loaded. */
  async open(): Promise<Sample> {
    this.#begin();
    this.#store = await this.#kind.open(this.#path, this.#budget);
    await this.#opened.get(this.#data.key(0));
    return this.#end(1, 0, 0);
  }

  async close(): Promise<Sample> {
    this.#begin();
    await this.#opened.close();
    this.#store = undefined;
    return this.#end(1, 0, 0);
  }

  describe(): StoreDescription {
    return {
      package: this.#kind.name,
      version: this.#kind.version,
      hasSync: this.#opened.getSync !== undefined,
      flags: this.#kind.flags(this.#budget),
      facts: this.#opened.facts,
    };
  }

  counters(): Counters & { readonly folderBytes: number } {
    return { ...readCounters(), folderBytes: folderBytes(this.#path) };
  }

  async drain(): Promise<Sample> {
    this.#begin();
    await this.#opened.drain();
    return this.#end(1, 0, 0);
  }

  /** Writes the names [from, to) in batches. */
  async load(from: number, to: number): Promise<Sample> {
    const batches: Entries[] = [];
    let bytes = 0;
    for (let low = from; low < to; low += BATCH_ENTRIES) {
      const keys: Uint8Array[] = [];
      const values: Uint8Array[] = [];
      for (let i = low; i < Math.min(to, low + BATCH_ENTRIES); i++) {
        const key = this.#data.key(i);
        const value = this.#data.value(i, 0);
        keys.push(key);
        values.push(value);
        bytes += key.length + value.length;
      }
      batches.push({ keys, values });
    }
    const store = this.#opened;
    this.#begin();
    await inFlight(batches.length, BATCHES_IN_FLIGHT, (i) => store.write(batches[i]!));
    return this.#end(to - from, bytes, 0);
  }

  /** Looks up names drawn by chance. */
  get(way: GetWay, slice: number, count: number): Promise<Sample> {
    const random = new Random(this.#data.seed, FIRST_STREAM + slice);
    return this.#get(way, count, () => {
      const index = random.below(this.#data.count);
      return { key: this.#data.key(index), value: this.#value(index) };
    });
  }

  /** Looks up keys that are absent. */
  getAbsent(way: GetWay, slice: number, count: number): Promise<Sample> {
    const random = new Random(this.#data.seed, 2 * FIRST_STREAM + slice);
    const { absent } = this.#data;
    return this.#get(way, count, () => ({
      key: absent.at(random.below(absent.count)),
      value: undefined,
    }));
  }

  /** Reads the names at [from, to) of the order of bytes, with their values. */
  async scan(from: number, to: number): Promise<Sample> {
    let at = from;
    let bytes = 0;
    let mismatches = 0;
    this.#begin();
    for await (const { keys, values } of this.#opened.scan(this.#ordered(from), to - from)) {
      this.#pause();
      for (let i = 0; i < keys.length; i++, at++) {
        const key = keys[i]!;
        const value = values[i]!;
        bytes += key.length + value.length;
        const right = at < to && same(key, this.#ordered(at));
        if (!right || !same(value, this.#value(this.#data.order[at]!))) mismatches++;
      }
      this.#begin(this.#ms);
    }
    const missing = Math.max(0, to - at);
    return this.#end(to - from, bytes, mismatches + missing);
  }

  /** Puts names of a fixed shuffle again, [from, to) of it: one after the other, or many in flight. */
  async put(way: "each" | "flight", from: number, to: number): Promise<Sample> {
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    let bytes = 0;
    for (const index of this.#assumed(from, to)) {
      const key = this.#data.key(index);
      const value = this.#value(index);
      keys.push(key);
      values.push(value);
      bytes += key.length + value.length;
    }
    const store = this.#opened;
    if (way === "flight") {
      this.#begin();
      await inFlight(keys.length, GROUP, (i) => store.put(keys[i]!, values[i]!));
      return this.#end(to - from, bytes, 0);
    }
    const histogram = createHistogram();
    this.#begin();
    let before = performance.now();
    for (let i = 0; i < keys.length; i++) {
      await store.put(keys[i]!, values[i]!);
      const now = performance.now();
      recordMs(histogram, now - before);
      before = now;
    }
    return { ...this.#end(to - from, bytes, 0), latency: latencyOf(histogram, false) };
  }

  /** Takes the names [from, to) of that shuffle for put, as an earlier process did. */
  assumePuts(from: number, to: number): void {
    this.#assumed(from, to);
  }

  /** Puts the blobs [from, to), one after the other. */
  async putBlobs(from: number, to: number): Promise<Sample> {
    const store = this.#opened;
    let bytes = 0;
    this.#begin();
    for (let i = from; i < to; i++) {
      this.#pause();
      const key = this.#data.blobKey(i);
      const value = this.#data.blob(i);
      bytes += key.length + value.length;
      this.#begin(this.#ms);
      await store.put(key, value);
    }
    return this.#end(to - from, bytes, 0);
  }

  /** Gets `count` of the first `end` blobs, drawn by chance. */
  getBlobs(slice: number, end: number, count: number): Promise<Sample> {
    const random = new Random(this.#data.seed, 3 * FIRST_STREAM + slice);
    return this.#get("each", count, () => {
      const index = random.below(end);
      return { key: this.#data.blobKey(index), value: this.#data.blob(index) };
    });
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error("the store is not open");
    return this.#store;
  }

  /** Expected value of a name. */
  #value(index: number): Buffer {
    return this.#data.value(index, this.#revisions[index]!);
  }

  #ordered(at: number): Buffer {
    return this.#data.key(this.#data.order[at]!);
  }

  /** Notes that names of the shuffle are put, and returns their indices. */
  #assumed(from: number, to: number): number[] {
    const { count, seed } = this.#data;
    const step = coprime(new Random(seed, 3).below(count), count);
    const indices: number[] = [];
    for (let i = from; i < to; i++) {
      const index = (i * step) % count;
      this.#revisions[index]!++;
      indices.push(index);
    }
    return indices;
  }

  async #get(
    way: GetWay,
    count: number,
    draw: () => { readonly key: Uint8Array; readonly value: Buffer | undefined },
  ): Promise<Sample> {
    const store = this.#opened;
    let bytes = 0;
    let mismatches = 0;
    this.#begin();
    for (let low = 0; low < count; low += CHUNK) {
      this.#pause();
      const length = Math.min(CHUNK, count - low);
      const wanted = Array.from({ length }, draw);
      const keys = wanted.map(({ key }) => key);
      const found: Found[] = [];
      this.#begin(this.#ms);
      if (way === "sync") getSyncAll(store, keys, found);
      else if (way === "many") await getInGroups(store, keys, found);
      else for (const key of keys) found.push(await store.get(key));
      this.#pause();
      for (let i = 0; i < length; i++) {
        const value = found[i] ?? undefined;
        const expected = wanted[i]!.value;
        bytes += keys[i]!.length + (value?.length ?? 0);
        if (value === undefined || expected === undefined) {
          if (value !== expected) mismatches++;
        } else if (!same(value, expected)) mismatches++;
      }
      this.#begin(this.#ms);
    }
    return this.#end(count, bytes, mismatches);
  }

  #begin(ms = 0): void {
    this.#ms = ms;
    this.#startedAt = performance.now();
  }

  #pause(): void {
    this.#ms += performance.now() - this.#startedAt;
  }

  #end(ops: number, bytes: number, mismatches: number): Sample {
    this.#pause();
    return { ops, ms: this.#ms, bytes, mismatches };
  }
}

function getSyncAll(store: Store, keys: readonly Uint8Array[], found: Found[]): void {
  const { getSync } = store;
  if (getSync === undefined) throw new Error("the store has no sync get");
  for (const key of keys) found.push(getSync(key));
}

async function getInGroups(
  store: Store,
  keys: readonly Uint8Array[],
  found: Found[],
): Promise<void> {
  for (let low = 0; low < keys.length; low += GROUP) {
    for (const value of await store.getMany(keys.slice(low, low + GROUP))) found.push(value);
  }
}

/** Runs calls 0 to count - 1, `width` of them at any time. Ends with the first failure. */
async function inFlight(
  count: number,
  width: number,
  call: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}

function same(a: Uint8Array, b: Buffer): boolean {
  return a.length === b.length && b.compare(a) === 0;
}

/** Returns the first number from `from` on that shares no factor with `count`. */
function coprime(from: number, count: number): number {
  let step = Math.max(1, from);
  while (gcd(step, count) !== 1) step++;
  return step;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
