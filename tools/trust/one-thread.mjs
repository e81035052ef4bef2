/**
 * A world in which two processes of one order make the same system calls in the same order: all on
 * one thread. Background jobs run inline, what the file system does at a later time it does at once,
 * and clock, timers and chance come from a seed. Turns of the event loop and the disk are real.
 */
import { nodeFileSystem } from "@aura/base";
import { simRuntime } from "@aura/base/testing";

/** How far each reading of the clock and each turn move it: timers come due though turns never end. */
const TICK_MS = 0.02;
const TURN_MS = 0.1;

/** Each call of the thread pool has a twin that is made at once. */
class FileAtOnce {
  #file;

  constructor(file) {
    this.#file = file;
  }

  get path() {
    return this.#file.path;
  }

  get token() {
    return this.#file.token;
  }

  readSync(target, position) {
    return this.#file.readSync(target, position);
  }

  async read(target, position) {
    return this.#file.readSync(target, position);
  }

  writeSync(bytes, position) {
    this.#file.writeSync(bytes, position);
  }

  async write(bytes, position) {
    this.#file.writeSync(bytes, position);
  }

  writevSync(parts, position) {
    this.#file.writevSync(parts, position);
  }

  async writev(parts, position) {
    this.#file.writevSync(parts, position);
  }

  syncSync() {
    this.#file.syncSync();
  }

  async sync() {
    this.#file.syncSync();
  }

  truncateSync(bytes) {
    this.#file.truncateSync(bytes);
  }

  sizeSync() {
    return this.#file.sizeSync();
  }

  closeSync() {
    this.#file.closeSync();
  }
}

const fileSystemAtOnce = {
  ...nodeFileSystem,
  openSync: (path, mode) => new FileAtOnce(nodeFileSystem.openSync(path, mode)),
  syncDir: async (directory) => nodeFileSystem.syncDirSync(directory),
};

/** Returns the components of such a world. A file system of its own brings jobs that run inline. */
export function oneThread(seed) {
  const { clock, random, scheduler, advance } = simRuntime(seed, {
    autoAdvance: true,
    tickMs: TICK_MS,
  });
  const nextTurn = (task) => {
    scheduler.nextTurn(() => {
      task();
      advance(TURN_MS);
    });
  };
  const after = (ms, task) => scheduler.after(ms, task);
  const afterThis = (task) => scheduler.afterThis(task);
  return {
    fs: fileSystemAtOnce,
    runtime: { clock, random, scheduler: { after, nextTurn, afterThis } },
  };
}
