/**
 * Change groups: what one group of a log did, as the reader of a feed gets it. Keys and values are
 * the caller's: views of one fresh copy of the group. Separated values are verified.
 */
import { Buffer } from "node:buffer";
import {
  AuraError,
  compareBytes,
  corruption,
  decompress,
  hasCode,
  Kind,
  keepFromTransfer,
} from "@aura/base";
import { RecordView } from "@aura/vlog";
import { FRAME_HEADER_BYTES, type LogReader } from "@aura/wal";
import type { FarValues } from "./far-values.ts";
import { OperationReader } from "./operations.ts";

/** One operation. Bytes of one group share memory, which nobody else uses. */
export type Change =
  | {
      readonly type: "put";
      readonly seq: number;
      readonly key: Buffer;
      readonly value: Buffer;
    }
  | { readonly type: "delete"; readonly seq: number; readonly key: Buffer }
  | {
      /** Every key from `key` on and below `end` (undefined: all of them) was deleted. */
      readonly type: "deleteRange";
      readonly seq: number;
      readonly key: Buffer;
      readonly end: Buffer | undefined;
    };

/** Operations that were committed together, in order: sequence numbers `firstSeq` to `lastSeq`. */
export interface ChangeGroup {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly changes: readonly Change[];
}

/** Takes groups apart. */
export class ChangeDecoder {
  readonly #far: FarValues;
  readonly #operations = new OperationReader();
  readonly #record = new RecordView();

  constructor(far: FarValues) {
    this.#far = far;
  }

  /**
   * Returns the operations of the frame that `reader` stands on, those from `fromSeq` on. One call at
   * a time. Throws AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_IO.
   */
  async decode(reader: LogReader, fromSeq: number): Promise<ChangeGroup> {
    const { path, offset, first, count, coveredStart, coveredEnd } = reader;
    const payload = Buffer.from(reader.bytes.subarray(coveredStart, reader.attachedEnd));
    const operations = this.#operations;
    operations.reset(payload, 0, coveredEnd - coveredStart, path, offset);
    const changes: Change[] = [];
    let seq = first;
    for (; operations.next(); seq++) {
      if (seq < fromSeq) continue;
      const { tag, keyStart, keyEnd, valueStart, valueEnd } = operations;
      const key = payload.subarray(keyStart, keyEnd);
      if (tag === Kind.delete) changes.push({ type: "delete", seq, key });
      else if (tag === Kind.value) {
        changes.push({ type: "put", seq, key, value: payload.subarray(valueStart, valueEnd) });
      } else if (tag === Kind.pointer) {
        const value =
          operations.file === 0
            ? this.#separated(reader, payload, coveredEnd - coveredStart)
            : await this.#far.read(operations, key);
        changes.push({ type: "put", seq, key, value });
      } else if (tag === Kind.rangeDelete) {
        const { rangeHasEnd, rangeEndStart, rangeEndEnd } = operations;
        const end = rangeHasEnd ? payload.subarray(rangeEndStart, rangeEndEnd) : undefined;
        changes.push({ type: "deleteRange", seq, key, end });
      } else {
        const what = `${path}: an operation of kind ${tag}, which feeds do not know`;
        throw new AuraError("AURA_UNSUPPORTED", what, { file: path, offset });
      }
    }
    if (seq !== first + count) {
      throw corruption(path, offset, "a group with another number of operations");
    }
    if (changes.length > 1) keepFromTransfer(payload.buffer);
    return { firstSeq: Math.max(first, fromSeq), lastSeq: seq - 1, changes };
  }

  /** Returns the value of the pointer that the operation reader stands on. */
  #separated(reader: LogReader, payload: Buffer, coveredBytes: number): Buffer {
    const { offset, stored, raw, codec, keyStart, keyEnd } = this.#operations;
    const record = this.#record;
    const at = coveredBytes + offset;
    const place = reader.offset + FRAME_HEADER_BYTES + at;
    if (!record.read(payload, at, payload.length, reader.header.uid, place)) {
      throw corruption(reader.path, place, `a value record fails its check (${record.problem})`);
    }
    const isSameKey =
      compareBytes(payload, record.keyStart, record.keyEnd, payload, keyStart, keyEnd) === 0;
    if (!isSameKey || record.stored !== stored || record.raw !== raw || record.codec !== codec) {
      throw corruption(reader.path, place, "a value record of another operation");
    }
    try {
      const value = decompress(codec, payload.subarray(record.valueStart, record.valueEnd), raw);
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    } catch (cause) {
      if (!hasCode(cause, "AURA_CORRUPTION")) throw cause;
      throw corruption(reader.path, place, "a value does not decompress");
    }
  }
}
