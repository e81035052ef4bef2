/**
 * Log history: all groups of a database in sequence order, from its logs, without a gap. Both streams
 * are merged by sequence number; what is void is passed over; anything else that is missing is an
 * error, never a silent gap.
 */
import { corruption, type FileSystem } from "@aura/base";
import { ChangeDecoder, type ChangeGroup } from "./change-group.ts";
import { FarValues } from "./far-values.ts";
import type { LogCatalog } from "./log-catalog.ts";
import { LogStream } from "./log-stream.ts";

/** Walks the history above a sequence number. */
export class LogHistory {
  readonly #catalog: LogCatalog;
  readonly #directory: string;
  readonly #streams: readonly [LogStream, LogStream];
  readonly #far: FarValues;
  readonly #decoder: ChangeDecoder;
  readonly #isDurable: boolean;
  #nextSeq: number;

  /** `isDurable`: goes no further than what is known to be durable. */
  constructor(
    fs: FileSystem,
    directory: string,
    catalog: LogCatalog,
    { afterSeq, isDurable }: { readonly afterSeq: number; readonly isDurable: boolean },
  ) {
    this.#catalog = catalog;
    this.#isDurable = isDurable;
    this.#directory = directory;
    this.#nextSeq = afterSeq + 1;
    this.#far = new FarValues(fs, directory);
    this.#decoder = new ChangeDecoder(this.#far);
    this.#streams = [new LogStream("wal", fs, catalog), new LogStream("vlog", fs, catalog)];
    for (const stream of this.#streams) stream.mark(this.#nextSeq);
  }

  /** Whether there is something that was not read. It may turn out to be void. */
  get hasMore(): boolean {
    // Whole groups become durable: a group that begins at or below it ends there, too.
    const { appendedSeq, durableSeq } = this.#catalog;
    return this.#nextSeq <= (this.#isDurable ? durableSeq : appendedSeq);
  }

  /**
   * Returns the next group, undefined when there is none so far. One call at a time. Throws
   * AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_IO.
   */
  async next(): Promise<ChangeGroup | undefined> {
    while (this.hasMore) {
      const group = await this.#take();
      if (group !== undefined) {
        this.#nextSeq = group.lastSeq + 1;
        return group;
      }
      const voidEnd = this.#catalog.voidEnd(this.#nextSeq);
      if (voidEnd === undefined) {
        throw corruption(this.#directory, 0, `no log holds sequence number ${this.#nextSeq}`);
      }
      this.#nextSeq = voidEnd + 1;
    }
    this.closePassed();
    return undefined;
  }

  /** Lets go of logs that are read to their end. Not while `next` is under way. */
  closePassed(): void {
    this.#far.close();
    for (const stream of this.#streams) stream.closePassed(this.#nextSeq);
  }

  /** Lets go of everything. Not while `next` is under way. */
  closeSync(): void {
    this.#far.close();
    for (const stream of this.#streams) stream.closeSync();
  }

  async #take(): Promise<ChangeGroup | undefined> {
    const seq = this.#nextSeq;
    for (const stream of this.#streams) {
      const reader = await stream.head(seq);
      if (reader !== undefined && reader.first <= seq) return this.#decoder.decode(reader, seq);
    }
    return undefined;
  }
}
