/**
 * Trials of what the cost model can only propose (tuning.ts): filter bits and the threshold of separation act
 * as tables and values are written, over many windows, and on costs that nobody has measured for
 * what is not in force. So what is in force (a) and a candidate (b) take turns in blocks of windows, and only
 * a difference that the trial is sure of (trial.ts) changes anything for good.
 *
 * One trial at a time, only in a workload that goes on, in a tree that is settled, and while nothing else
 * is changed. A workload that changes ends it without a verdict: what was in force comes back.
 */
import type { TreeShape } from "./shape.ts";
import type { Situation } from "./strategy.ts";
import { Trial, type TrialVerdict } from "./trial.ts";
import { type Candidate, candidatesFor, isSameShape, tuned } from "./tuning.ts";

/** Windows of a workload, and since the last change, before a trial; windows from one look to the next. */
const CALM = 24;
const LOOK_EVERY = 8;
/** Least predicted gain, as a share of all seconds. */
const GAIN_MIN = 0.01;
/** How sure a verdict is over a whole trial, and windows of each after which there is none. */
const TRIAL_CONFIDENCE = 0.95;
const WINDOWS_MAX = 64;
/** A block of windows turns the base level over about so often; its bounds; the part that is not counted. */
const BLOCK_TURNOVERS = 1;
const BLOCK_MIN = 4;
const BLOCK_MAX = 16;
const LEAD = 0.25;

/** What a trial has for the next window. */
export interface TrialStep {
  /** The shape to be in force; undefined: the one that is. */
  readonly shape: TreeShape | undefined;
  readonly detail: string;
  /** Whether the trial has ended, and the candidate stays. */
  readonly isKept: boolean;
}

interface Running {
  readonly candidate: Candidate;
  readonly trial: Trial;
  readonly a: TreeShape;
  readonly b: TreeShape;
}

/** Runs trials, one after another. */
export class Experiment {
  #running: Running | undefined;
  /** Candidates of this workload that had their trial. */
  #tried = new Set<string>();

  /** Whether two shapes take turns. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Numbers that what it does next depends on. */
  get state(): readonly number[] {
    const { a, b } = this.#running?.trial.verdict ?? { a: 0, b: 0 };
    return [this.#running === undefined ? 0 : 1, a, b, this.#tried.size];
  }

  /** The workload is another one. */
  forget(): void {
    this.#tried = new Set();
  }

  /** Ends a trial without a verdict; returns what was in force before, or the shape that is. */
  abandoned(shape: TreeShape): TreeShape {
    const running = this.#running;
    this.#running = undefined;
    return running === undefined || !isSameShape(shape, running.b) ? shape : running.a;
  }

  /**
   * Takes in a window. Begins a trial when there is something to try, goes on with one, or ends it; undefined:
   * there is none. `calm`: windows since anything changed.
   */
  step(
    situation: Situation,
    shape: TreeShape,
    calm: number,
    threshold: number | undefined,
  ): TrialStep | undefined {
    const running = this.#running;
    if (running === undefined) return this.#begun(situation, shape, calm, threshold);
    if (isSameShape(shape, running.a) || isSameShape(shape, running.b)) {
      return this.#goneOn(running, situation, shape);
    }
    // Somebody else has set another shape.
    this.#running = undefined;
    return undefined;
  }

  #begun(
    situation: Situation,
    shape: TreeShape,
    calm: number,
    threshold: number | undefined,
  ): TrialStep | undefined {
    const { question, setting, mayExplore } = situation;
    if (!mayExplore || calm < CALM || calm % LOOK_EVERY !== 0) return undefined;
    const { profile, workload } = question;
    const perTurnover = profile.targets[0]! / Math.max(1, workload.flushedBytes);
    const wanted = Math.ceil(perTurnover * BLOCK_TURNOVERS);
    const blockWindows = Math.min(BLOCK_MAX, Math.max(BLOCK_MIN, wanted));
    const leadWindows = Math.ceil(blockWindows * LEAD);
    const candidate = candidatesFor(question, setting, threshold).find(
      ({ gain, text }) => gain >= GAIN_MIN && !this.#tried.has(text),
    );
    if (candidate === undefined) return undefined;
    const settings = { blockWindows, leadWindows, confidence: TRIAL_CONFIDENCE };
    const trial = new Trial({ ...settings, windowsMax: WINDOWS_MAX });
    const b = tuned(shape, candidate.tuning, profile.base, profile.targets.length);
    this.#tried.add(candidate.text);
    this.#running = { candidate, trial, a: shape, b };
    const percent = (candidate.gain * 100).toFixed(1);
    const detail = `trial of ${candidate.text}, ${percent} % better by the model, in turns of ${blockWindows} windows`;
    return { shape: undefined, detail, isKept: false };
  }

  #goneOn(running: Running, situation: Situation, shape: TreeShape): TrialStep {
    const { trial, candidate, a, b } = running;
    const { measured, observation } = situation;
    const isCounted = observation.isUnsettled === false && observation.stalls === 0;
    const verdict = trial.note(isCounted ? measured.total : Number.NaN);
    const isOver = verdict.winner !== undefined;
    if (isOver) this.#running = undefined;
    const isKept = verdict.winner === "b";
    const isNextB = isOver ? isKept : trial.turn === "b";
    const next = isNextB ? b : a;
    const detail = isOver
      ? `trial of ${candidate.text}: ${verdictText(verdict)}`
      : `trial of ${candidate.text}: ${isNextB ? "its" : "the other's"} turn`;
    return { shape: isSameShape(next, shape) ? undefined : next, detail, isKept };
  }
}

function verdictText({ winner, confidence, a, b }: TrialVerdict): string {
  const figures = `${(b * 1e3).toFixed(3)} ms against ${(a * 1e3).toFixed(3)} ms per window`;
  if (winner === "none") return `no difference, not kept: ${figures}`;
  const sure = `${(confidence * 100).toFixed(1)} % sure`;
  return winner === "b" ? `kept, ${sure}: ${figures}` : `not kept, ${sure}: ${figures}`;
}
