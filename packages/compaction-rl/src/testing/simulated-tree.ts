/**
 * A tree of the flexible policy without entries: tables are ranges of a key space and, per class of
 * keys, how many they hold. The policy is the real one; it is shown these tables and its choices are
 * executed on them. A merge keeps of each class what a union of independent samples has.
 *
 * Held by test/simulated-tree.test.ts: no class has more entries in a run than it has keys, nothing
 * that merges drop was the only copy, and what was read is what was kept and dropped.
 */

import type { FilterPlan } from "../cost-model.ts";
import { monkeyBits } from "../cost-model.ts";
import { filledRuns } from "../overlap.ts";
import type {
  CompactionPolicy,
  LevelView,
  MergeChoice,
  MoveChoice,
  RunView,
  TableView,
  TreeView,
} from "../policy.ts";
import { distinctKeys, type KeyClass } from "./key-popularity.ts";

/** The key space: 32-bit numbers as keys of 4 bytes. */
const SPACE = 2 ** 32;

/** A table: keys in [low, high], both inclusive, evenly spread. */
export interface SimulatedTable extends TableView {
  readonly low: number;
  readonly high: number;
  /** Entries of each class. */
  readonly counts: Float64Array;
  /** What an entry of it is like. */
  readonly entry: EntryLikeness;
  readonly filterBits: number;
}

/** What the entries of a table are like on average. */
export interface EntryLikeness {
  /** Bytes in tables. */
  readonly bytes: number;
  /** Share of them whose value is apart. */
  readonly apart: number;
}

interface SimulatedRun extends RunView {
  readonly id: number;
  tables: SimulatedTable[];
}

interface SimulatedLevel extends LevelView {
  runs: SimulatedRun[];
}

/** A merge under way. */
export interface SimulatedJob {
  readonly choice: MergeChoice;
  readonly inputs: readonly { readonly level: number; readonly table: SimulatedTable }[];
  readonly inputBytes: number;
}

/** What a tree is made with. */
export interface SimulatedTreeSettings {
  readonly classes: readonly KeyClass[];
  /** Bytes of an entry in tables, where a flush does not say. */
  readonly entryBytes: number;
  readonly filters: FilterPlan;
  readonly levelCount: number;
  readonly policy: CompactionPolicy;
}

/** Bytes of one level, by what happened to them. */
export interface LevelBytes {
  read: number;
  written: number;
}

/** The tree. */
export class SimulatedTree {
  readonly classes: readonly KeyClass[];
  readonly levels: SimulatedLevel[];
  readonly jobs: SimulatedJob[] = [];
  /** By level, since the start. */
  readonly moved: LevelBytes[];
  flushedBytes = 0;
  flushes = 0;
  mergedBytesRead = 0;
  mergedBytesWritten = 0;
  merges = 0;
  moves = 0;
  readonly #filters: FilterPlan;
  readonly #policy: CompactionPolicy;
  readonly #entry: EntryLikeness;
  readonly #busy = new Set<number>();
  readonly #view: TreeView;
  #nextNumber = 1;

  constructor(settings: SimulatedTreeSettings) {
    this.classes = settings.classes;
    this.#entry = { bytes: settings.entryBytes, apart: 0 };
    this.#filters = settings.filters;
    this.#policy = settings.policy;
    this.levels = Array.from({ length: settings.levelCount }, () => ({ runs: [] }));
    this.moved = this.levels.map(() => ({ read: 0, written: 0 }));
    this.#view = { levels: this.levels, flushBytes: 0, busy: this.#busy, draining: new Set() };
  }

  /** What the policy is shown. */
  get view(): TreeView {
    return this.#view;
  }

  /** Puts this share of all keys into one run of a level. */
  load(
    level: number,
    share: number,
    tableBytesMax: number,
    entry: EntryLikeness = this.#entry,
  ): void {
    const counts = Float64Array.from(this.classes, ({ keys }) => keys * share);
    const whole = { low: 0, high: SPACE - 1, counts, entry };
    const tables = this.#cut([whole], level, tableBytesMax);
    this.levels[level]!.runs.unshift({ id: this.#nextNumber++, tables });
  }

  /** Flushes a memtable with so many operations. */
  flush(operations: number, entry: EntryLikeness = this.#entry): void {
    const counts = Float64Array.from(this.classes, (keys) => distinctKeys(keys, operations));
    const entries = sum(counts);
    const bits = this.#bitsOf(0, entries);
    const table = this.#table(0, SPACE - 1, counts, entry, bits);
    this.levels[0]!.runs.unshift({ id: this.#nextNumber++, tables: [table] });
    this.flushedBytes += table.bytes;
    this.moved[0]!.written += table.bytes;
    this.flushes++;
  }

  /** Asks the policy; executes moves; returns the merge that it begins, undefined when it is idle. */
  begin(): SimulatedJob | undefined {
    for (;;) {
      const choice = this.#policy.choose(this.#view);
      if (choice.kind === "idle") return undefined;
      if (choice.kind === "move") {
        this.#move(choice);
        continue;
      }
      const inputs = this.#inputs(choice);
      let inputBytes = 0;
      for (const { table } of inputs) {
        this.#busy.add(table.number);
        inputBytes += table.bytes;
      }
      const job = { choice, inputs, inputBytes };
      this.jobs.push(job);
      return job;
    }
  }

  /** Ends a merge: its output replaces its input. */
  end(job: SimulatedJob): void {
    const { choice, inputs, inputBytes } = job;
    this.jobs.splice(this.jobs.indexOf(job), 1);
    const pieces = this.#union(inputs.map(({ table }) => table));
    const tables = this.#cut(pieces, choice.outputLevel, choice.tableBytesMax);
    const dead = new Set<number>();
    let inputBytesAbove = 0;
    for (const { level, table } of inputs) {
      dead.add(table.number);
      this.#busy.delete(table.number);
      this.moved[level]!.read += table.bytes;
      if (level < choice.outputLevel) inputBytesAbove += table.bytes;
    }
    for (const { level } of choice.inputs) {
      const { runs } = this.levels[level]!;
      for (const run of runs) {
        if (run.tables.some((table) => dead.has(table.number))) {
          run.tables = run.tables.filter((table) => !dead.has(table.number));
        }
      }
    }
    this.#put(choice.outputLevel, choice.outputRunId, tables);
    for (const level of this.levels) {
      if (level.runs.some((run) => run.tables.length === 0)) {
        level.runs = level.runs.filter((run) => run.tables.length > 0);
      }
    }
    let outputBytes = 0;
    for (const table of tables) outputBytes += table.bytes;
    this.merges++;
    this.mergedBytesRead += inputBytes;
    this.mergedBytesWritten += outputBytes;
    this.moved[choice.outputLevel]!.written += outputBytes;
    const outcome = { choice, inputBytes, outputBytes, inputBytesAbove };
    this.#policy.observe({ ...outcome, relocatedBytes: 0, durationMs: 0 });
  }

  /** Does what the policy wants until it wants nothing. */
  settle(): void {
    for (;;) {
      const job = this.begin();
      if (job !== undefined) this.end(job);
      else if (this.jobs.length > 0) this.end(this.jobs[0]!);
      else return;
    }
  }

  #inputs(choice: MergeChoice): { level: number; table: SimulatedTable }[] {
    const inputs: { level: number; table: SimulatedTable }[] = [];
    for (const { level, tables } of choice.inputs) {
      const wanted = new Set(tables);
      for (const run of this.levels[level]!.runs) {
        for (const table of run.tables) if (wanted.has(table.number)) inputs.push({ level, table });
      }
    }
    return inputs;
  }

  #move(choice: MoveChoice): void {
    const wanted = new Set(choice.tables);
    const from = this.levels[choice.level]!;
    const run = from.runs.find(({ id }) => id === choice.runId)!;
    const tables = run.tables.filter((table) => wanted.has(table.number));
    run.tables = run.tables.filter((table) => !wanted.has(table.number));
    if (run.tables.length === 0) from.runs = from.runs.filter((one) => one !== run);
    this.#put(choice.toLevel, choice.toRunId, tables);
    this.moves++;
  }

  #put(level: number, runId: number | undefined, tables: SimulatedTable[]): void {
    const { runs } = this.levels[level]!;
    const run = runId === undefined ? undefined : runs.find(({ id }) => id === runId);
    if (run === undefined) runs.unshift({ id: this.#nextNumber++, tables });
    else run.tables = [...run.tables, ...tables].sort((a, b) => a.low - b.low);
  }

  /** Returns the union of tables, as pieces in key order that do not overlap. */
  #union(tables: readonly SimulatedTable[]): Piece[] {
    const cuts = new Set<number>();
    for (const { low, high } of tables) cuts.add(low).add(high + 1);
    const bounds = [...cuts].sort((a, b) => a - b);
    const byLow = [...tables].sort((a, b) => a.low - b.low);
    const pieces: Piece[] = [];
    let open: SimulatedTable[] = [];
    let next = 0;
    for (let i = 0; i + 1 < bounds.length; i++) {
      const low = bounds[i]!;
      const high = bounds[i + 1]! - 1;
      while (next < byLow.length && byLow[next]!.low <= low) open.push(byLow[next++]!);
      open = open.filter((table) => table.high >= high);
      if (open.length === 0) continue;
      const counts = this.#unionIn(open, high - low + 1);
      pieces.push({ low, high, counts, entry: mixed(open) });
    }
    return pieces;
  }

  #unionIn(open: readonly SimulatedTable[], width: number): Float64Array {
    const counts = new Float64Array(this.classes.length);
    if (open.length === 1) {
      const { low, high, counts: all } = open[0]!;
      const share = width / (high - low + 1);
      for (let c = 0; c < counts.length; c++) counts[c] = all[c]! * share;
      return counts;
    }
    for (let c = 0; c < counts.length; c++) {
      const keys = (this.classes[c]!.keys * width) / SPACE;
      let absent = 1;
      for (const { low, high, counts: all } of open) {
        const held = (all[c]! * width) / (high - low + 1);
        absent *= Math.max(0, 1 - held / keys);
      }
      counts[c] = keys * (1 - absent);
    }
    return counts;
  }

  /** Cuts pieces into tables of about this size. */
  #cut(pieces: readonly Piece[], level: number, tableBytesMax: number): SimulatedTable[] {
    let total = 0;
    for (const { counts } of pieces) total += sum(counts);
    const bits = this.#bitsOf(level, total);
    const entry = mixed(pieces);
    const most = Math.max(1, tableBytesMax / entry.bytes);
    const tables: SimulatedTable[] = [];
    let counts = new Float64Array(this.classes.length);
    let entries = 0;
    let from = -1;
    let end = -1;
    const close = (): void => {
      if (from >= 0) tables.push(this.#table(from, end, counts, entry, bits));
      counts = new Float64Array(this.classes.length);
      entries = 0;
      from = -1;
    };
    for (const piece of pieces) {
      let { low } = piece;
      const pieceEntries = sum(piece.counts);
      const width = piece.high - piece.low + 1;
      while (low <= piece.high) {
        if (from < 0) from = low;
        const rest = ((piece.high - low + 1) / width) * pieceEntries;
        const isWhole = entries + rest <= most * 1.001;
        const taken = isWhole
          ? piece.high - low + 1
          : Math.max(1, Math.floor(((most - entries) / pieceEntries) * width));
        end = Math.min(piece.high, low + taken - 1);
        const share = (end - low + 1) / width;
        for (let c = 0; c < counts.length; c++) counts[c]! += piece.counts[c]! * share;
        entries += pieceEntries * share;
        low = end + 1;
        if (!isWhole) close();
      }
    }
    close();
    return tables;
  }

  #table(
    low: number,
    high: number,
    counts: Float64Array,
    entry: EntryLikeness,
    filterBits: number,
  ): SimulatedTable {
    const entryCount = sum(counts);
    return {
      number: this.#nextNumber++,
      bytes: entryCount * entry.bytes,
      smallestKey: keyOf(low),
      largestKey: keyOf(high),
      smallestSeq: 1,
      largestSeq: 1,
      entryCount,
      deleteCount: 0,
      references: [],
      referencedBytes: 0,
      low,
      high,
      counts,
      entry,
      filterBits,
    };
  }

  /** Filter bits per key of tables that are about to be written, as the engine plans them. */
  #bitsOf(level: number, entries: number): number {
    const { bits, allocation } = this.#filters;
    const { levels } = this.#policy.shape;
    const named = level > 0 ? levels[Math.min(level, levels.length) - 1]!.filterBits : undefined;
    if (named !== undefined) return named;
    if (bits === 0 || allocation === "uniform") return bits;
    const held: number[] = [];
    const runs: number[] = [];
    for (const [i, one] of this.levels.entries()) {
      let count = 0;
      for (const run of one.runs) for (const table of run.tables) count += table.entryCount;
      let runCount = filledRuns(one).length;
      if (i === 0 && level === 0) {
        const { l0Trigger } = this.#policy.shape;
        runCount = Math.max(runCount + 1, l0Trigger);
        count = Math.max(count + entries, entries * l0Trigger);
      } else if (i === level) count = Math.max(count, entries);
      held.push(count);
      runs.push(runCount);
    }
    return monkeyBits(held, runs, bits)[level]!;
  }
}

interface Piece {
  readonly low: number;
  readonly high: number;
  readonly counts: Float64Array;
  readonly entry: EntryLikeness;
}

/** Returns what entries of several are like together, each counted as often as it has entries. */
function mixed(parts: readonly Pick<Piece, "counts" | "entry">[]): EntryLikeness {
  const first = parts[0]!.entry;
  if (parts.every(({ entry }) => entry === first)) return first;
  let entries = 0;
  let bytes = 0;
  let apart = 0;
  for (const { counts, entry } of parts) {
    const count = sum(counts);
    entries += count;
    bytes += count * entry.bytes;
    apart += count * entry.apart;
  }
  return { bytes: bytes / entries, apart: apart / entries };
}

function sum(counts: Float64Array): number {
  let total = 0;
  for (let i = 0; i < counts.length; i++) total += counts[i]!;
  return total;
}

function keyOf(n: number): Uint8Array {
  return new Uint8Array([n >>> 24, n >>> 16, n >>> 8, n]);
}
