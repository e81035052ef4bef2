/**
 * A tree that executes choices on entries it knows, and checks after each step what the read order
 * demands. It refuses every choice that an engine could not execute safely.
 */
import { compareKeys, SeededRandom } from "@aura/base";
import type {
  CompactionChoice,
  MergeChoice,
  MoveChoice,
  SegmentReference,
  TableView,
  TreeView,
} from "../src/index.ts";

export interface ModelEntry {
  readonly key: number;
  readonly seq: number;
  readonly isDelete: boolean;
  readonly bytes: number;
  /** Segment of the value, 0 when it is inline. */
  readonly segment: number;
}

export interface ModelTable extends TableView {
  readonly entries: readonly ModelEntry[];
}

interface ModelRun {
  readonly id: number;
  tables: ModelTable[];
}

interface ModelJob {
  readonly choice: MergeChoice;
  readonly tables: readonly ModelTable[];
  /** Tables behind the newest input in read order: what a delete may still hide. */
  readonly older: readonly ModelTable[];
}

/** Keys in bytes sort as their numbers do. */
function keyOf(n: number): Uint8Array {
  return new Uint8Array([n >>> 16, n >>> 8, n]);
}

function fail(what: string): never {
  throw new Error(what);
}

function tableOf(number: number, entries: readonly ModelEntry[]): ModelTable {
  const references = new Map<number, SegmentReference>();
  let bytes = 0;
  let deleteCount = 0;
  for (const { segment, isDelete, bytes: size } of entries) {
    bytes += segment > 0 ? 30 : size;
    if (isDelete) deleteCount++;
    if (segment === 0) continue;
    const old = references.get(segment) ?? { segment, bytes: 0, count: 0 };
    references.set(segment, { segment, bytes: old.bytes + size, count: old.count + 1 });
  }
  const seqs = entries.map((entry) => entry.seq);
  return {
    number,
    bytes,
    entries,
    smallestKey: keyOf(entries[0]!.key),
    largestKey: keyOf(entries.at(-1)!.key),
    smallestSeq: Math.min(...seqs),
    largestSeq: Math.max(...seqs),
    entryCount: entries.length,
    deleteCount,
    references: [...references.values()],
    referencedBytes: [...references.values()].reduce((sum, r) => sum + r.bytes, 0),
  };
}

function holds(table: ModelTable, key: number): boolean {
  const bytes = keyOf(key);
  return compareKeys(table.smallestKey, bytes) <= 0 && compareKeys(bytes, table.largestKey) <= 0;
}

export class ModelTree {
  levels: ModelRun[][] = [];
  readonly busy: Set<number> = new Set();
  readonly draining: Set<number> = new Set();
  /** Tables that nothing may read any more. */
  readonly damaged: Set<number> = new Set();
  readonly jobs: ModelJob[] = [];
  /** Newest entry of each key: what reads must find. */
  readonly newest: Map<number, ModelEntry> = new Map();
  seq = 0;
  nextSegment = 1;
  writtenBytes = 0;
  moves = 0;
  /** Wall clock of the views; undefined: age does not matter. */
  nowMs: number | undefined;
  readonly #random: SeededRandom;
  /** Keeps every version, as if a snapshot needed it. */
  readonly #keepAll: boolean;
  #nextNumber = 1;

  constructor(seed: number, levelCount: number, keepAll: boolean) {
    this.#random = new SeededRandom(seed);
    this.#keepAll = keepAll;
    this.levels = Array.from({ length: levelCount }, () => []);
  }

  view(): TreeView {
    return {
      levels: this.levels.map((runs) => ({ runs: runs.map((run) => ({ ...run })) })),
      flushBytes: 0,
      busy: this.busy,
      damaged: this.damaged,
      draining: this.draining,
      ...(this.nowMs === undefined ? {} : { nowMs: this.nowMs }),
      ...(this.#keepAll ? { oldestSnapshotSeq: 0 } : {}),
    };
  }

  /** Adds a run in front of a level: a flush for level 0. */
  addRun(level: number, keys: readonly number[], deletes: number, separated: number): void {
    const segment = this.nextSegment++;
    const entries = [...new Set(keys)].map((key): ModelEntry => {
      const isDelete = this.#random.below(100) < deletes;
      const isSeparated = !isDelete && this.#random.below(100) < separated;
      return {
        key,
        seq: ++this.seq,
        isDelete,
        bytes: 20 + this.#random.below(80),
        segment: isSeparated ? segment : 0,
      };
    });
    for (const entry of entries) this.newest.set(entry.key, entry);
    entries.sort((a, b) => a.key - b.key || b.seq - a.seq);
    if (entries.length === 0) return;
    const tables = this.#cut(entries, 800 + this.#random.below(3000));
    this.levels[level]!.unshift({ id: this.#nextNumber++, tables });
  }

  /** Executes a move, or starts a merge. */
  start(choice: MergeChoice | MoveChoice): void {
    if (choice.kind === "move") this.#move(choice);
    else {
      const tables = choice.inputs.flatMap(({ level, tables: numbers }) => {
        if (numbers.length === 0) fail("an input without tables");
        return numbers.map((number) => this.#tableAt(level, number));
      });
      if (new Set(tables).size !== tables.length) fail("a table is named twice");
      const drained = new Set(tables.flatMap((t) => t.references.map((r) => r.segment)));
      const expected = [...drained].filter((s) => this.draining.has(s)).sort((a, b) => a - b);
      if (String(expected) !== String(choice.drain)) fail("drain names the wrong segments");
      for (const table of tables) this.busy.add(table.number);
      this.jobs.push({ choice, tables, older: this.#olderThan(tables) });
    }
  }

  /** Installs the output of a running merge. */
  finish(index: number): MergeChoice {
    const [job] = this.jobs.splice(index, 1);
    const { choice, tables, older } = job ?? fail("no such job");
    const inputs = new Set(tables);
    for (const runs of this.levels) {
      for (const run of runs) run.tables = run.tables.filter((table) => !inputs.has(table));
    }
    for (const table of tables) this.busy.delete(table.number);
    const entries = this.#merged(choice, tables, older);
    this.writtenBytes += tables.reduce((sum, table) => sum + table.bytes, 0);
    const output = entries.length > 0 ? this.#cut(entries, choice.tableBytesMax) : [];
    this.#install(choice.outputLevel, choice.outputRunId, output);
    return choice;
  }

  #install(level: number, runId: number | undefined, tables: readonly ModelTable[]): void {
    const runs = this.levels[level] ?? fail("no such level");
    let run = runs.find(({ id }) => id === runId);
    if (run === undefined) {
      if (tables.length === 0) return;
      if (runId !== undefined) fail("no such run");
      run = { id: this.#nextNumber++, tables: [] };
      runs.unshift(run);
    }
    run.tables.push(...tables);
    run.tables.sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
    // Level 0 forgets empty runs at once, deeper levels now and then.
    for (const [at, all] of this.levels.entries()) {
      if (this.jobs.length > 0 || (at > 0 && this.#random.below(2) === 0)) continue;
      this.levels[at] = all.filter(({ tables: kept }) => kept.length > 0);
    }
  }

  #tableAt(level: number, number: number): ModelTable {
    if (this.busy.has(number)) fail(`table ${number} is busy`);
    if (this.damaged.has(number)) fail(`table ${number} is damaged`);
    for (const run of this.levels[level] ?? []) {
      const table = run.tables.find((t) => t.number === number);
      if (table !== undefined) return table;
    }
    return fail(`level ${level} has no table ${number}`);
  }

  #move(choice: MoveChoice): void {
    const run = this.levels[choice.level]!.find(({ id }) => id === choice.runId);
    if (run === undefined) fail("no such run");
    const tables = choice.tables.map((number) => this.#tableAt(choice.level, number));
    if (tables.length === 0) fail("a move without tables");
    for (const table of tables) {
      if (!run.tables.includes(table)) fail("a moved table is in another run");
      if (table.references.some((r) => this.draining.has(r.segment))) fail("draining and moved");
    }
    run.tables = run.tables.filter((table) => !tables.includes(table));
    this.moves++;
    this.#install(choice.toLevel, choice.toRunId, tables);
  }

  #merged(
    choice: MergeChoice,
    tables: readonly ModelTable[],
    older: readonly ModelTable[],
  ): ModelEntry[] {
    const entries = tables.flatMap((table) => table.entries);
    entries.sort((a, b) => a.key - b.key || b.seq - a.seq);
    const segment = choice.drain.length > 0 ? this.nextSegment++ : 0;
    const kept: ModelEntry[] = [];
    for (const entry of entries) {
      const isShadowed = kept.at(-1)?.key === entry.key;
      if (isShadowed && !this.#keepAll) continue;
      const moved = choice.drain.includes(entry.segment);
      kept.push(moved ? { ...entry, segment } : entry);
    }
    if (this.#keepAll) return kept;
    return kept.filter(({ key, isDelete }) => !isDelete || older.some((t) => holds(t, key)));
  }

  #olderThan(inputs: readonly ModelTable[]): ModelTable[] {
    const all = this.levels.flatMap((runs) => runs.flatMap(({ tables }) => tables));
    const newest = all.findIndex((table) => inputs.includes(table));
    return all.slice(newest).filter((table) => !inputs.includes(table));
  }

  /** Cuts entries into tables, never within one key. */
  #cut(entries: readonly ModelEntry[], bytesMax: number): ModelTable[] {
    const tables: ModelTable[] = [];
    let from = 0;
    let bytes = 0;
    for (let i = 0; i < entries.length; i++) {
      bytes += entries[i]!.segment > 0 ? 30 : entries[i]!.bytes;
      const isLast = i === entries.length - 1;
      if (!isLast && (bytes < bytesMax || entries[i + 1]!.key === entries[i]!.key)) continue;
      const table = tableOf(this.#nextNumber++, entries.slice(from, i + 1));
      tables.push({ ...table, createdMs: this.nowMs ?? 0 });
      from = i + 1;
      bytes = 0;
    }
    return tables;
  }

  /** Throws unless runs are disjoint, sequences only fall, and every newest entry is read. */
  check(): void {
    const seen = new Map<number, ModelEntry>();
    let versions = 0;
    for (const runs of this.levels) {
      for (const { tables } of runs) {
        for (let i = 1; i < tables.length; i++) {
          const order = compareKeys(tables[i - 1]!.largestKey, tables[i]!.smallestKey);
          if (order >= 0) fail(`tables of one run overlap at ${tables[i]!.smallestKey}`);
        }
        for (const table of tables) {
          for (const entry of table.entries) {
            versions++;
            const above = seen.get(entry.key);
            if (above !== undefined && above.seq <= entry.seq) {
              fail(`key ${entry.key}: sequence ${entry.seq} stands below ${above.seq}`);
            }
            seen.set(entry.key, above === undefined ? entry : { ...above, seq: entry.seq });
          }
        }
      }
    }
    if (this.#keepAll && versions !== this.seq) fail(`${versions} versions of ${this.seq}`);
    this.#checkNewest();
  }

  #checkNewest(): void {
    const read = new Map<number, ModelEntry>();
    for (const runs of this.levels) {
      for (const { tables } of runs) {
        for (const entry of tables.flatMap((table) => table.entries)) {
          if (!read.has(entry.key)) read.set(entry.key, entry);
        }
      }
    }
    for (const [key, entry] of this.newest) {
      const found = read.get(key);
      if (entry.isDelete ? found?.isDelete === false : found?.seq !== entry.seq) {
        fail(`key ${key} reads sequence ${found?.seq}, not ${entry.seq}`);
      }
    }
  }

  /** Damages a table that no job reads, if there is one. */
  damageOne(): void {
    const all = this.levels.flatMap((runs) => runs.flatMap(({ tables }) => tables));
    const free = all.filter(({ number }) => !this.busy.has(number));
    if (free.length > 0) this.damaged.add(free[this.#random.below(free.length)]!.number);
  }

  /** Whether a table refers to a draining segment. */
  hasDrainingReference(): boolean {
    return this.levels.some((runs) =>
      runs.some(({ tables }) =>
        tables.some((t) => t.references.some((r) => this.draining.has(r.segment))),
      ),
    );
  }

  /** Segments that tables refer to. */
  referencedSegments(): number[] {
    const segments = this.levels.flatMap((runs) =>
      runs.flatMap(({ tables }) =>
        tables.flatMap((table) => table.references.map((r) => r.segment)),
      ),
    );
    return [...new Set(segments)];
  }
}

/** Executes choices one at a time until the policy is idle; returns them. */
export function settle(
  tree: ModelTree,
  choose: (view: TreeView) => CompactionChoice,
  stepsMax: number,
): CompactionChoice[] {
  const choices: CompactionChoice[] = [];
  for (let step = 0; step < stepsMax; step++) {
    const choice = choose(tree.view());
    if (choice.kind === "idle") return choices;
    choices.push(choice);
    tree.start(choice);
    while (tree.jobs.length > 0) tree.finish(0);
    tree.check();
  }
  return fail(`not idle after ${stepsMax} steps`);
}
