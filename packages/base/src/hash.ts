/**
 * Hashes: the checksum of what is on disk, its binding to a place, and the hash of a key.
 *
 * A checksum on disk is `contentHash(content) ^ placeMix(uid, offset)`: bytes in the wrong place or
 * from another file fail, and verified bytes can be copied to another place by exchanging the mix,
 * without reading them again. All of this is on disk: no result may ever change.
 */
import xxhash, { type XXHashAPI } from "xxhash-wasm";
import type { Uid } from "./entry.ts";
import { xxh32OfView, xxh32Signed } from "./xxh32.ts";
import { xxh64Low } from "./xxh64.ts";

/**
 * Content shorter than this is hashed with XXH32, longer content with XXH64. On disk: never
 * change. Measured: the two cost the same near this length.
 */
export const SHORT_CONTENT_BYTES = 256;

/** The hash module copies input into its own memory, which never shrinks: longer input goes in pieces. */
const PIECE_BYTES = 256 * 1024;

let wasm: XXHashAPI | undefined;
let loading: Promise<void> | undefined;

/**
 * Loads the fast hash for long content; resolves at once when it is loaded. Results are the same
 * before and after, and also where WebAssembly cannot be had: only slower. Never rejects.
 */
export function hashReady(): Promise<void> {
  loading ??= xxhash().then(
    (instance) => {
      wasm = instance;
    },
    () => {},
  );
  return loading;
}

function longHash(bytes: Uint8Array, start: number, end: number): number {
  if (wasm === undefined) return xxh64Low(bytes, start, end);
  const length = end - start;
  if (length <= PIECE_BYTES) {
    const content = length === bytes.length ? bytes : bytes.subarray(start, end);
    return Number(BigInt.asUintN(32, wasm.h64Raw(content)));
  }
  const state = wasm.create64();
  for (let at = start; at < end; at += PIECE_BYTES) {
    state.update(bytes.subarray(at, Math.min(at + PIECE_BYTES, end)));
  }
  return Number(BigInt.asUintN(32, state.digest()));
}

/** Content from this length on is hashed through a view, if its buffer was hashed right before. */
const VIEWED_BYTES_MIN = 64;

let seen: ArrayBufferLike | undefined;
let view: DataView | undefined;

/** As `xxh32Signed`. A view is made for a buffer that comes twice in a row, and kept until another does. */
function middleHash(bytes: Uint8Array, start: number, end: number): number {
  const { buffer } = bytes;
  if (view === undefined || buffer !== view.buffer) {
    if (buffer !== seen) {
      seen = buffer;
      return xxh32Signed(bytes, start, end, 0);
    }
    view = new DataView(buffer);
  }
  const base = bytes.byteOffset;
  return xxh32OfView(view, base + start, base + end, 0);
}

/**
 * Returns the hash of `bytes[start, end)`, unsigned 32 bits: XXH32 (seed 0) below
 * `SHORT_CONTENT_BYTES`, the low 32 bits of XXH64 (seed 0) from there on.
 */
export function contentHash(bytes: Uint8Array, start: number, end: number): number {
  // Small, to be inlined: see xxh32Signed.
  const length = end - start;
  if (length < VIEWED_BYTES_MIN) return xxh32Signed(bytes, start, end, 0) >>> 0;
  return length < SHORT_CONTENT_BYTES
    ? middleHash(bytes, start, end) >>> 0
    : longHash(bytes, start, end);
}

/**
 * Returns what a checksum at `offset` of the file `uid` is mixed with, unsigned 32 bits. `offset`
 * is at most 2^53 - 1. Two offsets of one file less than 4 GiB apart never share a mix, nor do two
 * files whose uids differ in one half only.
 */
export function placeMix(uid: Uid, offset: number): number {
  let mix = Math.imul(uid.hi ^ Math.floor(offset / 0x100000000), 0xc2b2ae3d);
  mix = Math.imul(mix ^ (mix >>> 15) ^ uid.lo, 0x85ebca77);
  mix = (mix ^ (mix >>> 13)) + Math.imul(offset | 0, 0x9e3779b1);
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}

/** Returns the hash of a key for filters, unsigned 32 bits: XXH32 with the database's seed. On disk. */
export function hashKey(bytes: Uint8Array, start: number, end: number, seed: number): number {
  return xxh32Signed(bytes, start, end, seed) >>> 0;
}
