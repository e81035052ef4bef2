/**
 * Compaction scheduling: asks the policy what to do, has workers do it, publishes the results.
 *
 * Merges are cut into parts by ranges of keys; a part is a job. The lane `merge` runs parts at
 * lowered priority at any time. The lane `assist` runs them beside it at full priority, when
 * somebody waits for the merges, level 0 has grown far beyond its trigger, or writes are delayed for
 * garbage that merges would drop. A lane that is free
 * while no part waits gets another merge, independent of those that run.
 *
 * The policy's choices are values; this file turns them into jobs and edits, and holds what every
 * choice must respect: the input of a running job is busy, a tombstone goes only if no older run may
 * hold its key, the output joins the run it replaces.
 */
import type { Clock, JobQueue, Lane, Scheduler, Timer } from "@aura/base";
import { AuraError, assert, hasCode } from "@aura/base";
import type {
  CompactionChoice,
  CompactionPolicy,
  MoveChoice,
  SpaceNeed,
  TreeShape,
  TreeView,
} from "@aura/compaction-rl";
import { CompactionRetry } from "./compaction-retry.ts";
import type { CoveredTables } from "./covered-tables.ts";
import { Damage } from "./damage.ts";
import type { DatabaseEmitter } from "./events.ts";
import type { Health } from "./health.ts";
import { type IoBudget, IoCause, IoPriority } from "./io-budget.ts";
import type { MergeInput, MergeOutput } from "./jobs/merge.ts";
import { addPacked, NOTHING_PACKED, type PackedValues } from "./jobs/value-mover.ts";
import { MergeReasons } from "./merge-reasons.ts";
import { bytesOf, olderThan, slicesOf, tablesOf, takenByLevel } from "./merge-slices.ts";
import { cutRanges, type MergeEnd, type MergePlan, MergeTask } from "./merge-task.ts";
import { isBottomRun, mergedNewKeys } from "./new-keys.ts";
import type { OutputPlanner } from "./output-planner.ts";
import type { Reserve } from "./reserve.ts";
import type { SnapshotList } from "./snapshot.ts";
import type { Tree } from "./tree.ts";
import type { VainTries } from "./vain-tries.ts";
import type { ValueGc } from "./value-gc.ts";
import type { ValueLocality } from "./value-locality.ts";
import { valueSpace } from "./value-space.ts";
import type { Run } from "./version.ts";
import type { WorkCounts } from "./work-counts.ts";
import type { WriteDebt } from "./write-debt.ts";

/** Snapshots that end within so many ms are looked at together. */
const RELEASED_MS = 50;

/** What compaction works with. */
export interface CompactionParts {
  readonly queue: JobQueue;
  readonly tree: Tree;
  readonly planner: OutputPlanner;
  readonly policy: CompactionPolicy;
  readonly snapshots: SnapshotList;
  readonly covered: CoveredTables;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly health: Health;
  readonly events: DatabaseEmitter;
  readonly reserve: Reserve;
  readonly flushBytes: number;
  /** Times the trigger of level 0 from which on merges get the second lane unasked. */
  readonly l0Urgent: number;
  /** How often the age of tables is looked at, ms; 0: never. */
  readonly ageCheckMs: number;
  readonly automatic: boolean;
  readonly valueGc: ValueGc;
  readonly locality: ValueLocality;
  readonly debt: WriteDebt;
  readonly counts: WorkCounts;
  readonly io: IoBudget;
  /** Another shape is in force. */
  readonly onReshaped: (shape: TreeShape) => void;
  /** A compaction ended: whoever waits for quiet looks again. */
  readonly onEnded: () => void;
}

/** Runs compactions. */
export class Compactor {
  readonly #parts: CompactionParts;
  #tasks: MergeTask[] = [];
  readonly #lanes = new Set<Lane>();
  /** Bytes of values that a merge moves, as far as is known when it begins. */
  readonly #copyBytes = new WeakMap<MergeTask, number>();
  readonly #damage = new Damage();
  readonly #retry: CompactionRetry;
  #held = 0;
  #awaited = 0;
  #ageTimer: Timer | undefined;
  #releasedTimer: Timer | undefined;
  /** Counters for stats. */
  merges = 0;
  moves = 0;
  /** Tables that were dropped unread, since range tombstones cover them. */
  drops = 0;
  bytesRead = 0;
  bytesWritten = 0;
  bytesRelocated = 0;
  readonly reasons: MergeReasons = new MergeReasons();
  packed: PackedValues = NOTHING_PACKED;
  failures = 0;

  constructor(parts: CompactionParts) {
    this.#parts = parts;
    this.#retry = new CompactionRetry(parts, () => {
      this.start();
      parts.onEnded();
    });
    if (parts.ageCheckMs > 0 && parts.automatic) this.#checkAgeLater();
  }

  /** The shape of the tree in force. */
  get shape(): TreeShape {
    return this.#parts.policy.shape;
  }

  /** Puts a shape in force. What runs goes on as it was meant; nothing is rewritten for it. */
  reshape(shape: TreeShape): void {
    this.#parts.policy.reshape(shape);
    this.#parts.onReshaped(shape);
    this.#parts.events.announce("compactionMode", { mode: shape.name, shape });
    this.start();
  }

  /** A snapshot has ended: looks soon whether what only it saw is to go. */
  noteReleased(): void {
    const { tree, scheduler } = this.#parts;
    const mayHold = tree.version.hasRangeDeletes || valueSpace(tree.version).shadowedBytes > 0;
    if (!mayHold || this.#releasedTimer !== undefined) return;
    this.#releasedTimer = scheduler.after(RELEASED_MS, () => {
      this.#releasedTimer = undefined;
      this.start();
    });
  }

  /** True while a compaction runs or is to be tried again. */
  get busy(): boolean {
    return this.#tasks.length > 0 || this.#retry.isWaiting;
  }

  /** What those are told who wait for the merges that the policy asks for. */
  get vainTries(): VainTries {
    return this.#retry.vainTries;
  }

  /** Merges that run now. */
  get running(): number {
    return this.#tasks.length;
  }

  /** Files that are known to be damaged, and that merges leave alone. */
  get damage(): Damage {
    return this.#damage;
  }

  /** Segments that are being emptied. */
  get draining(): ReadonlySet<number> {
    return this.#parts.valueGc.draining;
  }

  /** Whether the policy has nothing to do. Begins what there is: to look may mark segments. */
  get settled(): boolean {
    if (this.busy) return false;
    if (!this.#parts.automatic || this.#held > 0) return true;
    if (this.#choose().kind === "idle" && this.#parts.locality.choose() === undefined) return true;
    this.start();
    return false;
  }

  /** Whether a merge is under way that will end without a pause; begins one if there is a reason. */
  get isWorking(): boolean {
    if (!this.#parts.automatic || this.#held > 0) return false;
    this.start();
    return this.#tasks.length > 0;
  }

  /** Begins what the policy chooses next, as long as a lane is free. */
  start(): void {
    const { automatic } = this.#parts;
    for (;;) {
      this.#dispatch();
      if (!automatic || this.#held > 0 || this.#retry.isWaiting) return;
      if (!this.#isOpen() || this.#freeLane() === undefined) return;
      const choice = this.#choose();
      if (choice.kind === "idle") {
        if (this.#rewrite()) continue;
        // What failed is not asked for any more.
        if (this.#tasks.length === 0) this.vainTries.noteEnded();
        return;
      }
      if (choice.kind === "move") {
        if (!this.#move(choice)) return;
      } else this.#begin(choice, { onDone: () => this.start(), onFailed: undefined, choice });
    }
  }

  /** Cancels running compactions, whose files are discarded, and begins no more by itself. */
  cancel(): void {
    this.#ageTimer?.cancel();
    this.#ageTimer = undefined;
    this.#releasedTimer?.cancel();
    this.#releasedTimer = undefined;
    this.#cancelTasks();
  }

  #cancelTasks(): void {
    for (const task of [...this.#tasks]) {
      task.cancel();
      this.#settle(task);
    }
  }

  /** Gives merges all that there is while `work` waits for them. */
  async awaited<T>(work: () => Promise<T>): Promise<T> {
    this.#awaited++;
    this.#parts.debt.noteVersion();
    this.start();
    try {
      return await work();
    } finally {
      this.#awaited--;
    }
  }

  /** Whether somebody waits for the merges. */
  get isAwaited(): boolean {
    return this.#awaited > 0;
  }

  /** Keeps automatic compactions back while a manual one goes on. */
  hold(): void {
    this.#held++;
  }

  release(): void {
    this.#held--;
    this.start();
  }

  /** Returns the next merge that empties segments; undefined when there is none. */
  chooseRelocation(): MergePlan | undefined {
    const view = this.#view({ isUrgent: true, isHiding: false });
    const choice = view.draining.size > 0 ? this.#parts.policy.choose(view) : undefined;
    return choice?.kind === "merge" && choice.reason === "relocate" ? choice : undefined;
  }

  /**
   * Runs one merge by hand. Resolves when its result is published. A `signal` ends it, and leaves
   * the tree as it was. `onPart` is told the share of the merge that is done.
   */
  merge(
    plan: MergePlan,
    signal?: AbortSignal,
    onPart: (share: number) => void = () => undefined,
  ): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (this.busy) {
        reject(new AuraError("AURA_BUSY", "a compaction is running"));
        return;
      }
      const task = this.#begin(plan, { onDone: resolve, onFailed: reject, onPart });
      const abort = (): void => {
        task.cancel();
        this.#settle(task);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const done = (): void => signal?.removeEventListener("abort", abort);
      task.onSettled = done;
      this.#dispatch();
    });
  }

  #isOpen(): boolean {
    const { health } = this.#parts;
    return !health.closed && health.failure === undefined;
  }

  /** Returns a lane that may take a part now; that at full priority first, if it may be used. */
  #freeLane(): Lane | undefined {
    const { tree, policy, l0Urgent, debt } = this.#parts;
    const l0RunsMax = policy.shape.l0Trigger * l0Urgent;
    const isUrgent =
      this.#awaited > 0 ||
      debt.garbageUrgency >= 1 ||
      tree.version.levels[0]!.runs.length >= l0RunsMax;
    if (isUrgent && !this.#lanes.has("assist")) return "assist";
    return this.#lanes.has("merge") ? undefined : "merge";
  }

  /** Gives parts that wait to lanes that are free, the oldest merge first. */
  #dispatch(): void {
    const { queue } = this.#parts;
    if (!this.#isOpen()) this.#cancelTasks();
    for (;;) {
      const task = this.#tasks.find(({ hasNext }) => hasNext);
      const lane = task === undefined ? undefined : this.#freeLane();
      if (task === undefined || lane === undefined) return;
      this.#lanes.add(lane);
      task.beginNext(
        (input, onDone, onError) => queue.submit(lane, "merge", input, onDone, onError),
        () => {
          this.#lanes.delete(lane);
          if (task.hasEnded) this.#settle(task);
          else this.start();
        },
      );
    }
  }

  /** Publishes a merge whose parts have ended, or sees to its failure; does nothing before. */
  #settle(task: MergeTask): void {
    if (!task.hasEnded || !this.#tasks.includes(task)) return;
    task.onSettled();
    this.#tasks = this.#tasks.filter((other) => other !== task);
    this.#parts.valueGc.noteEnded(this.#copyBytes.get(task) ?? 0);
    const error = task.error ?? task.miscount() ?? this.#install(task);
    if (error === undefined) return;
    const { tree, planner, debt } = this.#parts;
    debt.noteMergeEnded();
    tree.discard([
      ...task.outputs.flatMap((output) => planner.pathsOf(output)),
      ...task.lost.flatMap((output) => planner.pathsOfLost(output)),
    ]);
    this.#failed(error, task);
    this.#dispatch();
  }

  /** The policy's estimate of the bytes that merges have to read and write. */
  debtBytes(): number {
    return this.#parts.policy.debtBytes(this.#view());
  }

  /** The policy's estimate of the bytes that wait to go down. */
  waitingBytes(): number {
    return this.#parts.policy.waitingBytes(this.#view());
  }

  /** Begins to write scattered values again in the order of their keys, if nothing else is to be done. */
  #rewrite(): boolean {
    const { locality } = this.#parts;
    const plan =
      this.#tasks.length > 0 || this.#damage.tables.size > 0 ? undefined : locality.choose();
    if (plan === undefined) return false;
    locality.noteBegun();
    this.#begin(plan, { onDone: () => this.start(), onFailed: undefined });
    return true;
  }

  /** Drops the tables that range tombstones cover wholly. What fails is tried again later. */
  dropCovered(): void {
    const { tree, covered, snapshots, health } = this.#parts;
    if (!tree.version.hasRangeDeletes || !this.#isOpen()) return;
    const change = covered.find(tree.version, snapshots.seqs(), this.#busyTables());
    if (change === undefined) return;
    try {
      tree.install(change);
    } catch {
      assert(health.failure !== undefined, "without a manifest the database is read-only");
      return;
    }
    this.drops += change.removed!.length;
    for (const { number } of change.removed!) {
      this.#damage.tables.delete(number);
      this.#parts.valueGc.noteDropped(number);
    }
    this.#parts.debt.noteVersion();
  }

  #choose(): CompactionChoice {
    const { policy, valueGc } = this.#parts;
    this.dropCovered();
    valueGc.avoid = this.#damage.segments;
    const { isUrgent, isHiding } = valueGc.demand();
    return policy.choose(this.#view({ isUrgent, isHiding }));
  }

  #view(space?: SpaceNeed): TreeView {
    const { tree, flushBytes, clock, snapshots, valueGc } = this.#parts;
    const { version } = tree;
    const oldestSnapshotSeq = snapshots.seqs()[0];
    return {
      levels: version.levels.map((level) => ({ runs: level.runs.map(runView) })),
      flushBytes,
      busy: this.#busyTables(),
      damaged: this.#damage.tables,
      draining: valueGc.draining,
      ...(space === undefined ? {} : { space }),
      nowMs: clock.wallMs(),
      isAwaited: this.#awaited > 0,
      ...(oldestSnapshotSeq === undefined ? {} : { oldestSnapshotSeq }),
    };
  }

  #checkAgeLater(): void {
    const { scheduler, ageCheckMs, health } = this.#parts;
    this.#ageTimer = scheduler.after(ageCheckMs, () => {
      if (health.closed) return;
      this.#checkAgeLater();
      this.start();
    });
  }

  /** Tables that running merges read. */
  #busyTables(): ReadonlySet<number> {
    const busy = new Set<number>();
    for (const { slices } of this.#tasks) {
      for (const { tables } of slices) for (const { number } of tables) busy.add(number);
    }
    return busy;
  }

  /** Returns whether the move is done. */
  #move(choice: MoveChoice): boolean {
    const { tree, policy } = this.#parts;
    const { version } = tree;
    const tables = tablesOf(version, choice.level, choice.tables);
    const run = choice.toRunId ?? tables[0]!.number;
    this.#parts.counts.onLeaving(choice.level, tables);
    try {
      tree.install({
        removed: tables.map(({ number }) => ({ level: choice.level, number })),
        added: tables.map((table) => ({ level: choice.toLevel, run, table })),
      });
      this.moves++;
      policy.observe({
        choice,
        inputBytes: 0,
        outputBytes: 0,
        inputBytesAbove: 0,
        relocatedBytes: 0,
        durationMs: 0,
      });
      this.#parts.debt.noteVersion();
      return true;
    } catch {
      // Health refuses further work.
      return false;
    }
  }

  #begin(plan: MergePlan, end: MergeEnd): MergeTask {
    const { tree, planner, snapshots, valueGc } = this.#parts;
    const { version } = tree;
    const slices = slicesOf(version, plan);
    const tables = slices.flatMap((slice) => slice.tables);
    const bytes = bytesOf(tables);
    const segments = new Set(tables.flatMap((t) => t.references.map((r) => r.segment)));
    const input: Omit<MergeInput, "output"> = {
      slices: slices.map((slice) => slice.tables),
      older: olderThan(version, slices),
      snapshots: snapshots.seqs(),
      drain: plan.drain,
      ...(plan.rewrite === undefined ? {} : { rewrite: plan.rewrite }),
      io: this.#parts.io.mergeShare(
        plan.outputLevel,
        ioPriorityOf(plan),
        plan.rewrite === undefined ? IoCause.relocation : IoCause.locality,
      ),
      segmentKinds: [...segments].map((number) => {
        const segment = version.segments.get(number);
        assert(segment !== undefined, `segment ${number} is referred to and known`);
        return [number, segment.kind] as const;
      }),
    };
    const ranges = cutRanges(tables, planner.partBytes(plan.tableBytesMax));
    // Nobody knows exactly how much of the input lies in a range.
    const shareBytes = ranges.length === 1 ? bytes : (2 * bytes) / ranges.length;
    const copyBytes = valueGc.noteBegun(tables, plan.drain, plan.rewrite?.bytesMax);
    const taken = takenByLevel(slices);
    const entries = taken.reduce((sum, count) => sum + count, 0);
    const target = { level: plan.outputLevel, entries, taken };
    const inputs = ranges.map((range) => {
      const output = planner.plan(shareBytes, plan.tableBytesMax, copyBytes, target);
      return ranges.length === 1 ? { ...input, output } : { ...input, output, range };
    });
    const task = new MergeTask(plan, slices, inputs, end);
    this.#copyBytes.set(task, copyBytes);
    task.startedMs = this.#parts.clock.monotonicMs();
    this.#tasks.push(task);
    this.#parts.debt.noteMergeBegun();
    this.#parts.events.announce("compactionStarted", { reason: plan.reason });
    return task;
  }

  /** Publishes a merge; returns why it could not be done. */
  #install({ plan, slices, outputs, end, startedMs }: MergeTask): Error | undefined {
    const { tree, events, onEnded, policy, clock, valueGc } = this.#parts;
    const before = tree.version;
    const tables = outputs.flatMap((output) => output.tables);
    const run = plan.outputRunId ?? tables[0]?.number ?? 0;
    const inputTables = slices.flatMap((slice) => slice.tables);
    const isBottom = isBottomRun(before, inputTables, plan.outputLevel, run);
    const sum = (of: (output: MergeOutput) => number): number =>
      outputs.reduce((total, output) => total + of(output), 0);
    for (const slice of slices) this.#parts.counts.onLeaving(slice.level, slice.tables);
    try {
      tree.install({
        removed: slices.flatMap(({ level, tables }) =>
          tables.map(({ number }) => ({ level, number })),
        ),
        added: mergedNewKeys(inputTables, tables, isBottom).map((table) => {
          return { level: plan.outputLevel, run, table };
        }),
        segmentChanges: outputs.flatMap((output) => output.segmentChanges),
        segmentSeals: outputs.flatMap(({ segmentSeals }) => segmentSeals),
      });
    } catch (error) {
      return error as Error;
    }
    valueGc.noteMerged(before, inputTables, tables);
    const bytesRead = slices.reduce((total, slice) => total + bytesOf(slice.tables), 0);
    const bytesWritten = sum((output) => output.bytesWritten);
    const bytesRelocated = sum((output) => output.bytesRelocated);
    this.merges++;
    this.#retry.noteEnded();
    this.bytesRead += bytesRead;
    this.bytesWritten += bytesWritten + bytesRelocated;
    if (plan.rewrite === undefined) this.bytesRelocated += bytesRelocated;
    else this.#parts.locality.noteRewritten(bytesRelocated);
    this.reasons.note(plan.reason, bytesRead, bytesWritten);
    this.#parts.debt.noteMergeEnded(slices, bytesRead + bytesWritten);
    const busyMs = sum((output) => output.busyMs);
    const deviceMs = sum((output) => output.deviceMs);
    const work = { bytesRead, bytesWritten, bytesRelocated, busyMs, deviceMs };
    this.#parts.counts.noteMerge(slices, plan.outputLevel, work);
    if (end.choice !== undefined) {
      const above = slices.filter(({ level }) => level < plan.outputLevel);
      policy.observe({
        choice: end.choice,
        inputBytes: bytesRead,
        outputBytes: bytesWritten,
        inputBytesAbove: above.reduce((total, slice) => total + bytesOf(slice.tables), 0),
        relocatedBytes: bytesRelocated,
        durationMs: clock.monotonicMs() - startedMs,
      });
    }
    for (const { valuesPacked } of outputs) this.packed = addPacked(this.packed, valuesPacked);
    events.announce("compaction", {
      reason: plan.reason,
      fromLevel: plan.inputs[0]!.level,
      toLevel: plan.outputLevel,
      tablesRead: slices.reduce((total, slice) => total + slice.tables.length, 0),
      tablesWritten: tables.length,
      bytesRead,
      bytesWritten,
      bytesRelocated,
    });
    end.onDone();
    onEnded();
    return undefined;
  }

  #failed(error: Error, { slices, end: { onFailed } }: MergeTask): void {
    const { health, events, reserve, tree, onEnded } = this.#parts;
    const isFull = hasCode(error, "AURA_OUT_OF_SPACE");
    if (isFull) reserve.free();
    const isDamage = this.#damage.note(error);
    if (isDamage) {
      events.announce("backgroundError", { severity: "corruption", activity: "compaction", error });
    }
    // Of a manifest that could not be written, the tree has told; what leads back begins merges anew.
    if (onFailed !== undefined || tree.isInDoubt) {
      onFailed?.(error);
      onEnded();
      return;
    }
    if (health.closed || hasCode(error, "AURA_ABORTED")) return;
    this.failures++;
    if (!isDamage) {
      events.announce("backgroundError", { severity: "soft", activity: "compaction", error });
    }
    const bytes = slices.reduce((sum, { tables }) => sum + bytesOf(tables), 0);
    this.#retry.later(isDamage ? undefined : error, isFull ? bytes : undefined);
    // Whoever waited for the room that it would have made.
    onEnded();
  }
}

/** Draining is chosen when the bound on space asks for it (value-gc.ts). */
function ioPriorityOf({ inputs, drain }: MergePlan): IoPriority {
  if (inputs.some(({ level }) => level === 0)) return IoPriority.levelZero;
  return drain.length > 0 ? IoPriority.relocation : IoPriority.other;
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
