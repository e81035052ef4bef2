/**
 * Sync handles: one open file for each of those who sync a log at the same time.
 *
 * A system that could not write something back says so to the next sync through each open file, once.
 * Two syncs through one of them that are under way together would leave it to chance which of the two
 * is told; the other would take what is lost for durable. So this thread, its thread pool and each other
 * thread have one of their own; syncs through the pool are in order, or wait for each other's outcome.
 *
 * A file that is opened behind a failure is told nothing of it. So all of them are opened before the
 * first sync away from this thread begins: what fails on this thread, its caller knows at once.
 */
import type { FileHandle, FileSystem } from "@aura/base";

/** Open files of those who sync away from the owner's thread. */
interface Others {
  readonly pool: FileHandle;
  readonly elsewhere: FileHandle;
  readonly elsewhereToo: FileHandle;
}

/** Syncs one file. */
export class SyncHandles {
  readonly #fs: FileSystem;
  readonly #own: FileHandle;
  #others: Others | undefined;
  #underWay = new Set<Promise<void>>();

  /** `own` is what this thread writes through. */
  constructor(fs: FileSystem, own: FileHandle) {
    this.#fs = fs;
    this.#own = own;
  }

  /** Names an open file for one other thread at a time, until `closeSync`. */
  get token(): number {
    return this.#opened().elsewhere.token;
  }

  /** As `token`, for a second thread that syncs at the same time. */
  get secondToken(): number {
    return this.#opened().elsewhereToo.token;
  }

  /** Syncs on this thread. */
  syncSync(): void {
    this.#own.syncSync();
  }

  /** Syncs on the thread pool. Rejects also when another one fails that was under way meanwhile. */
  async sync(): Promise<void> {
    const work = this.#opened().pool.sync();
    this.#underWay.add(work);
    try {
      await work;
    } finally {
      this.#underWay.delete(work);
    }
    await Promise.all(this.#underWay);
  }

  /** Closes what was opened here. Idempotent. What a close says is no matter: nothing was written there. */
  closeSync(): void {
    const opened = Object.values(this.#others ?? {}) as FileHandle[];
    this.#others = undefined;
    for (const file of opened) {
      try {
        if (file !== this.#own) file.closeSync();
      } catch {
        // It is closed all the same.
      }
    }
  }

  #opened(): Others {
    this.#others ??= {
      pool: this.#another(),
      elsewhere: this.#another(),
      elsewhereToo: this.#another(),
    };
    return this.#others;
  }

  /** Opens the file once more; where that fails, what is open has to do. */
  #another(): FileHandle {
    try {
      return this.#fs.openSync(this.#own.path, "read");
    } catch {
      return this.#own;
    }
  }
}
