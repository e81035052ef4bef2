/**
 * Value mover: writes the values that a job moves into new segments, compressed where the settings
 * say so and it pays. A moved record keeps its key and sequence number: nothing is put again, so
 * nothing can be resurrected.
 *
 * The segments and their names are durable when `finishSync` returns; after `discardSync` there are
 * none.
 */
import type { FileSystem } from "@aura/base";
import { Codec, FileType } from "@aura/base";
import {
  encodePointer,
  POINTER_BYTES,
  type PointerReader,
  recordBytes,
  SegmentWriter,
  ValueReader,
} from "@aura/vlog";
import type { SegmentSeal } from "../edit.ts";
import { filePath } from "../file-names.ts";
import { KEYSPACE } from "../operations.ts";
import type { SegmentKind } from "../version.ts";
import type { OutputNumbers, TableOutputSettings } from "./table-output.ts";
import { ValuePacker } from "./value-packer.ts";

const OPEN_FILES_MAX = 64;
/** A further segment is begun only while tables have this many numbers left. */
const NUMBERS_LEFT_MIN = 4;

/** A job that moves values yields after reading so many bytes of them. */
export const MOVER_SLICE_BYTES: number = 256 * 1024;

/** What packing came to in one job. Sizes are bytes. */
export interface PackedValues {
  readonly count: number;
  readonly rawBytes: number;
  readonly storedBytes: number;
}

export const NOTHING_PACKED: PackedValues = { count: 0, rawBytes: 0, storedBytes: 0 };

/** Returns the sum of two counts. */
export function addPacked(a: PackedValues, b: PackedValues): PackedValues {
  return {
    count: a.count + b.count,
    rawBytes: a.rawBytes + b.rawBytes,
    storedBytes: a.storedBytes + b.storedBytes,
  };
}

/** Moves values for one job. */
export class ValueMover {
  /** After a move: the pointer to the new record, and the record's bytes. */
  readonly pointer: Uint8Array = new Uint8Array(POINTER_BYTES);
  bytes = 0;
  /** Bytes of all records read: the measure of the work done. */
  readBytes = 0;
  /** Bytes of all records moved, as they stand in the new segment. */
  movedBytes = 0;
  readonly #fs: FileSystem;
  readonly #settings: TableOutputSettings;
  readonly #numbers: OutputNumbers;
  readonly #values: ValueReader;
  readonly #packer: ValuePacker;
  readonly #written: SegmentWriter[] = [];
  /** The segment that takes the next record; the last one of `#written`. */
  #segment: SegmentWriter | undefined;

  constructor(
    fs: FileSystem,
    settings: TableOutputSettings,
    numbers: OutputNumbers,
    kindOf: (segment: number) => SegmentKind,
  ) {
    const { directory, valueCodec } = settings;
    this.#fs = fs;
    this.#settings = settings;
    this.#numbers = numbers;
    const pathOf = (number: number): string => filePath(directory, number, kindOf(number));
    this.#values = new ValueReader(fs, pathOf, OPEN_FILES_MAX);
    this.#packer = new ValuePacker(valueCodec);
  }

  /** What was packed so far. */
  get packed(): PackedValues {
    const { count, rawBytes, storedBytes } = this.#packer;
    return { count, rawBytes, storedBytes };
  }

  /** Moves the record of `pointer` and `key[start, end)`. Returns the number of its new segment. */
  move(
    pointer: Readonly<PointerReader>,
    key: Uint8Array,
    start: number,
    end: number,
    seq: number,
    tag: number,
  ): number {
    const record = this.#read(pointer, key, start, end);
    const { file, offset, stored, raw, codec } = pointer;
    if (codec === Codec.none && this.#packer.wants(pointer.raw)) {
      if (this.#pack(record, pointer, key, start, end, seq, tag)) return this.#segment!.number;
    }
    const segment = this.#open();
    const uid = this.#values.uidOf(file);
    const at = segment.copyRecord(record, 0, record.length, uid, offset);
    this.#note(at, stored, raw, codec, record.length);
    return segment.number;
  }

  /**
   * Moves the record if that makes it smaller; returns the number of its new segment, or undefined
   * when it stays where it is. A record that cannot be read stays: whoever asks for it is told.
   */
  shrink(
    pointer: Readonly<PointerReader>,
    key: Uint8Array,
    start: number,
    end: number,
    seq: number,
    tag: number,
  ): number | undefined {
    if (pointer.codec !== Codec.none || !this.#packer.wants(pointer.raw)) return undefined;
    let record: Uint8Array;
    try {
      record = this.#read(pointer, key, start, end);
    } catch {
      return undefined;
    }
    const isPacked = this.#pack(record, pointer, key, start, end, seq, tag);
    return isPacked ? this.#segment!.number : undefined;
  }

  /** Completes the last segment and makes all names durable. */
  finishSync(): SegmentSeal[] {
    if (this.#written.length === 0) return [];
    this.#complete();
    this.#fs.syncDirSync(this.#settings.directory);
    return this.#written.map(({ number, bytes }) => ({ number, fileBytes: bytes, lastSeq: 0 }));
  }

  /** Removes what was written; what cannot be removed now is an orphan for the next open. */
  discardSync(): void {
    try {
      this.#segment?.closeSync();
    } catch {
      // It was not to be kept.
    }
    for (const { path } of this.#written) {
      try {
        this.#fs.unlinkSync(path);
      } catch {
        // The orphan sweep at the next open removes it.
      }
    }
  }

  closeSync(): void {
    this.#values.closeSync();
    this.#segment?.closeSync();
  }

  #read(pointer: Readonly<PointerReader>, key: Uint8Array, start: number, end: number): Uint8Array {
    const { file, offset, stored, raw, codec } = pointer;
    this.readBytes += recordBytes(end - start, stored);
    return this.#values.readRecordSync(file, offset, stored, raw, codec, key, start, end);
  }

  #pack(
    record: Uint8Array,
    pointer: Readonly<PointerReader>,
    key: Uint8Array,
    start: number,
    end: number,
    seq: number,
    tag: number,
  ): boolean {
    const { stored, raw } = pointer;
    const packed = this.#packer.pack(record.subarray(record.length - stored));
    if (packed === undefined) return false;
    const { codec } = this.#packer;
    const at = this.#open().append(KEYSPACE, key, start, end, seq, tag, packed, raw, codec);
    this.#note(at, packed.length, raw, codec, recordBytes(end - start, packed.length));
    return true;
  }

  #note(at: number, stored: number, raw: number, codec: number, bytes: number): void {
    encodePointer(this.pointer, 0, this.#segment!.number, at, stored, raw, codec);
    this.bytes = bytes;
    this.movedBytes += bytes;
  }

  #open(): SegmentWriter {
    const { directory, databaseUuid, segmentBytesMax } = this.#settings;
    if (this.#segment !== undefined) {
      const isFull = this.#segment.bytes >= segmentBytesMax;
      if (!isFull || this.#numbers.left < NUMBERS_LEFT_MIN) return this.#segment;
      this.#complete();
    }
    const { number, uid } = this.#numbers.take();
    const segment = SegmentWriter.createSync(this.#fs, filePath(directory, number, "seg"), {
      header: { type: FileType.segment, databaseUuid, uid, number },
    });
    this.#written.push(segment);
    this.#segment = segment;
    return segment;
  }

  #complete(): void {
    this.#segment?.finishSync();
    this.#segment?.closeSync();
    this.#segment = undefined;
  }
}
