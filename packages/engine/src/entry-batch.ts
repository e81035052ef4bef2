/**
 * Entries on their way out of a scan or cursor: keys, and values of memtables, in few pieces of
 * fresh memory; values of tables stay in the copy of their block that the cursor made and lends.
 * Values that are apart are read together, by place (placed-reads.ts). A caller who transfers the
 * memory of one entry takes none of the others with it: they may not have come to him yet.
 */
import { assert, Kind, pooledMemory } from "@aura/base";
import { BufferView, copyView, VIEW_COPY_BYTES_MAX, viewOf } from "./copy-view.ts";
import { PlacedReads, type ReadTiming } from "./placed-reads.ts";
import type { ValueStore } from "./value-store.ts";
import type { VisibleCursor } from "./visible-cursor.ts";

/** Memory for the keys and values of a batch comes in pieces of these sizes, bytes. */
const PIECE_BYTES_MIN = 1024;
const PIECE_BYTES_MAX = 65536;
/** What an entry is expected to take in the first piece, bytes. */
const ENTRY_BYTES_GUESS = 128;
const NO_VALUE: Buffer = Buffer.alloc(0);
const NO_PIECE = new Uint8Array(0);

/** Entries on their way to the caller, whose memory they are: fresh, shared within a batch only. */
export class EntryBatch {
  readonly keys: Buffer[] = [];
  /** Complete once `resolve` or `resolveSync` is through. */
  readonly values: Buffer[] = [];
  count = 0;
  /** Bytes of keys and values, those to be read included. */
  bytes = 0;
  readonly #wantsKeys: boolean;
  readonly #wantsValues: boolean;
  readonly #isShared: boolean;
  #piece: Uint8Array<ArrayBuffer> = NO_PIECE;
  #pieceView: DataView = viewOf(NO_PIECE);
  #used = 0;
  #nextPieceBytes: number;
  /** Values that are apart. */
  readonly #apart = new PlacedReads("scan");

  /** `countMax`: how many entries it will hold at most. */
  constructor(wantsKeys: boolean, wantsValues: boolean, countMax: number) {
    this.#wantsKeys = wantsKeys;
    this.#wantsValues = wantsValues;
    this.#isShared = countMax > 1;
    const guess = Math.max(PIECE_BYTES_MIN, countMax * ENTRY_BYTES_GUESS);
    this.#nextPieceBytes = Math.min(guess, PIECE_BYTES_MAX);
  }

  /** Adds the entry under `cursor`: copies of key and value. Throws AURA_CORRUPTION. */
  add(cursor: VisibleCursor, store: ValueStore): void {
    const { tag, keyBytes, keyStart, keyEnd } = cursor;
    const isApart = tag === Kind.pointer;
    assert(isApart || tag === Kind.value, "a visible entry is a value or a pointer");
    let key: Buffer | undefined;
    if (this.#wantsKeys || isApart) {
      key = this.#copy(keyBytes, cursor.keyView, keyStart, keyEnd);
      if (this.#wantsKeys) this.keys.push(key);
    }
    if (this.#wantsValues) {
      const { valueBytes, valueStart, valueEnd } = cursor;
      if (isApart) {
        this.bytes += store.decode(valueBytes, valueStart, valueEnd).raw;
        this.values.push(NO_VALUE);
        this.#apart.add(key!, valueBytes, valueStart, this.count);
      } else if (cursor.lendsValue) {
        const length = valueEnd - valueStart;
        this.bytes += length;
        const { buffer, byteOffset } = valueBytes;
        this.values.push(new BufferView(buffer as ArrayBuffer, byteOffset + valueStart, length));
      } else this.values.push(this.#copy(valueBytes, cursor.valueView, valueStart, valueEnd));
    }
    this.count++;
  }

  /** Reads the values that are apart, on this thread. */
  resolveSync(store: ValueStore): void {
    if (this.#apart.count > 0) this.#apart.resolveSync(store, this.values);
  }

  /** As `resolveSync`; on this thread only as far as `timing` allows. */
  async resolve(store: ValueStore, timing: ReadTiming): Promise<void> {
    if (this.#apart.count > 0) await this.#apart.resolve(store, timing, this.values);
  }

  /** Returns a copy of bytes[start, end), which `view` shows too, in this batch's memory. */
  #copy(bytes: Uint8Array, view: DataView, start: number, end: number): Buffer {
    const length = end - start;
    this.bytes += length;
    if (this.#used + length > this.#piece.length) {
      if (length > PIECE_BYTES_MAX / 4) {
        const own = new Uint8Array(length);
        own.set(bytes.subarray(start, end));
        return new BufferView(own.buffer, 0, length);
      }
      const pieceBytes = Math.max(this.#nextPieceBytes, length);
      this.#piece = new Uint8Array(
        this.#isShared ? pooledMemory(pieceBytes) : new ArrayBuffer(pieceBytes),
      );
      this.#pieceView = viewOf(this.#piece);
      this.#nextPieceBytes = Math.min(this.#nextPieceBytes * 2, PIECE_BYTES_MAX);
      this.#used = 0;
    }
    const at = this.#used;
    if (length <= VIEW_COPY_BYTES_MAX) copyView(this.#pieceView, at, view, start, end);
    else this.#piece.set(bytes.subarray(start, end), at);
    this.#used = at + length;
    return new BufferView(this.#piece.buffer, at, length);
  }
}
