/**
 * Codecs: how blocks and values are compressed.
 *
 * Whatever any build wrote, this one reads: decoding never needs an optional module. Compressing
 * with LZ4, Snappy and Zstandard does; `canCompress` says whether it is there. Stored bytes are the
 * bare format; the raw length stands beside them, under the owner's checksum, and bounds what
 * decompressing allocates.
 *
 * What LZ4 compressed into lies in memory of its native module, which is given back in a turn of the
 * event loop: whoever compresses much has to turn it. Everything else goes when it is collected.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { putU32 } from "./bytes.ts";
import { lz4Module, runtimeZstd, type SnappyOptions, snappyModule } from "./codec-modules.ts";
import { AuraError, assert } from "./errors.ts";
import { decodeLz4Block } from "./lz4-decoder.ts";
import { decodeSnappyBlock, isSnappyBlockOf } from "./snappy-decoder.ts";
import { decodeZstdFrame } from "./zstd-decoder.ts";
import { readZstdFrame } from "./zstd-frame.ts";
import { ZSTD_WASM_BYTES_MAX, zstdWasm } from "./zstd-wasm.ts";

/** Codec ids. On disk. Never renumber. */
export const Codec = {
  none: 0,
  /** LZ4 block format. */
  lz4: 1,
  /** Snappy block format, with the length that it begins with. */
  snappy: 2,
  /** One Zstandard frame (RFC 8878). */
  zstd: 3,
  /** Deflate without a wrapper (RFC 1951). */
  deflate: 4,
} as const;

/** One of the codecs. */
export type Codec = (typeof Codec)[keyof typeof Codec];

/** What a codec is called in settings. */
export type CodecName = keyof typeof Codec;

/** Most raw bytes that one stored byte can stand for. Zstandard's frames say it themselves. */
const RATIO_MAX = { lz4: 255, snappy: 22, deflate: 1032 };

/** lz4-napi puts the raw length in front of a block, four bytes. */
const LZ4_PREFIX_BYTES = 4;
/** Below this raw length, a call of the native module costs more than decoding in JavaScript (measured). */
const LZ4_NATIVE_BYTES_MIN = 1024;
const SNAPPY_NATIVE_BYTES_MIN = 8192;
/** Memory that the module itself hands out would stay, measured, until a turn of the event loop. */
const SNAPPY_OPTIONS: SnappyOptions = { asBuffer: true, copyOutputData: true };
/** Longest input that goes to a native module: lengths there are 32-bit signed. */
const NATIVE_INPUT_BYTES_MAX = 0x7e000000;

const ZSTD_LEVEL = 3;
/** From this raw length on the runtime's Zstandard is faster than WebAssembly (measured). */
const ZSTD_RUNTIME_BYTES_MIN = 128 * 1024;
/** Shorter dictionaries are ignored by the reference implementation. */
const DICTIONARY_BYTES_MIN = 8;

const DEFLATE_LEVEL = 1;
/** Room in the output of zlib, so that it needs no second chunk to see the end. */
const CHUNK_MARGIN_BYTES = 64;

/** Returns whether this process can compress with the codec. It can always decompress. */
export function canCompress(codec: Codec): boolean {
  switch (codec) {
    case Codec.lz4:
      return lz4Module() !== undefined;
    case Codec.snappy:
      return snappyModule() !== undefined;
    case Codec.zstd:
      return zstdWasm() !== undefined || runtimeZstd() !== undefined;
    default:
      return true;
  }
}

/** Returns whether this process can compress with LZ4. */
export function lz4Available(): boolean {
  return canCompress(Codec.lz4);
}

/**
 * Returns whether compressing pays: it saves at least an eighth. Below that, reading without
 * unpacking is worth more than the space.
 */
export function pays(storedBytes: number, rawBytes: number): boolean {
  return storedBytes * 8 <= rawBytes * 7;
}

/**
 * Returns `bytes` compressed, or undefined when that does not pay (`pays`), when this process
 * cannot compress with `codec`, or when the bytes are too long for its encoder; store the bytes as
 * they are then, with `Codec.none`. The result is fresh. `dictionary`, for zstd only, is 8 bytes or
 * more of content that is like the bytes, or a trained dictionary; whoever decompresses needs it.
 */
export function compress(
  codec: Codec,
  bytes: Uint8Array,
  dictionary?: Uint8Array,
): Uint8Array | undefined {
  assertDictionary(codec, dictionary);
  if (bytes.length === 0 || bytes.length > NATIVE_INPUT_BYTES_MAX) return undefined;
  const stored = encode(codec, bytes, dictionary);
  return stored !== undefined && pays(stored.length, bytes.length) ? stored : undefined;
}

function encode(
  codec: Codec,
  bytes: Uint8Array,
  dictionary: Uint8Array | undefined,
): Uint8Array | undefined {
  switch (codec) {
    case Codec.lz4:
      return lz4Module()?.compressSync(bufferOf(bytes)).subarray(LZ4_PREFIX_BYTES);
    case Codec.snappy:
      return snappyModule()?.compressSync(bufferOf(bytes), SNAPPY_OPTIONS);
    case Codec.zstd:
      return encodeZstd(bytes, dictionary);
    case Codec.deflate:
      return deflateRawSync(bytes, { level: DEFLATE_LEVEL });
    default:
      return undefined;
  }
}

/**
 * Returns the `rawBytes` bytes that `bytes` stand for. With `Codec.none` that is `bytes` itself,
 * else it is fresh. At most `rawBytes` are allocated (and little beside), and nothing when `bytes`
 * cannot stand for as many. `dictionary` is the one that `compress` was given.
 * Throws AURA_CORRUPTION when `bytes` are not `rawBytes` bytes compressed, AURA_UNSUPPORTED for a
 * codec that this build does not know.
 */
export function decompress(
  codec: number,
  bytes: Uint8Array,
  rawBytes: number,
  dictionary?: Uint8Array,
): Uint8Array {
  assertDictionary(codec, dictionary);
  const raw = decode(codec, bytes, rawBytes, dictionary);
  if (raw !== undefined) return raw;
  throw new AuraError(
    "AURA_CORRUPTION",
    `${bytes.length} bytes of codec ${codec} do not stand for ${rawBytes} bytes`,
    { expected: rawBytes },
  );
}

function decode(
  codec: number,
  bytes: Uint8Array,
  rawBytes: number,
  dictionary: Uint8Array | undefined,
): Uint8Array | undefined {
  switch (codec) {
    case Codec.none:
      return bytes.length === rawBytes ? bytes : undefined;
    case Codec.lz4:
      if (rawBytes > bytes.length * RATIO_MAX.lz4) return undefined;
      return lz4Raw(bytes, rawBytes) ?? decoded(decodeLz4Block, bytes, rawBytes);
    case Codec.snappy:
      if (rawBytes > bytes.length * RATIO_MAX.snappy) return undefined;
      return snappyRaw(bytes, rawBytes) ?? decoded(decodeSnappyBlock, bytes, rawBytes);
    case Codec.zstd:
      return decodeZstd(bytes, rawBytes, dictionary);
    case Codec.deflate:
      if (rawBytes > bytes.length * RATIO_MAX.deflate) return undefined;
      return inflate(bytes, rawBytes);
    default:
      throw new AuraError("AURA_UNSUPPORTED", `codec ${codec} is not known to this build`, {
        actual: codec,
      });
  }
}

function decoded(
  decoder: (source: Uint8Array, target: Uint8Array, dictionary?: Uint8Array) => boolean,
  bytes: Uint8Array,
  rawBytes: number,
  dictionary?: Uint8Array,
): Uint8Array | undefined {
  const raw = new Uint8Array(rawBytes);
  return decoder(bytes, raw, dictionary) ? raw : undefined;
}

/** Returns undefined where the native module is not used or refuses: the decoder here has the last word. */
function lz4Raw(bytes: Uint8Array, rawBytes: number): Uint8Array | undefined {
  if (rawBytes < LZ4_NATIVE_BYTES_MIN || rawBytes > NATIVE_INPUT_BYTES_MAX) return undefined;
  const lz4 = lz4Module();
  if (lz4 === undefined) return undefined;
  const prefixed = new Uint8Array(LZ4_PREFIX_BYTES + bytes.length);
  putU32(prefixed, 0, rawBytes);
  prefixed.set(bytes, LZ4_PREFIX_BYTES);
  try {
    const raw = lz4.uncompressSync(prefixed);
    return raw.length === rawBytes ? raw : undefined;
  } catch {
    return undefined;
  }
}

/** As `lz4Raw`. */
function snappyRaw(bytes: Uint8Array, rawBytes: number): Uint8Array | undefined {
  if (rawBytes < SNAPPY_NATIVE_BYTES_MIN || rawBytes > NATIVE_INPUT_BYTES_MAX) return undefined;
  if (!isSnappyBlockOf(bytes, rawBytes)) return undefined;
  try {
    const raw = snappyModule()?.uncompressSync(bufferOf(bytes), SNAPPY_OPTIONS);
    return raw?.length === rawBytes ? raw : undefined;
  } catch {
    return undefined;
  }
}

function encodeZstd(bytes: Uint8Array, dictionary: Uint8Array | undefined): Uint8Array | undefined {
  const wasm = zstdWasm();
  if (wasm !== undefined && bytes.length < ZSTD_RUNTIME_BYTES_MIN) {
    return wasm.compress(bytes, ZSTD_LEVEL, dictionary);
  }
  const runtime = runtimeZstd();
  if (runtime !== undefined && (dictionary === undefined || runtime.hasDictionaries)) {
    return runtime.compress(bytes, ZSTD_LEVEL, dictionary);
  }
  return wasm?.compress(bytes, ZSTD_LEVEL, dictionary);
}

function decodeZstd(
  bytes: Uint8Array,
  rawBytes: number,
  dictionary: Uint8Array | undefined,
): Uint8Array | undefined {
  const frame = readZstdFrame(bytes);
  if (frame === undefined || rawBytes > frame.bytesMax) return undefined;
  if (frame.contentBytes >= 0 && frame.contentBytes !== rawBytes) return undefined;
  const runtime = runtimeZstd();
  const runtimeServes = dictionary === undefined || runtime?.hasDictionaries === true;
  const wasm = rawBytes <= ZSTD_WASM_BYTES_MAX ? zstdWasm() : undefined;
  if (runtime !== undefined && runtimeServes) {
    if (wasm === undefined || rawBytes >= ZSTD_RUNTIME_BYTES_MIN) {
      try {
        const raw = runtime.decompress(bytes, rawBytes, dictionary);
        if (raw.length === rawBytes) return raw;
      } catch {
        // The decoder here has the last word.
      }
      return decoded(decodeZstdFrame, bytes, rawBytes, dictionary);
    }
  }
  return (
    wasm?.decompress(bytes, rawBytes, dictionary) ??
    decoded(decodeZstdFrame, bytes, rawBytes, dictionary)
  );
}

function inflate(bytes: Uint8Array, rawBytes: number): Uint8Array | undefined {
  try {
    const { buffer, engine } = inflateRawSync(bytes, {
      chunkSize: rawBytes + CHUNK_MARGIN_BYTES,
      maxOutputLength: Math.max(1, rawBytes),
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    // What stands behind the end of the stream would be ignored.
    return buffer.length === rawBytes && engine.bytesWritten === bytes.length ? buffer : undefined;
  } catch {
    return undefined;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function assertDictionary(codec: number, dictionary: Uint8Array | undefined): void {
  if (dictionary === undefined) return;
  assert(codec === Codec.zstd, "only zstd takes a dictionary");
  assert(dictionary.length >= DICTIONARY_BYTES_MIN, "a dictionary of 8 bytes or more");
}
