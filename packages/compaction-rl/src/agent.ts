/**
 * The port of an agent that steers the shape of a tree: what it observes, what it decides, what it is
 * told about the world beforehand.
 *
 * An agent is pure given its own state: no I/O, no clock, no chance but its seed. The same seed and the
 * same observations give the same decisions, bit for bit, so a recorded run can be replayed. Everything
 * here is made of numbers, strings and booleans and survives JSON: a `NaN` becomes `null` there, and
 * both mean that something was not measured.
 *
 * Whatever an agent is shown, it throws nothing and its shape is legal: with data that make no sense it
 * goes back to the static shape that it was given. Safety is part of the agent (safety.ts), not of
 * whoever asks it.
 */
import type { TreeGeometry } from "./settings.ts";
import type { TreeShape } from "./shape.ts";

/**
 * What one unit of work takes, in seconds of one core, as measured lately. Undefined, `null`, 0 or NaN:
 * not measured yet; then a figure that is typical for this engine is used.
 */
export interface UnitCosts {
  /** A look-up, without what it does in tables: call, memtables, copy of the answer. */
  readonly read?: number;
  /** A write, without flush and merge: call, log, memtable. */
  readonly write?: number;
  /** A run that a look-up asks: finding its table, and its filter. */
  readonly probe?: number;
  /** A block that a look-up searches behind a filter: index, cache or file, search, decoding. */
  readonly blockRead?: number;
  /** A run that a scan is positioned in, first block included. */
  readonly seek?: number;
  /** An entry that a scan hands out. */
  readonly scanEntry?: number;
  /** A byte of tables that a flush writes: processor time, as that of merges. */
  readonly flushedByte?: number;
  /** A byte of tables that a merge reads; what it takes to write it again is in it. */
  readonly mergedByte?: number;
  /** A value that a look-up or a scan fetches from the value log, and a byte that is written there. */
  readonly valueRead?: number;
  readonly valueByte?: number;
}

/** One level in one window of work. Sizes are at its end, counts are of the window alone. */
export interface LevelObservation {
  /** Bytes of tables, and what they should be (0 for level 0 and above the base level). */
  readonly bytes: number;
  readonly targetBytes: number;
  readonly entries: number;
  /** Runs with tables, and K in force (level 0: its trigger). */
  readonly runs: number;
  readonly runsMax: number;
  /** Filter bits per key over the tables of the level. */
  readonly filterBits: number;
  /** Runs of it that look-ups asked, those whose filter said yes wrongly, and those with the answer. */
  readonly probes: number;
  readonly falsePositives: number;
  readonly hits: number;
  /** Bytes of its tables that merges read, and that flushes and merges wrote to it. Moves: neither. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** What happened in one window of work. Counts are of the window alone, sizes are at its end. */
export interface WindowObservation {
  /** 0, 1, 2 ... since open. A window is an amount of work, never of time. */
  readonly window: number;
  /** Keys looked up (getMany: each key), and those of them without an answer in memtables or tree. */
  readonly reads: number;
  readonly absentReads: number;
  /** Blocks that look-ups searched: false positives and answers. */
  readonly blockReads: number;
  /** Scans and cursors that were positioned, entries that they handed out, runs they were set in. */
  readonly scans: number;
  readonly scanEntries: number;
  readonly seeks: number;
  /** Operations written, and their bytes in memtables: keys, inline values, pointers. */
  readonly writes: number;
  readonly writtenBytes: number;
  /** Bytes that went to the value log beside them. */
  readonly separatedBytes: number;
  /** Values fetched from there. Left out: not counted, or in other costs. */
  readonly valueReads?: number;
  /** Values written, by size: place i holds those of 2^i bytes to 2^(i + 1). Left out: not counted. */
  readonly valueSizes?: readonly number[];
  /** From level 0 on. Levels beyond the end are empty. */
  readonly levels: readonly LevelObservation[];
  readonly flushes: number;
  readonly flushedBytes: number;
  /** Table bytes of merges that ended in the window; value bytes that they copied. */
  readonly mergedBytesRead: number;
  readonly mergedBytesWritten: number;
  readonly relocatedBytes: number;
  /** Seconds that flushes and merges waited for the device; in no cost. Left out: not measured. */
  readonly deviceSeconds?: number;
  /** Seconds that writes were held back by debt, and times that one had to wait for room. */
  readonly delaySeconds: number;
  readonly stalls: number;
  /** What merges still have to read and write until no level is over its target. */
  readonly debtBytes: number;
  /** Bytes of tables and value log together, and about how much of them is live. */
  readonly spaceBytes: number;
  readonly liveBytes: number;
  readonly costs: UnitCosts;
  /** The tree may still be as something else left it: after open, bulk load, `compact()`. */
  readonly isUnsettled: boolean;
}

/** Where the seconds of a window went; their sum is what an agent wants small. */
export interface WindowSeconds {
  readonly reads: number;
  readonly scans: number;
  /** Writes themselves, and the flushes of their bytes. */
  readonly writes: number;
  readonly merges: number;
  /** Waiting for room or for debt. */
  readonly stalls: number;
  /** Merges owed for writes of this window, less those that paid debt of earlier ones. */
  readonly debt: number;
  readonly total: number;
}

/** Why a decision is what it is. */
export type DecisionReason =
  /** Nothing is better by more than the switch costs. */
  | "keep"
  /** Too little was seen since open, since the last change, or since the workload changed. */
  | "wait"
  /** The prediction is better by more than the switch costs. */
  | "better"
  /** Tried to learn something. */
  | "explore"
  /** Two settings take turns until a trial is sure which is better: begun, going on, or ended. */
  | "trial"
  /** The last change made things worse: back to what was before. */
  | "revert"
  /** A bound on space, debt or runs forbids the shape in force. */
  | "safety"
  /** Data are missing or make no sense, or the model is wrong: the static shape. */
  | "fallback";

/** What an agent decided after a window. JSON-serialisable; the log of decisions is a list of these. */
export interface AgentDecision {
  readonly window: number;
  readonly algorithm: string;
  /** The shape to put in force; undefined: the one that is stays. */
  readonly shape: TreeShape | undefined;
  readonly reason: DecisionReason;
  /** The reason in words and figures, one line. */
  readonly detail: string;
  /** Seconds per window of the workload as it is: with the shape in force, and with the decided one. */
  readonly keptSeconds: number;
  readonly predictedSeconds: number;
  /** What changing costs, seconds, once. */
  readonly switchSeconds: number;
  /** Where the seconds of the observed window went: the outcome of the decision before. */
  readonly measured: WindowSeconds;
  /** Workload phases that were told apart so far; a new one begins with a higher number. */
  readonly phase: number;
  readonly isExploration: boolean;
  /** Digest of the agent's state after the decision, 32 bits: replays compare it. */
  readonly stateDigest: number;
}

/** Names of the agents. */
export type AgentAlgorithm = "closed-form" | "bandit" | "actor-critic" | "search";

/** What an agent learned. Versioned; JSON-serialisable. */
export interface AgentWeights {
  readonly format: "aura-agent";
  readonly version: number;
  readonly algorithm: AgentAlgorithm;
  /** Parameters by name; what they mean and how many there are is the algorithm's. */
  readonly parameters: Readonly<Record<string, readonly number[]>>;
}

/** Bounds that no shape may break, and that bring the static shape back when the tree does. */
export interface SafetyLimits {
  /** Space over live bytes from which on no shape with more runs is chosen. Default 3. */
  readonly spaceAmplificationMax?: number;
  /** Debt over the bytes of the tree from which on nothing is tried. Default 0.5. */
  readonly debtShareMax?: number;
  /** Runs of the whole tree that a shape may lead to. Default 40. */
  readonly runsMax?: number;
}

/** What an agent is made with. */
export interface AgentSettings {
  /** Default: the one that wins docs/rfcs/0014-agent.md's table. */
  readonly algorithm?: AgentAlgorithm;
  readonly geometry: TreeGeometry;
  /** The static shape that the agent begins with and falls back to. */
  readonly baseline: TreeShape;
  /** Bytes of a memtable when it is flushed. */
  readonly memtableBytes: number;
  /** Filter bits per key over the whole tree; 0: no filters. */
  readonly filterBits: number;
  /** Whether levels get bits by Monkey or all the same. */
  readonly filterAllocation: "monkey" | "uniform";
  /** Bytes from which on values are separated where the shape does not say; left out: leave it alone. */
  readonly separationThreshold?: number;
  readonly seed: number;
  /** Step size of what learns, 0 to 1. Default 0.05. */
  readonly learningRate?: number;
  /** How often something is tried that is not thought best, 0 to 1. Default 0.02. */
  readonly explorationRate?: number;
  /** Learns and explores nothing, only decides. Default false. */
  readonly frozen?: boolean;
  /** What an agent of this algorithm exported; default: what is shipped. */
  readonly weights?: AgentWeights;
  readonly limits?: SafetyLimits;
}

/** Decides the shape of a tree, once per window of work. */
export interface CompactionAgent {
  readonly algorithm: string;
  /**
   * Takes in a window and the shape in force at its end, and decides about the next one. Never throws.
   * Windows are told in order; one that was told before, or is missing, makes the agent wait.
   */
  decide(observation: WindowObservation, shape: TreeShape): AgentDecision;
  /** Learns and explores no more (true), or again (false). */
  freeze(isFrozen: boolean): void;
  readonly isFrozen: boolean;
  /** What it learned so far, to be given to another one of the same algorithm. */
  exportWeights(): AgentWeights;
}
