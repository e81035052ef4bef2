/**
 * Zero-fill ahead of a log's end: overwriting allocated blocks syncs faster than extending a file.
 *
 * The zeros are written by the thread pool while this thread appends. An append that reaches bytes
 * a fill is still writing puts the same bytes into the fill's buffer, before it writes them itself:
 * whichever of the two writes comes last in the kernel, the file holds the append's bytes.
 */
import { type FileHandle, hasCode } from "@aura/base";

/** Most bytes that a log may be filled ahead of its end. */
export const ZERO_FILL_BYTES_MAX: number = 8 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** The fill of one file. One `run` at a time. */
export class ZeroFill {
  readonly #file: FileHandle;
  readonly #sync: () => Promise<void>;
  #buffer: Uint8Array | undefined;
  /** The file holds zeros, or frames, up to here. */
  filledTo = 0;
  /** The chunk on its way to the disk: [chunkStart, chunkEnd); empty when none is. */
  chunkStart = 0;
  chunkEnd = 0;
  /** The sync failed, not a write. */
  syncFailed = false;

  /** `sync` makes the file durable. */
  constructor(file: FileHandle, sync: () => Promise<void>) {
    this.#file = file;
    this.#sync = sync;
  }

  /**
   * Fills up to `bytes` beyond the end of the log, as `end` gives it, and syncs what it wrote. Ends
   * early, without an error, when `mayGoOn` says so or there is no space to write to: the fill is
   * only a hint. A sync that fails is an error, whatever the reason: it is the log's sync as well.
   */
  async run(bytes: number, end: () => number, mayGoOn: () => boolean): Promise<void> {
    const target = end() + bytes;
    let written = 0;
    try {
      while (mayGoOn()) {
        const start = Math.max(this.filledTo, end());
        if (start >= target) break;
        this.#buffer ??= new Uint8Array(CHUNK_BYTES);
        this.#buffer.fill(0);
        this.chunkStart = start;
        this.chunkEnd = Math.min(target, start + CHUNK_BYTES);
        await this.#file.write(this.#buffer.subarray(0, this.chunkEnd - start), start);
        written += this.chunkEnd - start;
        this.filledTo = this.chunkEnd;
        this.chunkStart = 0;
        this.chunkEnd = 0;
      }
    } catch (error) {
      // Part of the chunk may be on the disk: it has to be cut off at close.
      this.filledTo = Math.max(this.filledTo, this.chunkEnd);
      if (!hasCode(error, "AURA_OUT_OF_SPACE")) throw error;
      return;
    } finally {
      this.chunkStart = 0;
      this.chunkEnd = 0;
      this.#buffer = undefined;
    }
    if (written === 0 || !mayGoOn()) return;
    this.syncFailed = true;
    await this.#sync();
    this.syncFailed = false;
  }

  /** Puts what is about to be written at `position` into the chunk under way, where they meet. */
  carry(parts: readonly Uint8Array[], position: number): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    let at = position;
    for (const part of parts) {
      const from = Math.max(at, this.chunkStart);
      const to = Math.min(at + part.length, this.chunkEnd);
      if (from < to) buffer.set(part.subarray(from - at, to - at), from - this.chunkStart);
      at += part.length;
    }
  }
}
