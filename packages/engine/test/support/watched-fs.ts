/** A file system that tells before each call that changes something, and passes it on. */
import type { FileHandle, FileLock, FileSystem } from "@aura/base";
import type { SimFs } from "@aura/base/testing";

/** Wraps `inner`; `before` runs ahead of every write, sync, truncate, create, rename, link, unlink. */
export class WatchedFs implements FileSystem {
  readonly inner: SimFs;
  readonly #before: () => void;

  constructor(inner: SimFs, before: () => void) {
    this.inner = inner;
    this.#before = before;
  }

  openSync(path: string, mode: "read" | "create"): FileHandle {
    if (mode === "create") this.#before();
    return watchHandle(this.inner.openSync(path, mode), this.#before);
  }
  existsSync(path: string): boolean {
    return this.inner.existsSync(path);
  }
  fileBytesSync(path: string): number {
    return this.inner.fileBytesSync(path);
  }
  listSync(directory: string): string[] {
    return this.inner.listSync(directory);
  }
  makeDirectorySync(directory: string): void {
    this.#before();
    this.inner.makeDirectorySync(directory);
  }
  removeDirectorySync(directory: string): void {
    this.#before();
    this.inner.removeDirectorySync(directory);
  }
  renameSync(source: string, target: string): void {
    this.#before();
    this.inner.renameSync(source, target);
  }
  linkSync(source: string, target: string): void {
    this.#before();
    this.inner.linkSync(source, target);
  }
  unlinkSync(path: string): void {
    this.#before();
    this.inner.unlinkSync(path);
  }
  syncDirSync(directory: string): void {
    this.#before();
    this.inner.syncDirSync(directory);
  }
  syncDir(directory: string): Promise<void> {
    this.#before();
    return this.inner.syncDir(directory);
  }
  syncTokenSync(token: number): void {
    this.#before();
    this.inner.syncTokenSync(token);
  }
  freeBytesSync(path: string): number {
    return this.inner.freeBytesSync(path);
  }
  lock(path: string, owner: string): Promise<FileLock> {
    return this.inner.lock(path, owner);
  }
  bootId(): string {
    return this.inner.bootId();
  }
}

function watchHandle(inner: FileHandle, before: () => void): FileHandle {
  return {
    path: inner.path,
    token: inner.token,
    readSync: (target, position) => inner.readSync(target, position),
    read: (target, position) => inner.read(target, position),
    writeSync: (bytes, position) => {
      before();
      inner.writeSync(bytes, position);
    },
    write: (bytes, position) => {
      before();
      return inner.write(bytes, position);
    },
    writevSync: (parts, position) => {
      before();
      inner.writevSync(parts, position);
    },
    writev: (parts, position) => {
      before();
      return inner.writev(parts, position);
    },
    syncSync: () => {
      before();
      inner.syncSync();
    },
    sync: () => {
      before();
      return inner.sync();
    },
    truncateSync: (bytes) => {
      before();
      inner.truncateSync(bytes);
    },
    sizeSync: () => inner.sizeSync(),
    closeSync: () => inner.closeSync(),
  };
}
