/**
 * Which values are stored apart from the tree, and how operations enter a group accordingly.
 *
 * A value is separated from the threshold on, and always when it would take more than an eighth of
 * a memtable. What it takes in the memtable is then a pointer.
 */
import { AuraError, Codec, Kind } from "@aura/base";
import { entryBytesMax } from "@aura/memtable";
import { POINTER_BYTES } from "@aura/vlog";
import type { WriteBatch } from "./batch.ts";
import type { Group, SeparatedValue } from "./group.ts";
import { OperationReader } from "./operations.ts";
import { rangeBytesMax } from "./range-tombstones.ts";

/** What separation is decided by. */
export interface SeparationLimits {
  /** Values of this many bytes or more are stored apart. */
  readonly threshold: number;
  /** Most bytes that one group may take in a memtable. */
  readonly groupBytesMax: number;
}

/** Puts operations into groups. */
export class Separation {
  readonly #limits: SeparationLimits;
  readonly #operations = new OperationReader();
  /** Values that entered groups, by size: place i holds those of 2^i bytes to 2^(i + 1). */
  readonly sizes: Float64Array = new Float64Array(32);
  /** Bytes of values stored apart, of the batch that `batchMemtableBytes` was asked about last. */
  batchValueBytes = 0;
  /** Of the same batch: whether all of it stands inline, and what it takes in a memtable. */
  #batchIsInline = false;
  #batchBytes = 0;
  #threshold: number;

  constructor(limits: SeparationLimits) {
    this.#limits = limits;
    this.#threshold = limits.threshold;
  }

  /**
   * Stores values of `bytes` or more apart from the next write on; undefined: as it was made. Not to be
   * called within a write.
   */
  setThreshold(bytes: number | undefined): void {
    this.#threshold = bytes ?? this.#limits.threshold;
  }

  /** Whether an operation has no separated value; undefined stands for a delete. */
  isInline(value: Uint8Array | undefined): boolean {
    return value === undefined || !this.#separates(value.length);
  }

  /** Returns the bytes of a value that is stored apart, 0 for others. */
  valueBytes(value: Uint8Array | undefined): number {
    return value === undefined || !this.#separates(value.length) ? 0 : value.length;
  }

  /** Returns the most that an operation takes in a memtable, bytes. */
  memtableBytes(keyLength: number, value: Uint8Array | undefined): number {
    return entryBytesMax(keyLength, this.#inlineBytes(value?.length ?? 0));
  }

  /** Returns the most that a batch takes in a memtable, bytes. Throws AURA_BATCH_TOO_LARGE. */
  batchMemtableBytes(batch: WriteBatch): number {
    const bytes = batch.encoded;
    const operations = this.#operations;
    let need = 0;
    this.batchValueBytes = 0;
    this.#batchIsInline = true;
    operations.reset(bytes, 0, bytes.length, "batch", 0);
    while (operations.next()) {
      const keyLength = operations.keyEnd - operations.keyStart;
      if (operations.tag === Kind.rangeDelete) {
        need += rangeBytesMax(keyLength, operations.rangeEnd.length);
        continue;
      }
      const isDelete = operations.tag === Kind.delete;
      const value = isDelete ? 0 : operations.valueEnd - operations.valueStart;
      if (this.#separates(value)) {
        this.batchValueBytes += value;
        this.#batchIsInline = false;
      }
      need += entryBytesMax(keyLength, this.#inlineBytes(value));
    }
    const limit = this.#limits.groupBytesMax;
    if (need > limit) {
      throw new AuraError(
        "AURA_BATCH_TOO_LARGE",
        `a batch that needs ${need} bytes of memtable; at most ${limit} (memtable.maxSize)`,
        { expected: limit, actual: need },
      );
    }
    this.#batchBytes = need;
    return need;
  }

  /**
   * Adds a put, or a delete when `value` is undefined. With `copy`, nothing of the caller's is kept;
   * without it a separated value is borrowed until the group is written.
   */
  addOne(group: Group, key: Uint8Array, value: Uint8Array | undefined, copy: boolean): void {
    if (value !== undefined) this.#noteSize(value.length);
    if (value === undefined) group.delete(key, 0, key.length);
    else if (this.#separates(value.length)) {
      group.putSeparated(key, 0, key.length, asStored(value), copy);
    } else group.put(key, 0, key.length, value);
  }

  /** Adds all operations of the batch that `batchMemtableBytes` was asked about; `copy` as in `addOne`. */
  addBatch(group: Group, batch: WriteBatch, copy: boolean): void {
    const bytes = batch.encoded;
    if (this.#batchIsInline) {
      group.addEncoded(bytes, batch.length, this.#batchBytes);
      return;
    }
    const operations = this.#operations;
    operations.reset(bytes, 0, bytes.length, "batch", 0);
    while (operations.next()) {
      const { keyStart, keyEnd } = operations;
      if (operations.tag === Kind.delete) {
        group.delete(bytes, keyStart, keyEnd);
        continue;
      }
      if (operations.tag === Kind.rangeDelete) {
        group.deleteRange(bytes.subarray(keyStart, keyEnd), operations.rangeEnd);
        continue;
      }
      const value = bytes.subarray(operations.valueStart, operations.valueEnd);
      this.#noteSize(value.length);
      if (this.#separates(value.length)) {
        group.putSeparated(bytes, keyStart, keyEnd, asStored(value), copy);
      } else group.put(bytes, keyStart, keyEnd, value);
    }
  }

  #noteSize(bytes: number): void {
    this.sizes[31 - Math.clz32(bytes | 1)]!++;
  }

  #separates(bytes: number): boolean {
    return bytes >= this.#threshold || bytes > this.#limits.groupBytesMax / 8;
  }

  #inlineBytes(valueLength: number): number {
    return this.#separates(valueLength) ? POINTER_BYTES : valueLength;
  }
}

/** Never compressed on the caller's thread: the flush does that (RFC 0004). */
function asStored(value: Uint8Array): SeparatedValue {
  return { stored: value, raw: value.length, codec: Codec.none };
}
