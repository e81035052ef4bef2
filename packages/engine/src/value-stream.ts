/**
 * Streams of one value.
 *
 * A read stream shows the value of the moment of its creation, piece by piece, and holds no more of
 * it than a few pieces. Every piece was verified before it is handed out, if the value stands apart
 * uncompressed and is longer than 256 KiB; other values are read and verified whole at the first
 * piece. A write stream holds no more than 4 MiB of a value, and its buffers: from there on the
 * value is written to a file of its own while it comes, and put at its end (streamed-value.ts).
 * Nothing is visible before that, and nothing is left of one that is given up.
 */
import { Buffer } from "node:buffer";
import { Readable, Writable } from "node:stream";
import { AuraError, hasCode, VALUE_BYTES_MAX } from "@aura/base";
import type { Lookup, ReadParts } from "./lookup.ts";
import type { OpenValue } from "./open-value.ts";
import type { Snapshot } from "./snapshot.ts";
import type { StreamedValue } from "./streamed-value.ts";

/** Which part of a value a stream gives, and how. As of `fs.createReadStream`. */
export interface ValueStreamRange {
  /** First byte. Default 0. */
  readonly start: number;
  /** Last byte, inclusive. Default: the last of the value. */
  readonly end: number;
  /** Bytes of a piece. Default 256 KiB. */
  readonly highWaterMark: number;
  readonly signal?: AbortSignal | undefined;
}

/** Gives one value, or a part of it, as a stream of bytes. Made by `db.createReadStream`. */
export class ValueReadStream extends Readable {
  readonly #parts: ReadParts;
  readonly #lookup: Lookup;
  readonly #key: Uint8Array;
  readonly #seq: number;
  readonly #end: number;
  #snapshot: Snapshot | undefined;
  #value: OpenValue | undefined;
  #at: number;
  #busy = false;
  /** In the database's list of what a close has to end. */
  readonly #listed = { close: (): void => this.#close() };

  /** @internal `key` is kept. */
  constructor(
    parts: ReadParts,
    lookup: Lookup,
    key: Uint8Array,
    seq: number,
    range: ValueStreamRange,
  ) {
    const { highWaterMark, signal } = range;
    super({ highWaterMark, ...(signal && { signal }) });
    this.#parts = parts;
    this.#lookup = lookup;
    this.#key = key;
    this.#seq = seq;
    this.#at = range.start;
    this.#end = range.end + 1;
    // Until the value is open, what this stream is to show must stay.
    this.#snapshot = parts.snapshots.create(seq);
    parts.cursors.add(this.#listed);
  }

  /** Bytes of the whole value, once it is open: from the first piece on. */
  get valueBytes(): number | undefined {
    return this.#value?.bytes;
  }

  /** @internal */
  override _read(size: number): void {
    this.#next(size).then(
      (piece) => {
        if (!this.destroyed) this.push(piece);
      },
      (error: unknown) => {
        this.destroy(error as Error);
      },
    );
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (!this.#busy) this.#release();
    callback(error);
  }

  async #next(size: number): Promise<Buffer | null> {
    this.#busy = true;
    try {
      this.#value ??= await this.#open();
      if (this.destroyed) return null;
      const start = this.#at;
      const end = Math.min(start + size, this.#end);
      const piece = await this.#value.read(start, end);
      this.#at += piece.length;
      return piece.length === 0 ? null : piece;
    } finally {
      this.#busy = false;
      if (this.destroyed) this.#release();
    }
  }

  async #open(): Promise<OpenValue> {
    const value = await this.#lookup.open(this.#key, this.#seq);
    this.#snapshot?.release();
    this.#snapshot = undefined;
    if (value !== undefined) return value;
    throw new AuraError("AURA_NOT_FOUND", "the key has no value to read");
  }

  #close(): void {
    this.destroy(new AuraError("AURA_CLOSED", "the database is closed"));
  }

  #release(): void {
    this.#parts.cursors.delete(this.#listed);
    this.#snapshot?.release();
    this.#snapshot = undefined;
    this.#value?.release();
  }
}

/** What a write stream hands its value to. */
export interface ValueSink {
  /** Puts a value that was gathered in memory. */
  readonly put: (value: Buffer) => Promise<void>;
  /** Begins a value that is written while it comes, of `size` bytes if that is known. */
  readonly spool: (size: number | undefined) => StreamedValue;
  /** Puts it. */
  readonly putSpooled: (value: StreamedValue) => Promise<void>;
  /** What has to be ended when the database closes. */
  readonly open: Set<{ close(): void }>;
}

/** A value of at most this length is gathered in memory and put as any other. */
const GATHERED_BYTES_MAX = 4 * 1024 * 1024;

/** Takes one value in pieces. Made by `db.createWriteStream`. */
export class ValueWriteStream extends Writable {
  readonly #sink: ValueSink;
  readonly #size: number | undefined;
  /** What came, up to `#bytes`, until the value is written while it comes. */
  #gathered: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #spooled: StreamedValue | undefined;
  /** The put is on its way: its outcome says what becomes of the value. */
  #putting = false;
  /** The database is closed, or about to be: no file is begun any more. */
  #isClosed = false;
  readonly #listed = { close: (): void => this.#close() };

  /** @internal `size`: the bytes that have to come, where that is known. */
  constructor(sink: ValueSink, size: number | undefined) {
    super({ decodeStrings: true });
    this.#sink = sink;
    this.#size = size;
    // The close of the database ends it: what it writes later would be in somebody else's directory.
    sink.open.add(this.#listed);
  }

  /** Bytes that came so far. */
  get bytesWritten(): number {
    return this.#bytes;
  }

  /** @internal */
  override _write(piece: Buffer, _: string, callback: (error?: Error) => void): void {
    if (this.#isClosed) {
      callback(databaseClosed());
      return;
    }
    this.#bytes += piece.length;
    if (this.#bytes > (this.#size ?? this.#bytesMax())) {
      callback(this.#wrongLength());
      return;
    }
    if (this.#spooled === undefined && this.#bytes <= GATHERED_BYTES_MAX) {
      // The piece is the writer's, who may use its memory again once it is told.
      this.#gather(piece);
      callback();
      return;
    }
    settle(this.#spool(piece), callback);
  }

  /** @internal */
  override _final(callback: (error?: Error) => void): void {
    if (this.#size !== undefined && this.#bytes !== this.#size) {
      callback(this.#wrongLength());
      return;
    }
    if (this.#spooled !== undefined) {
      settle(this.#putSpooled(this.#spooled), callback);
      return;
    }
    const value = this.#gathered.subarray(0, this.#bytes);
    this.#gathered = Buffer.alloc(0);
    this.#putting = true;
    settle(this.#sink.put(value), callback);
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#sink.open.delete(this.#listed);
    this.#gathered = Buffer.alloc(0);
    const spooled = this.#spooled;
    if (spooled === undefined || this.#putting || spooled.isNamed) {
      callback(error);
      return;
    }
    // Told when nothing of it is left.
    void spooled.discard().finally(() => callback(error));
  }

  /** Copies the last of the `#bytes` that came. One piece of memory: a value may come byte by byte. */
  #gather(piece: Buffer): void {
    const before = this.#bytes - piece.length;
    if (this.#gathered.length < this.#bytes) {
      const room = Math.max(this.#bytes, Math.min(2 * before, GATHERED_BYTES_MAX), this.#size ?? 0);
      const grown = Buffer.allocUnsafeSlow(Math.min(room, GATHERED_BYTES_MAX));
      this.#gathered.copy(grown, 0, 0, before);
      this.#gathered = grown;
    }
    piece.copy(this.#gathered, before);
  }

  async #spool(piece: Buffer): Promise<void> {
    if (this.#spooled === undefined) {
      this.#spooled = this.#sink.spool(this.#size);
      const gathered = this.#gathered.subarray(0, this.#bytes - piece.length);
      this.#gathered = Buffer.alloc(0);
      await this.#spooled.add(gathered);
    }
    if (this.#bytes > (this.#size ?? this.#bytesMax())) throw this.#wrongLength();
    await this.#spooled.add(piece);
  }

  async #putSpooled(value: StreamedValue): Promise<void> {
    await value.end();
    if (this.destroyed) return;
    this.#putting = true;
    try {
      await this.#sink.putSpooled(value);
    } catch (error) {
      // What nobody knows may be there when the database is opened again.
      const isUnknown = hasCode(error, "AURA_UNKNOWN_OUTCOME");
      if (!isUnknown && !value.isNamed) await value.discard();
      throw error;
    }
  }

  #close(): void {
    this.#isClosed = true;
    // A put on its way is carried out or refused by the close, and says so itself; what is gathered
    // in memory is refused when it goes on.
    if (this.#spooled !== undefined && !this.#putting) this.destroy(databaseClosed());
  }

  #bytesMax(): number {
    return this.#spooled?.bytesMax ?? VALUE_BYTES_MAX;
  }

  #wrongLength(): AuraError {
    const bytesMax = this.#bytesMax();
    if (this.#bytes > bytesMax) {
      return new AuraError("AURA_VALUE_TOO_LONG", `a value of more than ${bytesMax} bytes`);
    }
    return new AuraError(
      "AURA_INVALID_ARGUMENT",
      `options.size: ${this.#size} bytes were promised, ${this.#bytes} came`,
    );
  }
}

function databaseClosed(): AuraError {
  return new AuraError("AURA_CLOSED", "the database is closed");
}

/** Tells `callback` how `work` ends. */
function settle(work: Promise<void>, callback: (error?: Error) => void): void {
  work.then(
    () => callback(),
    (error: unknown) => callback(error as Error),
  );
}
