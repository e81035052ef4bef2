/**
 * The compaction policy port: what a policy is shown, what it may choose, and what it is told.
 *
 * A policy is pure given its state: no I/O, no clock, no chance but a seed. It never executes
 * anything; its choice is a value. Every choice is legal:
 *
 * - it names no busy table, and nothing that a running job's output could overlap;
 * - along the read order (level 0 runs new to old, then each level's first run and its sealed runs
 *   new to old) the sequence numbers of one key only fall, before it and after it;
 * - the tables of a run of level 1 and deeper stay disjoint, borders included: two tables that
 *   share a user key at their border count as overlapping.
 */
import type { TreeShape } from "./shape.ts";

/** What a table refers to in one value segment. */
export interface SegmentReference {
  readonly segment: number;
  readonly bytes: number;
  readonly count: number;
}

/** A table as a policy sees it. Keys are user keys, bounds inclusive. */
export interface TableView {
  readonly number: number;
  readonly bytes: number;
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  /** `largestKey` is the first key behind the table, the end of a range tombstone. Default false. */
  readonly largestIsExclusive?: boolean;
  readonly smallestSeq: number;
  readonly largestSeq: number;
  readonly entryCount: number;
  readonly deleteCount: number;
  /** Versions that only snapshots saw when the table was written; undefined: not known. */
  readonly shadowedCount?: number;
  /** Range tombstones: each covers what lies under it until both are merged. Default 0. */
  readonly rangeDeleteCount?: number;
  readonly references: readonly SegmentReference[];
  /** Bytes of values in segments that this table refers to, over all segments. */
  readonly referencedBytes: number;
  /** Wall clock when the table was written, ms; 0 or undefined: unknown, it never grows old. */
  readonly createdMs?: number;
}

/** A sorted run: its tables in key order, disjoint. */
export interface RunView {
  readonly id: number;
  readonly tables: readonly TableView[];
}

/**
 * A level. Level 0: each run is one flush, newest first. Level 1 and deeper: the active run, then
 * the sealed runs, new to old. A level may have no run, and a run no table.
 */
export interface LevelView {
  readonly runs: readonly RunView[];
}

/** What the bound on the space of values asks of the tree. */
export interface SpaceNeed {
  /** Draining segments are to be emptied before anything else. */
  readonly isUrgent: boolean;
  /** Versions that newer ones hide are to be met, by merging down what lies above the last run. */
  readonly isHiding: boolean;
}

/** The tree of one keyspace. Levels beyond the end of `levels` are empty. */
export interface TreeView {
  readonly levels: readonly LevelView[];
  /** Bytes of sealed memtables that wait for their flush. */
  readonly flushBytes: number;
  /** Numbers of the tables that running jobs read. They still stand in `levels`. */
  readonly busy: ReadonlySet<number>;
  /**
   * Numbers of the tables that no choice may name though no job reads them, since they are damaged.
   * What is newer must not sink below them, where they have keys in common; all else goes on.
   */
  readonly damaged?: ReadonlySet<number>;
  /** Segments that are to be emptied. */
  readonly draining: ReadonlySet<number>;
  /** Undefined: space asks for nothing. */
  readonly space?: SpaceNeed;
  /** Wall clock, ms, for the age of tables; undefined: age does not matter. */
  readonly nowMs?: number;
  /** Somebody waits until nothing is left to do: what can be freed may be. */
  readonly isAwaited?: boolean;
  /** Sequence number of the oldest open snapshot; undefined: none is open. */
  readonly oldestSnapshotSeq?: number;
}

/** Tables of one level that a merge reads. */
export interface MergeInput {
  readonly level: number;
  readonly tables: readonly number[];
}

/** Nothing to do, or nothing that may start now. */
export interface IdleChoice {
  readonly kind: "idle";
}

/** Tables of one run change their level as they are: an edit of the manifest, no I/O. */
export interface MoveChoice {
  readonly kind: "move";
  readonly level: number;
  readonly runId: number;
  readonly tables: readonly number[];
  readonly toLevel: number;
  /** The run of `toLevel` that they join; undefined: a new one, before the others. */
  readonly toRunId: number | undefined;
}

/** Why a merge was chosen. */
export type MergeReason =
  | "level-0"
  | "intra-level-0"
  | "level-size"
  | "relocate"
  | "age"
  | "deletes"
  | "space";

/** Tables are merged into new ones, which replace them. */
export interface MergeChoice {
  readonly kind: "merge";
  readonly inputs: readonly MergeInput[];
  readonly outputLevel: number;
  /**
   * The run of `outputLevel` that gets the output; undefined: a new one, before the others. A run
   * that was emptied and dropped in the meantime is made again before the others.
   */
  readonly outputRunId: number | undefined;
  readonly reason: MergeReason;
  /** The output is cut into tables of at most about this size, never within one user key. */
  readonly tableBytesMax: number;
  /** Draining segments that the inputs refer to: their values are copied to a new segment. */
  readonly drain: readonly number[];
}

/** What a policy wants done next. */
export type CompactionChoice = IdleChoice | MoveChoice | MergeChoice;

/** What became of a choice. */
export interface CompactionOutcome {
  readonly choice: MoveChoice | MergeChoice;
  /** Table bytes read and written; both 0 for a move. */
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Of the bytes read, those of levels above the output's. */
  readonly inputBytesAbove: number;
  /** Value bytes copied out of draining segments. */
  readonly relocatedBytes: number;
  readonly durationMs: number;
}

/** Decides what a tree compacts next. */
export interface CompactionPolicy {
  /** Names the policy in logs and stats. */
  readonly name: string;
  /** The shape in force. */
  readonly shape: TreeShape;
  /**
   * Puts a shape in force; it counts from the next choice on. Costs nothing: what running jobs
   * write stays where it was meant for. Throws AURA_INVALID_ARGUMENT, naming the field.
   */
  reshape(shape: TreeShape): void;
  /** Returns the most urgent legal choice for this view. */
  choose(view: TreeView): CompactionChoice;
  /** Estimated bytes to read and write until no level is over its target. */
  debtBytes(view: TreeView): number;
  /** Bytes that wait to go down: beyond the trigger of level 0 and beyond targets of levels. */
  waitingBytes(view: TreeView): number;
  /** Tells what became of a choice. A policy that does not learn ignores it. */
  observe(outcome: CompactionOutcome): void;
}
