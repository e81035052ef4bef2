/**
 * The one door to the disk. Two implementations: `nodeFileSystem` and `SimFs` (testing entry).
 *
 * Every position is explicit; nothing appends implicitly. Writes are complete or throw: short
 * writes are continued inside. What a failed write left on the disk is unknown to the caller.
 * Errors of the operating system are thrown as AuraError (`AURA_IO`, `AURA_OUT_OF_SPACE`,
 * `AURA_NOT_FOUND`) with the cause kept.
 */

/** An open file. One writer; reads may run beside it. */
export interface FileHandle {
  readonly path: string;
  /** Names this open file to `FileSystem.syncToken` in any thread of the process, while it is open. */
  readonly token: number;
  /** Fills `target` from `position`; returns the bytes read, fewer only at the end of the file. */
  readSync(target: Uint8Array, position: number): number;
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all of `bytes` at `position`. */
  writeSync(bytes: Uint8Array, position: number): void;
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Writes all parts, one behind the other, beginning at `position`. */
  writevSync(parts: readonly Uint8Array[], position: number): void;
  writev(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** Makes content and size durable (fdatasync). Not the name: see `syncDir`. */
  syncSync(): void;
  sync(): Promise<void>;
  truncateSync(bytes: number): void;
  sizeSync(): number;
  /**
   * Idempotent. A failed close of a file that was created throws. One of a file that was opened to be
   * read does not: nothing is lost with it, and whoever lets go of such a file has nobody to tell.
   */
  closeSync(): void;
}

/** A held lock. Released with `releaseSync`, or by the kernel when the process ends. */
export interface FileLock {
  releaseSync(): void;
}

/** Files and directories. Paths are absolute or relative to the process, joined with "/". */
export interface FileSystem {
  /**
   * `read`: an existing file, read only. `create`: a new file, read and write; fails with AURA_IO
   * when the name exists. Files are never opened for append.
   */
  openSync(path: string, mode: "read" | "create"): FileHandle;
  existsSync(path: string): boolean;
  /** Size in bytes; throws AURA_NOT_FOUND. */
  fileBytesSync(path: string): number;
  /** Names in a directory, sorted; throws AURA_NOT_FOUND. */
  listSync(directory: string): string[];
  /** Creates a directory and its parents; no error when it exists. Mode 0700. */
  makeDirectorySync(directory: string): void;
  /** Removes an empty directory. */
  removeDirectorySync(directory: string): void;
  renameSync(source: string, target: string): void;
  linkSync(source: string, target: string): void;
  unlinkSync(path: string): void;
  /** Makes the names in a directory durable (a no-op where the platform cannot). */
  syncDirSync(directory: string): void;
  syncDir(directory: string): Promise<void>;
  /** fdatasync of a handle opened in another thread of this process. */
  syncTokenSync(token: number): void;
  /** Bytes free for this process on the volume of `path`. */
  freeBytesSync(path: string): number;
  /**
   * Takes the exclusive lock of a directory through its file `path`, for one handle of one process.
   * `owner` is stored for the error of the next one. Throws AURA_LOCKED, naming the holder.
   * The file is never unlinked.
   */
  lock(path: string, owner: string): Promise<FileLock>;
  /** Identity of the running kernel: equal at two opens means no power loss between them. */
  bootId(): string;
}
