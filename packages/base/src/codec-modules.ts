/**
 * The optional modules that codecs use: each is loaded when it is first needed, once, and may be
 * absent. Nothing is read from them at import, and none has to be waited for.
 */
import { createRequire } from "node:module";
import * as zlib from "node:zlib";

/** `lz4-napi`, as far as it is used. A block has its raw length in front, four bytes. */
export interface Lz4Module {
  /** Its memory is the module's, which takes it back in a turn of the event loop alone. */
  compressSync(data: Buffer): Buffer;
  uncompressSync(data: Uint8Array): Buffer;
}

/** `snappy`, as far as it is used. */
export interface SnappyModule {
  compressSync(data: Buffer, options: SnappyOptions): Buffer;
  /** Allocates what the block says of itself. */
  uncompressSync(data: Buffer, options: SnappyOptions): Buffer;
}

/** How `snappy` answers: with bytes, and with memory that needs no turn of the event loop to go. */
export interface SnappyOptions {
  readonly asBuffer: true;
  readonly copyOutputData: true;
}

/** Zstandard of the runtime (`node:zlib` of Node 22.15, 23.8 and later), as far as it is used. */
export interface RuntimeZstd {
  compress(bytes: Uint8Array, level: number, dictionary: Uint8Array | undefined): Buffer;
  /** Throws when more than `bytesMax` bytes come out. */
  decompress(bytes: Uint8Array, bytesMax: number, dictionary: Uint8Array | undefined): Buffer;
  /** Whether a dictionary is taken into account: the first releases ignore it. */
  readonly hasDictionaries: boolean;
}

/** Options of its functions. */
export interface ZstdOptions {
  readonly params?: Record<number, number>;
  readonly dictionary?: Uint8Array;
  readonly chunkSize?: number;
  readonly maxOutputLength?: number;
}

/** What `node:zlib` may have beside what the oldest supported runtime has. */
export interface ZstdOfZlib {
  readonly zstdCompressSync?: (bytes: Uint8Array, options: ZstdOptions) => Buffer;
  readonly zstdDecompressSync?: (bytes: Uint8Array, options: ZstdOptions) => Buffer;
  readonly constants: { readonly ZSTD_c_compressionLevel?: number };
}

/** Room in the output of zlib, so that it needs no second chunk to see the end. */
const CHUNK_MARGIN_BYTES = 64;

const loaded = new Map<string, unknown>();

/** Returns what `load` gives, undefined when it throws; asks once. */
export function loadOnce<T>(name: string, load: () => T | undefined): T | undefined {
  if (!loaded.has(name)) {
    let module: T | undefined;
    try {
      module = load();
    } catch {
      module = undefined; // not installed, or not for this platform
    }
    loaded.set(name, module);
  }
  return loaded.get(name) as T | undefined;
}

/** Returns `lz4-napi`, or undefined where it cannot be loaded. */
export function lz4Module(): Lz4Module | undefined {
  return loadOnce("lz4", () => createRequire(import.meta.url)("lz4-napi") as Lz4Module);
}

/** Returns `snappy`, or undefined where it cannot be loaded. */
export function snappyModule(): SnappyModule | undefined {
  return loadOnce("snappy", () => createRequire(import.meta.url)("snappy") as SnappyModule);
}

/** Returns the runtime's Zstandard, or undefined where it has none. */
export function runtimeZstd(): RuntimeZstd | undefined {
  return loadOnce("runtime zstd", () => runtimeZstdOf(zlib as unknown as ZstdOfZlib));
}

/** Returns the Zstandard of a `node:zlib`, or undefined when it has none. */
export function runtimeZstdOf(module: ZstdOfZlib): RuntimeZstd | undefined {
  const { zstdCompressSync: compressSync, zstdDecompressSync: decompressSync } = module;
  const levelKey = module.constants.ZSTD_c_compressionLevel;
  if (compressSync === undefined || decompressSync === undefined || levelKey === undefined) {
    return undefined;
  }
  const compress: RuntimeZstd["compress"] = (bytes, level, dictionary) =>
    compressSync(bytes, { params: { [levelKey]: level }, ...(dictionary && { dictionary }) });
  // 256 bytes that nothing but a dictionary can shorten.
  const probe = Uint8Array.from({ length: 256 }, (_, i) => i);
  return {
    compress,
    decompress: (bytes, bytesMax, dictionary) =>
      decompressSync(bytes, {
        chunkSize: bytesMax + CHUNK_MARGIN_BYTES,
        maxOutputLength: Math.max(1, bytesMax),
        ...(dictionary && { dictionary }),
      }),
    hasDictionaries: compress(probe, 3, probe).length < 128,
  };
}
