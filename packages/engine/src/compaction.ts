/**
 * Compaction scheduling: asks the policy what to do, has a worker do it, publishes the result.
 *
 * One compaction runs at a time. The policy's choices are values; this file turns them into jobs and
 * edits, and holds what every choice must respect: the input of a running job is busy, a tombstone
 * goes only if no older run may hold its key, the output joins the run it replaces.
 */
import type { Job, JobQueue, Scheduler } from "@aura/base";
import { AuraError, assert, compareKeys, hasCode } from "@aura/base";
import type {
  CompactionChoice,
  CompactionPolicy,
  MergeChoice,
  MoveChoice,
  TreeView,
} from "@aura/compaction-rl";
import type { DatabaseEmitter } from "./events.ts";
import type { Health } from "./health.ts";
import type { KeyBounds, MergeInput, MergeOutput } from "./jobs/merge.ts";
import type { OutputPlanner } from "./output-planner.ts";
import type { Reserve } from "./reserve.ts";
import type { SnapshotList } from "./snapshot.ts";
import type { Tree } from "./tree.ts";
import { chooseDraining } from "./value-gc.ts";
import type { Run, TableMeta, Version } from "./version.ts";
import { overlaps } from "./version.ts";

/** Pause before a failed compaction is tried again, ms. */
const COMPACTION_RETRY_MS = 1000;

/** What compaction works with. */
export interface CompactionParts {
  readonly queue: JobQueue;
  readonly tree: Tree;
  readonly planner: OutputPlanner;
  readonly policy: CompactionPolicy;
  readonly snapshots: SnapshotList;
  readonly scheduler: Scheduler;
  readonly health: Health;
  readonly events: DatabaseEmitter;
  readonly reserve: Reserve;
  readonly flushBytes: number;
  readonly automatic: boolean;
  readonly spaceAmplificationMax: number;
  /** A compaction ended: whoever waits for quiet looks again. */
  readonly onEnded: () => void;
}

/** A merge, whoever asked for it. */
export type MergePlan = Pick<
  MergeChoice,
  "inputs" | "outputLevel" | "outputRunId" | "tableBytesMax" | "drain"
> & { readonly reason: string };

/** Runs compactions. */
export class Compactor {
  readonly #parts: CompactionParts;
  #busy = new Set<number>();
  #draining = new Set<number>();
  #job: Job | undefined;
  #waiting = false;
  #held = 0;
  /** Counters for stats. */
  merges = 0;
  moves = 0;
  bytesRead = 0;
  bytesWritten = 0;
  bytesRelocated = 0;
  failures = 0;

  constructor(parts: CompactionParts) {
    this.#parts = parts;
  }

  /** True while a compaction runs or is to be tried again. */
  get busy(): boolean {
    return this.#busy.size > 0 || this.#waiting;
  }

  /** Segments that are being drained. */
  get draining(): ReadonlySet<number> {
    return this.#draining;
  }

  /** Whether the policy has nothing to do for the current version. */
  get settled(): boolean {
    if (!this.#parts.automatic || this.#held > 0) return !this.busy;
    return !this.busy && this.#choose().kind === "idle";
  }

  /** Begins what the policy chooses next, if nothing runs. */
  start(): void {
    const { health, automatic } = this.#parts;
    if (!automatic || this.#held > 0) return;
    while (!this.busy && !health.closed && health.failure === undefined) {
      const choice = this.#choose();
      if (choice.kind === "idle") return;
      if (choice.kind === "move") this.#move(choice);
      else this.#begin(choice, () => this.start(), undefined);
    }
  }

  /** Cancels a running compaction; its files are discarded. */
  cancel(): void {
    this.#job?.cancel();
  }

  /** Keeps automatic compactions back while a manual one goes on. */
  hold(): void {
    this.#held++;
  }

  release(): void {
    this.#held--;
    this.start();
  }

  /** Runs one merge by hand. Resolves when its result is published. */
  merge(plan: MergePlan): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.busy) reject(new AuraError("AURA_BUSY", "a compaction is running"));
      else this.#begin(plan, resolve, reject);
    });
  }

  #choose(): CompactionChoice {
    const { tree, policy, flushBytes, spaceAmplificationMax } = this.#parts;
    const { version } = tree;
    this.#draining = chooseDraining(version, this.#draining, spaceAmplificationMax);
    const view: TreeView = {
      levels: version.levels.map((level) => ({ runs: level.runs.map(runView) })),
      flushBytes,
      busy: this.#busy,
      draining: this.#draining,
    };
    return policy.choose(view);
  }

  #move(choice: MoveChoice): void {
    const { tree } = this.#parts;
    const { version } = tree;
    const tables = tablesOf(version, choice.level, choice.tables);
    const run = version.levels[choice.toLevel]!.runs[0]?.id ?? tables[0]!.number;
    try {
      tree.install({
        removed: tables.map(({ number }) => ({ level: choice.level, number })),
        added: tables.map((table) => ({ level: choice.toLevel, run, table })),
      });
      this.moves++;
    } catch {
      // Health refuses further work.
    }
  }

  #begin(
    plan: MergePlan,
    onDone: () => void,
    onFailed: ((error: Error) => void) | undefined,
  ): void {
    const { tree, planner, snapshots, queue, events } = this.#parts;
    const { version } = tree;
    const slices = slicesOf(version, plan);
    const tables = slices.flatMap((slice) => slice.tables);
    const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
    const segments = new Set(tables.flatMap((t) => t.references.map((r) => r.segment)));
    const input: MergeInput = {
      slices: slices.map((slice) => slice.tables),
      older: olderThan(version, slices),
      output: planner.plan(bytes, plan.tableBytesMax),
      snapshots: snapshots.seqs(),
      drain: plan.drain,
      segmentKinds: [...segments].map((number) => {
        const segment = version.segments.get(number);
        assert(segment !== undefined, `segment ${number} is referred to and known`);
        return [number, segment.kind] as const;
      }),
    };
    this.#busy = new Set(tables.map((table) => table.number));
    events.announce("compactionStarted", { reason: plan.reason });
    this.#job = queue.submit(
      "merge",
      "merge",
      input,
      (output: MergeOutput) => {
        this.#ended();
        this.#install(plan, slices, output, onDone, onFailed);
      },
      (error) => {
        this.#ended();
        this.#failed(error, onFailed);
      },
    );
  }

  #ended(): void {
    this.#busy = new Set();
    this.#job = undefined;
  }

  #install(
    plan: MergePlan,
    slices: readonly Slice[],
    output: MergeOutput,
    onDone: () => void,
    onFailed: ((error: Error) => void) | undefined,
  ): void {
    const { tree, events, onEnded } = this.#parts;
    const run = plan.outputRunId ?? output.tables[0]?.number ?? 0;
    try {
      tree.install({
        removed: slices.flatMap(({ level, tables }) =>
          tables.map(({ number }) => ({ level, number })),
        ),
        added: output.tables.map((table) => ({ level: plan.outputLevel, run, table })),
        segmentChanges: output.segmentChanges,
        segmentSeals: output.segmentSeal === undefined ? [] : [output.segmentSeal],
      });
    } catch (error) {
      onFailed?.(error as Error);
      onEnded();
      return;
    }
    this.merges++;
    this.bytesRead += output.bytesRead;
    this.bytesWritten += output.bytesWritten + output.bytesRelocated;
    this.bytesRelocated += output.bytesRelocated;
    events.announce("compaction", {
      reason: plan.reason,
      fromLevel: plan.inputs[0]!.level,
      toLevel: plan.outputLevel,
      tablesRead: slices.reduce((sum, slice) => sum + slice.tables.length, 0),
      tablesWritten: output.tables.length,
      bytesRead: output.bytesRead,
      bytesWritten: output.bytesWritten,
      bytesRelocated: output.bytesRelocated,
    });
    onDone();
    onEnded();
  }

  #failed(error: Error, onFailed: ((error: Error) => void) | undefined): void {
    const { health, events, reserve, scheduler, onEnded } = this.#parts;
    if (onFailed !== undefined) {
      onFailed(error);
      onEnded();
      return;
    }
    if (health.closed || hasCode(error, "AURA_ABORTED")) return;
    this.failures++;
    if (hasCode(error, "AURA_OUT_OF_SPACE")) reserve.free();
    events.announce("backgroundError", { severity: "soft", activity: "compaction", error });
    this.#waiting = true;
    scheduler.after(COMPACTION_RETRY_MS, () => {
      this.#waiting = false;
      this.start();
      onEnded();
    });
  }
}

/** Input tables of one run, in key order. */
interface Slice {
  readonly level: number;
  readonly run: Run;
  readonly tables: readonly TableMeta[];
}

function runView(run: Run): TreeView["levels"][number]["runs"][number] {
  return {
    id: run.id,
    tables: run.tables.map((table) => ({
      ...table,
      referencedBytes: table.references.reduce((sum, reference) => sum + reference.bytes, 0),
    })),
  };
}

function tablesOf(version: Version, level: number, numbers: readonly number[]): TableMeta[] {
  const wanted = new Set(numbers);
  const tables = version.levels[level]!.runs.flatMap((run) =>
    run.tables.filter((table) => wanted.has(table.number)),
  );
  assert(tables.length === wanted.size, "the policy chose tables that are there");
  return tables;
}

/** Returns the input by run, in read order (newest first). */
function slicesOf(version: Version, plan: MergePlan): Slice[] {
  const slices: Slice[] = [];
  let chosen = 0;
  version.levels.forEach((level, index) => {
    const numbers = new Set(
      plan.inputs.filter((input) => input.level === index).flatMap((input) => input.tables),
    );
    if (numbers.size === 0) return;
    for (const run of level.runs) {
      const tables = run.tables.filter((table) => numbers.has(table.number));
      chosen += tables.length;
      if (tables.length > 0) slices.push({ level: index, run, tables });
    }
  });
  const wanted = plan.inputs.reduce((sum, input) => sum + input.tables.length, 0);
  assert(chosen === wanted && chosen > 0, "the policy chose tables that are there");
  return slices;
}

/** Bounds of the tables behind the newest input, in read order, that meet its keys. */
function olderThan(version: Version, slices: readonly Slice[]): KeyBounds[][] {
  const inputs = new Set(slices.flatMap((slice) => slice.tables.map((table) => table.number)));
  let smallest: Uint8Array | undefined;
  let largest: Uint8Array | undefined;
  for (const { tables } of slices) {
    for (const table of tables) {
      if (smallest === undefined || compareKeys(table.smallestKey, smallest) < 0) {
        smallest = table.smallestKey;
      }
      if (largest === undefined || compareKeys(table.largestKey, largest) > 0) {
        largest = table.largestKey;
      }
    }
  }
  const older: KeyBounds[][] = [];
  let behind = false;
  for (const level of version.levels) {
    for (const run of level.runs) {
      behind ||= run.tables.some((table) => inputs.has(table.number));
      if (!behind) continue;
      const bounds = run.tables
        .filter((table) => !inputs.has(table.number) && overlaps(table, smallest!, largest!))
        .map(({ smallestKey, largestKey }) => ({ smallestKey, largestKey }));
      if (bounds.length > 0) older.push(bounds);
    }
  }
  return older;
}
