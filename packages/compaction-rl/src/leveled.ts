/**
 * Classic leveled compaction: one run per level, each level `fanout` times the one above.
 *
 * In the order of urgency:
 *   1. level 0 has too many runs;
 *   2. a level has twice its target or more: merges above it would get dear;
 *   3. a value segment is to be emptied;
 *   4. a level is over its target;
 *   5. a level has more than one run.
 * A choice that a running job forbids is passed over for the next one. Stateless: the same view
 * gives the same choice.
 */
import { claimOf } from "./claim.ts";
import { compactionDebt } from "./debt.ts";
import { chooseLevelMerge } from "./level-merge.ts";
import { chooseLevelZero } from "./level-zero.ts";
import { filledRuns } from "./overlap.ts";
import type { Plan } from "./planning.ts";
import type { CompactionChoice, CompactionPolicy, TreeView } from "./policy.ts";
import { chooseRelocation } from "./relocation.ts";
import { chooseRunMerge } from "./run-merge.ts";
import { type LeveledSettings, type LeveledShape, leveledShape } from "./settings.ts";
import { levelTargets } from "./targets.ts";

/** A level with this many times its target comes before the emptying of segments. */
const URGENT_SCORE = 2;

interface LevelScore {
  readonly level: number;
  readonly score: number;
  readonly excessBytes: number;
}

/** Returns the leveled policy. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function leveledPolicy(settings: LeveledSettings = {}): CompactionPolicy {
  const shape = leveledShape(settings);
  return {
    name: "leveled",
    choose: (view) => choose(view, shape),
    debtBytes: (view) => compactionDebt(view, shape, levelTargets(view, shape)),
    observe: () => undefined,
  };
}

function choose(view: TreeView, shape: LeveledShape): CompactionChoice {
  const plan = { view, shape, targets: levelTargets(view, shape), claim: claimOf(view) };
  if (filledRuns(view.levels[0]).length >= shape.l0Trigger) {
    const choice = chooseLevelZero(plan);
    if (choice !== undefined) return choice;
  }
  const scores = levelScores(plan);
  const urgent = scores.filter(({ score }) => score >= URGENT_SCORE);
  const others = scores.filter(({ score }) => score < URGENT_SCORE);
  return (
    chooseBySize(plan, urgent) ??
    chooseRelocation(plan) ??
    chooseBySize(plan, others) ??
    chooseByRuns(plan) ?? { kind: "idle" }
  );
}

/** Returns the levels over their target, the worst first. Busy tables are on their way already. */
function levelScores(plan: Plan): LevelScore[] {
  const { view, targets } = plan;
  const scores: LevelScore[] = [];
  for (let level = targets.base; level < targets.last; level++) {
    let bytes = 0;
    for (const run of view.levels[level]?.runs ?? []) {
      for (const table of run.tables) if (!view.busy.has(table.number)) bytes += table.bytes;
    }
    const target = targets.bytes[level]!;
    if (bytes > target) scores.push({ level, score: bytes / target, excessBytes: bytes - target });
  }
  return scores.sort((a, b) => b.score - a.score || a.level - b.level);
}

function chooseBySize(plan: Plan, scores: readonly LevelScore[]): CompactionChoice | undefined {
  for (const { level, excessBytes } of scores) {
    const choice = chooseLevelMerge(plan, level, excessBytes);
    if (choice !== undefined) return choice;
  }
  return undefined;
}

function chooseByRuns(plan: Plan): CompactionChoice | undefined {
  for (let level = 1; level < plan.view.levels.length; level++) {
    const choice = chooseRunMerge(plan, level);
    if (choice !== undefined) return choice;
  }
  return undefined;
}
