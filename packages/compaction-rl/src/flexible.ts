/**
 * The classic policies as one: a flexible LSM tree of a given shape (shape.ts).
 *
 * In the order of urgency, behind what the bound on the space of values asks for (space-bound.ts):
 *   1. level 0 has too many runs; but before it the base level, when that is further beyond its target
 *      than level 0 beyond its trigger and would be rewritten with it;
 *   2. a level has twice its target or more: merges above it would get dear;
 *   3. a value segment is to be emptied;
 *   4. a level is over its target;
 *   5. a level has more runs than it should, and the shape does not wait for arrivals (level-excess.ts);
 *   6. tables are older than they should be, or hold little but deletes;
 *   7. somebody waits for quiet, and much of what lies above the last level can be freed.
 * A choice that a running job forbids is passed over for the next one. It remembers its shape and what
 * share of their bytes merges dropped; but for that, the same view gives the same choice.
 */
import { chooseByAge, chooseByDeletes } from "./aging.ts";
import { claimOf } from "./claim.ts";
import { compactionDebt, waitingBytes } from "./debt.ts";
import { chooseForSpace, GarbageShare } from "./freeing.ts";
import { chooseLevelDrain } from "./level-drain.ts";
import { chooseExcess } from "./level-excess.ts";
import { chooseLevelMerge } from "./level-merge.ts";
import { chooseIntraZero, chooseLevelZero } from "./level-zero.ts";
import { filledRuns } from "./overlap.ts";
import { isFree, type Plan } from "./planning.ts";
import type { CompactionChoice, CompactionPolicy, TreeView } from "./policy.ts";
import { chooseRelocation } from "./relocation.ts";
import { type TreeGeometry, type TreeSettings, treeGeometry } from "./settings.ts";
import { modeShape, receptionOf, runsMax, type TreeShape } from "./shape.ts";
import { chooseForBound } from "./space-bound.ts";
import { levelBytes, levelTargets } from "./targets.ts";

/** A level with this many times its target comes before the emptying of segments. */
const URGENT_SCORE = 2;

/** A merge reads at most the larger of so many base levels and this part of the largest level. */
const MERGE_BASES = 2;
const MERGE_SHARE = 4;

interface LevelScore {
  readonly level: number;
  readonly score: number;
  readonly excessBytes: number;
}

/** Returns the policy of a flexible tree. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function flexiblePolicy(settings: TreeSettings = {}): CompactionPolicy {
  const geometry = treeGeometry(settings);
  const garbage = new GarbageShare();
  let shape = modeShape(settings.mode ?? "leveled", geometry, settings.l0Trigger ?? 4);
  return {
    get name() {
      return shape.name;
    },
    get shape() {
      return shape;
    },
    reshape: (next) => {
      shape = next;
    },
    choose: (view) => choose(view, geometry, shape, garbage.share),
    debtBytes: (view) => compactionDebt(view, geometry, shape, levelTargets(view, geometry)),
    waitingBytes: (view) => waitingBytes(view, shape, levelTargets(view, geometry)),
    observe: (outcome) => garbage.observe(outcome),
  };
}

function choose(
  view: TreeView,
  geometry: TreeGeometry,
  shape: TreeShape,
  garbageShare: number,
): CompactionChoice {
  const targets = levelTargets(view, geometry);
  const plan: Plan = {
    view,
    geometry: { ...geometry, mergeBytesMax: mergeBytesMax(view, geometry) },
    shape,
    targets,
    claim: claimOf(view),
  };
  const forBound = chooseForBound(plan);
  if (forBound !== undefined) return forBound;
  const scores = levelScores(plan);
  const urgent = scores.filter(({ score }) => score >= URGENT_SCORE);
  const others = scores.filter(({ score }) => score < URGENT_SCORE);
  const zeroScore = filledRuns(view.levels[0]).length / shape.l0Trigger;
  if (zeroScore >= 1) {
    const choice =
      (isBaseFirst(plan, urgent, zeroScore) ? chooseBySize(plan, urgent) : undefined) ??
      chooseLevelZero(plan) ??
      chooseIntraZero(plan);
    if (choice !== undefined) return choice;
  }
  return (
    chooseBySize(plan, urgent) ??
    chooseRelocation(plan) ??
    chooseBySize(plan, others) ??
    chooseExcess(plan) ??
    chooseByAge(plan) ??
    chooseByDeletes(plan) ??
    chooseForSpace(plan, garbageShare) ?? { kind: "idle" }
  );
}

/**
 * Returns how many bytes a merge reads at most, but for what it must: while it runs, its tables exist
 * twice, which is not to be more than a part of the tree.
 */
function mergeBytesMax({ levels }: TreeView, geometry: TreeGeometry): number {
  const largest = Math.max(0, ...levels.slice(1).map(levelBytes));
  const bytes = Math.max(MERGE_BASES * geometry.baseLevelBytes, largest / MERGE_SHARE);
  return Math.min(geometry.mergeBytesMax, bytes);
}

/** Returns whether a merge of level 0 would rewrite a base level that is worse off than level 0. */
function isBaseFirst(plan: Plan, urgent: readonly LevelScore[], zeroScore: number): boolean {
  const { view, shape, targets } = plan;
  if (receptionOf(shape, targets, targets.base, view.levels[targets.base]) === "new") return false;
  return urgent.some(({ level, score }) => level === targets.base && score > zeroScore);
}

/** Returns the levels over their target, the worst first. Busy tables are on their way already. */
function levelScores(plan: Plan): LevelScore[] {
  const { view, targets } = plan;
  const scores: LevelScore[] = [];
  for (let level = targets.base; level < targets.last; level++) {
    let bytes = 0;
    for (const run of view.levels[level]?.runs ?? []) {
      for (const table of run.tables) if (isFree(view, table)) bytes += table.bytes;
    }
    const target = targets.bytes[level]!;
    if (bytes > target) scores.push({ level, score: bytes / target, excessBytes: bytes - target });
  }
  return scores.sort((a, b) => b.score - a.score || a.level - b.level);
}

function chooseBySize(plan: Plan, scores: readonly LevelScore[]): CompactionChoice | undefined {
  for (const { level, excessBytes } of scores) {
    const runs = filledRuns(plan.view.levels[level]);
    const isWhole = runs.length > 1 || runsMax(plan.shape, level) > 1;
    const choice = isWhole
      ? chooseLevelDrain(plan, level)
      : chooseLevelMerge(plan, level, runs[0]!, excessBytes);
    if (choice !== undefined) return choice;
  }
  return undefined;
}
