/**
 * Open files of a value reader: a bounded set of handles, the longest unused one closed first.
 *
 * A file's header is read once; its uid stays known when its handle is closed for room. A handle
 * with a read under way is never closed; the bound may be passed by as many. Who reads through the
 * thread pool gets the header through it as well.
 */
import {
  AuraError,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHandle,
  type FileSystem,
  FileType,
  type Uid,
} from "@aura/base";

/** A file that values are read from. */
export interface ValueFile {
  readonly number: number;
  readonly path: string;
  /** As registered, or as the header says once it was read. */
  uid: Uid | undefined;
  /** The header was read and is that of this file. */
  verified: boolean;
  handle: FileHandle | undefined;
  /** The file was at least this long when last looked at. */
  bytes: number;
  /** Reads on the thread pool that use the handle, or wait for it. */
  readers: number;
  /** Under way while the header is read through the thread pool. */
  opening: Promise<void> | undefined;
  lastUse: number;
  /** Nobody may read it any more; its handle is closed with the last reader. */
  forgotten: boolean;
}

/** Value files by number, at most `maxOpen` of them open. */
export class OpenFiles {
  readonly #fs: FileSystem;
  readonly #pathOf: (number: number) => string;
  readonly #maxOpen: number;
  readonly #files = new Map<number, ValueFile>();
  #open = 0;
  #uses = 0;

  constructor(fs: FileSystem, pathOf: (number: number) => string, maxOpen: number) {
    this.#fs = fs;
    this.#pathOf = pathOf;
    this.#maxOpen = maxOpen;
  }

  /** Handles that are open. */
  get openCount(): number {
    return this.#open;
  }

  /** Makes a file known, in place of what was known under its number. */
  register(number: number, path: string, uid: Uid | undefined): void {
    this.forget(number);
    this.#files.set(number, {
      number,
      path,
      uid,
      verified: false,
      handle: undefined,
      bytes: 0,
      readers: 0,
      opening: undefined,
      lastUse: 0,
      forgotten: false,
    });
  }

  /** Returns the file `number`, open. */
  use(number: number): ValueFile {
    const file = this.#known(number);
    if (file.handle === undefined) this.#openSync(file);
    return file;
  }

  /** Returns the file `number`, held open until `release`; undefined when that takes a read. */
  hold(number: number): ValueFile | undefined {
    const file = this.#known(number);
    if (file.handle === undefined) {
      if (!file.verified) return undefined;
      this.#openSync(file);
    }
    file.readers++;
    return file;
  }

  /** As `hold`, where that takes a read: through the thread pool. */
  async holdCold(number: number): Promise<ValueFile> {
    const file = this.#known(number);
    file.readers++;
    try {
      while (file.handle === undefined) {
        file.opening ??= this.#openCold(file).finally(() => {
          file.opening = undefined;
        });
        await file.opening;
      }
    } catch (error) {
      this.release(file);
      throw error;
    }
    return file;
  }

  #known(number: number): ValueFile {
    let file = this.#files.get(number);
    if (file === undefined) {
      this.register(number, this.#pathOf(number), undefined);
      file = this.#files.get(number)!;
    }
    file.lastUse = ++this.#uses;
    return file;
  }

  /** Ends a read on the thread pool. */
  release(file: ValueFile): void {
    file.readers--;
    if (file.readers > 0) return;
    if (file.forgotten) this.#close(file);
    else if (this.#open > this.#maxOpen) this.#closeUnused(this.#maxOpen);
  }

  /** Closes a file, now or behind its last reader, and forgets it. */
  forget(number: number): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    this.#files.delete(number);
    file.forgotten = true;
    if (file.readers === 0) this.#close(file);
  }

  /** Forgets every file. */
  forgetAll(): void {
    for (const number of [...this.#files.keys()]) this.forget(number);
  }

  #openSync(file: ValueFile): void {
    if (this.#open >= this.#maxOpen) this.#closeUnused(this.#maxOpen - 1);
    const handle = this.#fs.openSync(file.path, "read");
    try {
      file.bytes = handle.sizeSync();
      if (!file.verified) {
        const bytes = new Uint8Array(FILE_HEADER_BYTES);
        verifyHeader(bytes.subarray(0, handle.readSync(bytes, 0)), file);
      }
    } catch (error) {
      handle.closeSync();
      throw error;
    }
    file.handle = handle;
    this.#open++;
  }

  async #openCold(file: ValueFile): Promise<void> {
    if (this.#open >= this.#maxOpen) this.#closeUnused(this.#maxOpen - 1);
    const handle = this.#fs.openSync(file.path, "read");
    try {
      const bytes = new Uint8Array(FILE_HEADER_BYTES);
      const read = await handle.read(bytes, 0);
      verifyHeader(bytes.subarray(0, read), file);
      // Somebody on this thread may have been faster.
      if (file.handle === undefined) {
        file.bytes = handle.sizeSync();
        file.handle = handle;
        this.#open++;
      }
    } finally {
      if (file.handle !== handle) handle.closeSync();
    }
  }

  /** Closes handles, longest unused first, until at most `wanted` are open. */
  #closeUnused(wanted: number): void {
    while (this.#open > wanted) {
      let oldest: ValueFile | undefined;
      for (const file of this.#files.values()) {
        if (file.handle === undefined || file.readers > 0) continue;
        if (oldest === undefined || file.lastUse < oldest.lastUse) oldest = file;
      }
      if (oldest === undefined) return;
      this.#close(oldest);
    }
  }

  #close(file: ValueFile): void {
    const handle = file.handle;
    if (handle === undefined) return;
    file.handle = undefined;
    this.#open--;
    handle.closeSync();
  }
}

/** Checks the header of a file that is opened for the first time. */
function verifyHeader(bytes: Uint8Array, file: ValueFile): void {
  const header = decodeFileHeader(bytes, file.path);
  if (header.type !== FileType.segment && header.type !== FileType.valueLog) {
    throw mismatch(file, "holds no values", "segment or value log", header.type);
  }
  if (header.number !== file.number) {
    throw mismatch(file, "has another number", file.number, header.number);
  }
  const { uid } = header;
  if (file.uid !== undefined && (file.uid.lo !== uid.lo || file.uid.hi !== uid.hi)) {
    throw mismatch(file, "is another file than expected", uidText(file.uid), uidText(uid));
  }
  file.uid = uid;
  file.verified = true;
}

function mismatch(
  file: ValueFile,
  what: string,
  expected: string | number,
  actual: string | number,
): AuraError {
  return new AuraError("AURA_CORRUPTION", `${file.path} ${what}`, {
    file: file.path,
    offset: 0,
    expected,
    actual,
  });
}

function uidText(uid: Uid): string {
  return `${uid.hi.toString(16).padStart(8, "0")}${uid.lo.toString(16).padStart(8, "0")}`;
}
