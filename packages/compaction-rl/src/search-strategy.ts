/**
 * Model-predictive search: prices settings by looking ahead from the tree as it stands (look-ahead.ts),
 * over the windows that the workload is expected to go on, and takes the cheapest. Searched again when
 * the workload has changed and every few windows; in between the last wish stands.
 *
 * Source: in the manner of ArceKV (PVLDB 19): search over simulated steps, repeated when what was found
 * does not fit any more.
 */
import type { Random } from "@aura/base";
import { cheapest } from "./closed-form.ts";
import { falsePositiveRates } from "./cost-model.ts";
import { LookAhead } from "./look-ahead.ts";
import type { Situation, Strategy, Wish } from "./strategy.ts";
import type { TreeSetting } from "./tree-setting.ts";

/** Windows of one workload between two searches: at first, and the most. */
const EVERY_FIRST = 2;
const EVERY_MAX = 16;
/** Part of the bytes of several runs in the last level that counts as owed. */
const LEFT_SHARE = 0.5;
/** A workload is planned for at least and at most so many windows. */
const HORIZON_MIN = 4;
const HORIZON_MAX = 64;

/** Returns the strategy. */
export function searchStrategy(): Strategy {
  const state = { next: 0, every: EVERY_FIRST };
  return {
    algorithm: "search",
    parameters: {},
    get state() {
      return [state.next, state.every];
    },
    learn: () => {},
    choose: (situation: Situation, _random: Random): Wish => {
      const { setting, age, question } = situation;
      const keptSeconds = situation.answer.total;
      if (age === 0) {
        state.next = 0;
        state.every = EVERY_FIRST;
      }
      if (age < state.next) {
        return { setting, seconds: keptSeconds, keptSeconds, isExploration: false };
      }
      state.next = age + state.every;
      state.every = Math.min(EVERY_MAX, state.every * 2);
      return searched(situation, question);
    },
  };
}

function searched(situation: Situation, question: Situation["question"]): Wish {
  const { setting, observation, choices } = situation;
  const horizon = Math.min(HORIZON_MAX, Math.max(HORIZON_MIN, situation.horizon));
  const runs = [0, ...question.profile.targets].map(() => 1);
  const rates = falsePositiveRates(question, runs);
  const ahead = new LookAhead(question, observation.levels, rates, horizon, {
    mergeShare: LEFT_SHARE,
  });
  const price = (next: TreeSetting): number =>
    situation.allowed(next) === undefined ? Number.POSITIVE_INFINITY : ahead.secondsWith(next);
  const best = cheapest(question, choices, setting, price);
  const keptSeconds = ahead.secondsWith(setting);
  return { ...best, keptSeconds, isExploration: false };
}
