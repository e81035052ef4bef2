/**
 * Zstandard in WebAssembly: the module of `@bokuweb/zstd-wasm`, compiled and started on the spot.
 *
 * The package's own entry starts it asynchronously, which a job, that runs
 * without waiting, could not wait for, and sizes its memory by what a frame claims. So its inner module is used, of
 * exactly the version that the catalog pins; where that is not what it was, there is no module.
 * All memory that frames use is bounded here; it is never given back, so long input is refused.
 */
import { createRequire } from "node:module";
import { loadOnce } from "./codec-modules.ts";
import { nodeFileSystem } from "./node-fs.ts";

/** Longest input or output, bytes: the module keeps the memory that the longest one took. */
export const ZSTD_WASM_BYTES_MAX: number = 32 * 1024 * 1024;

/** WebAssembly as far as it is used: the types of the platform leave it out. */
interface Wasm {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => object;
}

/** The inner module: C functions on its own memory. */
interface ZstdC {
  HEAPU8: Uint8Array;
  instantiateWasm: (imports: object, started: (instance: object) => void) => object;
  init(): void;
  _malloc(bytes: number): number;
  _free(at: number): void;
  _ZSTD_createCCtx(): number;
  _ZSTD_createDCtx(): number;
  _ZSTD_compressBound(bytes: number): number;
  _ZSTD_isError(result: number): number;
  _ZSTD_compress_usingDict(
    ...args: readonly [
      context: number,
      target: number,
      targetBytes: number,
      source: number,
      sourceBytes: number,
      dictionary: number,
      dictionaryBytes: number,
      level: number,
    ]
  ): number;
  _ZSTD_decompress_usingDict(
    ...args: readonly [
      context: number,
      target: number,
      targetBytes: number,
      source: number,
      sourceBytes: number,
      dictionary: number,
      dictionaryBytes: number,
    ]
  ): number;
}

/** Returns Zstandard in WebAssembly, or undefined where it cannot be loaded. */
export function zstdWasm(): ZstdWasm | undefined {
  return loadOnce("zstd wasm", () => {
    const load = createRequire(import.meta.url);
    const entry = load.resolve("@bokuweb/zstd-wasm");
    const folder = entry.slice(0, Math.max(entry.lastIndexOf("/"), entry.lastIndexOf("\\")) + 1);
    const { Module: c } = load(`${folder}zstd.js`) as { Module: ZstdC };
    const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
    const code = readWhole(`${folder}zstd.wasm`);
    c.instantiateWasm = (imports, started) => {
      started(new Instance(new Module(code), imports));
      return {};
    };
    c.init();
    return new ZstdWasm(c);
  });
}

/** One module with its memory. One call at a time, on one thread. */
export class ZstdWasm {
  readonly #c: ZstdC;
  readonly #compressContext: number;
  readonly #decompressContext: number;
  /** Memory of the module for one call: source, dictionary, target in a row. */
  #room = 0;
  #roomBytes = 0;

  /** @internal Made by `zstdWasm`. */
  constructor(c: ZstdC) {
    this.#c = c;
    this.#compressContext = c._ZSTD_createCCtx();
    this.#decompressContext = c._ZSTD_createDCtx();
    if (this.#compressContext === 0 || this.#decompressContext === 0) throw new Error("no memory");
  }

  /** Returns one frame, fresh; undefined when there is no memory or the input is too long. */
  compress(
    bytes: Uint8Array,
    level: number,
    dictionary: Uint8Array | undefined,
  ): Uint8Array | undefined {
    if (bytes.length > ZSTD_WASM_BYTES_MAX) return undefined;
    const c = this.#c;
    const bound = c._ZSTD_compressBound(bytes.length);
    const known = dictionary?.length ?? 0;
    if (!this.#reserve(bytes.length + known + bound)) return undefined;
    const source = this.#room;
    const before = source + bytes.length;
    const target = before + known;
    c.HEAPU8.set(bytes, source);
    if (dictionary !== undefined) c.HEAPU8.set(dictionary, before);
    const written = c._ZSTD_compress_usingDict(
      ...[this.#compressContext, target, bound, source, bytes.length, before, known, level],
    );
    if (c._ZSTD_isError(written) !== 0) return undefined;
    return c.HEAPU8.slice(target, target + written);
  }

  /** Returns the content of a frame, fresh; undefined unless it has exactly `rawBytes`. */
  decompress(
    bytes: Uint8Array,
    rawBytes: number,
    dictionary: Uint8Array | undefined,
  ): Uint8Array | undefined {
    if (Math.max(bytes.length, rawBytes) > ZSTD_WASM_BYTES_MAX) return undefined;
    const c = this.#c;
    const known = dictionary?.length ?? 0;
    if (!this.#reserve(bytes.length + known + rawBytes)) return undefined;
    const source = this.#room;
    const before = source + bytes.length;
    const target = before + known;
    c.HEAPU8.set(bytes, source);
    if (dictionary !== undefined) c.HEAPU8.set(dictionary, before);
    const written = c._ZSTD_decompress_usingDict(
      ...[this.#decompressContext, target, rawBytes, source, bytes.length, before, known],
    );
    // An error is a number far above any length.
    return written === rawBytes ? c.HEAPU8.slice(target, target + written) : undefined;
  }

  #reserve(bytes: number): boolean {
    if (bytes <= this.#roomBytes) return true;
    const c = this.#c;
    if (this.#room !== 0) c._free(this.#room);
    this.#room = c._malloc(bytes);
    this.#roomBytes = this.#room === 0 ? 0 : bytes;
    return this.#room !== 0;
  }
}

function readWhole(path: string): Uint8Array {
  const file = nodeFileSystem.openSync(path, "read");
  try {
    const bytes = new Uint8Array(file.sizeSync());
    if (file.readSync(bytes, 0) !== bytes.length) throw new Error(`${path} is cut`);
    return bytes;
  } finally {
    file.closeSync();
  }
}
