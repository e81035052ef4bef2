/**
 * Value reader: follows pointers into segments and value logs.
 *
 * What it returns was verified: checksums of head and value, bound to file and place; key; lengths
 * and codec as the pointer says. The bytes are the caller's: fresh, shared with nobody. One read
 * call per value. Lengths are checked against the file before anything is allocated.
 */
import { Buffer } from "node:buffer";
import {
  AuraError,
  assert,
  Codec,
  compareBytes,
  corruption,
  decompress,
  type FileSystem,
  hasCode,
  type Uid,
} from "@aura/base";
import { OpenFiles, type ValueFile } from "./open-files.ts";
import { RecordView, recordBytes } from "./record.ts";

/** Reads values by pointer. Not shared between threads. */
export class ValueReader {
  readonly #files: OpenFiles;
  readonly #record: RecordView = new RecordView();

  /**
   * `pathOf` names the file of a number that was not registered. At most `maxOpenFiles` handles
   * (1 or more) stay open.
   */
  constructor(fs: FileSystem, pathOf: (number: number) => string, maxOpenFiles: number) {
    assert(maxOpenFiles >= 1, "a value reader needs an open file");
    this.#files = new OpenFiles(fs, pathOf, maxOpenFiles);
  }

  /** Handles that are open. */
  get openCount(): number {
    return this.#files.openCount;
  }

  /** Names the file of a number; with `uid`, another file in its place is refused. */
  register(number: number, path: string, uid?: Uid): void {
    this.#files.register(number, path, uid);
  }

  /** Returns the uid of a file, opening the file when that was not done yet. */
  uidOf(number: number): Uid {
    return this.#files.use(number).uid!;
  }

  /** Closes a file, behind reads under way, and forgets what was registered for it. */
  forget(number: number): void {
    this.#files.forget(number);
  }

  /** Closes all files, behind reads under way. Idempotent. */
  closeSync(): void {
    this.#files.forgetAll();
  }

  /**
   * Returns the value of the record that the pointer (`number`, `offset`, `stored`, `raw`, `codec`)
   * names, which must be of the key `key[keyStart, keyEnd)`. Throws AURA_CORRUPTION,
   * AURA_UNSUPPORTED (a record of a later build), AURA_NOT_FOUND (no such file), AURA_IO.
   */
  readSync(
    number: number,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Buffer {
    const file = this.#files.use(number);
    const bytes = fetchSync(file, offset, recordBytes(keyEnd - keyStart, stored));
    this.#verify(file, bytes, offset, stored, raw, codec, key, keyStart, keyEnd);
    return this.#value(file, bytes, offset);
  }

  /** As `readSync`, through the thread pool. The key must not change before the promise settles. */
  async read(
    number: number,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Promise<Buffer> {
    const file = this.#files.use(number);
    const bytes = allocate(file, offset, recordBytes(keyEnd - keyStart, stored));
    file.readers++;
    try {
      const read = await file.handle!.read(bytes, offset);
      if (read < bytes.length) throw corruption(file.path, offset, "the file ends in a record");
    } finally {
      this.#files.release(file);
    }
    this.#verify(file, bytes, offset, stored, raw, codec, key, keyStart, keyEnd);
    return this.#value(file, bytes, offset);
  }

  /**
   * Returns the whole record that a pointer names, as it is stored, verified as in `readSync`: what
   * `SegmentWriter.copyRecord` takes. The bytes are the caller's.
   */
  readRecordSync(
    number: number,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Buffer {
    const file = this.#files.use(number);
    const bytes = fetchSync(file, offset, recordBytes(keyEnd - keyStart, stored));
    this.#verify(file, bytes, offset, stored, raw, codec, key, keyStart, keyEnd);
    return bytes;
  }

  #verify(
    file: ValueFile,
    bytes: Buffer,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): void {
    const record = this.#record;
    if (!record.read(bytes, 0, bytes.length, file.uid!, offset)) {
      if (record.problem === "unsupported") throw unsupported(file, offset);
      throw corruption(file.path, offset, `a value record fails its check (${record.problem})`);
    }
    const { keyStart: from, keyEnd: to } = record;
    if (compareBytes(bytes, from, to, key, keyStart, keyEnd) !== 0) {
      throw corruption(file.path, offset, "a value record of another key");
    }
    if (record.stored !== stored || record.raw !== raw || record.codec !== codec) {
      throw corruption(file.path, offset, "a value record of other lengths than its pointer");
    }
  }

  /** Returns the value of the record that was verified last. */
  #value(file: ValueFile, bytes: Buffer, offset: number): Buffer {
    const { valueStart, valueEnd, codec, raw } = this.#record;
    const stored = bytes.subarray(valueStart, valueEnd);
    if (codec === Codec.none) return stored;
    try {
      const value = decompress(codec as Codec, stored, raw);
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    } catch (cause) {
      // Whole, as its checksum says, and yet no such codec or not what the codec makes.
      if (hasCode(cause, "AURA_UNSUPPORTED")) throw unsupported(file, offset);
      if (!hasCode(cause, "AURA_CORRUPTION")) throw cause;
      throw corruption(file.path, offset, "a value does not decompress");
    }
  }
}

/** Reads a record's bytes on this thread. */
function fetchSync(file: ValueFile, offset: number, length: number): Buffer {
  const bytes = allocate(file, offset, length);
  const read = file.handle!.readSync(bytes, offset);
  if (read < length) throw corruption(file.path, offset, "the file ends in a record");
  return bytes;
}

/**
 * Returns memory for a record that the file can hold. Not cleared and not pooled: either a read
 * fills it to its last byte or it goes nowhere.
 */
function allocate(file: ValueFile, offset: number, length: number): Buffer {
  if (offset + length > file.bytes) {
    file.bytes = file.handle!.sizeSync();
    if (offset + length > file.bytes) {
      throw corruption(file.path, offset, "a pointer leads beyond the end of the file");
    }
  }
  return Buffer.allocUnsafeSlow(length);
}

function unsupported(file: ValueFile, offset: number): AuraError {
  return new AuraError("AURA_UNSUPPORTED", `${file.path}: a record of a later build`, {
    file: file.path,
    offset,
  });
}
