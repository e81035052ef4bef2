/**
 * The properties of a table: counts, bounds and references. What a writer returns is what the
 * table says of itself when it is opened.
 */
import {
  compareKeys,
  corruption,
  KEY_BYTES_MAX,
  putVarint,
  SEQ_MAX,
  VARINT_BYTES_MAX,
  VarintReader,
} from "@aura/base";
import { DICTIONARY_BYTES_MAX } from "./block-packer.ts";

/** Values of one value-log segment that a table points to. */
export interface SegmentReferences {
  readonly segment: number;
  /** Entries that point there. */
  readonly count: number;
  /** Bytes of the records that they point to, as given to `noteReference`. */
  readonly bytes: number;
}

/** What is known of a table without reading its blocks. */
export interface TableSummary {
  /** Length of the file. */
  readonly fileBytes: number;
  readonly blockCount: number;
  readonly keyspace: number;
  /** Entries, tombstones included: versions, not user keys. */
  readonly entryCount: number;
  readonly deleteCount: number;
  /** User keys, both inclusive. Copies, owned by the receiver. */
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  readonly smallestSeq: number;
  readonly largestSeq: number;
  /** Ascending by segment. */
  readonly references: readonly SegmentReferences[];
  /** Bits of the filter, 0 without one. */
  readonly filterBits: number;
  /** The filter has the first so many bytes of keys too, 0 if it has not. */
  readonly prefixBytes: number;
  readonly rawKeyBytes: number;
  readonly rawValueBytes: number;
  /** Name of the block index beside the separators, or "separators". */
  readonly indexName: string;
}

/** What the properties section holds: the summary, less what the footer says. */
export interface TableProperties extends Omit<TableSummary, "fileBytes" | "blockCount"> {
  /** Seed of the hashes in the filter. */
  readonly hashSeed: number;
  /** What blocks were compressed with whose trailers say so; empty for none. */
  readonly dictionary: Uint8Array;
}

/** Longest name of a block index, bytes of UTF-8. */
export const INDEX_NAME_BYTES_MAX = 64;
/** Longest prefix that a filter knows. */
export const PREFIX_BYTES_MAX = 255;

/** Returns the bytes of the properties section. */
export function encodeProperties(properties: TableProperties): Uint8Array {
  const name = new TextEncoder().encode(properties.indexName);
  const { smallestKey, largestKey, references, dictionary } = properties;
  const bytes = new Uint8Array(
    (15 + references.length * 3) * VARINT_BYTES_MAX +
      smallestKey.length +
      largestKey.length +
      name.length +
      dictionary.length,
  );
  let at = 0;
  const counts = [
    properties.keyspace,
    properties.hashSeed,
    properties.entryCount,
    properties.deleteCount,
    properties.rawKeyBytes,
    properties.rawValueBytes,
    properties.smallestSeq,
    properties.largestSeq,
    properties.filterBits,
    properties.prefixBytes,
  ];
  for (const count of counts) at = putVarint(bytes, at, count);
  for (const part of [smallestKey, largestKey, name, dictionary]) {
    at = putVarint(bytes, at, part.length);
    bytes.set(part, at);
    at += part.length;
  }
  at = putVarint(bytes, at, references.length);
  for (const reference of references) {
    at = putVarint(bytes, at, reference.segment);
    at = putVarint(bytes, at, reference.count);
    at = putVarint(bytes, at, reference.bytes);
  }
  return bytes.slice(0, at);
}

/** Reads a properties section. Throws AURA_CORRUPTION. */
export function decodeProperties(bytes: Uint8Array, file: string, offset: number): TableProperties {
  const reader = new VarintReader();
  let at = 0;
  const number = (max = SEQ_MAX): number => {
    const value = reader.read(bytes, at, bytes.length);
    if (value < 0 || value > max) throw corruption(file, offset, `properties at byte ${at}`);
    at = reader.end;
    return value;
  };
  const part = (max: number): Uint8Array => {
    const length = number(Math.min(max, bytes.length));
    if (length > bytes.length - at) throw corruption(file, offset, `properties at byte ${at}`);
    at += length;
    return bytes.slice(at - length, at);
  };
  const keyspace = number(0xffffffff);
  const hashSeed = number(0xffffffff);
  const entryCount = number();
  const deleteCount = number();
  const rawKeyBytes = number();
  const rawValueBytes = number();
  const smallestSeq = number();
  const largestSeq = number();
  const filterBits = number();
  const prefixBytes = number(PREFIX_BYTES_MAX);
  const smallestKey = part(KEY_BYTES_MAX);
  const largestKey = part(KEY_BYTES_MAX);
  const indexName = new TextDecoder().decode(part(INDEX_NAME_BYTES_MAX));
  const dictionary = part(DICTIONARY_BYTES_MAX);
  const references: SegmentReferences[] = [];
  const referenceCount = number(bytes.length - at);
  for (let i = 0; i < referenceCount; i++) {
    references.push({ segment: number(), count: number(), bytes: number() });
  }
  const whole =
    at === bytes.length &&
    entryCount >= 1 &&
    deleteCount <= entryCount &&
    (prefixBytes === 0 || filterBits > 0) &&
    smallestSeq <= largestSeq &&
    compareKeys(smallestKey, largestKey) <= 0;
  if (!whole) throw corruption(file, offset, "properties");
  return {
    keyspace,
    hashSeed,
    entryCount,
    deleteCount,
    rawKeyBytes,
    rawValueBytes,
    smallestSeq,
    largestSeq,
    filterBits,
    prefixBytes,
    smallestKey,
    largestKey,
    indexName,
    references,
    dictionary,
  };
}
