/**
 * Copies of short byte ranges, eight bytes at a time: a third of the time of a byte loop, and up to
 * `VIEW_COPY_BYTES_MAX` less than a native copy, which needs a new view of its source each time.
 */

import { pooledMemory } from "@aura/base";

/** Longer ranges are better copied by `Uint8Array.prototype.set`. */
export const VIEW_COPY_BYTES_MAX = 192;

/** Copies source[start, end) to `target` at `at`. The ranges must not overlap. */
export function copyView(
  target: DataView,
  at: number,
  source: DataView,
  start: number,
  end: number,
): void {
  let from = start;
  let to = at;
  for (; from <= end - 8; from += 8, to += 8) {
    target.setInt32(to, source.getInt32(from, true), true);
    target.setInt32(to + 4, source.getInt32(from + 4, true), true);
  }
  for (; from < end; from++, to++) target.setUint8(to, source.getUint8(from));
}

/** Returns a view with the same indexes as `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `Buffer.from(memory, start, length)`, without its checks: four times as fast. */
export const BufferView: new (memory: ArrayBuffer, start: number, length: number) => Buffer = (
  Buffer as unknown as Record<symbol, unknown>
)[Symbol.species] as never;

/** Longest copy done byte by byte where there is no view; a native copy costs more up to here. */
const LOOP_COPY_BYTES_MAX = 48;
/** Copies up to a sixteenth of this share memory, as those of `Buffer.allocUnsafe` do. */
const POOL_BYTES = 32768;
const POOLED_BYTES_MAX: number = POOL_BYTES >>> 4;
/** No view of memory as words. */
export const NO_WORDS: Int32Array = new Int32Array(0);
/** Longer ranges are better copied by `Uint8Array.prototype.set` than word by word. */
const WORD_COPY_BYTES_MAX = 256;

let poolMemory: ArrayBuffer = pooledMemory(POOL_BYTES);
let pool = new Uint8Array(poolMemory);
let poolWords = new Int32Array(poolMemory);
let poolUsed = 0;

function renewPool(): void {
  poolMemory = pooledMemory(POOL_BYTES);
  pool = new Uint8Array(poolMemory);
  poolWords = new Int32Array(poolMemory);
  poolUsed = 0;
}

/**
 * Returns bytes[start, end) as a buffer of the caller's own. Short ones share pieces of memory whose
 * bytes are given out once: memory of its own would cost each ten times as much as the rest of a
 * read from memory, and `Buffer.allocUnsafe` twice as much. `words`: the memory of `bytes`, with the
 * same begin, if there is a view of it as words.
 */
export function copyOut(
  bytes: Uint8Array,
  start: number,
  end: number,
  words: Int32Array = NO_WORDS,
): Buffer {
  const length = end - start;
  if (words.length > 0 && length <= WORD_COPY_BYTES_MAX) {
    // Same place within a word on both sides; bytes around the value come along, into unused memory.
    const within = start & 3;
    const behind = (end + 3) >>> 2;
    if (poolUsed + within + length + 4 > POOL_BYTES) renewPool();
    const at = poolUsed + within;
    const target = poolWords;
    let to = poolUsed >>> 2;
    for (let from = start >>> 2; from < behind; from++, to++) target[to] = words[from]!;
    poolUsed = to << 2;
    return new BufferView(poolMemory, at, length);
  }
  if (length > POOLED_BYTES_MAX) {
    const copy = Buffer.allocUnsafeSlow(length); // every byte is set on the next line
    copy.set(bytes.subarray(start, end));
    return copy;
  }
  if (poolUsed + length > POOL_BYTES) renewPool();
  const at = poolUsed;
  copyBytes(pool, at, bytes, start, end);
  poolUsed = (at + length + 7) & ~7;
  return new BufferView(poolMemory, at, length);
}

/** Copies source[start, end) to `target` at `at`, where there are no views. */
function copyBytes(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): void {
  if (end - start <= LOOP_COPY_BYTES_MAX) {
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!;
  } else target.set(source.subarray(start, end), at);
}
