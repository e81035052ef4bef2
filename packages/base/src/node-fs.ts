/**
 * The file system of the platform. The sync side costs one system call; the async side goes
 * through Node's thread pool with bare file descriptors, which is cheaper than its FileHandle.
 *
 * Reads and writes are complete or throw: short ones are continued, long ones go in pieces (one
 * call moves at most 2^31 - 1 bytes). A file that is closed while operations are under way is
 * closed behind the last of them, so that none ever meets a descriptor that was given anew.
 */
import fs from "node:fs";
import os from "node:os";
import { dirname } from "node:path";
import { holdDirectory, syncDir, syncDirSync } from "./directory-sync.ts";
import { AuraError, assert, hasCode } from "./errors.ts";
import type { FileHandle, FileLock, FileSystem } from "./fs.ts";
import { lockFile } from "./node-lock.ts";
import { systemRuntime } from "./runtime.ts";
import { systemError } from "./system-error.ts";

/** Most bytes that one call is asked to move. */
const PIECE_BYTES = 2 ** 30;
/** Most parts of one vectored write (IOV_MAX is 1024 where it matters). */
const PARTS_MAX = 1024;

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
const onWindows: boolean = process.platform === "win32";

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } = fs.constants;
/** Not defined on Windows. */
const O_NOFOLLOW: number = (fs.constants as { O_NOFOLLOW?: number }).O_NOFOLLOW ?? 0;

function noProgress(path: string, position: number): AuraError {
  return new AuraError("AURA_IO", `write made no progress on ${path} at offset ${position}`, {
    file: path,
    offset: position,
  });
}

/** Node takes a position that is no such number for "where the last call ended". */
function checkPosition(position: number): void {
  assert(Number.isSafeInteger(position) && position >= 0, "file position");
}

/** Runs a call of the platform; its error gets a code and the path. */
function call<T>(path: string, what: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw systemError(cause, path, what);
  }
}

/**
 * Returns what is left of `parts` behind the first `done` bytes, as far as one call may take it.
 * Never empty when bytes are left.
 */
function partsBehind(parts: readonly Uint8Array[], done: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = done;
  let room = PIECE_BYTES;
  for (const part of parts) {
    if (skip >= part.length) {
      skip -= part.length;
      continue;
    }
    const whole = skip === 0 && part.length <= room;
    const piece = whole ? part : part.subarray(skip, Math.min(part.length, skip + room));
    skip = 0;
    rest.push(piece);
    room -= piece.length;
    if (room === 0 || rest.length === PARTS_MAX) break;
  }
  return rest;
}

function totalBytes(parts: readonly Uint8Array[]): number {
  let total = 0;
  for (const part of parts) total += part.length;
  return total;
}

type Moved = (error: NodeJS.ErrnoException | null, bytes: number) => void;

class NodeFile implements FileHandle {
  readonly path: string;
  readonly token: number;
  readonly #isCreated: boolean;
  #underWay = 0;
  #closed = false;

  constructor(path: string, fd: number, isCreated: boolean) {
    this.path = path;
    this.token = fd;
    this.#isCreated = isCreated;
  }

  readSync(target: Uint8Array, position: number): number {
    checkPosition(position);
    const fd = this.#open();
    const length = target.length;
    let done = 0;
    try {
      while (done < length) {
        const wanted = Math.min(length - done, PIECE_BYTES);
        const moved = fs.readSync(fd, target, done, wanted, position + done);
        if (moved === 0) break;
        done += moved;
      }
    } catch (cause) {
      throw systemError(cause, this.path, "read");
    }
    return done;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#move("read", target.length, position, false, (fd, done, then) => {
      const wanted = Math.min(target.length - done, PIECE_BYTES);
      fs.read(fd, target, done, wanted, position + done, then);
    });
  }

  writeSync(bytes: Uint8Array, position: number): void {
    checkPosition(position);
    const fd = this.#open();
    const length = bytes.length;
    let done = 0;
    try {
      while (done < length) {
        const wanted = Math.min(length - done, PIECE_BYTES);
        const moved = fs.writeSync(fd, bytes, done, wanted, position + done);
        if (moved === 0) throw noProgress(this.path, position + done);
        done += moved;
      }
    } catch (cause) {
      throw systemError(cause, this.path, "write");
    }
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    await this.#move("write", bytes.length, position, true, (fd, done, then) => {
      const wanted = Math.min(bytes.length - done, PIECE_BYTES);
      fs.write(fd, bytes, done, wanted, position + done, then);
    });
  }

  writevSync(parts: readonly Uint8Array[], position: number): void {
    checkPosition(position);
    const fd = this.#open();
    const length = totalBytes(parts);
    let done = 0;
    try {
      while (done < length) {
        const moved = fs.writevSync(fd, partsBehind(parts, done), position + done);
        if (moved === 0) throw noProgress(this.path, position + done);
        done += moved;
      }
    } catch (cause) {
      throw systemError(cause, this.path, "write");
    }
  }

  async writev(parts: readonly Uint8Array[], position: number): Promise<void> {
    await this.#move("write", totalBytes(parts), position, true, (fd, done, then) => {
      fs.writev(fd, partsBehind(parts, done), position + done, then);
    });
  }

  syncSync(): void {
    const fd = this.#open();
    try {
      fs.fdatasyncSync(fd);
    } catch (cause) {
      throw systemError(cause, this.path, "sync");
    }
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      const fd = this.#begin();
      fs.fdatasync(fd, (cause) => {
        const closing = this.#end();
        if (cause !== null) reject(systemError(cause, this.path, "sync"));
        else if (closing !== undefined) reject(closing);
        else resolve();
      });
    });
  }

  truncateSync(bytes: number): void {
    const fd = this.#open();
    call(this.path, "truncate", () => fs.ftruncateSync(fd, bytes));
  }

  sizeSync(): number {
    const fd = this.#open();
    return call(this.path, "stat", () => fs.fstatSync(fd).size);
  }

  closeSync(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#underWay > 0) return; // closed behind the last operation
    const failure = this.#release();
    if (failure !== undefined) throw failure;
  }

  /** Gives the descriptor back. Returns an error that somebody has to hear of. */
  #release(): AuraError | undefined {
    try {
      fs.closeSync(this.token);
    } catch (cause) {
      if (this.#isCreated) return systemError(cause, this.path, "close");
    }
    return undefined;
  }

  /** Returns the descriptor, for a call on this thread. */
  #open(): number {
    if (this.#closed) {
      throw new AuraError("AURA_IO", `${this.path}: the file is closed`, { file: this.path });
    }
    return this.token;
  }

  /** Returns the descriptor, for an operation on the thread pool; `#end` must follow. */
  #begin(): number {
    const fd = this.#open();
    this.#underWay++;
    return fd;
  }

  /** Ends an operation; returns the error of a close that had to wait for it. */
  #end(): AuraError | undefined {
    this.#underWay--;
    return this.#underWay > 0 || !this.#closed ? undefined : this.#release();
  }

  /**
   * Repeats `step` until `length` bytes have moved or, for a read, the file ends. One operation:
   * begun once, ended once.
   */
  #move(
    what: "read" | "write",
    length: number,
    position: number,
    mustProgress: boolean,
    step: (fd: number, done: number, then: Moved) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      checkPosition(position);
      const fd = this.#begin();
      let done = 0;
      const finish = (error: AuraError | undefined): void => {
        const closing = this.#end();
        const failure = error ?? closing;
        if (failure === undefined) resolve(done);
        else reject(failure);
      };
      const moved: Moved = (cause, bytes) => {
        if (cause !== null) {
          finish(systemError(cause, this.path, what));
          return;
        }
        done += bytes;
        if (done >= length) finish(undefined);
        else if (bytes > 0) step(fd, done, moved);
        else finish(mustProgress ? noProgress(this.path, position + done) : undefined);
      };
      if (length === 0) {
        finish(undefined);
        return;
      }
      try {
        step(fd, 0, moved);
      } catch (cause) {
        finish(systemError(cause, this.path, what)); // an argument that Node refuses
      }
    });
  }
}

/**
 * Creates a directory and its parents. Not with Node's `recursive`, which answers ENOENT on a volume
 * that may only be read.
 */
function makeDirectories(path: string): void {
  const parent = dirname(path);
  if (parent !== path && !fs.existsSync(parent)) makeDirectories(parent);
  try {
    fs.mkdirSync(path, DIRECTORY_MODE);
  } catch (cause) {
    if (!isDirectory(path)) throw cause;
  }
}

function isDirectory(path: string): boolean {
  try {
    return fs.statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Of the running kernel, once it was asked: it cannot change while this process runs. */
let kernelIdentity: string | undefined;

function bootId(): string {
  kernelIdentity ??= readBootId();
  return kernelIdentity;
}

const BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id";

function readBootId(): string {
  try {
    return fs.readFileSync(BOOT_ID_PATH, "utf8").trim();
  } catch (cause) {
    // It has a name that could not be asked for. Another one would look like a power loss to the next process.
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EMFILE" || code === "ENFILE") throw systemError(cause, BOOT_ID_PATH, "open");
    // No kernel identity here: the host and when it booted, to the minute. It may differ between
    // two processes in one boot (a clock that was set), but is never equal in two boots.
    const bootedMs = systemRuntime.clock.wallMs() - os.uptime() * 1000;
    return `${os.hostname()}:${Math.round(bootedMs / 60_000)}`;
  }
}

/** Locks a directory, and holds it open for its syncs. */
async function lockDirectory(path: string, owner: string): Promise<FileLock> {
  const lock = await lockFile(path, owner);
  let letGo: () => void;
  try {
    letGo = holdDirectory(dirname(path));
  } catch (error) {
    lock.releaseSync();
    throw error;
  }
  return {
    releaseSync: () => {
      letGo();
      letGo = () => undefined;
      lock.releaseSync();
    },
  };
}

function openToRead(path: string): number {
  if (onWindows) {
    try {
      // It syncs nothing through a handle that may not write.
      return fs.openSync(path, O_RDWR);
    } catch {
      // It may only be read, or is not there.
    }
  }
  return fs.openSync(path, O_RDONLY);
}

/** The platform's file system. */
export const nodeFileSystem: FileSystem = {
  openSync(path: string, mode: "read" | "create"): FileHandle {
    if (mode === "read")
      return new NodeFile(
        path,
        call(path, "open", () => openToRead(path)),
        false,
      );
    const flags = O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW;
    return new NodeFile(
      path,
      call(path, "create", () => fs.openSync(path, flags, FILE_MODE)),
      true,
    );
  },
  existsSync(path: string): boolean {
    // Not fs.existsSync, which calls a file absent when it may only not look; and not throwIfNoEntry,
    // which from Node 22 on does so below a plain file.
    try {
      call(path, "stat", () => fs.statSync(path));
      return true;
    } catch (error) {
      if (hasCode(error, "AURA_NOT_FOUND")) return false;
      throw error;
    }
  },
  fileBytesSync(path: string): number {
    return call(path, "stat", () => fs.statSync(path).size);
  },
  listSync(directory: string): string[] {
    return call(directory, "list", () => fs.readdirSync(directory).sort());
  },
  makeDirectorySync(directory: string): void {
    call(directory, "mkdir", () => makeDirectories(directory));
  },
  removeDirectorySync(directory: string): void {
    call(directory, "rmdir", () => fs.rmdirSync(directory));
  },
  renameSync(source: string, target: string): void {
    call(source, "rename", () => fs.renameSync(source, target));
  },
  linkSync(source: string, target: string): void {
    call(source, "link", () => fs.linkSync(source, target));
  },
  unlinkSync(path: string): void {
    call(path, "unlink", () => fs.unlinkSync(path));
  },
  syncDirSync,
  syncDir,
  syncTokenSync(token: number): void {
    call(`descriptor ${token}`, "sync", () => fs.fdatasyncSync(token));
  },
  freeBytesSync(path: string): number {
    const volume = call(path, "statfs", () => fs.statfsSync(path));
    return volume.bavail * volume.bsize;
  },
  lock: lockDirectory,
  bootId,
};
