/**
 * Copying a range of bytes into an arena without an allocation, a word at a time where the source is one
 * that comes again and again: the bytes of a group, a piece of a log.
 *
 * Words of the arena are put together from two words of the source when the source stands otherwise
 * than the arena does. A native copy needs a view of the range, which costs more than all of that up to
 * a few hundred bytes.
 */

/** Longest copy done here. */
const LOOP_COPY_BYTES_MAX = 384;
/** The same without words of the source. */
const BYTE_COPY_BYTES_MAX = 96;
/** Shorter ranges are copied byte by byte. */
const WORD_COPY_BYTES_MIN = 8;

/** The last source, and its words if it was used before. */
let lastSource: Uint8Array | undefined;
let lastWords: Int32Array | undefined;

/** Copies source[start, end) to `at` of an arena, `words` being the same memory as `target`. */
export function copyBytes(
  target: Uint8Array,
  words: Int32Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): void {
  const length = end - start;
  if (length > LOOP_COPY_BYTES_MAX) {
    target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at);
    return;
  }
  if (length >= WORD_COPY_BYTES_MIN) {
    const from = wordsOf(source);
    if (from !== undefined) {
      copyWords(target, words, at, source, from, start, end);
      return;
    }
    if (length > BYTE_COPY_BYTES_MAX) {
      target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at);
      return;
    }
  }
  for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!;
}

/** Returns the words of the source's whole buffer from its second use in a row on. */
function wordsOf(source: Uint8Array): Int32Array | undefined {
  if (source === lastSource) {
    lastWords ??= new Int32Array(source.buffer, 0, source.buffer.byteLength >>> 2);
    return lastWords;
  }
  lastSource = source;
  lastWords = undefined;
  return undefined;
}

function copyWords(
  target: Uint8Array,
  words: Int32Array,
  at: number,
  source: Uint8Array,
  sourceWords: Int32Array,
  start: number,
  end: number,
): void {
  let from = start;
  let to = at;
  while ((to & 3) !== 0) target[to++] = source[from++]!;
  const offset = source.byteOffset + from;
  let word = to >>> 2;
  let fromWord = offset >>> 2;
  const shift = (offset & 3) << 3;
  if (shift === 0) {
    const limit = word + ((end - from) >>> 2);
    while (word < limit) words[word++] = sourceWords[fromWord++]!;
  } else {
    // Three bytes less: the last word that is read ends within the range.
    const limit = word + ((end - from - 3) >>> 2);
    const rest = 32 - shift;
    let low = sourceWords[fromWord]!;
    while (word < limit) {
      const high = sourceWords[++fromWord]!;
      words[word++] = (low >>> shift) | (high << rest);
      low = high;
    }
  }
  from += (word << 2) - to;
  for (to = word << 2; from < end; from++, to++) target[to] = source[from]!;
}
