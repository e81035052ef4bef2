/**
 * Trace recorder: turns calls into the records of a block. See docs/formats/trace.md.
 *
 * One block is filled in place, in memory that is made once; a call costs a look at the clock and the
 * copy of its key. No method throws, keeps what it is given, or waits.
 */
import { type Clock, hashKey, KEY_BYTES_MAX, Kind, putVarint } from "@aura/base";
import { OperationReader } from "./operations.ts";
import type { ParsedRange } from "./range.ts";
import type { Durability } from "./settings.ts";
import {
  BLOCK_BYTES,
  BLOCK_BYTES_MAX,
  type SCAN_SHAPES,
  ScanForm,
  SEEK_PLACES,
  TraceFlag,
  TraceKind,
} from "./trace-format.ts";
import type { KeyMask } from "./trace-key-mask.ts";
import type { TraceWriter } from "./trace-writer.ts";

/** Seed of the hash that keys are sampled by: the same in all traces. On disk, in a way. */
const SAMPLING_SEED = 0x74726163;
const HASH_COUNT = 0x100000000;
/** Longer keys are copied by a native call. */
const LOOP_COPY_BYTES_MAX = 64;

/** What a recorder works with. */
export interface TraceRecorderParts {
  readonly clock: Clock;
  readonly writer: TraceWriter;
  /** One in so many keys is recorded. */
  readonly sampling: number;
  /** Undefined: keys are recorded as they are. */
  readonly mask: KeyMask | undefined;
}

/** Records the calls of one database. */
export class TraceRecorder {
  readonly #clock: Clock;
  readonly #writer: TraceWriter;
  readonly #mask: KeyMask | undefined;
  readonly #masked: Uint8Array;
  readonly #hashLimit: number;
  readonly #startMs: number;
  readonly #operations = new OperationReader();
  readonly #bytes: Uint8Array = new Uint8Array(BLOCK_BYTES_MAX);
  #at = 0;
  #count = 0;
  /** Number of the first record of the block. */
  #first = 1;
  /** Times of the block's first record, of its last one, and of the present call. */
  #blockUs = 0;
  #lastUs = 0;
  #nowUs = 0;
  /** The key that the next one of the block is a delta to. */
  readonly #lastKey: Uint8Array = new Uint8Array(KEY_BYTES_MAX + 1);
  #lastKeyBytes = 0;
  #scans = 0;

  constructor(parts: TraceRecorderParts) {
    this.#clock = parts.clock;
    this.#writer = parts.writer;
    this.#mask = parts.mask;
    this.#masked = new Uint8Array(parts.mask === undefined ? 0 : KEY_BYTES_MAX + 1);
    this.#hashLimit = HASH_COUNT / parts.sampling;
    this.#startMs = parts.clock.monotonicMs();
  }

  /** A `get` (or `has`) of one key. */
  read(kind: number, key: Uint8Array, sync: boolean, snapshot: boolean): void {
    if (!this.#wants(key, 0, key.length)) return;
    this.#now();
    this.#begin(kind, readFlags(sync, snapshot));
    this.#key(key, 0, key.length);
    this.#end();
  }

  /** A `getMany`: one member for each key. */
  getMany(keys: readonly Uint8Array[], snapshot: boolean): void {
    this.#now();
    let flags = readFlags(false, snapshot) | TraceFlag.member;
    for (const key of keys) {
      if (!this.#wants(key, 0, key.length)) continue;
      this.#begin(TraceKind.getMany, flags);
      this.#key(key, 0, key.length);
      this.#end();
      flags |= TraceFlag.continued;
    }
  }

  /** A put. */
  put(key: Uint8Array, valueLength: number, level: Durability, sync: boolean): void {
    if (!this.#wants(key, 0, key.length)) return;
    this.#now();
    this.#begin(TraceKind.put, writeFlags(level, sync));
    this.#key(key, 0, key.length);
    this.#varint(valueLength);
    this.#end();
  }

  /** A delete of one key. */
  delete(key: Uint8Array, level: Durability, sync: boolean): void {
    if (!this.#wants(key, 0, key.length)) return;
    this.#now();
    this.#begin(TraceKind.delete, writeFlags(level, sync));
    this.#key(key, 0, key.length);
    this.#end();
  }

  /** A batch, given by its encoded operations: one member for each. */
  batch(encoded: Uint8Array, level: Durability, sync: boolean): void {
    this.#now();
    let flags = writeFlags(level, sync) | TraceFlag.member;
    const operations = this.#operations;
    operations.reset(encoded, 0, encoded.length, "batch", 0);
    while (operations.next()) {
      const { keyStart, keyEnd } = operations;
      if (operations.tag === Kind.rangeDelete) {
        if (this.#deleteRange(encoded, operations, flags)) flags |= TraceFlag.continued;
        continue;
      }
      if (!this.#wants(encoded, keyStart, keyEnd)) continue;
      const isPut = operations.tag === Kind.value;
      this.#begin(isPut ? TraceKind.put : TraceKind.delete, flags);
      this.#key(encoded, keyStart, keyEnd);
      if (isPut) this.#varint(operations.valueEnd - operations.valueStart);
      this.#end();
      flags |= TraceFlag.continued;
    }
  }

  /** A range delete, sampled as a scan is: by the key that it begins at. Returns whether it is. */
  #deleteRange(encoded: Uint8Array, operations: OperationReader, flags: number): boolean {
    const { keyStart, keyEnd, rangeHasEnd, rangeEndStart, rangeEndEnd } = operations;
    const hasBegin = keyEnd > keyStart;
    if (hasBegin && !this.#wants(encoded, keyStart, keyEnd)) return false;
    this.#begin(TraceKind.deleteRange, flags);
    this.#bytes[this.#at++] = (hasBegin ? ScanForm.lower : 0) | (rangeHasEnd ? ScanForm.upper : 0);
    if (hasBegin) this.#key(encoded, keyStart, keyEnd);
    if (rangeHasEnd) this.#key(encoded, rangeEndStart, rangeEndEnd);
    this.#end();
    return true;
  }

  /**
   * A scan or cursor that opens. Returns where to report its seeks and its end; undefined when the
   * key that it begins at is not sampled. One that begins at no key is always recorded.
   */
  scan(
    range: ParsedRange,
    shape: (typeof SCAN_SHAPES)[number],
    sync: boolean,
  ): ScanTrace | undefined {
    const { lower, upper, reverse, limit, snapshot } = range;
    const start = reverse ? upper : lower;
    if (start !== undefined && !this.#wants(start, 0, start.length)) return undefined;
    const limited = limit !== Number.POSITIVE_INFINITY;
    const id = this.#scans++;
    this.#now();
    this.#begin(TraceKind.scan, readFlags(sync, snapshot !== undefined));
    this.#varint(id);
    this.#bytes[this.#at++] =
      SHAPE_CODES[shape] |
      (lower === undefined ? 0 : ScanForm.lower) |
      (upper === undefined ? 0 : ScanForm.upper) |
      (reverse ? ScanForm.reverse : 0) |
      (limited ? ScanForm.limit : 0);
    if (lower !== undefined) this.#key(lower, 0, lower.length);
    if (upper !== undefined) this.#key(upper, 0, upper.length);
    if (limited) this.#varint(limit);
    this.#end();
    return new ScanTrace(this, id);
  }

  /** @internal See `ScanTrace`. */
  seek(id: number, taken: number, place: number, key: Uint8Array | undefined): void {
    this.#now();
    this.#begin(TraceKind.seek, 0);
    this.#varint(id);
    this.#varint(taken);
    this.#bytes[this.#at++] = place;
    if (key !== undefined) this.#key(key, 0, key.length);
    this.#end();
  }

  /** @internal See `ScanTrace`. */
  scanEnd(id: number, taken: number): void {
    this.#now();
    this.#begin(TraceKind.scanEnd, 0);
    this.#varint(id);
    this.#varint(taken);
    this.#end();
  }

  /** Hands over what is recorded so far, if the writer has nothing else to do. */
  flush(): void {
    if (this.#count > 0 && this.#writer.idle) this.#seal(false);
  }

  /** Hands over the rest. Returns the number that the next record would have had. */
  finish(): number {
    if (this.#count > 0) this.#seal(true);
    return this.#first;
  }

  #wants(key: Uint8Array, start: number, end: number): boolean {
    const limit = this.#hashLimit;
    return limit === HASH_COUNT || hashKey(key, start, end, SAMPLING_SEED) < limit;
  }

  #now(): void {
    const us = Math.floor((this.#clock.monotonicMs() - this.#startMs) * 1000);
    if (us > this.#nowUs) this.#nowUs = us;
  }

  #begin(kind: number, flags: number): void {
    if (this.#count === 0) {
      this.#blockUs = this.#nowUs;
      this.#lastUs = this.#nowUs;
    }
    const bytes = this.#bytes;
    bytes[this.#at] = kind;
    bytes[this.#at + 1] = flags;
    this.#at += 2;
    if ((flags & TraceFlag.continued) !== 0) return;
    this.#varint(this.#nowUs - this.#lastUs);
    this.#lastUs = this.#nowUs;
  }

  #end(): void {
    this.#count++;
    if (this.#at >= BLOCK_BYTES) this.#seal(false);
  }

  #seal(last: boolean): void {
    this.#writer.add(this.#bytes, this.#at, this.#first, this.#count, this.#blockUs, last);
    this.#first += this.#count;
    this.#count = 0;
    this.#at = 0;
    this.#lastKeyBytes = 0;
  }

  #varint(value: number): void {
    if (value < 128) this.#bytes[this.#at++] = value;
    else this.#at = putVarint(this.#bytes, this.#at, value);
  }

  #key(source: Uint8Array, start: number, end: number): void {
    if (this.#mask === undefined) {
      this.#delta(source, start, end);
      return;
    }
    this.#mask.mask(source, start, end, this.#masked);
    this.#delta(this.#masked, 0, end - start);
  }

  /** Writes a key as what it shares with the last one and the rest. */
  #delta(source: Uint8Array, start: number, end: number): void {
    const last = this.#lastKey;
    const length = end - start;
    const most = Math.min(length, this.#lastKeyBytes);
    let shared = 0;
    while (shared < most && last[shared] === source[start + shared]) shared++;
    const rest = length - shared;
    this.#varint(shared);
    this.#varint(rest);
    const bytes = this.#bytes;
    const at = this.#at;
    if (rest <= LOOP_COPY_BYTES_MAX) {
      for (let i = 0, from = start + shared; i < rest; i++, from++) {
        const byte = source[from]!;
        bytes[at + i] = byte;
        last[shared + i] = byte;
      }
    } else {
      const tail = source.subarray(start + shared, end);
      bytes.set(tail, at);
      last.set(tail, shared);
    }
    this.#at += rest;
    this.#lastKeyBytes = length;
  }
}

/** One scan or cursor of a trace. Reports go nowhere once the trace is over. */
export class ScanTrace {
  readonly #recorder: TraceRecorder;
  readonly #id: number;
  #ended = false;

  constructor(recorder: TraceRecorder, id: number) {
    this.#recorder = recorder;
    this.#id = id;
  }

  /** The cursor is placed anew; `taken` entries were taken since it was placed before. */
  seek(place: (typeof SEEK_PLACES)[number], taken: number, key?: Uint8Array): void {
    if (!this.#ended) this.#recorder.seek(this.#id, taken, SEEK_PLACES.indexOf(place), key);
  }

  /** The end; `taken` entries were taken since the cursor was placed. Idempotent. */
  end(taken: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#recorder.scanEnd(this.#id, taken);
  }
}

const SHAPE_CODES: Readonly<Record<(typeof SCAN_SHAPES)[number], number>> = {
  entries: 0,
  keys: 1,
  values: 2,
  cursor: 3,
};

function readFlags(sync: boolean, snapshot: boolean): number {
  return (sync ? TraceFlag.sync : 0) | (snapshot ? TraceFlag.snapshot : 0);
}

function writeFlags(level: Durability, sync: boolean): number {
  const flags = sync ? TraceFlag.sync : 0;
  if (level === "os") return flags;
  return flags | (level === "sync" ? TraceFlag.durable : TraceFlag.buffered);
}
