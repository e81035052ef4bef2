/**
 * Watches over executions that may never end: an endless loop in a decoder blocks its thread, and
 * with it the test runner, its timeouts and its reports.
 *
 * A thread of its own is told which input runs before each execution, and counts seconds. Where one
 * input takes `hangSeconds` of them, it writes target, seed and input to stderr and ends the process
 * with a signal. That is no time limit that a test's verdict hangs on: what merely takes long passes,
 * and a machine that is slow by a hundred times still is no hang. It ends what would never end.
 */
import { Worker } from "node:worker_threads";

/** Words of the shared memory, before the input: see `Word`. */
export const HEAD_BYTES = 32;

/** `turn` is odd while an input runs, and another number for each. */
export const Word = { turn: 0, seed: 1, inputBytes: 2, nameBytes: 3 };

const NAME_BYTES_MAX = 256;
const INPUT_BYTES_MAX = 2 << 20;

/** Tells its thread what runs. One input at a time. */
export class Watchdog {
  #thread;
  #memory = new SharedArrayBuffer(HEAD_BYTES + NAME_BYTES_MAX + INPUT_BYTES_MAX);
  #words = new Int32Array(this.#memory, 0, HEAD_BYTES / 4);
  #bytes = new Uint8Array(this.#memory, HEAD_BYTES);

  constructor({ hangSeconds = 60 } = {}) {
    this.#thread = new Worker(new URL("./watchdog-thread.mjs", import.meta.url), {
      workerData: { memory: this.#memory, hangSeconds },
      execArgv: [],
    });
    this.#thread.unref();
  }

  /** Resolves when the thread watches: what begins before is watched from then on. */
  ready() {
    return new Promise((resolve, reject) => {
      this.#thread.once("message", resolve).once("error", reject);
    });
  }

  /** An execution begins. An input above 2 MiB is shown cut. */
  begin(target, seed, input) {
    const name = Buffer.from(target).subarray(0, NAME_BYTES_MAX);
    const shown = input.subarray(0, INPUT_BYTES_MAX);
    this.#words[Word.seed] = seed;
    this.#words[Word.nameBytes] = name.length;
    this.#words[Word.inputBytes] = shown.length;
    this.#bytes.set(name);
    this.#bytes.set(shown, name.length);
    Atomics.add(this.#words, Word.turn, 1);
  }

  /** It came to an end. */
  end() {
    Atomics.add(this.#words, Word.turn, 1);
  }

  /** Resolves when the thread is gone. */
  async close() {
    await this.#thread.terminate();
  }
}
