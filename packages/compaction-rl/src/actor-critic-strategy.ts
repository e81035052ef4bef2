/**
 * Reinforcement learning in the manner of RusKey: a learner each for the trigger of level 0, the base
 * level and the level below it; deeper levels follow from these two by Lemma 5.1 (policy propagation),
 * since what happens there is too rare to learn from.
 *
 * State: where the seconds go, how full the level is, what is in force. Action: a place among the values
 * that may be chosen. Reward: minus the seconds of a few windows under one setting, over those that the cost
 * model says for them with one run per level, so that it means the same in every workload. An action that is
 * tried stays for several windows: before that it shows nothing.
 */
import type { Random } from "@aura/base";
import { answerFor, propagatedRuns } from "./closed-form.ts";
import { LevelLearner, STATE_COUNT } from "./level-learner.ts";
import type { Situation, Strategy, Wish } from "./strategy.ts";
import { type Choices, nearestIndex, settingText, type TreeSetting } from "./tree-setting.ts";

/** Learned places: trigger, base level, the level below. */
const PLACES = 3;
/** How far an explored action is from what the actor says, at most, and for how many windows. */
const NOISE = 1.5;
const EXPLORED_WINDOWS = 16;
/** Windows of one setting that make a transition: merges come in lumps. */
const STRETCH = 4;

/** Names of exported parameters. */
export const PLACE_NAMES: readonly string[] = ["trigger", "base", "second"];

/** Returns the strategy. `random` sets parameters that are not given. */
export class ActorCriticStrategy implements Strategy {
  readonly algorithm = "actor-critic";
  readonly #learners: readonly LevelLearner[];
  readonly #random: Random;
  readonly #rate: number;
  #lastActions: readonly number[] = [];
  /** Noise of an exploration, and the windows that it goes on. */
  #noise: readonly number[] = [];
  #noiseLeft = 0;
  /** The stretch under way: states before it, its setting, windows, seconds measured and as they would be leveled. */
  #lastStates: readonly Float64Array[] | undefined;
  #setting = "";
  #windows = 0;
  #measured = 0;
  #leveled = 0;

  constructor(
    random: Random,
    learningRate: number,
    weights?: Readonly<Record<string, readonly number[]>>,
  ) {
    this.#random = random;
    this.#rate = learningRate;
    this.#learners = PLACE_NAMES.map((name) => {
      const learner = new LevelLearner(random);
      if (weights !== undefined) {
        learner.actor.parameters.set(weights[`${name}Actor`]!);
        learner.critic.parameters.set(weights[`${name}Critic`]!);
        learner.synchronise();
      }
      return learner;
    });
  }

  get parameters(): Readonly<Record<string, readonly number[]>> {
    const all: Record<string, readonly number[]> = {};
    for (const [i, name] of PLACE_NAMES.entries()) {
      all[`${name}Actor`] = this.#learners[i]!.actor.parameters as unknown as readonly number[];
      all[`${name}Critic`] = this.#learners[i]!.critic.parameters as unknown as readonly number[];
    }
    return all;
  }

  get state(): readonly number[] {
    const stretch = [this.#windows, this.#measured, this.#noiseLeft];
    return [this.#learners[0]!.stored, ...this.#lastActions, ...stretch];
  }

  learn(situation: Situation): void {
    if (this.#noiseLeft > 0) this.#noiseLeft--;
    const name = settingText(situation.setting);
    const isSame = name === this.#setting && situation.age > 0;
    this.#setting = name;
    if (isSame) {
      this.#windows++;
      this.#measured += situation.measured.total;
      this.#leveled += leveledSeconds(situation);
      if (this.#windows < STRETCH) return;
    }
    const states = statesOf(situation);
    const last = this.#lastStates;
    if (isSame && last !== undefined) {
      const reward = Math.max(-2, Math.min(2, 1 - this.#measured / this.#leveled));
      const actions = actionsOf(situation.setting, situation.choices);
      for (const [i, learner] of this.#learners.entries()) {
        learner.remember(last[i]!, actions[i]!, reward, states[i]!);
        learner.learn(this.#random, this.#rate);
      }
    }
    this.#lastStates = states;
    this.#windows = 0;
    this.#measured = 0;
    this.#leveled = 0;
  }

  choose(situation: Situation, random: Random, explorationRate: number): Wish {
    const states = statesOf(situation);
    const isBegun = situation.mayExplore && random.uint32() / 0x100000000 < explorationRate;
    if (isBegun && this.#noiseLeft === 0) {
      // What a window shows of a shape is next to nothing: it stays for some.
      this.#noiseLeft = EXPLORED_WINDOWS;
      this.#noise = this.#learners.map(() => NOISE * (random.uint32() / 0x80000000 - 1));
    }
    const isExploration = this.#noiseLeft > 0 && situation.mayExplore;
    const actions = this.#learners.map((learner, i) => {
      const action = learner.act(states[i]!);
      return isExploration ? Math.min(1, Math.max(-1, action + this.#noise[i]!)) : action;
    });
    this.#lastActions = actions;
    const setting = this.#settingOf(situation, actions);
    const keptSeconds = situation.answer.total;
    const seconds = situation.allowed(setting)?.total ?? keptSeconds;
    // The learner is believed, not the model: what it wants counts as a gain large enough to switch.
    const believed = Math.min(seconds, keptSeconds * 0.95);
    return { setting, seconds: believed, keptSeconds, isExploration };
  }

  #settingOf({ choices, question }: Situation, actions: readonly number[]): TreeSetting {
    const { targets, flushBytes } = question.profile;
    const trigger = chosen(choices.triggers, actions[0]!);
    const runs: number[] = [];
    let above = flushBytes;
    for (const [i, bytes] of targets.entries()) {
      const fanout = Math.max(1, bytes / above);
      above = bytes;
      if (i < 2) runs.push(chosen(choices.runs, actions[i + 1]!));
      else {
        const k = propagatedRuns(runs[i - 2]!, runs[i - 1]!, fanout);
        runs.push(choices.runs[nearestIndex(choices.runs, k)]!);
      }
    }
    return { trigger, runs };
  }
}

function chosen(values: readonly number[], action: number): number {
  const place = Math.round(((action + 1) / 2) * (values.length - 1));
  return values[Math.min(values.length - 1, Math.max(0, place))]!;
}

/** Returns the actions that a setting stands for. */
function actionsOf(setting: TreeSetting, choices: Choices): number[] {
  const actionOf = (values: readonly number[], value: number): number =>
    (nearestIndex(values, value) / (values.length - 1)) * 2 - 1;
  const runs = setting.runs;
  return [
    actionOf(choices.triggers, setting.trigger),
    actionOf(choices.runs, runs[0]!),
    actionOf(choices.runs, runs[1] ?? runs[0]!),
  ];
}

/** Returns what the cost model says for one run per level: what a reward is measured by. */
function leveledSeconds({ question, setting }: Situation): number {
  return answerFor(question, { trigger: 4, runs: setting.runs.map(() => 1) }).total;
}

function statesOf(situation: Situation): Float64Array[] {
  const { answer, question, observation, setting, choices, age } = situation;
  const { reads, scans, writes, merges, total } = answer;
  const own = actionsOf(setting, choices);
  const { base } = question.profile;
  const common = [reads / total, scans / total, writes / total, merges / total, ...own];
  return Array.from({ length: PLACES }, (_, place) => {
    const level = observation.levels[place === 0 ? 0 : base + place - 1];
    const fill =
      level === undefined || level.targetBytes === 0 ? 0 : level.bytes / level.targetBytes;
    const runs = level === undefined || level.runsMax === 0 ? 0 : level.runs / level.runsMax;
    const { workload } = question;
    const figures = [
      ...common,
      Math.tanh(fill - 1),
      Math.tanh(runs - 1),
      workload.reads > 0 ? workload.absentReads / workload.reads : 0,
      Math.tanh(age / 16),
      1,
    ];
    const state = new Float64Array(STATE_COUNT);
    for (let i = 0; i < STATE_COUNT; i++) state[i] = figures[i] ?? 0;
    return state;
  });
}
