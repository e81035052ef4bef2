/**
 * Tracing: starts and stops the trace of a database. There is at most one at a time; while there is
 * none, `recorder` is undefined, and that is all that a call looks at.
 */
import { resolve } from "node:path";
import { AuraError, type FileSystem, FileType, type Runtime, type Timer } from "@aura/base";
import { LogWriter } from "@aura/wal";
import type { DatabaseEmitter } from "./events.ts";
import { parseFileName } from "./file-names.ts";
import { encodeTracePreamble } from "./trace-format.ts";
import { KeyMask } from "./trace-key-mask.ts";
import { TraceRecorder } from "./trace-recorder.ts";
import { TraceWriter } from "./trace-writer.ts";

/** What is recorded of a workload, and how much memory and disk it may take. */
export interface TraceOptions {
  /**
   * Records one in so many keys, 1 (all of them, the default) to 1,000,000. Which ones is decided by
   * a hash of the key, the same in all traces: the history of a key is whole or absent. A scan counts
   * as the key that it begins at.
   */
  readonly sampling?: number;
  /**
   * `plain` (the default): keys as they are. `hashed`: each key is replaced by bytes of the same
   * length that tell nothing else of it, prefixes included; the secret is drawn anew for each trace
   * and kept nowhere. Lengths, times and how often a key comes still show.
   */
  readonly keys?: "plain" | "hashed";
  /** Most bytes of the file, 64 KiB on; the trace ends by itself before it is longer. Default 1 GiB. */
  readonly maxBytes?: number;
  /**
   * Bytes of records that may wait for the disk, 256 KiB to 1 GiB. Default 4 MiB. Blocks that find no
   * room are dropped and counted: when the disk is too slow, or when a program makes many calls
   * without ever letting the event loop turn.
   */
  readonly bufferBytes?: number;
}

/** What a trace holds. */
export interface TraceSummary {
  /** Records in the file: members of a batch count each, a scan once for its beginning and end each. */
  readonly operations: number;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Records that were made and are not in the file. */
  readonly dropped: number;
}

/** What tracing works with. */
export interface TracingParts {
  /** The database's directory. */
  readonly directory: string;
  readonly fs: FileSystem;
  readonly runtime: Runtime;
  readonly events: DatabaseEmitter;
  readonly databaseUuid: Uint8Array;
}

/** Records that wait for their block to fill reach the disk after this time all the same. */
const FLUSH_INTERVAL_MS = 1000;

const NUMBERS: Readonly<Record<string, { min: number; max: number; initial: number }>> = {
  sampling: { min: 1, max: 1_000_000, initial: 1 },
  maxBytes: { min: 64 * 1024, max: Number.MAX_SAFE_INTEGER, initial: 1024 ** 3 },
  bufferBytes: { min: 256 * 1024, max: 1024 ** 3, initial: 4 * 1024 ** 2 },
};

/** A trace that is on, or was. Works with `await using`. */
export class Trace {
  /** The file, as an absolute path. */
  readonly file: string;
  readonly #finish: () => Promise<TraceSummary>;
  #stopped: Promise<TraceSummary> | undefined;

  /** @internal Made by `AuraDB.trace`. */
  constructor(file: string, finish: () => Promise<TraceSummary>) {
    this.file = file;
    this.#finish = finish;
  }

  /**
   * Ends the trace, writes what is left of it, and closes the file. Nothing is synced. Idempotent.
   * Throws AURA_IO or AURA_OUT_OF_SPACE when a write failed; the file then holds a readable prefix.
   */
  stop(): Promise<TraceSummary> {
    this.#stopped ??= this.#finish();
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The trace of one database. */
export class Tracing {
  /** Where calls are recorded, while a trace is on. */
  recorder: TraceRecorder | undefined;
  readonly #parts: TracingParts;
  #trace: Trace | undefined;

  constructor(parts: TracingParts) {
    this.#parts = parts;
  }

  /** Whether a trace is on, or still being written. */
  get on(): boolean {
    return this.#trace !== undefined;
  }

  /** Begins a trace. See `AuraDB.trace`. */
  start(file: string, options: TraceOptions = {}): Trace {
    const { fs, runtime, events, databaseUuid } = this.#parts;
    const path = this.#pathOf(file);
    const { keys, sampling, maxBytes, bufferBytes } = checkedOptions(options);
    if (this.#trace !== undefined) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `a trace is on already: ${this.#trace.file}`);
    }
    if (fs.existsSync(path)) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${path} exists already`, { file: path });
    }
    const { clock, random, scheduler } = runtime;
    const startedAtMs = Math.max(0, Math.floor(clock.wallMs()));
    const log = LogWriter.createSync(fs, path, {
      header: {
        type: FileType.trace,
        databaseUuid,
        uid: { lo: random.uint32(), hi: random.uint32() },
        number: 0,
      },
      preamble: encodeTracePreamble({ startedAtMs, sampling, keys }),
    });
    const writer = new TraceWriter({
      log,
      scheduler,
      bufferBytes,
      bytesMax: maxBytes,
      onEnd: (reason, error) => {
        events.announce("traceEnded", { file: path, reason, ...(error && { error }) });
        // The failure is for the caller's own stop.
        void trace.stop().catch(() => undefined);
      },
    });
    const mask = keys === "hashed" ? new KeyMask(random) : undefined;
    const recorder = new TraceRecorder({ clock, writer, sampling, mask });
    let timer: Timer | undefined;
    const flushLater = (): void => {
      timer = scheduler.after(FLUSH_INTERVAL_MS, () => {
        recorder.flush();
        flushLater();
      });
    };
    flushLater();
    const trace = new Trace(path, async () => {
      if (this.recorder === recorder) this.recorder = undefined;
      timer?.cancel();
      try {
        await writer.finish(recorder.finish());
      } finally {
        if (this.#trace === trace) this.#trace = undefined;
      }
      return { operations: writer.written, bytes: writer.bytes, dropped: writer.dropped };
    });
    this.#trace = trace;
    this.recorder = recorder;
    return trace;
  }

  /** Stops the trace that is on, if there is one. Its failure is for `Trace.stop` to tell. */
  async end(): Promise<void> {
    await this.#trace?.stop().catch(() => undefined);
  }

  #pathOf(file: string): string {
    if (typeof file !== "string" || file.length === 0 || file.includes("\0")) {
      throw new AuraError("AURA_INVALID_ARGUMENT", "file: expected the path of a file");
    }
    const path = resolve(file).replaceAll("\\", "/");
    const slash = path.lastIndexOf("/");
    // The database would take it for its own.
    if (path.slice(0, slash) === this.#parts.directory && parseFileName(path.slice(slash + 1))) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${path} is a name for files of the database`);
    }
    return path;
  }
}

function checkedOptions(options: TraceOptions): Required<TraceOptions> {
  if (typeof options !== "object" || options === null) throw invalid("options", "an object");
  const numbers: Record<string, number> = {};
  for (const [name, rule] of Object.entries(NUMBERS)) numbers[name] = rule.initial;
  let keys: "plain" | "hashed" = "plain";
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    if (value === undefined) continue;
    const rule = Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined;
    if (rule !== undefined) {
      const { min, max } = rule;
      if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
        throw invalid(`options.${name}`, `a whole number from ${min} to ${max}`);
      }
      numbers[name] = value as number;
    } else if (name === "keys") {
      if (value !== "plain" && value !== "hashed") throw invalid("options.keys", "plain or hashed");
      keys = value;
    } else throw invalid(`options.${name}`, `one of keys, ${Object.keys(NUMBERS).join(", ")}`);
  }
  return {
    keys,
    sampling: numbers["sampling"]!,
    maxBytes: numbers["maxBytes"]!,
    bufferBytes: numbers["bufferBytes"]!,
  };
}

function invalid(field: string, expected: string): AuraError {
  return new AuraError("AURA_INVALID_ARGUMENT", `${field}: expected ${expected}`);
}
