/**
 * Trace writer: brings blocks of records to the file, away from the calls that made them.
 *
 * Blocks wait in memory, within a bound; one that finds no room is dropped whole, and the numbers of
 * its records are missing in the file. Nothing here blocks or fails a caller. A failed write ends the
 * trace; so does a file that has no room for the next block under `bytesMax`.
 */
import { Codec, compress, type Scheduler } from "@aura/base";
import { FRAME_HEADER_BYTES, type LogWriter } from "@aura/wal";
import { encodeBlockHead } from "./trace-format.ts";

/** A block that waits. */
interface WaitingBlock {
  readonly records: Uint8Array;
  readonly first: number;
  readonly count: number;
  readonly startUs: number;
}

/** Why a trace ended by itself. */
export type TraceEndReason = "maxBytes" | "error";

/** What a trace writer works with. */
export interface TraceWriterParts {
  readonly log: LogWriter;
  readonly scheduler: Scheduler;
  /** Most bytes of records that wait. */
  readonly bufferBytes: number;
  /** Most bytes of the file. */
  readonly bytesMax: number;
  /** Told once, when the trace ends by itself; more blocks are refused from then on. */
  readonly onEnd: (reason: TraceEndReason, error: Error | undefined) => void;
}

/** Writes one trace. */
export class TraceWriter {
  readonly #parts: TraceWriterParts;
  #waiting: WaitingBlock[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #ended = false;
  #failure: Error | undefined;
  #written = 0;
  #dropped = 0;

  constructor(parts: TraceWriterParts) {
    this.#parts = parts;
  }

  /** Records in the file. */
  get written(): number {
    return this.#written;
  }

  /** Records that are in no block of the file. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Bytes of the file. */
  get bytes(): number {
    return this.#parts.log.bytes;
  }

  /** Nothing waits and nothing is being written. */
  get idle(): boolean {
    return this.#writing === undefined;
  }

  /**
   * Takes over a block of `count` records, numbered from `first` on. The bytes are copied. Drops it
   * when there is no room, unless it is the `last` one.
   */
  add(
    records: Uint8Array,
    length: number,
    first: number,
    count: number,
    startUs: number,
    last: boolean,
  ): void {
    const full = this.#waitingBytes + length > this.#parts.bufferBytes;
    if (this.#ended || (full && !last)) {
      this.#dropped += count;
      return;
    }
    this.#waiting.push({ records: records.slice(0, length), first, count, startUs });
    this.#waitingBytes += length;
    this.#writing ??= this.#writeAll();
  }

  /**
   * Writes what waits and the end mark, and closes the file; `next` is the number that the next
   * record would have had. Throws the failure that ended the trace.
   */
  async finish(next: number): Promise<void> {
    const { log } = this.#parts;
    await this.#writing;
    try {
      if (this.#failure === undefined) await log.append([], [], next, 0, 0);
    } catch (error) {
      this.#failure = error as Error;
    }
    try {
      await log.close();
    } catch (error) {
      this.#failure ??= error as Error;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Never rejects. */
  async #writeAll(): Promise<void> {
    const { log, scheduler, bytesMax } = this.#parts;
    try {
      // Not within the call that filled the block.
      await new Promise<void>((resolve) => scheduler.nextTurn(resolve));
      while (this.#waiting.length > 0) {
        const { records, first, count, startUs } = this.#waiting[0]!;
        const packed = compress(Codec.lz4, records);
        const codec = packed === undefined ? Codec.none : Codec.lz4;
        const head = encodeBlockHead(codec, startUs, records.length);
        const stored = packed ?? records;
        const frameBytes = FRAME_HEADER_BYTES + head.length + stored.length;
        if (log.bytes + frameBytes + FRAME_HEADER_BYTES > bytesMax) {
          this.#end("maxBytes", undefined);
          break;
        }
        await log.append([head, stored], [], first, count, 0);
        this.#written += count;
        this.#waiting.shift();
        this.#waitingBytes -= records.length;
      }
    } catch (error) {
      this.#end("error", error as Error);
    }
    this.#writing = undefined;
  }

  #end(reason: TraceEndReason, error: Error | undefined): void {
    this.#ended = true;
    this.#failure = error;
    for (const block of this.#waiting) this.#dropped += block.count;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#parts.onEnd(reason, error);
  }
}
