/**
 * The one error type of the project. Match on `code`, never on `instanceof`: two copies of this
 * package may be installed side by side.
 */

/** Closed set of error codes. */
export type AuraErrorCode =
  | "AURA_INVALID_ARGUMENT" // the caller's input is out of its documented range
  | "AURA_KEY_TOO_LONG" // a key above 64 KiB - 1
  | "AURA_VALUE_TOO_LONG" // a value of 2^32 bytes or more
  | "AURA_BATCH_TOO_LARGE" // a batch that no memtable can hold
  | "AURA_CLOSED" // the database, snapshot or cursor is closed
  | "AURA_NOT_FOUND" // a database, file or streamed key that must exist does not
  | "AURA_HISTORY_GONE" // a change feed asks for operations that no log holds (any more)
  | "AURA_LOCKED" // another handle or process holds the directory
  | "AURA_CORRUPTION" // bytes on disk fail their check; names file and offset
  | "AURA_UNSUPPORTED" // a newer format, an unknown feature bit, kind or codec; files untouched
  | "AURA_IO" // the file system refused; `cause` has its error
  | "AURA_OUT_OF_SPACE" // ENOSPC or EDQUOT
  | "AURA_READ_ONLY" // writes are refused after a failed write or sync; `cause` says which
  | "AURA_UNKNOWN_OUTCOME" // the write may or may not survive; reopen to know
  | "AURA_ABORTED" // an AbortSignal fired before the operation took effect
  | "AURA_BUSY" // memory limit reached and background work makes no progress
  | "AURA_WORKER"; // a background worker died

/** What an error may carry beside its message. */
export interface AuraErrorDetails {
  readonly cause?: unknown;
  readonly file?: string;
  readonly offset?: number;
  readonly expected?: string | number;
  readonly actual?: string | number;
}

/** The error that every package throws for operating errors. Absence is `undefined`, not an error. */
export class AuraError extends Error {
  readonly code: AuraErrorCode;
  readonly file: string | undefined;
  readonly offset: number | undefined;
  readonly expected: string | number | undefined;
  readonly actual: string | number | undefined;

  constructor(code: AuraErrorCode, message: string, details: AuraErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = code === "AURA_ABORTED" ? "AbortError" : "AuraError";
    this.code = code;
    this.file = details.file;
    this.offset = details.offset;
    this.expected = details.expected;
    this.actual = details.actual;
  }
}

/** Returns the error for bytes that fail their check. */
export function corruption(file: string, offset: number, what: string): AuraError {
  return new AuraError("AURA_CORRUPTION", `${file}: ${what} at offset ${offset}`, { file, offset });
}

/** Returns whether `error` is an AuraError (of any copy of this package) with this code. */
export function hasCode(error: unknown, code: AuraErrorCode): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}

/** Wraps an error of the operating system; out of space gets its own code. AuraErrors pass as they are. */
export function ioError(cause: unknown, file: string, what: string): AuraError {
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (typeof code === "string" && code.startsWith("AURA_")) return cause as AuraError;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new AuraError(
    full ? "AURA_OUT_OF_SPACE" : "AURA_IO",
    `${what} failed on ${file}: ${detail}`,
    {
      cause,
      file,
    },
  );
}

/** Throws unless `condition` holds: a programmer's error, always checked. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
