/**
 * A memtable: the versions of recent writes, sorted, in one fixed arena.
 *
 * Guarantees: an add either takes effect whole or returns false and changes nothing; what came in
 * is copied; nothing is ever removed or moved; the same seed and adds give the same list. A new
 * memtable over a used arena clears the header and the head tower and nothing else: no word is
 * read before it was written.
 *
 * Ascending keys are cheap: a key behind the last one is linked without a search.
 */
import { AuraError, assert, KEY_BYTES_MAX, SEQ_MAX } from "@aura/base";
import {
  ARENA_BYTES_MAX,
  ARENA_BYTES_MIN,
  entryBytesMax,
  FRAGMENT_NONE,
  HEAD,
  HEIGHT_MAX,
  NODE_FRAGMENT,
  NODE_SEQ_HIGH,
  NODE_SEQ_LOW,
  NODE_SHAPE,
  NODE_TOWER,
  NODE_VALUE_BYTES,
  NODES_START,
  WORD_COUNT,
  WORD_GENERATION,
  WORD_LEVELS,
  WORD_PUBLISHED,
  WORD_SHARED_AT,
  WORD_SKIP,
} from "./arena-layout.ts";
import { SkipList } from "./skip-list.ts";
import { type MemtableShare, SkipListReader } from "./skip-list-reader.ts";

/** How a memtable is made. */
export interface SkipListOptions {
  /** Seeds the heights of towers; any whole number. */
  readonly seed: number;
}

/** Entries before the shared bytes are fixed for the first time of asking. */
const SHARED_SAMPLE = 64;
/** Entries after which ascending keys alone fix them, with room for the keys to come. */
const SHARED_SAMPLE_ASCENDING = 4096;
const SHARED_ROOM_ASCENDING = 2;
/** Longest copy done byte by byte; a native copy costs more than the whole loop up to here. */
const LOOP_COPY_BYTES_MAX = 96;

/** A memtable for one writing thread; other threads read through `attach`. */
export class SkipListMemtable extends SkipListReader {
  /** The last node of each level. */
  readonly #tails: Int32Array = new Int32Array(HEIGHT_MAX).fill(HEAD);
  readonly #wordCount: number;
  #end: number = NODES_START;
  #count = 0;
  #levels = 1;
  #random: number;
  #isAscending = true;
  #sampleAt = SHARED_SAMPLE;

  /** Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer. */
  constructor(buffer: SharedArrayBuffer, options: SkipListOptions) {
    clearArena(buffer);
    super(new SkipList(buffer, true));
    this.#wordCount = buffer.byteLength >>> 2;
    // xorshift must not start at 0; neighbouring seeds must not start alike.
    this.#random = (Math.imul(options.seed | 0, 0x9e3779b1) ^ 0x6c078965) | 1;
  }

  /** Returns a read-only view of a memtable of another thread. */
  static attach(share: MemtableShare): SkipListReader {
    const list = new SkipList(share.buffer, false);
    assert(list.generation === share.generation, "the arena was given to a new memtable");
    return new SkipListReader(list);
  }

  override get entryCount(): number {
    return this.#count;
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
    const keyAt = (node + NODE_TOWER + height) * 4;
    const end = (keyAt + keyBytes + valueBytes + 3) >>> 2;
    if (end > this.#wordCount) return false;

    const list = this.list;
    const words = list.words;
    const fragment = list.fragmentOf(key, keyStart, keyEnd);
    const before = this.#placeOf(key, keyStart, keyEnd, seq, fragment);
    this.#random = random;
    this.#end = end;

    words[node + NODE_FRAGMENT] = fragment;
    words[node + NODE_SHAPE] = keyBytes | (height << 16);
    words[node + NODE_SEQ_LOW] = seq | 0;
    words[node + NODE_SEQ_HIGH] = Math.floor(seq / 0x100000000) | (tag << 24);
    words[node + NODE_VALUE_BYTES] = valueBytes;
    copyBytes(list.bytes, keyAt, key, keyStart, keyEnd);
    copyBytes(list.bytes, keyAt + keyBytes, value, valueStart, valueEnd);
    this.#link(node, height, before);
    if (this.#count === this.#sampleAt) this.#fixFragments();
    return true;
  }

  /** Returns the last node before the place of (key, seq), per level. */
  #placeOf(key: Uint8Array, start: number, end: number, seq: number, fragment: number): Int32Array {
    const list = this.list;
    const tails = this.#tails;
    if (this.#count === 0 || this.#isBehind(tails[0]!, key, start, end, seq, fragment)) {
      return tails;
    }
    this.#isAscending = false;
    const next = list.locate(key, start, end, seq);
    assert(
      next === 0 || list.seqOf(next) !== seq || !this.#hasKey(next, key, start, end),
      "a version is added once",
    );
    return list.before;
  }

  #isBehind(
    node: number,
    key: Uint8Array,
    start: number,
    end: number,
    seq: number,
    fragment: number,
  ): boolean {
    const list = this.list;
    const other = list.words[node + NODE_FRAGMENT]!;
    if (other !== fragment && other !== FRAGMENT_NONE) return fragment > other;
    const shape = list.words[node + NODE_SHAPE]!;
    const otherLength = shape & 0xffff;
    const at = (node + NODE_TOWER + (shape >>> 16)) << 2;
    const length = end - start;
    const common = otherLength < length ? otherLength : length;
    for (let i = 0; i < common; i++) {
      const difference = key[start + i]! - list.bytes[at + i]!;
      if (difference !== 0) return difference > 0;
    }
    return length === otherLength ? seq < list.seqOf(node) : length > otherLength;
  }

  #hasKey(node: number, key: Uint8Array, start: number, end: number): boolean {
    const { words, bytes } = this.list;
    const shape = words[node + NODE_SHAPE]!;
    if ((shape & 0xffff) !== end - start) return false;
    const at = (node + NODE_TOWER + (shape >>> 16)) << 2;
    for (let i = 0; i < end - start; i++) {
      if (bytes[at + i] !== key[start + i]) return false;
    }
    return true;
  }

  /** Steps 1 (links) to 4 of the publishing order, see skip-list.ts. */
  #link(node: number, height: number, before: Int32Array): void {
    const words = this.list.words;
    const tails = this.#tails;
    const tower = node + NODE_TOWER;
    const levels = this.#levels;
    for (let level = 0; level < height; level++) {
      words[tower + level] = level < levels ? words[before[level]! + NODE_TOWER + level]! : 0;
    }
    Atomics.store(words, WORD_PUBLISHED, this.#end);
    for (let level = 0; level < height; level++) {
      words[(level < levels ? before[level]! : HEAD) + NODE_TOWER + level] = node;
      if (words[tower + level] === 0) tails[level] = node;
    }
    if (height > levels) {
      this.#levels = height;
      words[WORD_LEVELS] = height;
    }
    this.#count++;
    Atomics.store(words, WORD_COUNT, this.#count);
  }

  /** Fixes what keys share, once the sample says something about the keys to come. */
  #fixFragments(): void {
    const list = this.list;
    const { words, bytes } = list;
    const first = words[HEAD + NODE_TOWER]!;
    const last = this.#tails[0]!;
    const firstShape = words[first + NODE_SHAPE]!;
    const lastShape = words[last + NODE_SHAPE]!;
    const at = (first + NODE_TOWER + (firstShape >>> 16)) << 2;
    const lastAt = (last + NODE_TOWER + (lastShape >>> 16)) << 2;
    const length = Math.min(firstShape & 0xffff, lastShape & 0xffff);
    let shared = 0;
    while (shared < length && bytes[at + shared] === bytes[lastAt + shared]) shared++;
    const isTelling = shared < length && !this.#isAscending;
    if (isTelling) list.fixSharedBytes(shared, at);
    else if (this.#count >= SHARED_SAMPLE_ASCENDING) {
      list.fixSharedBytes(Math.max(0, shared - SHARED_ROOM_ASCENDING), at);
    } else this.#sampleAt *= 4;
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
  words[WORD_SKIP] = 0;
  words[WORD_SHARED_AT] = 0;
  Atomics.store(words, WORD_COUNT, 0);
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

/** One node in four is at least one level taller. */
function towerHeight(random: number): number {
  const height = 1 + (Math.clz32(random) >>> 1);
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
