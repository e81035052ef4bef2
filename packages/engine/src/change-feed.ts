/**
 * Change feed: the committed groups of a database above a sequence number, in order, without a gap,
 * and on with what is written later.
 *
 * A feed pins the logs that it has not read yet, from its creation on; it reads when it is asked and
 * holds one group in memory. It never makes a write wait. What it hands out survives the process, as
 * a write of level `os` does, but not yet a power loss, unless it is asked for what is durable only.
 *
 * The end of a feed is typed: AURA_ABORTED after its signal fired, AURA_CLOSED after the database
 * was closed, AURA_HISTORY_GONE after more logs were kept for it than it may hold, the error that
 * broke it; `done` only for whoever called `return` (as a loop that is left does).
 */
import { AuraError, type FileSystem } from "@aura/base";
import { checkSignal } from "./call-options.ts";
import type { ChangeGroup } from "./change-group.ts";
import type { LogCatalog, LogPin } from "./log-catalog.ts";
import { LogHistory } from "./log-history.ts";
import type { TurnKeeper } from "./turn-keeper.ts";

/** Options of `changes`. */
export interface ChangesOptions {
  /**
   * The last sequence number that was processed: groups above it follow. 0: from the beginning.
   * Default: the last one given, so that only what is written from now on follows.
   */
  readonly since?: number;
  /**
   * Hands out only groups that are known to survive power loss: after a sync that somebody asked for,
   * a flush, or in the background. The feed asks for none. Default false.
   */
  readonly durable?: boolean;
  /**
   * Most bytes of logs that are kept for this feed alone, 1 MiB or more: one that lags further behind
   * ends with AURA_HISTORY_GONE. Default 1 GiB.
   */
  readonly pinBytesMax?: number;
  /** Ends the feed with AURA_ABORTED. */
  readonly signal?: AbortSignal;
}

/** What a feed works with. */
export interface FeedParts {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly catalog: LogCatalog;
  readonly turns: TurnKeeper;
  /** Feeds that are open. */
  readonly feeds: Set<ChangeFeed>;
  /** Feeds that lagged too far behind so far. */
  feedsGone: number;
  /** Makes admitted writes visible and returns the highest sequence number given. */
  readonly visibleSeq: () => number;
}

type Step = IteratorResult<ChangeGroup, undefined>;

const DONE: Step = { value: undefined, done: true };

const PIN_BYTES_MIN = 1024 * 1024;
const PIN_BYTES_DEFAULT = 1024 * 1024 * 1024;
const OPTIONS = ["since", "durable", "pinBytesMax", "signal"];

/**
 * Opens a feed. Throws AURA_HISTORY_GONE when no log holds what follows `since` (`expected` is the
 * oldest sequence number that can be had) or `since` was never given; AURA_ABORTED,
 * AURA_INVALID_ARGUMENT.
 */
export function openFeed(parts: FeedParts, options: ChangesOptions = {}): ChangeFeed {
  checkOptions(options);
  const lastSeq = parts.visibleSeq();
  const { since = lastSeq, signal } = options;
  if (signal?.aborted) throw aborted(signal);
  const { floorSeq } = parts.catalog;
  if (since < floorSeq) {
    throw historyGone(`changes since ${since} are gone`, floorSeq + 1, since);
  }
  if (since > lastSeq) {
    throw historyGone(`the history ends at ${lastSeq}, before ${since}`, floorSeq + 1, since);
  }
  return new ChangeFeed(parts, since, options);
}

/** Committed groups, as an asynchronous iterable. Steps that overlap are taken one after the other. */
export class ChangeFeed implements AsyncIterableIterator<ChangeGroup, undefined>, LogPin {
  readonly #parts: FeedParts;
  readonly #history: LogHistory;
  readonly #signal: AbortSignal | undefined;
  readonly #isDurable: boolean;
  /** @internal */
  readonly pinBytesMax: number;
  readonly #onAbort = (): void => this.#end(aborted(this.#signal!));
  #seq: number;
  #ended = false;
  #failure: Error | undefined;
  /** `#history` is at work: it is let go of behind that. */
  #reading = false;
  #wake: (() => void) | undefined;
  /** Settles when the steps so far are through. */
  #last: Promise<unknown> = Promise.resolve();

  /** @internal Made by `openFeed`. */
  constructor(parts: FeedParts, since: number, options: ChangesOptions) {
    const { signal, durable: isDurable = false, pinBytesMax = PIN_BYTES_DEFAULT } = options;
    this.#parts = parts;
    this.#seq = since;
    this.#signal = signal;
    this.#isDurable = isDurable;
    this.pinBytesMax = pinBytesMax;
    const from = { afterSeq: since, isDurable };
    this.#history = new LogHistory(parts.fs, parts.directory, parts.catalog, from);
    parts.catalog.pin(this);
    parts.feeds.add(this);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** The last sequence number handed out: `since` of a feed that goes on where this one is. */
  get seq(): number {
    return this.#seq;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Resolves with the next group as soon as there is one. Waiting does not keep the process alive.
   * Rejects with AURA_ABORTED, AURA_CLOSED, AURA_HISTORY_GONE, AURA_CORRUPTION, AURA_IO: the feed has
   * ended then.
   */
  next(): Promise<Step> {
    const step = this.#last.then(() => this.#step());
    this.#last = step.catch(noop);
    return step;
  }

  /** Ends the feed; a step that waits is done. Resolves when its files are closed. */
  async return(): Promise<Step> {
    this.#end(undefined);
    await this.#last;
    return DONE;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal The database closes. Resolves when nothing of the feed is open. */
  async close(): Promise<void> {
    this.#end(new AuraError("AURA_CLOSED", "the database is closed"));
    await this.#last;
  }

  /** @internal */
  noteAppended(): void {
    if (!this.#isDurable) this.#awaken();
  }

  /** @internal */
  noteDurable(): void {
    if (this.#isDurable) this.#awaken();
  }

  /** @internal */
  noteTooFar(bytes: number, seq: number): void {
    if (this.#ended) return;
    this.#parts.feedsGone++;
    const what = `the feed held ${bytes} bytes of logs, more than pinBytesMax, ${this.pinBytesMax}`;
    this.#end(historyGone(what, seq + 1, this.#seq));
  }

  /** @internal */
  noteLost(seq: number): void {
    this.#end(historyGone("writes that a failure took from the logs", seq + 1, this.#seq));
  }

  /** @internal */
  noteLogLeft(): void {
    if (!this.#reading) this.#history.closePassed();
  }

  async #step(): Promise<Step> {
    const { turns, catalog } = this.#parts;
    for (;;) {
      if (this.#ended) {
        if (this.#failure !== undefined) throw this.#failure;
        return DONE;
      }
      const group = await this.#read();
      if (this.#ended) continue;
      if (group === undefined) {
        if (!this.#history.hasMore) await this.#more();
        continue;
      }
      this.#seq = group.lastSeq;
      catalog.notePinMoved();
      if (turns.mustTurn()) await turns.turn();
      return { value: group, done: false };
    }
  }

  async #read(): Promise<ChangeGroup | undefined> {
    this.#reading = true;
    try {
      return await this.#history.next();
    } catch (error) {
      this.#end(error as Error);
      return undefined;
    } finally {
      this.#reading = false;
      if (this.#ended) this.#letGo();
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #end(failure: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    if (!this.#reading) this.#letGo();
    this.#awaken();
  }

  #awaken(): void {
    const wake = this.#wake;
    if (wake === undefined) return;
    this.#wake = undefined;
    wake();
  }

  #letGo(): void {
    const { catalog, feeds } = this.#parts;
    feeds.delete(this);
    try {
      this.#history.closeSync();
    } finally {
      catalog.unpin(this);
    }
  }
}

/** Ends all feeds: the database closes. Does not throw: what a feed held open was only read. */
export async function closeFeeds(feeds: ReadonlySet<ChangeFeed>): Promise<void> {
  await Promise.allSettled([...feeds].map((feed) => feed.close()));
}

function checkOptions(options: ChangesOptions): void {
  if (typeof options !== "object" || options === null) throw invalid("options", "an object");
  for (const name in options) {
    if (!OPTIONS.includes(name)) {
      throw invalid(`options.${name}`, `one of: ${OPTIONS.join(", ")}`);
    }
  }
  const { since, durable, pinBytesMax, signal } = options;
  if (durable !== undefined && typeof durable !== "boolean") {
    throw invalid("durable", "true or false");
  }
  if (
    pinBytesMax !== undefined &&
    !(Number.isSafeInteger(pinBytesMax) && pinBytesMax >= PIN_BYTES_MIN)
  ) {
    throw invalid("pinBytesMax", `a number of bytes from ${PIN_BYTES_MIN} on`);
  }
  if (since !== undefined && !(Number.isSafeInteger(since) && since >= 0)) {
    throw invalid("since", "a sequence number");
  }
  checkSignal(signal);
}

function invalid(what: string, expected: string): AuraError {
  return new AuraError("AURA_INVALID_ARGUMENT", `${what}: expected ${expected}`);
}

function aborted(signal: AbortSignal): AuraError {
  return new AuraError("AURA_ABORTED", "the feed was aborted", { cause: signal.reason });
}

function historyGone(what: string, oldestSeq: number, since: number): AuraError {
  return new AuraError(
    "AURA_HISTORY_GONE",
    `${what}; the oldest sequence number that can be had is ${oldestSeq}: begin with a snapshot`,
    { expected: oldestSeq, actual: since },
  );
}

function noop(): void {}
