/**
 * The 64 bytes that every file begins with. Layout and a worked example: docs/formats/file-header.md.
 *
 * A header that decodes is whole, of this format version, and asks for nothing that this build
 * does not know. Whether it is the right file (type, database, uid, number) is the caller's check.
 */
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "./bytes.ts";
import { putUid, type Uid } from "./entry.ts";
import { AuraError, assert, corruption } from "./errors.ts";
import { xxh32 } from "./xxh32.ts";

/** Bytes of a file header. */
export const FILE_HEADER_BYTES = 64;
/** The one format version that this build writes and reads: frozen, docs/formats. */
export const FORMAT_VERSION = 1;
/** Bytes of a database uuid. */
export const DATABASE_UUID_BYTES = 16;
/** Highest file number. */
export const FILE_NUMBER_MAX = 0xffffffffffff;

/** What a file is. On disk. Never renumber. */
export const FileType = {
  wal: 1,
  valueLog: 2,
  segment: 3,
  table: 4,
  manifest: 5,
  current: 6,
  trace: 7,
} as const;

/** One of the file types. */
export type FileType = (typeof FileType)[keyof typeof FileType];

/** Identity of a file, as its header says it. */
export interface FileHeader {
  readonly type: FileType;
  /** 16 bytes; the same in every file of a database. */
  readonly databaseUuid: Uint8Array;
  /** Random; binds every checksum in the file to the file. */
  readonly uid: Uid;
  /** Number of the file in its database, at most `FILE_NUMBER_MAX`. */
  readonly number: number;
}

const MAGIC = 0x41525541; // "AURA", little-endian
const TYPE_AT = 4;
const VERSION_AT = 5;
const HEADER_BYTES_AT = 6;
const FEATURES_AT = 8;
const UUID_AT = 12;
const UID_AT = 28;
const NUMBER_AT = 36;
const CIPHER_AT = 42;
const TRAILER_BYTES_AT = 43;
const KEY_ID_AT = 44;
const PADDING_AT = 48;
const CHECKSUM_AT = 60;
const TYPE_MAX: number = FileType.trace;

/** Returns the 64 bytes of a header: no features, no cipher, no frame trailer. */
export function encodeFileHeader(header: FileHeader): Uint8Array {
  assert(header.type >= 1 && header.type <= TYPE_MAX, "file type");
  assert(header.databaseUuid.length === DATABASE_UUID_BYTES, "database uuid of 16 bytes");
  assert(
    Number.isInteger(header.number) && header.number >= 0 && header.number <= FILE_NUMBER_MAX,
    "file number",
  );
  const bytes = new Uint8Array(FILE_HEADER_BYTES);
  putU32(bytes, 0, MAGIC);
  bytes[TYPE_AT] = header.type;
  bytes[VERSION_AT] = FORMAT_VERSION;
  putU16(bytes, HEADER_BYTES_AT, FILE_HEADER_BYTES);
  bytes.set(header.databaseUuid, UUID_AT);
  putUid(bytes, UID_AT, header.uid);
  putU48(bytes, NUMBER_AT, header.number);
  putU32(bytes, CHECKSUM_AT, xxh32(bytes, 0, CHECKSUM_AT, 0));
  return bytes;
}

/**
 * Reads a header from the first 64 bytes of `bytes`; `file` names it in errors. The result keeps
 * no view of `bytes`. Throws AURA_CORRUPTION (too short, wrong magic, wrong checksum) or
 * AURA_UNSUPPORTED (whole, but written by a build that knows more than this one).
 */
export function decodeFileHeader(bytes: Uint8Array, file: string): FileHeader {
  if (bytes.length < FILE_HEADER_BYTES) throw corruption(file, bytes.length, "file header cut off");
  if (getU32(bytes, 0) !== MAGIC) throw corruption(file, 0, "not an AuraDB file");
  const expected = getU32(bytes, CHECKSUM_AT);
  const actual = xxh32(bytes, 0, CHECKSUM_AT, 0);
  if (actual !== expected) {
    throw new AuraError("AURA_CORRUPTION", `${file}: file header fails its checksum at offset 0`, {
      file,
      offset: 0,
      expected,
      actual,
    });
  }
  const version = bytes[VERSION_AT]!;
  if (version !== FORMAT_VERSION) {
    throw unsupported(file, VERSION_AT, "format version", FORMAT_VERSION, version);
  }
  const headerBytes = getU16(bytes, HEADER_BYTES_AT);
  if (headerBytes !== FILE_HEADER_BYTES) {
    throw unsupported(file, HEADER_BYTES_AT, "header length", FILE_HEADER_BYTES, headerBytes);
  }
  expectZero(bytes, FEATURES_AT, 4, file, "incompatible feature bits");
  expectZero(bytes, CIPHER_AT, 1, file, "cipher");
  expectZero(bytes, TRAILER_BYTES_AT, 1, file, "frame trailer length");
  expectZero(bytes, KEY_ID_AT, 4, file, "key id");
  expectZero(bytes, PADDING_AT, CHECKSUM_AT - PADDING_AT, file, "reserved field");
  const type = bytes[TYPE_AT]!;
  if (type < 1 || type > TYPE_MAX) throw unsupported(file, TYPE_AT, "file type", "1 to 7", type);
  return {
    type: type as FileType,
    // Not bytes.slice: a Buffer's is a view.
    databaseUuid: new Uint8Array(bytes.subarray(UUID_AT, UUID_AT + DATABASE_UUID_BYTES)),
    uid: { lo: getU32(bytes, UID_AT), hi: getU32(bytes, UID_AT + 4) },
    number: getU48(bytes, NUMBER_AT),
  };
}

/**
 * Returns whether bytes that `decodeFileHeader` refuses were a header of the database all the same:
 * the magic or the uuid is whole. Such bytes were written, and damaged later.
 */
export function resemblesFileHeader(bytes: Uint8Array, databaseUuid: Uint8Array): boolean {
  if (getU32(bytes, 0) === MAGIC) return true;
  for (let i = 0; i < DATABASE_UUID_BYTES; i++) {
    if (bytes[UUID_AT + i] !== databaseUuid[i]) return false;
  }
  return true;
}

function expectZero(
  bytes: Uint8Array,
  at: number,
  count: number,
  file: string,
  field: string,
): void {
  for (let i = at; i < at + count; i++) {
    if (bytes[i] !== 0) throw unsupported(file, i, field, 0, bytes[i]!);
  }
}

function unsupported(
  file: string,
  offset: number,
  field: string,
  expected: number | string,
  actual: number,
): AuraError {
  return new AuraError(
    "AURA_UNSUPPORTED",
    `${file}: ${field} ${actual} at offset ${offset} is not known to this build (knows ${expected})`,
    { file, offset, expected, actual },
  );
}
