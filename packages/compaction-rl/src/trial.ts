/**
 * Two configurations against each other, in turns: which of them takes fewer seconds per window, and how
 * sure that is. For what a model says nothing about: another split of filter bits, another threshold of
 * separation.
 *
 * Blocks of windows go a, b, b, a, a, b, b ..., so that a drift of the workload meets both alike. The first
 * windows of each block are not counted: what the other one left behind is at work there. The test is
 * Welch's, asked only after 8, 16, 32 ... counted windows of each; the doubt that is allowed is shared out
 * among these looks, so that looking often does not make sure of what is chance.
 */
import { confidenceLess, Sample } from "./welch.ts";

/** How a trial is run. */
export interface TrialSettings {
  /** Windows of a block, and those of them at its beginning that are not counted. */
  readonly blockWindows: number;
  readonly leadWindows: number;
  /** How sure a verdict has to be over the whole trial, e.g. 0.95. */
  readonly confidence: number;
  /** Counted windows of each after which it ends without a verdict. */
  readonly windowsMax: number;
}

/** How a trial stands. */
export interface TrialVerdict {
  /** `none`: no difference was found; undefined: it goes on. */
  readonly winner: "a" | "b" | "none" | undefined;
  /** How sure it is that the one with the smaller mean is the better one, by itself, 0.5 to 1. */
  readonly confidence: number;
  /** Mean seconds of each. */
  readonly a: number;
  readonly b: number;
}

const FIRST_LOOK = 8;

/** A trial of two configurations. */
export class Trial {
  readonly #settings: TrialSettings;
  readonly #a = new Sample();
  readonly #b = new Sample();
  #window = 0;
  #nextLook = FIRST_LOOK;
  #verdict: TrialVerdict = { winner: undefined, confidence: 0.5, a: 0, b: 0 };

  constructor(settings: TrialSettings) {
    this.#settings = settings;
  }

  /** Which of them is to be in force in the next window. */
  get turn(): "a" | "b" {
    const block = Math.floor(this.#window / this.#settings.blockWindows);
    return block % 4 === 0 || block % 4 === 3 ? "a" : "b";
  }

  /** How it stands. */
  get verdict(): TrialVerdict {
    return this.#verdict;
  }

  /** Takes in a window in which the one whose turn it was was in force. What is no number is left out. */
  note(seconds: number): TrialVerdict {
    const { blockWindows, leadWindows } = this.#settings;
    const isCounted = this.#window % blockWindows >= leadWindows && Number.isFinite(seconds);
    if (isCounted && this.#verdict.winner === undefined) {
      (this.turn === "a" ? this.#a : this.#b).note(seconds);
    }
    this.#window++;
    if (this.#verdict.winner === undefined) this.#look();
    return this.#verdict;
  }

  #look(): void {
    const count = Math.min(this.#a.count, this.#b.count);
    if (count < this.#nextLook) return;
    const { confidence, windowsMax } = this.#settings;
    const looks = Math.max(1, Math.ceil(Math.log2(windowsMax / FIRST_LOOK)) + 1);
    const needed = 1 - (1 - confidence) / looks;
    const less = confidenceLess(this.#a, this.#b);
    let winner: TrialVerdict["winner"];
    if (less >= needed) winner = "a";
    else if (1 - less >= needed) winner = "b";
    else if (count >= windowsMax) winner = "none";
    this.#verdict = {
      winner,
      confidence: Math.max(less, 1 - less),
      a: this.#a.mean,
      b: this.#b.mean,
    };
    this.#nextLook = Math.min(windowsMax, this.#nextLook * 2);
  }
}
