/**
 * Values that are read together: sorted by place, neighbours with one read, up to 64 reads at a time.
 *
 * What lies between neighbours is read and thrown away: up to 64 KiB of it cost less than another
 * read. Values of one read share its memory where the caller said they may and little else is in it;
 * otherwise each has its own.
 */

import { Buffer } from "node:buffer";
import { keepFromTransfer } from "@aura/base";
import { POINTER_BYTES, recordBytes } from "@aura/vlog";
import { SYNC_VALUE_BYTES_MAX, type ValueStore } from "./value-store.ts";

/** Decides whether a value is read on this thread, see `AdaptiveReads`. */
export interface ReadTiming {
  maySync(): boolean;
  startMs(): number;
  note(startMs: number, slowMs?: number): void;
}

/** Whether values may share memory and are passing by, or are each asked for by name. */
export type Purpose = "scan" | "gets";

/** Reads at one time on the thread pool. */
const READS_IN_FLIGHT_MAX = 64;
/** Neighbours are read together when at most this much lies between them, bytes. */
const GAP_BYTES_MAX = 64 * 1024;
/** A read of several values is at most this long: it may be done on this thread. */
const RUN_BYTES_MAX: number = SYNC_VALUE_BYTES_MAX;
/** Values share memory when at least this much of it is theirs. */
const SHARED_SHARE_MIN = 0.75;

/**
 * On this thread, values from this size on that may not share memory are read one by one: a call
 * costs less than a copy (measured).
 */
const SINGLE_BYTES_MIN = 8 * 1024;

/** One read: bytes [start, end) of a file, and the values in it. */
interface Run {
  readonly file: number;
  readonly start: number;
  end: number;
  /** Bytes of the records in it. */
  used: number;
  readonly members: number[];
}

/** A set of pointers, each with its key and the index that its value goes to. */
export class PlacedReads {
  readonly #purpose: Purpose;
  readonly #keys: Uint8Array[] = [];
  readonly #targets: number[] = [];
  /** Encoded pointers in a row. */
  #pointers = new Uint8Array(0);

  constructor(purpose: Purpose) {
    this.#purpose = purpose;
  }

  /** Values to be read. */
  get count(): number {
    return this.#targets.length;
  }

  /** Adds the pointer that begins at bytes[start]. `key` is kept until the values are read. */
  add(key: Uint8Array, bytes: Uint8Array, start: number, target: number): void {
    const at = this.#targets.length * POINTER_BYTES;
    if (at === this.#pointers.length) {
      const grown = new Uint8Array(Math.max(16 * POINTER_BYTES, at * 2));
      grown.set(this.#pointers);
      this.#pointers = grown;
    }
    for (let i = 0; i < POINTER_BYTES; i++) this.#pointers[at + i] = bytes[start + i]!;
    this.#targets.push(target);
    this.#keys.push(key);
  }

  /** Reads all values into `values`, on this thread. */
  resolveSync(store: ValueStore, values: (Buffer | undefined)[]): void {
    for (const run of this.#runs(store, values)) {
      let rest: Run | undefined = run;
      while (rest !== undefined) rest = this.#stepSync(store, rest, values);
    }
  }

  /** As `resolveSync`; on this thread only as far as `timing` allows. */
  async resolve(
    store: ValueStore,
    timing: ReadTiming,
    values: (Buffer | undefined)[],
  ): Promise<void> {
    const flying = new Set<Promise<void>>();
    const failures: unknown[] = [];
    for (const run of this.#runs(store, values)) {
      let rest: Run | undefined = run;
      const isShort = run.end - run.start <= SYNC_VALUE_BYTES_MAX;
      while (rest !== undefined && isShort && timing.maySync()) {
        const startMs = timing.startMs();
        try {
          rest = this.#stepSync(store, rest, values);
        } catch (error) {
          failures.push(error);
          rest = undefined;
        } finally {
          timing.note(startMs);
        }
      }
      if (rest !== undefined) {
        const flight: Promise<void> = this.#read(store, rest, values)
          .catch((error: unknown) => {
            failures.push(error);
          })
          .then(() => {
            flying.delete(flight);
          });
        flying.add(flight);
        if (flying.size >= READS_IN_FLIGHT_MAX) await Promise.race(flying);
      }
      if (failures.length > 0) break;
    }
    // None may be under way when the files are let go.
    await Promise.all(flying);
    if (failures.length > 0) throw failures[0] as Error;
  }

  /** Does one read of a run, on this thread. Returns what is left of it. */
  #stepSync(store: ValueStore, run: Run, values: (Buffer | undefined)[]): Run | undefined {
    const { file, start, end, used, members } = run;
    if (this.#isShared(run) || used < SINGLE_BYTES_MIN * members.length) {
      this.#take(store, run, store.fetchSync(file, start, end), values);
      return undefined;
    }
    const [i, ...others] = members as [number, ...number[]];
    const [from, behind] = this.#place(store, i);
    const single: Run = { file, start: from, end: behind, used, members: [i] };
    this.#take(store, single, store.fetchSync(file, from, behind), values);
    const [next] = this.#place(store, others[0]!);
    // The same place twice was counted once.
    const left = used - (next >= behind ? behind - from : 0);
    return { file, start: next, end, used: left, members: others };
  }

  /** Returns where the record of value `i` begins and ends. */
  #place(store: ValueStore, i: number): [start: number, end: number] {
    const at = i * POINTER_BYTES;
    const { offset, stored } = store.decode(this.#pointers, at, at + POINTER_BYTES);
    return [offset, offset + recordBytes(this.#keys[i]!.length, stored)];
  }

  /** Whether the values of a read share its memory. */
  #isShared({ start, end, used, members }: Run): boolean {
    if (members.length === 1) return true;
    return this.#purpose === "scan" && used >= (end - start) * SHARED_SHARE_MIN;
  }

  async #read(store: ValueStore, run: Run, values: (Buffer | undefined)[]): Promise<void> {
    this.#take(store, run, await store.fetch(run.file, run.start, run.end), values);
  }

  /** Hands out the values of a read. */
  #take(store: ValueStore, run: Run, bytes: Buffer, values: (Buffer | undefined)[]): void {
    const { start, members } = run;
    const isShared = this.#isShared(run);
    // The caller may send away one value before he comes to the next.
    if (isShared && members.length > 1) keepFromTransfer(bytes.buffer);
    for (const i of members) {
      const at = i * POINTER_BYTES;
      const isKept = this.#purpose === "gets";
      const value = store.takeFrom(bytes, start, this.#pointers, at, this.#keys[i]!, isKept);
      const isView = value.buffer === bytes.buffer;
      const own = isShared || !isView ? value : copyOf(value);
      values[this.#targets[i]!] = own;
    }
  }

  /** Returns the reads to be done, by place; hands out what is in the cache. */
  #runs(store: ValueStore, values: (Buffer | undefined)[]): Run[] {
    const files: number[] = [];
    const offsets: number[] = [];
    const ends: number[] = [];
    const order: number[] = [];
    for (let i = 0; i < this.#targets.length; i++) {
      const at = i * POINTER_BYTES;
      const { file, offset, stored, raw } = store.decode(this.#pointers, at, at + POINTER_BYTES);
      files.push(file);
      offsets.push(offset);
      ends.push(offset + recordBytes(this.#keys[i]!.length, stored));
      const cached = store.cached(file, offset, raw);
      if (cached === undefined) order.push(i);
      else values[this.#targets[i]!] = cached;
    }
    order.sort((a, b) => files[a]! - files[b]! || offsets[a]! - offsets[b]!);
    const runs: Run[] = [];
    let last: Run | undefined;
    for (const i of order) {
      const file = files[i]!;
      const start = offsets[i]!;
      const end = ends[i]!;
      if (last?.file === file && start - last.end <= GAP_BYTES_MAX) {
        if (end - last.start <= RUN_BYTES_MAX) {
          // The same key twice is the same place twice.
          if (start >= last.end) last.used += end - start;
          last.end = Math.max(last.end, end);
          last.members.push(i);
          continue;
        }
      }
      last = { file, start, end, used: end - start, members: [i] };
      runs.push(last);
    }
    if (this.#purpose === "scan" && order.length > 1) {
      const bytes = runs.reduce((sum, { used }) => sum + used, 0);
      store.noteScanned(this.#keys[0]!, this.#keys.at(-1)!, order.length, bytes, runs.length);
    }
    return runs;
  }
}

function copyOf(value: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(value.length); // every byte is set on the next line
  copy.set(value);
  return copy;
}
