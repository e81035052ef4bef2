/**
 * Codecs: how blocks and values are compressed.
 *
 * Whatever any build wrote, this one reads: decoding never needs a native module. Compressing
 * does; where the module is absent, data is stored as it is. Stored bytes are the bare format,
 * without a length in front: the raw length stands beside them, under the owner's checksum.
 */
import { createRequire } from "node:module";
import { putU32 } from "./bytes.ts";
import { AuraError } from "./errors.ts";
import { decodeLz4Block } from "./lz4-decoder.ts";

/** Codec ids. On disk. Never renumber. 2 is kept for snappy, 3 for zstd, 4 for deflate. */
export const Codec = {
  none: 0,
  /** LZ4 block format. */
  lz4: 1,
} as const;

/** One of the codecs. */
export type Codec = (typeof Codec)[keyof typeof Codec];

/** LZ4 cannot shrink by more than this: one byte of length stands for 255 of content. */
const LZ4_RATIO_MAX = 255;

/** lz4-napi puts the raw length in front of a block, four bytes. */
const NATIVE_PREFIX_BYTES = 4;

/** Below this raw length, a call of the native module costs more than decoding in JavaScript (measured). */
const NATIVE_RAW_BYTES_MIN = 1024;

/** Longest input that goes to the native module: its lengths are 32-bit signed. */
const NATIVE_INPUT_BYTES_MAX = 0x7e000000;

interface NativeLz4 {
  compressSync(data: Buffer): Buffer;
  uncompressSync(data: Uint8Array): Buffer;
}

let native: NativeLz4 | undefined;
let nativeAsked = false;

function nativeLz4(): NativeLz4 | undefined {
  if (!nativeAsked) {
    nativeAsked = true;
    try {
      native = createRequire(import.meta.url)("lz4-napi") as NativeLz4;
    } catch {
      native = undefined; // not installed, or not for this platform
    }
  }
  return native;
}

/** Returns whether this process can compress with LZ4. It can always decompress it. */
export function lz4Available(): boolean {
  return nativeLz4() !== undefined;
}

/**
 * Returns `bytes` compressed, or undefined when that is not shorter, or when this process cannot
 * compress with `codec`; store the bytes as they are then, with `Codec.none`. The result is fresh.
 */
export function compress(codec: Codec, bytes: Uint8Array): Uint8Array | undefined {
  if (codec !== Codec.lz4) return undefined;
  const lz4 = nativeLz4();
  if (lz4 === undefined || bytes.length === 0 || bytes.length > NATIVE_INPUT_BYTES_MAX) {
    return undefined;
  }
  const stored = lz4.compressSync(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  if (stored.length - NATIVE_PREFIX_BYTES >= bytes.length) return undefined;
  return stored.subarray(NATIVE_PREFIX_BYTES);
}

/**
 * Returns the `rawBytes` bytes that `bytes` stand for. With `Codec.none` that is `bytes` itself,
 * else it is fresh. At most `rawBytes` are allocated, and never more than `bytes` could stand for.
 * Throws AURA_CORRUPTION when `bytes` are not `rawBytes` bytes compressed, AURA_UNSUPPORTED for a
 * codec that this build does not know.
 */
export function decompress(codec: number, bytes: Uint8Array, rawBytes: number): Uint8Array {
  if (codec === Codec.none) {
    if (bytes.length !== rawBytes) throw mismatch(codec, bytes.length, rawBytes);
    return bytes;
  }
  if (codec !== Codec.lz4) {
    throw new AuraError("AURA_UNSUPPORTED", `codec ${codec} is not known to this build`, {
      actual: codec,
    });
  }
  if (rawBytes > bytes.length * LZ4_RATIO_MAX) throw mismatch(codec, bytes.length, rawBytes);
  const raw = nativeRaw(bytes, rawBytes) ?? jsRaw(bytes, rawBytes);
  if (raw === undefined) throw mismatch(codec, bytes.length, rawBytes);
  return raw;
}

function jsRaw(bytes: Uint8Array, rawBytes: number): Uint8Array | undefined {
  const raw = new Uint8Array(rawBytes);
  return decodeLz4Block(bytes, raw) ? raw : undefined;
}

/** Returns undefined where the native module is not used or refuses: the decoder here has the last word. */
function nativeRaw(bytes: Uint8Array, rawBytes: number): Uint8Array | undefined {
  if (rawBytes < NATIVE_RAW_BYTES_MIN || rawBytes > NATIVE_INPUT_BYTES_MAX) return undefined;
  const lz4 = nativeLz4();
  if (lz4 === undefined) return undefined;
  const prefixed = new Uint8Array(NATIVE_PREFIX_BYTES + bytes.length);
  putU32(prefixed, 0, rawBytes);
  prefixed.set(bytes, NATIVE_PREFIX_BYTES);
  try {
    const raw = lz4.uncompressSync(prefixed);
    return raw.length === rawBytes ? raw : undefined;
  } catch {
    return undefined;
  }
}

function mismatch(codec: number, storedBytes: number, rawBytes: number): AuraError {
  return new AuraError(
    "AURA_CORRUPTION",
    `${storedBytes} bytes of codec ${codec} do not stand for ${rawBytes} bytes`,
    { expected: rawBytes },
  );
}
