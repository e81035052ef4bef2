/**
 * Filters over the hashes of a table's keys (32 bits, one seeded hash per key, see `hashKey` of
 * base): which kinds there are, how large one has to be, and how one is read back.
 *
 * A filter is asked for by the bits per key of a Bloom filter, whatever kind it is: those stand for
 * a false-positive rate, which a Ribbon filter has with about 28 % fewer bits. One hash serves all
 * tables and both kinds. No filter has false negatives.
 */
import { AuraError, corruption } from "@aura/base";
import { Bloom, bloomRate, buildBloom } from "./bloom.ts";
import { FILTER_HEAD_BYTES, FilterKind } from "./filter-kind.ts";
import { buildRibbon, RIBBON_KEYS_MIN, Ribbon } from "./ribbon.ts";

/** A filter in memory. */
export interface KeyFilter {
  /** Bytes that it takes. */
  readonly byteLength: number;
  /** Bits of the filter as it is stored, without the four bytes of its head. */
  readonly bits: number;
  /** The share of absent keys that it lets pass, by theory, with what is in it. Not for hot paths. */
  readonly rate: number;
  /** Returns false when no key of the table has this hash. Allocates nothing. */
  has(keyHash: number): boolean;
}

/** Most bits per key of a Bloom filter that a filter may be asked for. */
export const FILTER_BITS_MAX = 40;

/**
 * Returns the share of absent keys that a filter of this kind lets pass, by theory. `bitsPerKey`
 * are those of a Bloom filter; below 1 there is no filter, and everything passes.
 */
export function filterRate(bitsPerKey: number): number {
  return bitsPerKey < 1 ? 1 : bloomRate(bitsPerKey);
}

/**
 * Returns the filter of `hashes[0, count)`, or undefined when `bitsPerKey` is below 1 (no filter
 * pays there). A table of few keys gets a Bloom filter where a Ribbon filter was asked for.
 */
export function buildFilter(
  kind: FilterKind,
  hashes: Uint32Array,
  count: number,
  bitsPerKey: number,
): Uint8Array | undefined {
  if (kind === FilterKind.none || bitsPerKey < 1 || count === 0) return undefined;
  if (kind === FilterKind.ribbon && count >= RIBBON_KEYS_MIN) {
    const bytes = buildRibbon(hashes, count, filterRate(bitsPerKey));
    if (bytes !== undefined) return bytes;
  }
  return buildBloom(hashes, count, bitsPerKey);
}

/**
 * Reads what `buildFilter` returned; `file` and `offset` name it in errors. Keeps no view. Throws
 * AURA_CORRUPTION, AURA_UNSUPPORTED for a kind of a later build.
 */
export function openFilter(bytes: Uint8Array, file: string, offset: number): KeyFilter {
  if (bytes.length < FILTER_HEAD_BYTES) throw corruption(file, offset, "filter");
  switch (bytes[0]) {
    case FilterKind.bloom:
      return new Bloom(bytes, file, offset);
    case FilterKind.ribbon:
      return new Ribbon(bytes, file, offset);
    default:
      throw new AuraError(
        "AURA_UNSUPPORTED",
        `${file}: filter of kind ${bytes[0]} at offset ${offset}`,
        { file, offset, actual: bytes[0]! },
      );
  }
}
