/**
 * A memtable: the versions of recent writes, sorted, in one fixed arena.
 *
 * Guarantees: an add either takes effect whole or returns false and changes nothing; what came in
 * is copied; nothing is ever removed or moved; the same seed and adds give the same list. A new
 * memtable over a used arena clears the header and the head tower and nothing else: no word is
 * read before it was written.
 */
import { AuraError, assert, KEY_BYTES_MAX, SEQ_MAX } from "@aura/base";
import {
  ARENA_BYTES_MAX,
  ARENA_BYTES_MIN,
  entryBytesMax,
  HEIGHT_MAX,
  NODE_SEQ_HIGH,
  NODE_SEQ_LOW,
  NODE_SHAPE,
  NODE_TOWER,
  NODE_VALUE_BYTES,
  NODES_START,
  TOWER_STEP,
  WORD_GENERATION,
  WORD_LEVELS,
  WORD_PUBLISHED,
} from "./arena-layout.ts";
import { SkipList } from "./skip-list.ts";
import { type MemtableShare, SkipListReader } from "./skip-list-reader.ts";
import { WriterList } from "./writer-list.ts";

/** How a memtable is made. */
export interface SkipListOptions {
  /** Seeds the heights of towers; any whole number. */
  readonly seed: number;
}

/** Longest copy done byte by byte; a native copy costs more than the whole loop up to here. */
const LOOP_COPY_BYTES_MAX = 96;

/** A memtable for one writing thread; other threads read through `attach`. */
export class SkipListMemtable extends SkipListReader {
  readonly #list: WriterList;
  readonly #wordCount: number;
  #end: number = NODES_START;
  #random: number;

  /** Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer. */
  constructor(buffer: SharedArrayBuffer, options: SkipListOptions) {
    clearArena(buffer);
    const list = new WriterList(buffer);
    super(list);
    this.#list = list;
    this.#wordCount = buffer.byteLength >>> 2;
    // xorshift must not start at 0; neighbouring seeds must not start alike.
    this.#random = (Math.imul(options.seed | 0, 0x9e3779b1) ^ 0x6c078965) | 1;
  }

  /** Returns a read-only view of a memtable of another thread. */
  static attach(share: MemtableShare): SkipListReader {
    const list = new SkipList(share.buffer);
    assert(list.generation === share.generation, "the arena was given to a new memtable");
    return new SkipListReader(list);
  }

  override get usedBytes(): number {
    return this.#end * 4;
  }

  /** Bytes of the arena not in use. An entry fits when `entryBytesMax` of it does. */
  get roomBytes(): number {
    return (this.#wordCount - this.#end) * 4;
  }

  /** Returns the most bytes that an entry with this key and value takes of `roomBytes`. */
  entryBytesMax(keyBytes: number, valueBytes: number): number {
    return entryBytesMax(keyBytes, valueBytes);
  }

  /**
   * Adds one version: a copy of key[keyStart, keyEnd) and value[valueStart, valueEnd). Returns
   * false when there is no room, and then nothing changed. (key, seq) must be new.
   * Throws AURA_KEY_TOO_LONG.
   */
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
    if (keyBytes > KEY_BYTES_MAX) {
      throw new AuraError("AURA_KEY_TOO_LONG", `a key has ${keyBytes} bytes`);
    }
    assert(seq >= 0 && seq <= SEQ_MAX, "a sequence number is 0 to 2^53 - 1");
    assert(keyBytes >= 0 && valueBytes >= 0, "a range does not end before it starts");
    const random = nextRandom(this.#random);
    const height = towerHeight(random);
    const node = this.#end;
    const keyAt = (node + NODE_TOWER + height * TOWER_STEP) * 4;
    const end = (keyAt + keyBytes + valueBytes + 3) >>> 2;
    if (end > this.#wordCount) return false;

    const list = this.#list;
    assert(list.place(key, keyStart, keyEnd, seq), "a version is added once");
    const words = list.words;
    words[node + NODE_SHAPE] = keyBytes | (height << 16);
    words[node + NODE_SEQ_LOW] = seq | 0;
    words[node + NODE_SEQ_HIGH] = Math.floor(seq / 0x100000000) | (tag << 24);
    words[node + NODE_VALUE_BYTES] = valueBytes;
    copyBytes(list.bytes, keyAt, key, keyStart, keyEnd);
    copyBytes(list.bytes, keyAt + keyBytes, value, valueStart, valueEnd);
    list.link(node, height, end);
    this.#random = random;
    this.#end = end;
    return true;
  }
}

function clearArena(buffer: SharedArrayBuffer): void {
  const size = buffer.byteLength;
  if (size < ARENA_BYTES_MIN || size > ARENA_BYTES_MAX || size % 4 !== 0) {
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      `an arena has ${ARENA_BYTES_MIN} to ${ARENA_BYTES_MAX} bytes, a multiple of 4; not ${size}`,
    );
  }
  const words = new Int32Array(buffer, 0, NODES_START);
  const generation = (words[WORD_GENERATION]! + 1) & 0x7fffffff || 1;
  words.fill(0);
  words[WORD_LEVELS] = 1;
  Atomics.store(words, WORD_PUBLISHED, NODES_START);
  Atomics.store(words, WORD_GENERATION, generation);
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

function copyBytes(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): void {
  if (end - start <= LOOP_COPY_BYTES_MAX) {
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!;
  } else if (start === 0 && end === source.length) target.set(source, at);
  else target.set(source.subarray(start, end), at);
}
