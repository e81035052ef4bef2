/**
 * The frame of a table file: what stands where, and how each piece is checked.
 *
 * file = header | data block ... | separators | block map | model? | filter? | ranges? |
 * properties | footer.
 * Data blocks and sections end with the same trailer: codec (1) and checksum (4). The checksum
 * covers payload and codec and is bound to the file's uid and the piece's offset. Sections lie
 * without a gap between the data and the footer, so no byte of a file goes unchecked.
 * Layout and a worked example: docs/formats/sst.md.
 */
import {
  AuraError,
  contentHash,
  corruption,
  FILE_HEADER_BYTES,
  getU32,
  getU48,
  placeMix,
  putU32,
  putU48,
  type Uid,
} from "@aura/base";

/** Codec and checksum behind every block and section. */
export const BLOCK_TRAILER_BYTES = 5;
/** Bytes of the footer, the last bytes of a file. */
export const FOOTER_BYTES = 92;
/** Longest raw block: I/O calls and byte offsets inside a block stay below 2^31. */
export const BLOCK_RAW_BYTES_MAX = 0x7f000000;
/** Most blocks in a table. */
export const BLOCK_COUNT_MAX = 0x0fffffff;

const FOOTER_MAGIC = 0x54525541; // "AURT", little-endian
const SECTION_ENTRY_BYTES = 12;

/** Where a section lies: `bytes` includes its trailer; 0 means that it is absent. */
export interface Section {
  readonly offset: number;
  readonly bytes: number;
}

/** What the footer says. */
export interface Footer {
  readonly separators: Section;
  readonly blockMap: Section;
  readonly model: Section;
  readonly filter: Section;
  readonly ranges: Section;
  readonly properties: Section;
  readonly blockCount: number;
  /** Length of the longest data block, uncompressed and without its trailer. */
  readonly rawBlockBytesMax: number;
}

/** Names of the sections, in the order in which they lie in the file. */
const SECTION_NAMES = [
  "separators",
  "blockMap",
  "model",
  "filter",
  "ranges",
  "properties",
] as const;

/**
 * Writes the trailer behind the payload `bytes[start, end)`, which will stand at `offset` of the
 * file `uid`. Returns the offset in `bytes` behind the trailer.
 */
export function putBlockTrailer(
  bytes: Uint8Array,
  start: number,
  end: number,
  codec: number,
  uid: Uid,
  offset: number,
): number {
  bytes[end] = codec;
  putU32(bytes, end + 1, (contentHash(bytes, start, end + 1) ^ placeMix(uid, offset)) >>> 0);
  return end + BLOCK_TRAILER_BYTES;
}

/** Throws AURA_CORRUPTION unless `bytes[start, end)` (trailer included) is what was written at `offset`. */
export function checkBlockTrailer(
  bytes: Uint8Array,
  start: number,
  end: number,
  uid: Uid,
  offset: number,
  file: string,
): void {
  if (end - start < BLOCK_TRAILER_BYTES) throw corruption(file, offset, "block cut off");
  const expected = getU32(bytes, end - 4);
  const actual = (contentHash(bytes, start, end - 4) ^ placeMix(uid, offset)) >>> 0;
  if (expected === actual) return;
  throw new AuraError(
    "AURA_CORRUPTION",
    `${file}: block of ${end - start} bytes fails its checksum at offset ${offset}`,
    { file, offset, expected, actual },
  );
}

/** Returns the bytes of a footer that will stand at `offset` of the file `uid`. */
export function encodeFooter(footer: Footer, uid: Uid, offset: number): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  let at = 0;
  for (const name of SECTION_NAMES) {
    putU48(bytes, at, footer[name].offset);
    putU48(bytes, at + 6, footer[name].bytes);
    at += SECTION_ENTRY_BYTES;
  }
  putU32(bytes, at, footer.blockCount);
  putU32(bytes, at + 4, footer.rawBlockBytesMax);
  // at + 8: reserved, zero
  const checksum = (contentHash(bytes, 0, at + 12) ^ placeMix(uid, offset)) >>> 0;
  putU32(bytes, at + 12, checksum);
  putU32(bytes, at + 16, FOOTER_MAGIC);
  return bytes;
}

/**
 * Reads the footer that stands at `offset`, the file's last `FOOTER_BYTES`. A result is whole and
 * consistent: the sections lie in order and without a gap between the data and the footer.
 * Throws AURA_CORRUPTION or AURA_UNSUPPORTED (the reserved field is in use).
 */
export function decodeFooter(bytes: Uint8Array, uid: Uid, offset: number, file: string): Footer {
  const checksumAt = FOOTER_BYTES - 8;
  if (bytes.length !== FOOTER_BYTES || getU32(bytes, checksumAt + 4) !== FOOTER_MAGIC) {
    throw corruption(file, offset, "no table footer");
  }
  const expected = getU32(bytes, checksumAt);
  const actual = (contentHash(bytes, 0, checksumAt) ^ placeMix(uid, offset)) >>> 0;
  if (actual !== expected) {
    throw new AuraError(
      "AURA_CORRUPTION",
      `${file}: footer fails its checksum at offset ${offset}`,
      {
        file,
        offset,
        expected,
        actual,
      },
    );
  }
  if (getU32(bytes, checksumAt - 4) !== 0) {
    throw new AuraError("AURA_UNSUPPORTED", `${file}: unknown footer field at offset ${offset}`, {
      file,
      offset,
    });
  }
  const sections = SECTION_NAMES.map((_, i) => ({
    offset: getU48(bytes, i * SECTION_ENTRY_BYTES),
    bytes: getU48(bytes, i * SECTION_ENTRY_BYTES + 6),
  }));
  let end = sections[0]!.offset;
  for (const section of sections) {
    const sound = section.bytes === 0 || section.bytes >= BLOCK_TRAILER_BYTES;
    if (section.offset !== end || !sound) throw corruption(file, offset, "footer sections");
    end += section.bytes;
  }
  const [separators, blockMap, model, filter, ranges, properties] = sections as [
    Section,
    Section,
    Section,
    Section,
    Section,
    Section,
  ];
  const blockCount = getU32(bytes, checksumAt - 12);
  const rawBlockBytesMax = getU32(bytes, checksumAt - 8);
  const whole =
    end === offset &&
    separators.offset >= FILE_HEADER_BYTES &&
    separators.bytes > 0 &&
    blockMap.bytes > 0 &&
    properties.bytes > 0 &&
    blockCount >= 1 &&
    blockCount <= BLOCK_COUNT_MAX &&
    // Each block takes at least one byte of the block map.
    blockCount <= blockMap.bytes &&
    rawBlockBytesMax <= BLOCK_RAW_BYTES_MAX;
  if (!whole) throw corruption(file, offset, "footer fields");
  return {
    separators,
    blockMap,
    model,
    filter,
    ranges,
    properties,
    blockCount,
    rawBlockBytesMax,
  };
}
