/**
 * A batch: operations that take effect together or not at all. Bytes are copied when they are added;
 * the caller may reuse its buffers at once. A batch may be written many times, and cleared.
 */

import { AuraError } from "@aura/base";
import { ByteBuffer } from "./byte-buffer.ts";
import type { Bytes } from "./bytes-in.ts";
import { keyBytes, valueBytes } from "./bytes-in.ts";
import { encodeDelete, encodePut, encodeRangeDelete } from "./operations.ts";
import { type DeleteRange, parseDeleteRange } from "./range-delete.ts";

/** Most bytes one batch may hold, keys and values together: 1 GiB. */
const BATCH_BYTES_MAX = 2 ** 30;
/** More than an operation takes beside key and value, and its encoder asks to have room for. */
const OPERATION_BYTES_MORE = 64;

/**
 * Collects puts, deletes and range deletes for `db.write`. Writing an empty one changes nothing, and
 * carries what was written before it to its level: at level `sync` all of that is durable behind it.
 */
export class WriteBatch {
  readonly #operations = new ByteBuffer(256);
  #count = 0;

  /** Adds a put. Throws AURA_INVALID_ARGUMENT, or an AURA code of a limit. */
  put(key: Bytes, value: Bytes): this {
    const k = keyBytes(key);
    const v = valueBytes(value);
    this.#admit(k.length + v.length);
    encodePut(this.#operations, k, 0, k.length, v);
    this.#count++;
    return this;
  }

  /** Adds a delete. Throws AURA_INVALID_ARGUMENT, or an AURA code of a limit. */
  delete(key: Bytes): this {
    const k = keyBytes(key);
    this.#admit(k.length);
    encodeDelete(this.#operations, k, 0, k.length);
    this.#count++;
    return this;
  }

  /**
   * Adds a delete of every key in a range, as of its place in the batch: what was put before it goes,
   * what is put behind it stays. An empty range adds nothing. Throws AURA_INVALID_ARGUMENT (also for
   * bounds the wrong way round), or an AURA code of a limit.
   */
  deleteRange(range: DeleteRange): this {
    const deleted = parseDeleteRange(range);
    if (deleted === undefined) return this;
    this.#admit(deleted.begin.length + deleted.end.length);
    encodeRangeDelete(this.#operations, deleted.begin, deleted.end);
    this.#count++;
    return this;
  }

  /** Empties the batch. */
  clear(): this {
    this.#operations.length = 0;
    this.#count = 0;
    return this;
  }

  /** Number of operations. */
  get length(): number {
    return this.#count;
  }

  /** Bytes that the operations take in encoded form. */
  get bytes(): number {
    return this.#operations.length;
  }

  /** Checks an operation of so many bytes, and makes room: half of one may not stay when there is none. */
  #admit(more: number): void {
    const bytes = this.#operations.length + more;
    if (bytes <= BATCH_BYTES_MAX) {
      this.#operations.reserve(more + OPERATION_BYTES_MORE);
      return;
    }
    throw new AuraError("AURA_BATCH_TOO_LARGE", `a batch of ${bytes} bytes; at most 1 GiB`, {
      expected: BATCH_BYTES_MAX,
      actual: bytes,
    });
  }

  /** @internal Whether `value` is a batch, not only made to look like one. */
  static isBatch(value: unknown): value is WriteBatch {
    return typeof value === "object" && value !== null && #count in value;
  }

  /** @internal A batch of the same operations. */
  copy(): WriteBatch {
    const copy = new WriteBatch();
    copy.#operations.range(this.#operations.bytes, 0, this.#operations.length);
    copy.#count = this.#count;
    return copy;
  }

  /** @internal The encoded operations: borrowed until the batch changes. */
  get encoded(): Uint8Array {
    return this.#operations.bytes.subarray(0, this.#operations.length);
  }
}
