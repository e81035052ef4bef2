/** Copying a range of bytes into an arena, without an allocation where it is short. */

/** Longest copy done byte by byte; a native copy costs more than the whole loop up to here. */
const LOOP_COPY_BYTES_MAX = 96;

/** Copies source[start, end) to `at`. */
export function copyBytes(
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
