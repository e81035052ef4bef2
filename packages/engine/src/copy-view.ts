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
