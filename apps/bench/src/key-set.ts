/**
 * Distinct byte strings in the order in which they came. An open hash table of indices over the packed
 * bytes: about 0.3 µs and 8 bytes per string, where a `Set` of strings takes ten times as much memory.
 */
import { type PackedBytes, PackedBytesBuilder } from "./packed-bytes.ts";

/** A growing list that refuses doubles. */
export class KeySet {
  readonly builder: PackedBytesBuilder = new PackedBytesBuilder();
  #slots: Int32Array;

  constructor(countExpected: number) {
    this.#slots = emptySlots(countExpected);
  }

  get count(): number {
    return this.builder.count;
  }

  /** Ends the builder's unfinished string; drops it again and returns false when it is a double. */
  finishDistinct(): boolean {
    const index = this.builder.finish();
    const start = this.builder.start(index);
    const slot = this.#find(this.builder.bytes, start, this.builder.end(index));
    if (this.#slots[slot]! >= 0) {
      this.builder.dropLast();
      return false;
    }
    this.#slots[slot] = index;
    if (this.count * 2 > this.#slots.length) this.#grow();
    return true;
  }

  /** Returns the index of a key, which is added when it is new. */
  add(key: Uint8Array): number {
    const index = this.#slots[this.#find(key, 0, key.length)]!;
    if (index >= 0) return index;
    this.builder.append(key);
    this.finishDistinct();
    return this.count - 1;
  }

  has(key: Uint8Array): boolean {
    return this.#slots[this.#find(key, 0, key.length)]! >= 0;
  }

  build(): PackedBytes {
    return this.builder.build();
  }

  /** Returns the slot that holds bytes[start, end), or the free one where it belongs. */
  #find(bytes: Uint8Array, start: number, end: number): number {
    const mask = this.#slots.length - 1;
    let slot = hash(bytes, start, end) & mask;
    while (true) {
      const index = this.#slots[slot]!;
      if (index < 0 || this.#equals(index, bytes, start, end)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #equals(index: number, bytes: Uint8Array, start: number, end: number): boolean {
    const at = this.builder.start(index);
    if (this.builder.end(index) - at !== end - start) return false;
    const own = this.builder.bytes;
    for (let i = start; i < end; i++) if (own[at + i - start] !== bytes[i]) return false;
    return true;
  }

  #grow(): void {
    this.#slots = emptySlots(this.count * 2);
    for (let i = 0; i < this.count; i++) {
      this.#slots[this.#find(this.builder.bytes, this.builder.start(i), this.builder.end(i))] = i;
    }
  }
}

function emptySlots(count: number): Int32Array {
  return new Int32Array(2 ** Math.ceil(Math.log2(Math.max(16, count * 2)))).fill(-1);
}

/** FNV-1a with a final mix, since only the low bits choose the slot. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let h = 0x811c9dc5;
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return h ^ (h >>> 13);
}
