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
import { chunkTableBytes, RecordView, recordBytes, recordHeadBytes } from "./record.ts";
import { assertWithin, fetch, fetchSync } from "./value-fetch.ts";
import { ValueParts } from "./value-parts.ts";

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
    const length = recordBytes(keyEnd - keyStart, stored);
    const { file, bytes } = await fetch(this.#files, number, offset, length);
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

  /**
   * Opens the value of a pointer for reading parts of it, with one read for what is in front of it.
   * A value that is short or compressed is read whole here. Throws as `readSync`.
   */
  openSync(
    number: number,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): ValueParts {
    const keyLength = keyEnd - keyStart;
    if (codec !== Codec.none || chunkTableBytes(stored) === 0) {
      const whole = this.readSync(number, offset, stored, raw, codec, key, keyStart, keyEnd);
      return new ValueParts(this.#files, whole);
    }
    const file = this.#files.use(number);
    assertWithin(file, offset, recordBytes(keyLength, stored));
    const head = fetchSync(file, offset, recordHeadBytes(keyLength, stored));
    return this.#parts(file, head, offset, stored, raw, codec, key, keyStart, keyEnd);
  }

  /** As `openSync`, through the thread pool. The key must not change before the promise settles. */
  async open(
    number: number,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Promise<ValueParts> {
    const keyLength = keyEnd - keyStart;
    if (codec !== Codec.none || chunkTableBytes(stored) === 0) {
      const whole = await this.read(number, offset, stored, raw, codec, key, keyStart, keyEnd);
      return new ValueParts(this.#files, whole);
    }
    const { file, bytes: head } = await fetch(
      this.#files,
      number,
      offset,
      recordHeadBytes(keyLength, stored),
      recordBytes(keyLength, stored),
    );
    return this.#parts(file, head, offset, stored, raw, codec, key, keyStart, keyEnd);
  }

  /** Returns bytes [start, end) of a file, in which several records are, unverified. See `takeFrom`. */
  fetchSync(number: number, start: number, end: number): Buffer {
    return fetchSync(this.#files.use(number), start, end - start);
  }

  /** As `fetchSync`, through the thread pool. */
  async fetch(number: number, start: number, end: number): Promise<Buffer> {
    return (await fetch(this.#files, number, start, end - start)).bytes;
  }

  /**
   * Returns the value of a pointer out of `bytes`, which `fetch` got from `start` on in the same
   * file. Verified as in `readSync`; without a codec a view of `bytes`.
   */
  takeFrom(
    bytes: Buffer,
    start: number,
    number: number,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
  ): Buffer {
    const file = this.#files.use(number);
    const at = offset - start;
    const record = bytes.subarray(at, at + recordBytes(key.length, stored));
    this.#verify(file, record, offset, stored, raw, codec, key, 0, key.length);
    return this.#value(file, record, offset);
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
    if (!record.read(bytes, 0, bytes.length, file.uid!, offset))
      throw refused(file, offset, record);
    assertMeant(file, offset, record, bytes, stored, raw, codec, key, keyStart, keyEnd);
  }

  /** Verifies what stands in front of a value that is hashed in chunks. */
  #parts(
    file: ValueFile,
    head: Buffer,
    offset: number,
    stored: number,
    raw: number,
    codec: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): ValueParts {
    const record = new RecordView();
    if (!record.readHead(head, 0, head.length, file.uid!, offset)) {
      throw refused(file, offset, record);
    }
    assertMeant(file, offset, record, head, stored, raw, codec, key, keyStart, keyEnd);
    if (!record.checkTable(head)) throw refused(file, offset, record);
    return new ValueParts(this.#files, { number: file.number, offset, head, record });
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

/** Throws unless the record that was read is the one that the pointer means. */
function assertMeant(
  file: ValueFile,
  offset: number,
  record: RecordView,
  bytes: Uint8Array,
  stored: number,
  raw: number,
  codec: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
): void {
  const { keyStart: from, keyEnd: to } = record;
  if (compareBytes(bytes, from, to, key, keyStart, keyEnd) !== 0) {
    throw corruption(file.path, offset, "a value record of another key");
  }
  if (record.stored !== stored || record.raw !== raw || record.codec !== codec) {
    throw corruption(file.path, offset, "a value record of other lengths than its pointer");
  }
}

function refused(file: ValueFile, offset: number, record: RecordView): AuraError {
  if (record.problem === "unsupported") return unsupported(file, offset);
  return corruption(file.path, offset, `a value record fails its check (${record.problem})`);
}

function unsupported(file: ValueFile, offset: number): AuraError {
  return new AuraError("AURA_UNSUPPORTED", `${file.path}: a record of a later build`, {
    file: file.path,
    offset,
  });
}
