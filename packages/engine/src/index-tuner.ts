/**
 * Chooses, level by level, how the next tables are indexed: model, what its lines may be off by, and
 * the size of blocks, from what look-ups in that level were seen to cost.
 *
 * `decideIndex` is pure: the same observations give the same decisions. A change needs the same
 * advice from two observations in a row, each over at least `LOOKUPS_MIN` look-ups, and moves one
 * step. Tables that are written already stay as they are. Models that were given up are tried again
 * after a while, since keys change: each time they fail, after twice as long.
 */
import type { LearnedIndexSettings } from "@aura/learned-index";
import type { ResolvedSettings } from "./settings.ts";

/** How tables of a level are indexed. */
export interface IndexPlan {
  readonly modelType: "piecewise-linear" | "radix-spline" | "none";
  /** What lines may be off by, blocks. */
  readonly errorBlocks: number;
  /** Target size of a raw block as a multiple of the setting: 1/2, 1, 2 or 4. */
  readonly blockFactor: number;
}

/** What was seen of one level since the last decision. */
export interface IndexObservation {
  readonly level: number;
  /** Look-ups that passed a filter. */
  readonly lookups: number;
  /** Blocks that they and cursors asked for, and those of them that had to be read. */
  readonly blocks: number;
  readonly blocksRead: number;
  /** Tables that are open, and those of them that a model serves. */
  readonly tables: number;
  readonly modelled: number;
  /** Memory of indexes and block offsets of the open tables, and the bytes of their files. */
  readonly indexBytes: number;
  readonly fileBytes: number;
  /** Time of a search in models of this level, and in the separators beside them; 0: not known. */
  readonly searchNs: number;
  readonly separatorNs: number;
}

/** A decision and why it was taken. */
export interface IndexDecision {
  readonly observation: IndexObservation;
  readonly plan: IndexPlan;
  readonly changed: boolean;
  readonly reason: string;
}

/** Models that a level gave up for separators. */
interface GivenUp {
  readonly modelType: IndexPlan["modelType"];
  /** Decisions until they are tried again, and how many those were in all. */
  readonly left: number;
  readonly rest: number;
}

/** What is remembered of a level from one decision to the next. */
export interface IndexTuning {
  readonly plan: IndexPlan;
  /** Advice of the last observation that was not followed yet. */
  readonly advice: string | undefined;
  /** Kept while separators, or the models tried after them, have not proved to be better. */
  readonly givenUp?: GivenUp | undefined;
}

/** Fewer look-ups say nothing. */
const LOOKUPS_MIN = 1000;
const ERROR_MIN = 1 / 8;
const ERROR_MAX = 4;
/** A search in a model may take this much of one in separators. */
const SEARCH_SHARE_MAX = 1.05;
const SEARCH_SHARE_LOW = 0.7;
/** Reads for so many of the blocks asked for: smaller blocks waste less of the cache. */
const READ_SHARE_HIGH = 0.5;
const READ_SHARE_LOW = 0.05;
/** Indexes that take more than this of their files: larger blocks need fewer bounds. */
const INDEX_SHARE_HIGH = 0.004;
const BLOCK_FACTOR_MIN = 0.5;
const BLOCK_FACTOR_MAX = 4;
/** Decisions for which separators stay before models are tried again; each time twice as many. */
const REST_MIN = 8;
const REST_MAX = 256;

/** Returns the next tuning of a level, and the decision that led to it. */
export function decideIndex(
  tuning: IndexTuning,
  observation: IndexObservation,
): { readonly tuning: IndexTuning; readonly decision: IndexDecision } {
  const { plan } = tuning;
  let { givenUp } = tuning;
  const keep = (reason: string, advice?: string) => ({
    tuning: { plan, advice, givenUp },
    decision: { observation, plan, changed: false, reason },
  });
  const change = (next: IndexPlan, reason: string) => ({
    tuning: { plan: next, advice: undefined, givenUp },
    decision: { observation, plan: next, changed: true, reason },
  });
  if (observation.lookups < LOOKUPS_MIN) return keep("too few look-ups", tuning.advice);
  if (plan.modelType === "none" && givenUp !== undefined) {
    const { modelType, left } = givenUp;
    givenUp = { ...givenUp, left: left - 1 };
    if (left <= 1) return change({ ...plan, modelType }, "separators for a while: models again");
  } else if (hasQuickModels(plan, observation)) givenUp = undefined;
  const advised = advise(plan, observation);
  if (advised === undefined) return keep("costs are as they should be");
  const [next, reason] = advised;
  if (tuning.advice !== reason) return keep(`to be confirmed: ${reason}`, reason);
  if (next.modelType !== plan.modelType) {
    const rest = Math.min(givenUp === undefined ? REST_MIN : givenUp.rest * 2, REST_MAX);
    givenUp = { modelType: plan.modelType, left: rest, rest };
  }
  return change(next, reason);
}

/** Whether models were timed, and are worth what they cost. */
function hasQuickModels({ modelType }: IndexPlan, seen: IndexObservation): boolean {
  const { modelled, searchNs, separatorNs } = seen;
  if (modelType === "none" || modelled === 0 || searchNs <= 0 || separatorNs <= 0) return false;
  return searchNs <= separatorNs * SEARCH_SHARE_MAX;
}

/** Returns the plan that an observation speaks for, one step from the present one, and why. */
function advise(
  plan: IndexPlan,
  seen: IndexObservation,
): readonly [plan: IndexPlan, reason: string] | undefined {
  const hasModels = plan.modelType !== "none" && seen.modelled > 0;
  const isTimed = seen.searchNs > 0 && seen.separatorNs > 0;
  const share = isTimed ? seen.searchNs / seen.separatorNs : 1;
  if (hasModels && isTimed && share > SEARCH_SHARE_MAX) {
    if (plan.errorBlocks > ERROR_MIN) {
      return [{ ...plan, errorBlocks: plan.errorBlocks / 2 }, "searches are slow: closer lines"];
    }
    return [{ ...plan, modelType: "none" }, "searches stay slow: separators"];
  }
  const readShare = seen.blocks === 0 ? 0 : seen.blocksRead / seen.blocks;
  if (readShare > READ_SHARE_HIGH && plan.blockFactor > BLOCK_FACTOR_MIN) {
    return [{ ...plan, blockFactor: plan.blockFactor / 2 }, "most blocks are read: smaller ones"];
  }
  const isHeavy = seen.indexBytes > seen.fileBytes * INDEX_SHARE_HIGH;
  if (isHeavy && hasModels && share < SEARCH_SHARE_LOW && plan.errorBlocks < ERROR_MAX) {
    return [{ ...plan, errorBlocks: plan.errorBlocks * 2 }, "searches are quick: fewer lines"];
  }
  if (isHeavy && readShare < READ_SHARE_LOW && plan.blockFactor < BLOCK_FACTOR_MAX) {
    return [{ ...plan, blockFactor: plan.blockFactor * 2 }, "indexes are large: larger blocks"];
  }
  return undefined;
}

/** Returns how tables are indexed before anything was seen. */
export function initialIndexPlan({
  learnedIndex,
}: Pick<ResolvedSettings, "learnedIndex">): IndexPlan {
  return { modelType: learnedIndex.modelType, errorBlocks: 1 / 2, blockFactor: 1 };
}

/** Returns the plan as settings of a model; undefined for none. */
export function modelSettings(plan: IndexPlan): LearnedIndexSettings | undefined {
  const { modelType, errorBlocks } = plan;
  return modelType === "none" ? undefined : { modelType, errorBlocks };
}
