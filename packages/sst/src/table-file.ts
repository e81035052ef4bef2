/**
 * The open file of a table: header, footer and sections at open, and verified pieces of it after.
 *
 * What leaves this file has passed its checksum; a data block has passed `checkBlock` too. No
 * length is trusted before it was compared with the size of the file. The handle may be given back
 * between reads (`releaseHandle`) and is opened again by the next one.
 */
import {
  AuraError,
  Codec,
  corruption,
  decodeFileHeader,
  decompress,
  FILE_HEADER_BYTES,
  type FileHandle,
  type FileSystem,
  FileType,
  getU32,
  type Uid,
} from "@aura/base";
import { RAW_LENGTH_BYTES } from "./block-builder.ts";
import { BlockState, checkBlock } from "./block-check.ts";
import { decodeBlockMap } from "./block-map.ts";
import type { BlockOffsets } from "./block-offsets.ts";
import { DICTIONARY_BYTES_MIN, DICTIONARY_FLAG } from "./block-packer.ts";
import {
  BLOCK_TRAILER_BYTES,
  checkBlockTrailer,
  decodeFooter,
  FOOTER_BYTES,
  type Footer,
  type Section,
} from "./format.ts";
import { decodeProperties } from "./properties.ts";

/** Which file is expected at a path. */
export interface TableIdentity {
  readonly path: string;
  readonly number: number;
  readonly uid: Uid;
  readonly databaseUuid: Uint8Array;
}

/** A raw block: bytes[start, end). */
export interface RawBlock {
  bytes: Uint8Array;
  start: number;
  end: number;
}

/** A table's file. */
export class TableFile {
  readonly path: string;
  readonly footer: Footer;
  readonly fileBytes: number;
  readonly offsets: BlockOffsets;
  readonly #fs: FileSystem;
  readonly #uid: Uid;
  #handle: FileHandle | undefined;
  #closed = false;
  #dictionary: Uint8Array | undefined;
  /** Reads on the thread pool that use the handle. */
  #reading = 0;

  /** Opens and checks header, footer and block map. Throws AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_IO. */
  constructor(fs: FileSystem, identity: TableIdentity) {
    this.#fs = fs;
    this.path = identity.path;
    this.#uid = identity.uid;
    this.#handle = fs.openSync(identity.path, "read");
    try {
      this.fileBytes = this.#handle.sizeSync();
      this.#checkHeader(identity);
      const footerAt = this.fileBytes - FOOTER_BYTES;
      if (footerAt < FILE_HEADER_BYTES)
        throw corruption(this.path, this.fileBytes, "table cut off");
      this.footer = decodeFooter(
        this.#readAt(footerAt, FOOTER_BYTES),
        this.#uid,
        footerAt,
        this.path,
      );
      const { blockMap, separators, blockCount } = this.footer;
      const map = this.sectionSync(blockMap);
      this.offsets = decodeBlockMap(map, blockCount, separators.offset, this.path, blockMap.offset);
    } catch (error) {
      this.#handle.closeSync();
      throw error;
    }
  }

  /** Gives the table's dictionary, so that it is not read again. */
  setDictionary(dictionary: Uint8Array): void {
    this.#dictionary = dictionary;
  }

  get blockCount(): number {
    return this.footer.blockCount;
  }

  get uid(): Uid {
    return this.#uid;
  }

  /** Reads and verifies a section. The result is the caller's. Precondition: it is present. */
  sectionSync(section: Section): Uint8Array {
    return this.#openSection(this.#readAt(section.offset, section.bytes), section);
  }

  /** As `sectionSync`, through the thread pool. */
  async section(section: Section): Promise<Uint8Array> {
    const bytes = await this.read(section.offset, new Uint8Array(section.bytes));
    return this.#openSection(bytes, section);
  }

  /** Fills `target` from `offset`, on this thread, and returns it. Throws AURA_IO, AURA_CORRUPTION. */
  readSync(offset: number, target: Uint8Array): Uint8Array {
    const read = this.#open().readSync(target, offset);
    if (read !== target.length) throw this.#cutOff(offset + read);
    return target;
  }

  /** Fills `target` from `offset`, through the thread pool, and returns it. */
  async read(offset: number, target: Uint8Array): Promise<Uint8Array> {
    const handle = this.#open();
    this.#reading++;
    try {
      const read = await handle.read(target, offset);
      if (read !== target.length) throw this.#cutOff(offset + read);
    } finally {
      this.#reading--;
      if (this.#closed && this.#reading === 0) handle.closeSync();
    }
    if (this.#closed) throw this.#closedError();
    return target;
  }

  /**
   * Verifies the stored block `bytes[start, end)`, trailer included, which was read as block
   * `block`, and sets `target` to its raw form: in place when it is not compressed, else fresh.
   * Throws AURA_CORRUPTION or AURA_UNSUPPORTED.
   */
  openBlock(block: number, bytes: Uint8Array, start: number, end: number, target: RawBlock): void {
    const offset = this.offsets.at(block);
    checkBlockTrailer(bytes, start, end, this.#uid, offset, this.path);
    const codec = bytes[end - BLOCK_TRAILER_BYTES]!;
    target.bytes = bytes;
    target.start = start;
    target.end = end - BLOCK_TRAILER_BYTES;
    if (codec !== Codec.none) {
      target.bytes = this.#unpack(codec, bytes, start, target.end, offset);
      target.start = 0;
      target.end = target.bytes.length;
    }
    const state = checkBlock(target.bytes, target.start, target.end);
    if (state === BlockState.sound) return;
    if (state === BlockState.corrupt) throw corruption(this.path, offset, "data block malformed");
    throw new AuraError(
      "AURA_UNSUPPORTED",
      `${this.path}: data block at offset ${offset} holds entries of a kind unknown to this build`,
      { file: this.path, offset },
    );
  }

  /** Gives the handle back; the next read opens the file again. Does nothing while reads are under way. */
  releaseHandle(): void {
    if (this.#reading > 0 || this.#handle === undefined) return;
    const handle = this.#handle;
    this.#handle = undefined;
    handle.closeSync();
  }

  get hasHandle(): boolean {
    return this.#handle !== undefined;
  }

  /** Closes the file, at the latest when the reads under way end. Idempotent. */
  closeSync(): void {
    if (this.#closed) return;
    this.#closed = true;
    const handle = this.#handle;
    this.#handle = undefined;
    if (this.#reading === 0) handle?.closeSync();
  }

  #openSection(bytes: Uint8Array, section: Section): Uint8Array {
    checkBlockTrailer(bytes, 0, bytes.length, this.#uid, section.offset, this.path);
    const end = bytes.length - BLOCK_TRAILER_BYTES;
    if (bytes[end] !== Codec.none) {
      throw new AuraError(
        "AURA_UNSUPPORTED",
        `${this.path}: codec ${bytes[end]} of the section at offset ${section.offset}`,
        { file: this.path, offset: section.offset, expected: Codec.none, actual: bytes[end]! },
      );
    }
    return bytes.subarray(0, end);
  }

  #unpack(
    codec: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    offset: number,
  ): Uint8Array {
    const dictionary =
      (codec & DICTIONARY_FLAG) === 0 ? undefined : this.#dictionaryOf(codec, offset);
    const stored = end - start - RAW_LENGTH_BYTES;
    const rawBytes = stored < 0 ? 0 : getU32(bytes, start);
    if (stored < 0 || rawBytes > this.footer.rawBlockBytesMax) {
      throw corruption(this.path, offset, "length of a compressed block");
    }
    const packed = bytes.subarray(start + RAW_LENGTH_BYTES, end);
    try {
      return decompress(codec & ~DICTIONARY_FLAG, packed, rawBytes, dictionary);
    } catch (cause) {
      throw this.#located(cause, offset);
    }
  }

  /** Returns the table's dictionary, which the block at `offset` needs; reads it the first time. */
  #dictionaryOf(codec: number, offset: number): Uint8Array {
    if (codec !== (Codec.zstd | DICTIONARY_FLAG)) {
      throw new AuraError("AURA_UNSUPPORTED", `${this.path}: codec ${codec} at offset ${offset}`, {
        file: this.path,
        offset,
        actual: codec,
      });
    }
    const { properties } = this.footer;
    this.#dictionary ??= decodeProperties(
      this.sectionSync(properties),
      this.path,
      properties.offset,
    ).dictionary;
    if (this.#dictionary.length >= DICTIONARY_BYTES_MIN) return this.#dictionary;
    throw corruption(this.path, offset, "block of a dictionary that the table does not have");
  }

  /** Returns an error of a codec with file and offset. */
  #located(cause: unknown, offset: number): unknown {
    const { code, message } = cause as AuraError;
    if (code !== "AURA_CORRUPTION" && code !== "AURA_UNSUPPORTED") return cause;
    const text = `${this.path}: block at offset ${offset}: ${message}`;
    return new AuraError(code, text, { cause, file: this.path, offset });
  }

  #checkHeader(identity: TableIdentity): void {
    const bytes = this.#readAt(0, Math.min(FILE_HEADER_BYTES, this.fileBytes));
    const header = decodeFileHeader(bytes, this.path);
    const { uid, number, databaseUuid } = identity;
    const expected =
      header.type === FileType.table &&
      header.number === number &&
      header.uid.lo === uid.lo &&
      header.uid.hi === uid.hi &&
      header.databaseUuid.every((byte, i) => byte === databaseUuid[i]);
    if (!expected) throw corruption(this.path, 0, `not table ${number} of this database`);
  }

  #readAt(offset: number, length: number): Uint8Array {
    return this.readSync(offset, new Uint8Array(length));
  }

  #open(): FileHandle {
    if (this.#closed) throw this.#closedError();
    if (this.#handle === undefined) {
      const handle = this.#fs.openSync(this.path, "read");
      try {
        if (handle.sizeSync() !== this.fileBytes) throw this.#cutOff(0);
      } catch (error) {
        handle.closeSync();
        throw error;
      }
      this.#handle = handle;
    }
    return this.#handle;
  }

  #closedError(): AuraError {
    return new AuraError("AURA_CLOSED", `${this.path}: table is closed`, { file: this.path });
  }

  #cutOff(offset: number): AuraError {
    return corruption(this.path, offset, `not the ${this.fileBytes} bytes that it had when opened`);
  }
}
