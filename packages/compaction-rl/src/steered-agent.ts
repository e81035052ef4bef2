/**
 * The frame of every agent: it turns windows into situations, asks its strategy, and lets through what
 * is safe and pays. In the order in which it decides:
 *
 *   fallback  the window makes no sense, or predictions are far off: the static shape;
 *   wait      too little is known: nothing below level 0, a window is missing, a change too lately;
 *   safety    the setting in force may not stay: back towards the static shape;
 *   revert    since the last change windows take longer, with confidence: back, and not again while
 *             this workload lasts;
 *   trial     two settings that the model cannot tell apart take turns (experiment.ts); nothing else changes
 *             meanwhile;
 *   explore   what the strategy tries, if the tree is settled and owes little;
 *   better    what it thinks best, if the gain over the expected rest of this workload is more than
 *             the switch costs, and more than noise;
 *   keep      everything else.
 */
import { SeededRandom } from "@aura/base";
import type {
  AgentDecision,
  AgentSettings,
  AgentWeights,
  CompactionAgent,
  DecisionReason,
  WindowObservation,
  WindowSeconds,
} from "./agent.ts";
import { ChangeDetector } from "./change-point.ts";
import { answerFor } from "./closed-form.ts";
import type { CostAnswer, CostQuestion } from "./cost-model.ts";
import { Experiment } from "./experiment.ts";
import {
  type KnownLimits,
  knownLimits,
  mayFollow,
  type SafetyState,
  safetyState,
} from "./safety.ts";
import type { TreeShape } from "./shape.ts";
import type { Situation, Strategy, Wish } from "./strategy.ts";
import { eagerSeconds, PhaseLengths, switchingSeconds } from "./switching.ts";
import {
  type Choices,
  choicesOf,
  isSame,
  settingOf,
  settingText,
  shapedAs,
  type TreeSetting,
} from "./tree-setting.ts";
import { isSameShape } from "./tuning.ts";
import { WEIGHTS_VERSION } from "./weights.ts";
import { confidenceLess, Sample } from "./welch.ts";
import { type KnownCosts, knownCosts, nonsenseIn, windowSeconds } from "./window-seconds.ts";
import { profileOf, smoothed, type TreeProfile, type Workload, workloadOf } from "./workload.ts";

/** Weight of the latest window: of one phase at least, of all phases, of measured costs. */
const LATEST = 0.2;
const LATEST_HABIT = 1 / 32;
const LATEST_COSTS = 0.2;
/** Windows after a change before the next one of the same workload. */
const DWELL = 3;
/** The strategy is asked after each of the first windows of a workload, then after every so many. */
const LOOKED_AT_EACH = 8;
const LOOKED_AT_EVERY = 4;
/** A gain smaller than this part of a window is noise. */
const GAIN_MIN = 0.015;
/** A switch has to pay by this factor. */
const PAYS = 1.2;
/** What a window in which the setting is best leaves of what was lost by keeping it. */
const REGRET_KEPT = 0.7;
/**
 * Windows before and after a change that judge it, turnovers of the base level in each, how much worse the
 * later ones are, and how sure that is. A tree that was just loaded gets slower whatever is done. Then for how
 * many windows nothing is changed in this workload.
 */
const JUDGED_MIN = 8;
const JUDGED_TURNOVERS = 2;
const REVERTED_WAIT = 32;
const WORSE = 1.08;
const WORSE_CONFIDENCE = 0.98;
/** Predictions are off by this factor, in the mean of about so many windows: the model is wrong. */
const OFF_FACTOR = 4;
const OFF_WINDOWS = 24;

const NOTHING: WindowSeconds = {
  reads: 0,
  scans: 0,
  writes: 0,
  merges: 0,
  stalls: 0,
  debt: 0,
  total: 0,
};

/** Returns after how many windows the strategy is asked again, when a workload is so many windows old. */
function strideOf(age: number): number {
  return age < LOOKED_AT_EACH ? 1 : LOOKED_AT_EVERY;
}

function newStretch(): Stretch {
  return { seconds: new Sample(), flushedBytes: 0 };
}

function keptAs({ setting, answer }: Situation): Wish {
  const seconds = answer.total;
  return { setting, seconds, keptSeconds: seconds, isExploration: false };
}

/** Windows under one setting: their seconds, and the bytes flushed in them. */
interface Stretch {
  readonly seconds: Sample;
  flushedBytes: number;
}

interface Change {
  readonly from: TreeSetting;
  readonly before: Stretch;
  readonly after: Stretch;
}

interface Verdict {
  readonly reason: DecisionReason;
  readonly detail: string;
  readonly shape?: TreeShape | undefined;
  readonly wish?: Wish;
  readonly switchSeconds?: number;
}

/** An agent with a strategy. */
export class SteeredAgent implements CompactionAgent {
  readonly algorithm: string;
  readonly #strategy: Strategy;
  readonly #settings: AgentSettings;
  readonly #limits: KnownLimits;
  readonly #choices: Choices;
  readonly #random: SeededRandom;
  readonly #phases = new PhaseLengths();
  readonly #detector = new ChangeDetector();
  readonly #experiment = new Experiment();
  #isFrozen: boolean;
  #window = -1;
  #phase = 0;
  #age = 0;
  #workload: Workload | undefined;
  #habit: Workload | undefined;
  #costs: KnownCosts | undefined;
  #debtBytes: number | undefined;
  #sinceChange = DWELL;
  /** Seconds lost by keeping the setting, since the last change. */
  #regret = 0;
  /** Seconds lost to runs that a lower K left where they were. */
  #crowding = 0;
  #stretch = newStretch();
  #change: Change | undefined;
  #avoided: TreeSetting[] = [];
  #measuredMean = 0;
  #predictedMean = 0;
  #offCount = 0;

  constructor(settings: AgentSettings, strategy: Strategy) {
    this.algorithm = strategy.algorithm;
    this.#strategy = strategy;
    this.#settings = settings;
    this.#limits = knownLimits(settings.limits);
    this.#choices = choicesOf(settings.geometry);
    this.#random = new SeededRandom(settings.seed);
    this.#isFrozen = settings.frozen ?? false;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  freeze(isFrozen: boolean): void {
    this.#isFrozen = isFrozen;
  }

  exportWeights(): AgentWeights {
    const parameters = Object.entries(this.#strategy.parameters).map(([name, values]) => [
      name,
      [...values],
    ]);
    return {
      format: "aura-agent",
      version: WEIGHTS_VERSION,
      algorithm: this.#strategy.algorithm as AgentWeights["algorithm"],
      parameters: Object.fromEntries(parameters) as AgentWeights["parameters"],
    };
  }

  decide(observation: WindowObservation, shape: TreeShape): AgentDecision {
    const nonsense = nonsenseIn(observation);
    if (nonsense !== undefined) {
      this.#forget();
      const window = Number.isSafeInteger(observation?.window)
        ? observation.window
        : this.#window + 1;
      const verdict = this.#fallback(shape, `${nonsense} makes no sense`);
      return this.#decision(window, verdict, NOTHING);
    }
    const isNext = observation.window === this.#window + 1;
    this.#window = observation.window;
    const costs = this.#noteCosts(observation);
    const measured = windowSeconds(observation, costs, this.#debtBytes ?? observation.debtBytes);
    this.#debtBytes = observation.debtBytes;
    if (observation.reads + observation.scans + observation.writes === 0) {
      return this.#decision(observation.window, { reason: "keep", detail: "no work" }, measured);
    }
    if (!isNext && this.#workload !== undefined) this.#forget();
    this.#noteWork(observation);
    // A trial that the workload, or whoever set another shape, has ended leaves what was there before it.
    const settled = this.#age === 0 ? this.#experiment.abandoned(shape) : shape;
    const verdict = this.#judge(observation, settled, measured, costs);
    if (settled === shape || verdict.shape !== undefined) {
      return this.#decision(observation.window, verdict, measured);
    }
    const detail = `trial ended, the workload changed; ${verdict.detail}`;
    const restored: Verdict = { ...verdict, reason: "trial", detail, shape: settled };
    return this.#decision(observation.window, restored, measured);
  }

  #judge(
    observation: WindowObservation,
    shape: TreeShape,
    measured: WindowSeconds,
    costs: KnownCosts,
  ): Verdict {
    const { memtableBytes, geometry } = this.#settings;
    const profile = profileOf(observation.levels, memtableBytes, geometry);
    if (profile === undefined) return { reason: "wait", detail: "nothing below level 0" };
    const situation = this.#situation(observation, shape, profile, measured, costs);
    const { setting, answer } = situation;
    if (!Number.isFinite(answer.total) || !(answer.total > 0)) {
      return this.#fallback(shape, "the model has no answer");
    }
    const off = this.#offBy(measured.total - measured.debt, answer.total);
    if (Math.abs(Math.log(off)) > Math.log(OFF_FACTOR)) {
      return this.#fallback(shape, `windows take ${off.toFixed(2)} times what was predicted`);
    }
    if (!this.#isFrozen) this.#strategy.learn(situation);
    this.#stretch.seconds.note(measured.total);
    this.#stretch.flushedBytes += observation.flushedBytes;
    this.#sinceChange++;
    if (situation.allowed(setting) === undefined) {
      return this.#saferThan(situation, this.#experiment.abandoned(shape));
    }
    const trial = this.#tried(situation, shape);
    if (trial !== undefined) return trial;
    const reverted = this.#reverted(situation, shape);
    if (reverted !== undefined) return reverted;
    if (this.#sinceChange < DWELL && this.#age > 0) {
      return { reason: "wait", detail: "the last change is too young" };
    }
    if (this.#age % strideOf(this.#age) !== 0) {
      return { reason: "keep", detail: "looked at lately", wish: keptAs(situation) };
    }
    const rate = this.#isFrozen ? 0 : (this.#settings.explorationRate ?? 0.02);
    const wish = this.#strategy.choose(situation, this.#random, rate);
    return this.#weighed(situation, shape, wish);
  }

  /** Begins or goes on with a trial. */
  #tried(situation: Situation, shape: TreeShape): Verdict | undefined {
    const mayBegin = !this.#isFrozen && this.#settings.explorationRate !== 0;
    if (!mayBegin && !this.#experiment.isRunning) return undefined;
    const threshold = shape.separationThreshold ?? this.#settings.separationThreshold;
    const isSized = (situation.observation.valueSizes ?? []).some((count) => count > 0);
    const calm = Math.min(this.#age, this.#sinceChange);
    const step = this.#experiment.step(situation, shape, calm, isSized ? threshold : undefined);
    if (step === undefined) return undefined;
    const reason = step.isKept ? "better" : "trial";
    return { reason, detail: step.detail, shape: step.shape, wish: keptAs(situation) };
  }

  /** Lets a wish through if it is allowed and pays. */
  #weighed(situation: Situation, shape: TreeShape, wish: Wish): Verdict {
    const { setting, question, observation, horizon } = situation;
    if (isSame(wish.setting, setting) || situation.allowed(wish.setting) === undefined) {
      this.#regret *= REGRET_KEPT;
      return this.#cleared(situation, shape, { ...wish, setting }, "is best");
    }
    const { profile, costs } = question;
    const { levels } = observation;
    const lazySeconds = switchingSeconds(profile, levels, costs, setting, wish.setting);
    const eager = this.#eager(situation, wish.setting);
    const gain = wish.keptSeconds - wish.seconds;
    const both = lazySeconds + eager.seconds;
    const windows = strideOf(situation.age);
    this.#regret = Math.max(0, this.#regret + gain * windows);
    this.#crowding = eager.gain > 0 ? this.#crowding + eager.gain * windows : 0;
    // Whoever waited until waiting has cost as much as the change has lost at most half.
    const lazyDue = gain * horizon > lazySeconds * PAYS || this.#regret > lazySeconds;
    const isEager =
      eager.gain > 0 &&
      ((gain + eager.gain) * horizon > both * PAYS || this.#regret + this.#crowding > both);
    const switchSeconds = isEager ? both : lazySeconds;
    const figures =
      `${settingText(setting)} to ${settingText(wish.setting)}${isEager ? " at once" : ""}: ` +
      `${(gain * 1e3).toFixed(3)} ms of ${(wish.keptSeconds * 1e3).toFixed(3)} ms per window, ` +
      `switch ${(switchSeconds * 1e3).toFixed(3)} ms, horizon ${horizon.toFixed(1)}`;
    const change = { wish, isEager, switchSeconds, detail: figures };
    if (wish.isExploration) return this.#changed(situation, shape, "explore", change);
    const pays = (lazyDue || isEager) && gain > wish.keptSeconds * GAIN_MIN;
    if (pays) return this.#changed(situation, shape, "better", change);
    return { reason: "keep", detail: `not worth it: ${figures}`, wish };
  }

  /** The setting stays; runs beyond it are merged at once where that pays. */
  #cleared(situation: Situation, shape: TreeShape, wish: Wish, why: string): Verdict {
    const { setting, horizon } = situation;
    const detail = `${settingText(setting)} ${why}`;
    if (shape.isEager === true) return { reason: "keep", detail, wish };
    const { gain, seconds } = this.#eager(situation, setting);
    this.#crowding = gain > 0 ? this.#crowding + gain * strideOf(situation.age) : 0;
    const isDue = gain * horizon > seconds * PAYS || this.#crowding > seconds;
    if (!(gain > 0 && isDue)) return { reason: "keep", detail, wish };
    const figures = `${settingText(setting)} at once: ${(gain * 1e3).toFixed(3)} ms per window`;
    const cheaper = { ...wish, seconds: wish.keptSeconds - gain };
    const change = { wish: cheaper, isEager: true, switchSeconds: seconds, detail: figures };
    return this.#changed(situation, shape, "better", change);
  }

  /** What merging runs beyond a setting at once saves per window, and what it takes. */
  #eager(
    { question, observation }: Situation,
    setting: TreeSetting,
  ): { gain: number; seconds: number } {
    const { profile, costs } = question;
    if (setting.runs.every((k, i) => profile.runs[i]! <= k)) return { gain: 0, seconds: 0 };
    const runs = profile.runs.map((count, i) => Math.min(count, setting.runs[i]!));
    // As things are, not as they will come to be by themselves.
    const now = { ...question, horizonBytes: 0 };
    const cleared = answerFor({ ...now, profile: { ...profile, runs } }, setting);
    const gain = answerFor(now, setting).total - cleared.total;
    return { gain, seconds: eagerSeconds(profile, observation.levels, costs, setting) };
  }

  #changed(
    situation: Situation,
    shape: TreeShape,
    reason: DecisionReason,
    change: { wish: Wish; isEager: boolean; switchSeconds: number; detail: string },
  ): Verdict {
    const { wish, isEager, switchSeconds, detail } = change;
    this.#regret = 0;
    if (isEager) this.#crowding = 0;
    if (!isSame(wish.setting, situation.setting)) {
      const after = newStretch();
      this.#change = { from: situation.setting, before: this.#stretch, after };
      this.#stretch = after;
      this.#sinceChange = 0;
    }
    const { base } = situation.question.profile;
    const { levelCount } = this.#settings.geometry;
    const next = shapedAs(shape, wish.setting, base, levelCount, isEager);
    return { reason, detail, shape: next, wish, switchSeconds };
  }

  /** Goes back when windows since the last change take longer. */
  #reverted(situation: Situation, shape: TreeShape): Verdict | undefined {
    const change = this.#change;
    if (change === undefined || change.from.runs.length !== situation.setting.runs.length) {
      return undefined;
    }
    const { from } = change;
    const before = change.before.seconds;
    const after = change.after.seconds;
    if (before.count < JUDGED_MIN || after.count < JUDGED_MIN) return undefined;
    const turned = situation.question.profile.targets[0]! * JUDGED_TURNOVERS;
    if (change.before.flushedBytes < turned || change.after.flushedBytes < turned) return undefined;
    if (after.mean <= before.mean * WORSE) return undefined;
    if (confidenceLess(before, after) < WORSE_CONFIDENCE) return undefined;
    if (situation.allowed(from) === undefined) return undefined;
    this.#avoided.push(situation.setting);
    const seconds = { seconds: before.mean, keptSeconds: after.mean };
    const wish = { setting: from, ...seconds, isExploration: false };
    const worse = (after.mean / before.mean).toFixed(3);
    const detail = `${settingText(situation.setting)} took ${worse} times ${settingText(from)}`;
    const back = { wish, isEager: false, switchSeconds: 0, detail };
    const verdict = this.#changed(situation, shape, "revert", back);
    this.#change = undefined;
    this.#sinceChange = -REVERTED_WAIT;
    return verdict;
  }

  /** Goes to what the mask allows nearest to the static shape. */
  #saferThan(situation: Situation, shape: TreeShape): Verdict {
    const { base, targets } = situation.question.profile;
    const baseline = settingOf(this.#settings.baseline, base, targets.length);
    if (isSame(baseline, situation.setting)) {
      return { reason: "keep", detail: "the static shape is beyond a limit, but nothing is safer" };
    }
    const wish = {
      setting: baseline,
      seconds: situation.answer.total,
      keptSeconds: situation.answer.total,
      isExploration: false,
    };
    const detail = `${settingText(situation.setting)} is beyond a limit`;
    const change = { wish, isEager: false, switchSeconds: 0, detail };
    return this.#changed(situation, shape, "safety", change);
  }

  #fallback(shape: TreeShape, detail: string): Verdict {
    const { baseline } = this.#settings;
    this.#experiment.abandoned(shape);
    const isThere = isSameShape(shape, baseline);
    return { reason: "fallback", detail, shape: isThere ? undefined : baseline };
  }

  #situation(
    observation: WindowObservation,
    shape: TreeShape,
    profile: TreeProfile,
    measured: WindowSeconds,
    costs: KnownCosts,
  ): Situation {
    const { filterBits, filterAllocation } = this.#settings;
    const workload = (this.#phases.isRestless ? this.#habit : this.#workload)!;
    const levelBits = profile.targets.map((_, i) => {
      return shape.levels[Math.min(profile.base + i, shape.levels.length) - 1]!.filterBits;
    });
    const filters = { bits: filterBits, allocation: filterAllocation, levelBits };
    const horizon = this.#phases.rest(this.#age);
    const horizonBytes = horizon * workload.flushedBytes;
    const question: CostQuestion = { profile, workload, costs, filters, horizonBytes };
    const setting = settingOf(shape, profile.base, profile.targets.length);
    const answer = answerFor(question, setting);
    const state = safetyState(observation, this.#limits);
    return {
      observation,
      measured,
      question,
      setting,
      answer,
      choices: this.#choices,
      age: this.#age,
      horizon,
      mayExplore: this.#mayExplore(observation, state),
      allowed: (next) => this.#allowed(question, state, answer, next),
    };
  }

  #mayExplore(observation: WindowObservation, state: SafetyState): boolean {
    if (this.#isFrozen || observation.isUnsettled !== false || observation.stalls > 0) return false;
    return !state.isBloated && !state.isIndebted && !state.isCrowded && !this.#phases.isRestless;
  }

  #allowed(
    question: CostQuestion,
    state: SafetyState,
    current: CostAnswer,
    setting: TreeSetting,
  ): CostAnswer | undefined {
    if (this.#avoided.some((avoided) => isSame(avoided, setting))) return undefined;
    const answer = answerFor(question, setting);
    return mayFollow(state, this.#limits, current, answer) ? answer : undefined;
  }

  #noteCosts(observation: WindowObservation): KnownCosts {
    const latest = knownCosts(observation.costs);
    const old = this.#costs;
    if (old === undefined) {
      this.#costs = latest;
      return latest;
    }
    const mixed = { ...latest };
    for (const name of Object.keys(latest) as (keyof KnownCosts)[]) {
      mixed[name] = old[name] + (latest[name] - old[name]) * LATEST_COSTS;
    }
    this.#costs = mixed;
    return mixed;
  }

  #noteWork(observation: WindowObservation): void {
    const latest = workloadOf(observation);
    this.#habit = this.#habit === undefined ? latest : smoothed(this.#habit, latest, LATEST_HABIT);
    if (this.#detector.note(observation)) {
      this.#phases.note(this.#age + 1);
      this.#phase++;
      this.#age = 0;
      this.#workload = latest;
      this.#experiment.forget();
      this.#stretch = newStretch();
      this.#change = undefined;
      this.#avoided = [];
      this.#offCount = 0;
      this.#sinceChange = DWELL;
      return;
    }
    if (this.#workload === undefined) {
      this.#workload = latest;
      return;
    }
    this.#age++;
    const share = Math.max(1 / (this.#age + 1), LATEST);
    this.#workload = smoothed(this.#workload, latest, share);
  }

  /**
   * Returns how many times what was predicted windows took, in the mean of many: merges come in lumps, and
   * what they owe depends on the shape. 1 while too little was seen.
   */
  #offBy(measured: number, predicted: number): number {
    this.#offCount++;
    const share = 1 / Math.min(this.#offCount, OFF_WINDOWS);
    this.#measuredMean += (measured - this.#measuredMean) * share;
    this.#predictedMean += (predicted - this.#predictedMean) * share;
    if (this.#offCount < OFF_WINDOWS || !(this.#measuredMean > 0)) return 1;
    return this.#measuredMean / this.#predictedMean;
  }

  /** What was seen so far says nothing about what comes. What was learned stays. */
  #forget(): void {
    this.#workload = undefined;
    this.#debtBytes = undefined;
    this.#stretch = newStretch();
    this.#change = undefined;
    this.#offCount = 0;
    this.#sinceChange = 0;
    this.#regret = 0;
    this.#crowding = 0;
    this.#age = 0;
  }

  #decision(window: number, verdict: Verdict, measured: WindowSeconds): AgentDecision {
    const { reason, detail, shape, wish } = verdict;
    return {
      window,
      algorithm: this.algorithm,
      shape,
      reason,
      detail,
      keptSeconds: wish?.keptSeconds ?? 0,
      predictedSeconds: (shape === undefined ? wish?.keptSeconds : wish?.seconds) ?? 0,
      switchSeconds: verdict.switchSeconds ?? 0,
      measured,
      phase: this.#phase,
      isExploration: reason === "explore",
      stateDigest: this.#digest(),
    };
  }

  #digest(): number {
    const numbers = [
      this.#window,
      this.#phase,
      this.#age,
      this.#phases.mean,
      this.#sinceChange,
      this.#stretch.seconds.mean,
      this.#measuredMean,
      this.#predictedMean,
      this.#regret,
      this.#crowding,
      ...Object.values(this.#workload ?? {}).flat(),
      ...this.#detector.state,
      ...this.#experiment.state,
      ...this.#strategy.state,
    ];
    for (const values of Object.values(this.#strategy.parameters)) {
      for (const value of values) numbers.push(value);
    }
    const words = new Uint32Array(Float64Array.from(numbers).buffer);
    let hash = 0x811c9dc5;
    for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
    return hash >>> 0;
  }
}
