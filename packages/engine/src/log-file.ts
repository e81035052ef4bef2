/** A log of this process, and what is known of how far it survives a power loss. */
import type { LogWriter } from "@aura/wal";
import type { NumberedKind } from "./file-names.ts";

/** The streams: logs of groups without separated values, and of groups with them. */
export type StreamKind = Extract<NumberedKind, "wal" | "vlog">;

/** One file of a stream. */
export class LogFile {
  readonly kind: StreamKind;
  readonly writer: LogWriter;
  /** It holds values that groups of other logs name, and no groups. */
  readonly valuesAlone: boolean;
  /** Sequence number given last when the file was made; the file holds only higher ones. */
  readonly createdAtSeq: number;
  /** Highest sequence number in the file, or of a group with values in it. */
  lastSeq: number;
  /** Highest sequence number in the file that a sync has covered. */
  syncedSeq: number;
  nameDurable = false;
  /** End of its last group. What follows, watermarks, no sync needs to cover. */
  contentBytes: number;
  /** A sync of it failed: what it holds may be lost, whatever a later sync says. */
  syncFailed = false;
  /** No group will be added. */
  sealed = false;
  /** Syncs of it that run on another thread, by its token: it stays open until they end. */
  syncsElsewhere = 0;
  /** End of the file when a sync of it was begun last. */
  syncBegunBytes: number;
  /** Syncs that were waited for, where the last one ended, and what they cover on average. */
  syncs = 0;
  coveredBytes: number;
  meanSyncedBytes = 0;
  /** Zeros are being written ahead of its end. */
  filling = false;

  constructor(kind: StreamKind, writer: LogWriter, createdAtSeq: number, valuesAlone = false) {
    this.kind = kind;
    this.valuesAlone = valuesAlone;
    this.writer = writer;
    this.createdAtSeq = createdAtSeq;
    this.lastSeq = createdAtSeq;
    this.syncedSeq = createdAtSeq;
    this.contentBytes = writer.bytes;
    this.syncBegunBytes = writer.bytes;
    this.coveredBytes = writer.bytes;
  }

  get number(): number {
    return this.writer.number;
  }

  /** Holds operations that no sync has covered. */
  get isDirty(): boolean {
    return this.lastSeq > this.syncedSeq;
  }

  /** Whether nothing but its owner's thread works on it. */
  get isIdle(): boolean {
    return !this.writer.inFlight && !this.filling && this.syncsElsewhere === 0;
  }

  /** Notes that a sync of it failed: it is given up. */
  noteSyncFailed(error: unknown): void {
    this.syncFailed = true;
    if (this.writer.failure === undefined) this.writer.giveUp(error);
  }

  /** Notes that a sync covered everything up to `seq`. */
  noteSynced(seq: number): void {
    if (seq > this.syncedSeq) this.syncedSeq = seq;
  }
}
