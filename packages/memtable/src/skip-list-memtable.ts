/**
 * A memtable: the versions of recent writes, sorted, in one fixed arena.
 *
 * Guarantees: an add either takes effect whole or returns false and changes nothing; what came in
 * is copied; nothing is ever removed or moved; the same seed and adds give the same list. A new
 * memtable over a used arena clears the header and the head tower and nothing else: no word is
 * read before it was written.
 */
import { assert } from "@aura/base";
import { resetArena, WORD_ROOT } from "./arena.ts";
import { copyBytes } from "./byte-copy.ts";
import { checkEntry } from "./entry-writer.ts";
import type { Memtable, MemtableOptions } from "./memtable.ts";
import {
  HEIGHT_MAX,
  NODE_SEQ_HIGH,
  NODE_SEQ_LOW,
  NODE_SHAPE,
  NODE_TOWER,
  NODE_VALUE_BYTES,
  NODES_START,
  skipListEntryBytesMax,
  TOWER_STEP,
} from "./skip-list-layout.ts";
import { SkipListReader } from "./skip-list-reader.ts";
import { WriterList } from "./writer-list.ts";

/** A memtable for one writing thread. */
export class SkipListMemtable extends SkipListReader implements Memtable {
  readonly #list: WriterList;
  readonly #wordCount: number;
  #end: number = NODES_START;
  #random: number;

  /** Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer. */
  constructor(buffer: SharedArrayBuffer, options: MemtableOptions) {
    resetArena(buffer, NODES_START);
    const list = new WriterList(buffer);
    list.words[WORD_ROOT] = 1;
    super(list);
    this.#list = list;
    this.#wordCount = buffer.byteLength >>> 2;
    // xorshift must not start at 0; neighbouring seeds must not start alike.
    this.#random = (Math.imul(options.seed | 0, 0x9e3779b1) ^ 0x6c078965) | 1;
  }

  override get usedBytes(): number {
    return this.#end * 4;
  }

  get roomBytes(): number {
    return (this.#wordCount - this.#end) * 4;
  }

  entryBytesMax(keyBytes: number, valueBytes: number): number {
    return skipListEntryBytesMax(keyBytes, valueBytes);
  }

  add(
    seq: number,
    tag: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    const keyBytes = keyEnd - keyStart;
    const valueBytes = valueEnd - valueStart;
    checkEntry(seq, keyBytes, valueBytes);
    const random = nextRandom(this.#random);
    const height = towerHeight(random);
    const node = this.#end;
    const keyAt = (node + NODE_TOWER + height * TOWER_STEP) * 4;
    const end = (keyAt + keyBytes + valueBytes + 3) >>> 2;
    if (end > this.#wordCount) return false;

    const list = this.#list;
    assert(list.place(key, keyStart, keyEnd, seq), "versions of a key are added in order, once");
    const words = list.words;
    words[node + NODE_SHAPE] = keyBytes | (height << 16);
    words[node + NODE_SEQ_LOW] = seq | 0;
    words[node + NODE_SEQ_HIGH] = Math.floor(seq / 0x100000000) | (tag << 24);
    words[node + NODE_VALUE_BYTES] = valueBytes;
    copyBytes(list.bytes, words, keyAt, key, keyStart, keyEnd);
    copyBytes(list.bytes, words, keyAt + keyBytes, value, valueStart, valueEnd);
    list.link(node, height, end);
    this.#random = random;
    this.#end = end;
    return true;
  }
}

function nextRandom(state: number): number {
  let x = state;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x;
}

/** One node in two is at least one level taller. */
function towerHeight(random: number): number {
  const height = 1 + Math.clz32(random);
  return height < HEIGHT_MAX ? height : HEIGHT_MAX;
}
