/** One operation of a trace, wherever the trace came from: what a replay runs. */

/** What an operation does. */
export type TraceOpKind =
  | "get"
  | "put"
  | "delete"
  | "deleteRange"
  | "scan"
  | "getMany"
  /** Changes the value that is there: a read and a write where a store has no merge. */
  | "merge";

/** One operation. Keys are its own. */
export interface TraceOp {
  /** Time of the call, microseconds since the start of the trace. Never falls. */
  readonly atUs: number;
  readonly kind: TraceOpKind;
  /**
   * The key; where a scan begins and a deleteRange begins. Empty for a scan: at the first key, or at
   * the last one in reverse.
   */
  readonly key: Uint8Array;
  /** Bytes of the value of a put or merge; else 0. */
  readonly valueBytes: number;
  /** Entries that a scan takes, 1 or more; Infinity: all that there are. Else 0. */
  readonly limit: number;
  /** Number of the batch or call that several operations share, from 0 on; else -1. */
  readonly group: number;
  /** The other bound of a scan or deleteRange: exclusive; of a scan in reverse inclusive. */
  readonly end?: Uint8Array;
  /** A scan from larger keys to smaller ones; `key` is then an exclusive bound. */
  readonly reverse?: boolean;
}

/** An operation that is still being put together. */
export type DraftOp = { -readonly [K in keyof TraceOp]: TraceOp[K] };
