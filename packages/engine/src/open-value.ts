/**
 * An open value: a value of one state of the database, of which parts are read. It pins the version
 * that the value was found in, so the value's file stays until it is released.
 */
import type { Buffer } from "node:buffer";
import type { ReadTiming } from "./placed-reads.ts";
import { SYNC_VALUE_BYTES_MAX } from "./value-store.ts";

/** What parts are read from: `ValueParts` of `@aura/vlog`, or a value that is in memory. */
interface Source {
  readonly bytes: number;
  readSync(start: number, end: number): Buffer;
  read(start: number, end: number): Promise<Buffer>;
}

/** A value whose parts can be read until it is released. */
export class OpenValue {
  /** Bytes of the value. */
  readonly bytes: number;
  readonly #source: Source;
  readonly #timing: ReadTiming;
  #release: (() => void) | undefined;

  /** `release` is called once. */
  constructor(source: Source, timing: ReadTiming, release: () => void) {
    this.bytes = source.bytes;
    this.#source = source;
    this.#timing = timing;
    this.#release = release;
  }

  /** Returns the bytes [start, end) as far as there are any, on this thread; the caller's own. */
  readSync(start: number, end: number): Buffer {
    const from = Math.min(start, this.bytes);
    return this.#source.readSync(from, Math.max(from, Math.min(end, this.bytes)));
  }

  /** As `readSync`; on this thread only as far as the timing allows. */
  async read(start: number, end: number): Promise<Buffer> {
    const from = Math.min(start, this.bytes);
    const to = Math.max(from, Math.min(end, this.bytes));
    const timing = this.#timing;
    if (to - from > SYNC_VALUE_BYTES_MAX || !timing.maySync()) return this.#source.read(from, to);
    const startMs = timing.startMs();
    try {
      return this.#source.readSync(from, to);
    } finally {
      timing.note(startMs);
    }
  }

  /** Lets go of the value, when no read is under way. Idempotent. */
  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}

/** Returns a source of parts of a value that is in memory and nobody else's. */
export function inMemory(value: Buffer): Source {
  const readSync = (start: number, end: number): Buffer => value.subarray(start, end);
  return {
    bytes: value.length,
    readSync,
    read: (start, end) => Promise.resolve(readSync(start, end)),
  };
}
