/**
 * A commit group: operations that leave as one frame of one log. It is numbered when it leaves, and
 * the place of its separated values is known when the frame's place is.
 *
 * Small values stand in the covered part. A separated value stands in the attached part behind its
 * record head; the head is finished by `place`. It is borrowed from a caller who waits until the group
 * is written, or copied into slabs (value-slabs.ts), which go back when it was. A far value stands in
 * a log of values alone, where it was written before the group is.
 */
import type { Uid } from "@aura/base";
import { assert, Codec, Kind } from "@aura/base";
import { encodeRecordHead, putRecordChecksum, putRecordSeq, recordHeadBytes } from "@aura/vlog";
import { FRAME_HEADER_BYTES } from "@aura/wal";
import { ByteBuffer } from "./byte-buffer.ts";
import type { LogFile } from "./log-file.ts";
import {
  encodeDelete,
  encodePointerPut,
  encodePut,
  encodeRangeDelete,
  KEYSPACE,
  OperationReader,
  operationHeadBytes,
} from "./operations.ts";
import { rangeBytesMax } from "./range-tombstones.ts";
import { SLAB_BYTES, type ValueSlabs } from "./value-slabs.ts";

/** How one value is stored apart: its stored bytes and how they decode. */
export interface SeparatedValue {
  readonly stored: Uint8Array;
  readonly raw: number;
  readonly codec: Codec;
}

/** A value that is written already, but for its head. */
export interface FarValue {
  readonly log: LogFile;
  readonly offset: number;
  readonly stored: number;
  /** Completes the value now that its sequence number is known. Throws when that fails. */
  seal(seq: number): void;
}

/** Where the operations begin: in front of them is room for the header of their frame. */
export const OPERATIONS_AT: number = FRAME_HEADER_BYTES;

/** Collects operations for one append. Reusable after `begin`. */
export class Group {
  /** Encoded operations, from OPERATIONS_AT to `covered.length`. */
  covered: ByteBuffer = new ByteBuffer(1024);
  /** Record heads and values in turn, in file order. */
  attached: Uint8Array[] = [];
  attachedBytes = 0;
  /** Logs of values alone that hold values of the group. */
  valueLogs: LogFile[] = [];
  #far: FarValue | undefined;
  /** Set by `number`. */
  firstSeq = 0;
  count = 0;
  /** Upper bound of what the operations need in a memtable, bytes. */
  memtableBytes = 0;
  /** For each record: how many operations of the group come before its own. */
  readonly #recordOperations: number[] = [];
  /** What `rollback` goes back to. */
  #markCovered = 0;
  #markAttachedBytes = 0;
  #markCount = 0;
  #markMemtableBytes = 0;
  readonly #entryBytesMax: (keyBytes: number, valueBytes: number) => number;
  readonly #pointerBytes: number;
  readonly #slabs: ValueSlabs;
  /** Slabs with values of the group; the last one has room behind `#slabEnd`. */
  #taken: Uint8Array[] = [];
  #slabEnd = 0;

  constructor(
    entryBytesMax: (keyBytes: number, valueBytes: number) => number,
    pointerBytes: number,
    slabs: ValueSlabs,
  ) {
    this.#slabs = slabs;
    this.#entryBytesMax = entryBytesMax;
    this.#pointerBytes = pointerBytes;
    this.covered.length = OPERATIONS_AT;
  }

  /** Empties the group. */
  begin(): void {
    this.covered.length = OPERATIONS_AT;
    if (this.attached.length > 0) {
      this.attached = [];
      this.#recordOperations.length = 0;
    }
    if (this.valueLogs.length > 0) this.valueLogs = [];
    this.freeSlabs();
    this.#far = undefined;
    this.attachedBytes = 0;
    this.firstSeq = 0;
    this.count = 0;
    this.memtableBytes = 0;
  }

  /** Remembers what the group holds, for `rollback`. */
  mark(): void {
    this.#markCovered = this.covered.length;
    this.#markAttachedBytes = this.attachedBytes;
    this.#markCount = this.count;
    this.#markMemtableBytes = this.memtableBytes;
  }

  /** Takes out what was added since `mark`, also an operation that was not added whole. */
  rollback(): void {
    const records = this.#recordOperations;
    while (records.length > 0 && records.at(-1)! >= this.#markCount) records.pop();
    if (this.attached.length > 2 * records.length) this.attached.length = 2 * records.length;
    this.covered.length = this.#markCovered;
    this.attachedBytes = this.#markAttachedBytes;
    this.count = this.#markCount;
    this.memtableBytes = this.#markMemtableBytes;
  }

  /** Sequence number of the last operation. */
  get lastSeq(): number {
    return this.firstSeq + this.count - 1;
  }

  /** Bytes that the group will take in a log, without the frame header. */
  get bytes(): number {
    return this.covered.length - OPERATIONS_AT + this.attachedBytes;
  }

  /** The operations alone. */
  get operations(): Uint8Array {
    return this.covered.bytes.subarray(OPERATIONS_AT, this.covered.length);
  }

  /**
   * Adds `count` encoded operations without separated values, which take `memtableBytes` in a memtable.
   */
  addEncoded(operations: Uint8Array, count: number, memtableBytes: number): void {
    this.covered.range(operations, 0, operations.length);
    this.count += count;
    this.memtableBytes += memtableBytes;
  }

  delete(key: Uint8Array, start: number, end: number): void {
    encodeDelete(this.covered, key, start, end);
    this.#counted(end - start, 0);
  }

  deleteRange(begin: Uint8Array, end: Uint8Array): void {
    encodeRangeDelete(this.covered, begin, end);
    this.count++;
    this.memtableBytes += rangeBytesMax(begin.length, end.length);
  }

  put(key: Uint8Array, start: number, end: number, value: Uint8Array): void {
    encodePut(this.covered, key, start, end, value);
    this.#counted(end - start, value.length);
  }

  /**
   * Adds a put whose value stands apart; with `copy` nothing of it is kept, else it is borrowed. Memory
   * that other threads may write to is never borrowed: what is hashed here has to be what is written.
   */
  putSeparated(
    key: Uint8Array,
    start: number,
    end: number,
    value: SeparatedValue,
    copy: boolean,
  ): void {
    const { raw, codec } = value;
    const headBytes = recordHeadBytes(end - start, value.stored.length);
    let head: Uint8Array;
    let { stored } = value;
    if (!copy && !isShared(stored)) head = new Uint8Array(headBytes);
    else {
      const room = this.#room(headBytes + stored.length);
      head = room.subarray(0, headBytes);
      room.set(stored, headBytes);
      stored = room.subarray(headBytes);
    }
    const offset = this.attachedBytes;
    const keyStart = this.covered.length + operationHeadBytes(end - start);
    encodePointerPut(this.covered, key, start, end, 0, offset, stored.length, raw, codec);
    // The key as it stands in the operation. The sequence number follows with `number`.
    const { bytes } = this.covered;
    const keyEnd = keyStart + (end - start);
    encodeRecordHead(head, 0, KEYSPACE, bytes, keyStart, keyEnd, 0, Kind.value, stored, raw, codec);
    this.attached.push(head, stored);
    this.#recordOperations.push(this.count);
    this.attachedBytes += head.length + stored.length;
    this.#counted(end - start, this.#pointerBytes);
  }

  /** The attached part as few pieces: what stands side by side in a slab is one. */
  attachedParts(): readonly Uint8Array[] {
    const { attached } = this;
    if (this.#taken.length === 0) return attached;
    const parts: Uint8Array[] = [];
    for (let i = 0; i < attached.length; ) {
      const first = attached[i]!;
      let end = first.byteOffset + first.length;
      for (i++; i < attached.length; i++) {
        const next = attached[i]!;
        if (next.buffer !== first.buffer || next.byteOffset !== end) break;
        end += next.length;
      }
      const bytes = end - first.byteOffset;
      const isOne = bytes === first.length;
      parts.push(isOne ? first : new Uint8Array(first.buffer, first.byteOffset, bytes));
    }
    return parts;
  }

  /** Gives its slabs back: the values are written, or never will be, and nobody reads them. */
  freeSlabs(): void {
    if (this.#taken.length === 0) return;
    this.#slabs.giveBack(this.#taken);
    this.#taken = [];
    this.attached = [];
    this.#recordOperations.length = 0;
  }

  /** Returns room for a record: in a slab, or for a long one on its own. */
  #room(bytes: number): Uint8Array {
    if (bytes > SLAB_BYTES / 2) return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
    if (this.#taken.length === 0 || this.#slabEnd + bytes > SLAB_BYTES) {
      this.#taken.push(this.#slabs.take());
      this.#slabEnd = 0;
    }
    const start = this.#slabEnd;
    this.#slabEnd += bytes;
    return this.#taken.at(-1)!.subarray(start, this.#slabEnd);
  }

  /** Adds the only operation of a group: a put whose value is far. */
  putFar(key: Uint8Array, value: FarValue): void {
    assert(this.count === 0, "a far value has a group of its own");
    const { log, offset, stored } = value;
    encodePointerPut(
      this.covered,
      key,
      0,
      key.length,
      log.number,
      offset,
      stored,
      stored,
      Codec.none,
    );
    this.#far = value;
    this.valueLogs.push(log);
    this.#counted(key.length, this.#pointerBytes);
  }

  /**
   * Names the places of its separated values, which are far from now on: `logOf` and `offsets` by the
   * number of the record; `logs` are those that hold any.
   */
  sendAway(logs: LogFile[], logOf: (record: number) => LogFile, offsets: readonly number[]): void {
    const { covered } = this;
    const far = new ByteBuffer(covered.length + 16 * offsets.length);
    far.length = OPERATIONS_AT;
    const operations = new OperationReader();
    operations.reset(covered.bytes, OPERATIONS_AT, covered.length, "group", 0);
    let record = 0;
    let start = OPERATIONS_AT;
    while (operations.next()) {
      const { tag, keyStart, keyEnd, stored, raw, codec } = operations;
      if (tag === Kind.pointer) {
        const log = logOf(record);
        const offset = offsets[record++]!;
        encodePointerPut(
          far,
          covered.bytes,
          keyStart,
          keyEnd,
          log.number,
          offset,
          stored,
          raw,
          codec,
        );
      } else far.range(covered.bytes, start, operations.end);
      start = operations.end;
    }
    this.covered = far;
    this.attached = [];
    this.attachedBytes = 0;
    this.#recordOperations.length = 0;
    this.valueLogs = logs;
  }

  /** Gives its operations sequence numbers, beginning with `firstSeq`. Once, before `place`. */
  number(firstSeq: number): void {
    this.firstSeq = firstSeq;
    this.#far?.seal(firstSeq);
    for (let i = 0; i < this.#recordOperations.length; i++) {
      putRecordSeq(this.attached[2 * i]!, 0, firstSeq + this.#recordOperations[i]!);
    }
  }

  /**
   * Binds the record heads to the file and to `attachedOffset`, where the attached part will stand.
   * May be called again for another place, if the first one failed.
   */
  place(uid: Uid, attachedOffset: number): void {
    let offset = attachedOffset;
    for (let i = 0; i < this.attached.length; i += 2) {
      putRecordChecksum(this.attached[i]!, 0, uid, offset);
      offset += this.attached[i]!.length + this.attached[i + 1]!.length;
    }
    assert(offset === attachedOffset + this.attachedBytes, "attached parts add up");
  }

  #counted(keyLength: number, valueLength: number): void {
    this.count++;
    this.memtableBytes += this.#entryBytesMax(keyLength, valueLength);
  }
}

/** Whether other threads may write to the memory of an array. */
function isShared({ buffer }: Uint8Array): boolean {
  return buffer instanceof SharedArrayBuffer;
}
