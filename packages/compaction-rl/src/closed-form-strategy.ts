/** The controller without learning: the closed form, and a descent on the cost model from there. */
import type { Random } from "@aura/base";
import { cheapest } from "./closed-form.ts";
import type { Situation, Strategy, Wish } from "./strategy.ts";

/** Returns the strategy. */
export function closedFormStrategy(): Strategy {
  return {
    algorithm: "closed-form",
    parameters: {},
    state: [],
    learn: () => {},
    choose: (situation: Situation, _random: Random): Wish => {
      const { question, choices, setting } = situation;
      const price = (next: Situation["setting"]): number =>
        situation.allowed(next)?.total ?? Number.POSITIVE_INFINITY;
      const best = cheapest(question, choices, setting, price);
      return { ...best, keptSeconds: situation.answer.total, isExploration: false };
    },
  };
}
