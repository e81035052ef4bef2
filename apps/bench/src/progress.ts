/**
 * Shows how far a run is: a bar per phase on a terminal, one plain line per phase elsewhere. Rates are those
 * of the slices so far, by the stores' own clocks.
 */
import cliProgress, { type SingleBar } from "cli-progress";
import { formatCount, formatMs, formatRate } from "./format.ts";

const TITLE_WIDTH = 24;
const BAR_WIDTH = 20;

/** Where lines go: `process.stdout`, or a list in tests. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** What a slice of a phase came to, as far as progress shows it. */
export interface Step {
  readonly ops: number;
  readonly ms: number;
}

/** Told how far a phase has come. */
export interface Progress {
  begin(phase: string, stores: readonly string[], slices: number): void;
  step(phase: string, store: string, slicesDone: number, steps: readonly Step[]): void;
  end(): void;
}

/** One bar, or one line, for each piece of work. */
export class ProgressView implements Progress {
  readonly #output: Output;
  #bar: SingleBar | undefined;
  #title = "";
  #texts = new Map<string, string>();
  #steps = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Begins work that is no phase, of `total` steps; the returned function tells the steps done. */
  work(title: string, total: number): (done: number) => void {
    this.#open(title, total);
    return (done) => {
      this.#bar?.update(done, { text: formatCount(done) });
      this.#texts.set("", formatCount(done));
    };
  }

  begin(phase: string, stores: readonly string[], slices: number): void {
    this.#open(phase, slices * stores.length);
  }

  step(_phase: string, store: string, _slicesDone: number, steps: readonly Step[]): void {
    this.#steps++;
    this.#texts.set(store, `${store} ${summaryOf(steps)}`);
    this.#bar?.update(this.#steps, { text: [...this.#texts.values()].join("   ") });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    if (this.#output.isTTY !== true && this.#texts.size > 0) {
      const texts = [...this.#texts.values()].join("   ");
      this.#output.write(`${this.#title.padEnd(TITLE_WIDTH)} ${texts}\n`);
    }
    this.#texts.clear();
  }

  #open(title: string, total: number): void {
    this.end();
    this.#title = title;
    this.#steps = 0;
    if (this.#output.isTTY !== true || total === 0) return;
    this.#bar = new cliProgress.SingleBar({
      format: `${title.padEnd(TITLE_WIDTH)} {bar} {text}`,
      barsize: BAR_WIDTH,
      hideCursor: true,
      stream: this.#output,
      barCompleteChar: "=",
      barIncompleteChar: " ",
      gracefulExit: false,
    });
    this.#bar.start(total, 0, { text: "" });
  }
}

function summaryOf(steps: readonly Step[]): string {
  let ops = 0;
  let ms = 0;
  for (const step of steps) {
    ops += step.ops;
    ms += step.ms;
  }
  const single = ops === steps.length && ops === 1;
  return single ? formatMs(ms) : `${formatRate((ops / ms) * 1000)} (${formatMs(ms)})`;
}
