/**
 * Asks one store what a source yields, and keeps the time.
 *
 * Operations come in chunks. While the clock stands, a chunk is drawn: kinds, keys and values are made and
 * lie ready in arrays; then it runs, and each operation notes its start and end, and nothing else; then, with the
 * clock standing again, latencies are counted and every answer is compared. What the driver itself costs
 * on the clock is a loop, two stores and one look at the time (`--only empty` shows it).
 *
 * Paced, operation n is due at n / rate of the phase's own clock, and its latency counts from then,
 * whenever it could begin: a stall delays all operations that were due meanwhile, and shows in all of them
 * (no coordinated omission; Tene, "How NOT to Measure Latency"). The schedule stands when the clock does.
 */
import type { Clock } from "./clock.ts";
import { Expectation } from "./expectation.ts";
import type { KeyTable } from "./key-table.ts";
import type { Entries, Found, Store } from "./stores/store.ts";
import { KIND, type Op, type PhasePlan, type Source } from "./workloads/workload.ts";

/** How operations are issued. */
export interface Calls {
  /** In the calling thread; kinds for which a store has no such call are awaited. */
  readonly sync: boolean;
  /** Operations on their way at once; 1: each is awaited. */
  readonly inFlight: number;
  /** Operations per second; `undefined`: as fast as they go. */
  readonly rate: number | undefined;
}

/** Told what happened, while the clock stands; and when it begins and ends to run. */
export interface Recorder {
  /** An operation that began and ended at these times of the phase. */
  note(kind: number, startMs: number, endMs: number, ops: number): void;
  noteBatch(startMs: number, endMs: number, ops: number): void;
  resume(): void;
  pause(): void;
}

/** What one slice of a phase came to. */
export interface SliceSample {
  readonly ops: number;
  readonly ms: number;
  readonly bytes: number;
  readonly wrong: number;
}

/** Operations that are drawn at once: as many, or as hold so many bytes. */
const CHUNK_OPS = 2048;
const CHUNK_BYTES = 8 * 2 ** 20;
/** A batch ends when it holds so many bytes: it has to fit into a memtable. */
const BATCH_BYTES = 2 ** 18;
/** Batches of a load on their way at once, and drawn at once. */
const BATCHES_IN_FLIGHT = 2;
const BATCHES_PER_CHUNK = 8;
/** Below this, waiting turns the event loop instead of sleeping: a timer may come this much late. */
const SLEEP_MS_MIN = 2;
/** Entries that a scan of a mix reads in the mean, for the size of a chunk. */
const SCAN_ENTRIES = 50;

/** Drives one store through one phase. */
export class OpsDriver {
  readonly #store: Store;
  readonly #keys: KeyTable;
  readonly #expected: Expectation;
  readonly #clock: Clock;
  readonly #calls: Calls;
  readonly #plan: PhasePlan;
  readonly #source: Source;
  readonly #recorder: Recorder;
  readonly #entryBytes: number;
  readonly #checks: boolean;
  readonly #op: Op = { kind: 0, index: 0, count: 0, bytes: 0 };

  /** The chunk. */
  readonly #kinds: Uint8Array = new Uint8Array(CHUNK_OPS);
  readonly #indices: Uint32Array = new Uint32Array(CHUNK_OPS);
  readonly #counts: Uint32Array = new Uint32Array(CHUNK_OPS);
  readonly #revisions: Int32Array = new Int32Array(CHUNK_OPS);
  /** Bytes of the value that a read has to find. */
  readonly #sizes: Uint32Array = new Uint32Array(CHUNK_OPS);
  readonly #starts: Float64Array = new Float64Array(CHUNK_OPS);
  readonly #ends: Float64Array = new Float64Array(CHUNK_OPS);
  readonly #chunkKeys: Uint8Array[] = [];
  readonly #chunkValues: (Uint8Array | undefined)[] = [];
  readonly #answers: unknown[] = [];

  /** Time of the phase when the clock stood still last, and the clock's time when it began to run. */
  #elapsedMs = 0;
  #startedAt = 0;
  #isRunning = false;
  /** Operations of the phase so far: the schedule of a paced run. */
  #issued = 0;

  constructor(parts: {
    readonly store: Store;
    readonly keys: KeyTable;
    readonly expected: Expectation;
    readonly clock: Clock;
    readonly calls: Calls;
    readonly plan: PhasePlan;
    readonly source: Source;
    readonly recorder: Recorder;
    readonly entryBytes: number;
    /** Whether answers are compared: not with a store that keeps nothing. */
    readonly checks: boolean;
  }) {
    this.#store = parts.store;
    this.#keys = parts.keys;
    this.#expected = parts.expected;
    this.#clock = parts.clock;
    this.#calls = parts.calls;
    this.#plan = parts.plan;
    this.#source = parts.source;
    this.#recorder = parts.recorder;
    this.#entryBytes = parts.entryBytes;
    this.#checks = parts.checks;
  }

  /** Time of the phase in ms; it stands while the driver draws and checks. */
  get elapsedMs(): number {
    return this.#isRunning ? this.#phaseMs(this.#clock.now()) : this.#elapsedMs;
  }

  /** Runs so many operations, or for so long on the phase's clock. */
  async slice(limit: { readonly ops: number } | { readonly ms: number }): Promise<SliceSample> {
    const start = this.#elapsedMs;
    let ops = 0;
    let done = 0;
    let bytes = 0;
    let wrong = 0;
    while (true) {
      const spent = this.#elapsedMs - start;
      const left =
        "ops" in limit
          ? limit.ops - done
          : this.#opsIn(limit.ms - spent, done === 0 ? 0 : done / spent);
      if (left <= 0) break;
      const chunk = await (this.#plan.batch === undefined
        ? this.#single(left)
        : this.#batches(left, this.#plan.batch));
      done += chunk.drawn;
      ops += chunk.ops;
      bytes += chunk.bytes;
      wrong += chunk.wrong;
    }
    return { ops, ms: this.#elapsedMs - start, bytes, wrong };
  }

  /** Operations that about fit into what is left of a slice. */
  #opsIn(ms: number, perMs: number): number {
    if (ms <= 0) return 0;
    const { rate, inFlight } = this.#calls;
    if (rate !== undefined) return Math.ceil((ms * rate) / 1000);
    return perMs === 0 ? Math.max(64, inFlight) : Math.max(inFlight, Math.ceil(ms * perMs));
  }

  async #single(left: number): Promise<Chunk> {
    const count = this.#draw(left);
    this.#begin();
    if (this.#isPaced) await this.#paced(count);
    else if (this.#calls.sync) await this.#sync(count);
    else if (this.#calls.inFlight === 1) await this.#serial(count);
    else await this.#flight(count);
    this.#pause();
    this.#issued += count;
    return this.#check(count);
  }

  get #isPaced(): boolean {
    return this.#calls.rate !== undefined || this.#plan.dueMs !== undefined;
  }

  /** When operation `n` of the phase is due. */
  #dueMs(n: number): number {
    return this.#plan.dueMs?.(n) ?? (n / this.#calls.rate!) * 1000;
  }

  /** Makes operations, keys and values of the next chunk; returns how many. */
  #draw(left: number): number {
    const op = this.#op;
    const expected = this.#expected;
    const end = Math.min(left, CHUNK_OPS);
    let bytes = 0;
    let i = 0;
    for (; i < end && bytes < CHUNK_BYTES; i++) {
      this.#source.next(op);
      const { kind, index } = op;
      this.#kinds[i] = kind;
      this.#indices[i] = index;
      this.#counts[i] = op.count;
      this.#revisions[i] = expected.revision(index);
      this.#sizes[i] = expected.bytes(index);
      bytes +=
        Math.max(op.bytes, this.#entryBytes) *
        (kind === KIND.scan ? Math.min(op.count, SCAN_ENTRIES) : 1);
      const isPut = kind === KIND.update || kind === KIND.insert || kind === KIND.rmw;
      this.#chunkValues[i] = isPut ? expected.put(index, op.bytes || undefined) : undefined;
      if (kind === KIND.delete) expected.delete(index);
      this.#chunkKeys[i] = this.#keyOf(kind, index);
    }
    return i;
  }

  #keyOf(kind: number, index: number): Uint8Array {
    if (kind === KIND.missing) return this.#keys.absent(index);
    if (kind === KIND.scan && this.#plan.ranked === true) return this.#expected.keyAtRank(index);
    return this.#keys.at(index);
  }

  /** One after the other, each awaited. */
  async #serial(count: number): Promise<void> {
    const clock = this.#clock;
    const answers = this.#answers;
    let before = this.#phaseMs(clock.now());
    for (let i = 0; i < count; i++) {
      answers[i] = await this.#issue(i);
      const now = this.#phaseMs(clock.now());
      this.#starts[i] = before;
      this.#ends[i] = now;
      before = now;
    }
  }

  /** One after the other, in this thread. */
  async #sync(count: number): Promise<void> {
    const clock = this.#clock;
    const answers = this.#answers;
    let before = this.#phaseMs(clock.now());
    for (let i = 0; i < count; i++) {
      const answer = this.#issueSync(i);
      answers[i] = answer instanceof Promise ? await answer : answer;
      const now = this.#phaseMs(clock.now());
      this.#starts[i] = before;
      this.#ends[i] = now;
      before = now;
    }
    // A loop that never turns would keep the news of background work from their listeners.
    await clock.turn();
  }

  /** Many on their way: each lane awaits one after the other. */
  async #flight(count: number): Promise<void> {
    const clock = this.#clock;
    const answers = this.#answers;
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) {
        const i = next++;
        this.#starts[i] = this.#phaseMs(clock.now());
        answers[i] = await this.#issue(i);
        this.#ends[i] = this.#phaseMs(clock.now());
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#calls.inFlight, count) }, lane));
  }

  /** Each when it is due, or as soon as there is room behind those that are late. */
  async #paced(count: number): Promise<void> {
    const clock = this.#clock;
    const { sync, inFlight } = this.#calls;
    const running = new Set<Promise<void>>();
    let failure: { readonly error: unknown } | undefined;
    const run = async (i: number): Promise<void> => {
      try {
        this.#answers[i] = await (sync ? this.#issueSync(i) : this.#issue(i));
        this.#ends[i] = this.#phaseMs(clock.now());
      } catch (error) {
        failure ??= { error };
      }
    };
    for (let i = 0; i < count && failure === undefined; i++) {
      const due = this.#dueMs(this.#issued + i);
      this.#starts[i] = due;
      for (let gap = due - this.#phaseMs(clock.now()); gap > 0; ) {
        await (gap > SLEEP_MS_MIN ? clock.sleep(gap - SLEEP_MS_MIN / 2) : clock.turn());
        gap = due - this.#phaseMs(clock.now());
      }
      const one: Promise<void> = run(i).then(() => void running.delete(one));
      running.add(one);
      if (running.size >= inFlight) await Promise.race(running);
    }
    await Promise.all(running);
    if (failure !== undefined) throw failure.error;
  }

  #issue(i: number): Promise<unknown> {
    const store = this.#store;
    const key = this.#chunkKeys[i]!;
    switch (this.#kinds[i]) {
      case KIND.update:
      case KIND.insert:
        return store.put(key, this.#chunkValues[i]!);
      case KIND.scan:
        return collect(store.scan(key, this.#counts[i]!));
      case KIND.rmw:
        return this.#modify(key, this.#chunkValues[i]!);
      case KIND.delete:
        return store.delete(key);
      default:
        return store.get(key);
    }
  }

  /** As `#issue`, in this thread where the store can. */
  #issueSync(i: number): unknown {
    const store = this.#store;
    const key = this.#chunkKeys[i]!;
    switch (this.#kinds[i]) {
      case KIND.update:
      case KIND.insert:
        return store.putSync === undefined
          ? this.#issue(i)
          : store.putSync(key, this.#chunkValues[i]!);
      case KIND.scan:
        return store.scanSync === undefined
          ? this.#issue(i)
          : [store.scanSync(key, this.#counts[i]!)];
      case KIND.rmw: {
        if (store.getSync === undefined || store.putSync === undefined) return this.#issue(i);
        const found = store.getSync(key);
        store.putSync(key, this.#chunkValues[i]!);
        return found;
      }
      case KIND.delete:
        return store.deleteSync === undefined ? this.#issue(i) : store.deleteSync(key);
      default:
        return store.getSync === undefined ? this.#issue(i) : store.getSync(key);
    }
  }

  async #modify(key: Uint8Array, value: Uint8Array): Promise<Found> {
    const found = await this.#store.get(key);
    await this.#store.put(key, value);
    return found;
  }

  /** Counts the chunk's latencies and compares its answers. */
  #check(count: number): Chunk {
    let ops = 0;
    let bytes = 0;
    let wrong = 0;
    for (let i = 0; i < count; i++) {
      const kind = this.#kinds[i]!;
      const answer = this.#answers[i];
      const value = this.#chunkValues[i];
      let weight = 1;
      bytes += this.#chunkKeys[i]!.length + (value?.length ?? 0);
      if (kind === KIND.scan) {
        const entries = answer as Entries[];
        const taken = sizeOf(entries);
        bytes += taken.bytes;
        if (this.#plan.ranked === true) weight = taken.count;
        if (this.#checks) wrong += this.#wrongEntries(i, entries);
      } else if (kind === KIND.read || kind === KIND.rmw || kind === KIND.missing) {
        const found = answer as Found;
        bytes += found?.length ?? 0;
        if (this.#checks && !this.#isRight(kind, found, i)) wrong++;
      }
      ops += weight;
      this.#recorder.note(kind, this.#starts[i]!, this.#ends[i]!, weight);
      this.#answers[i] = undefined;
    }
    this.#expected.settle();
    return { drawn: count, ops, bytes, wrong };
  }

  #isRight(kind: number, found: Found, i: number): boolean {
    if (kind === KIND.missing) return found === undefined || found === null;
    const size = this.#sizes[i]!;
    return this.#expected.isRight(found, this.#indices[i]!, this.#revisions[i]!, size);
  }

  #wrongEntries(i: number, entries: readonly Entries[]): number {
    const key = this.#chunkKeys[i]!;
    const limit = this.#counts[i]!;
    return this.#plan.isReplay === true
      ? Expectation.wrongOrder(key, limit, entries)
      : this.#expected.wrongEntries(key, limit, entries);
  }

  /** Inserts as batches. */
  async #batches(left: number, size: number): Promise<Chunk> {
    const store = this.#store;
    const clock = this.#clock;
    const batches: Entries[] = [];
    let drawn = 0;
    let bytes = 0;
    while (drawn < left && batches.length < BATCHES_PER_CHUNK && bytes < CHUNK_BYTES) {
      const keys: Uint8Array[] = [];
      const values: Uint8Array[] = [];
      const full = bytes + BATCH_BYTES;
      for (; keys.length < size && drawn < left && bytes < full; drawn++) {
        this.#source.next(this.#op);
        const { index } = this.#op;
        keys.push(this.#keys.at(index));
        values.push(this.#expected.put(index, this.#op.bytes || undefined));
        bytes += keys.at(-1)!.length + values.at(-1)!.length;
      }
      batches.push({ keys, values });
    }
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < batches.length) {
        const i = next++;
        this.#starts[i] = this.#phaseMs(clock.now());
        await store.write(batches[i]!);
        this.#ends[i] = this.#phaseMs(clock.now());
      }
    };
    this.#begin();
    await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, lane));
    this.#pause();
    for (const [i, { keys }] of batches.entries()) {
      this.#recorder.noteBatch(this.#starts[i]!, this.#ends[i]!, keys.length);
    }
    this.#expected.settle();
    return { drawn, ops: drawn, bytes, wrong: 0 };
  }

  #phaseMs(now: number): number {
    return this.#elapsedMs + now - this.#startedAt;
  }

  #begin(): void {
    this.#recorder.resume();
    this.#startedAt = this.#clock.now();
    this.#isRunning = true;
  }

  #pause(): void {
    this.#elapsedMs = this.#phaseMs(this.#clock.now());
    this.#isRunning = false;
    this.#recorder.pause();
  }
}

interface Chunk {
  readonly drawn: number;
  readonly ops: number;
  readonly bytes: number;
  readonly wrong: number;
}

async function collect(entries: AsyncIterable<Entries>): Promise<Entries[]> {
  const all: Entries[] = [];
  for await (const some of entries) all.push(some);
  return all;
}

function sizeOf(entries: readonly Entries[]): { readonly count: number; readonly bytes: number } {
  let count = 0;
  let bytes = 0;
  for (const { keys, values } of entries) {
    count += keys.length;
    for (let i = 0; i < keys.length; i++) bytes += keys[i]!.length + values[i]!.length;
  }
  return { count, bytes };
}
