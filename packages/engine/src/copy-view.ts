/**
 * Copies of short byte ranges, eight bytes at a time: a third of the time of a byte loop, and up to
 * `VIEW_COPY_BYTES_MAX` less than a native copy, which needs a new view of its source each time.
 */

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
/** Copies up to a quarter of this share memory, as those of `Buffer.allocUnsafe` do. */
const POOL_BYTES = 8192;

let pool = new Uint8Array(POOL_BYTES);
let poolMemory: ArrayBuffer = pool.buffer;
let poolUsed = 0;

/**
 * Returns bytes[start, end) as a buffer of the caller's own. Short ones share pieces of memory whose
 * bytes are given out once: memory of its own would cost each ten times as much as the rest of a
 * read from memory, and `Buffer.allocUnsafe` twice as much.
 */
export function copyOut(bytes: Uint8Array, start: number, end: number): Buffer {
  const length = end - start;
  if (length > POOL_BYTES >>> 2) {
    const copy = Buffer.allocUnsafeSlow(length); // every byte is set on the next line
    copy.set(bytes.subarray(start, end));
    return copy;
  }
  if (poolUsed + length > POOL_BYTES) {
    pool = new Uint8Array(POOL_BYTES);
    poolMemory = pool.buffer;
    poolUsed = 0;
  }
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
