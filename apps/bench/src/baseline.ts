/**
 * What changed against an earlier result, beyond what two runs of one build differ by.
 *
 * Times wobble, mostly with the machine. Where both results have a further store, what is compared is
 * the ratio to it in the same repeat: what slows the machine slows both, and falls out. Noise is measured, not
 * assumed: half the range over the repeats, of both results. A change has to be larger than a floor, than
 * the two noises together, and than half of how far the stores' own values spread (a ratio hides that, but only in
 * part), and the ranges must not meet. Short phases are not compared: one burst of other work decides them. With fewer than three repeats the noise is not known, and
 * only large changes are named.
 *
 * Counts do not wobble: they are compared tightly, and only they decide about success. Of the workload `counts`
 * nothing else is compared.
 */
import { readFileSync } from "node:fs";
import { type Figure, figuresOf, median } from "./metrics.ts";
import { UsageError } from "./options.ts";
import { type BenchResult, RESULT_FORMAT } from "./result.ts";
import { counts } from "./workloads/counts.ts";

/** Changes below this are not named. */
const FLOOR = 0.06;
/** Changes below this are not named where the noise is not known. */
const FLOOR_UNKNOWN = 0.3;
const REPEATS_MIN = 3;
/** Percentiles jump between modes: their noise counts so many times. */
const PERCENTILE_MARGIN = 2;
/** Phases shorter than this are not compared by times. */
const PHASE_MS_MIN = 500;
/** Growth of a count that fails. */
const COUNT_GROWTH_MAX = 0.05;
/** Figures of so few events, or so small, that single events decide them: shown, not compared. */
const NOT_COMPARED = /p99\.9|event loop|drain$|peak RSS/;
/**
 * And by more than this for each operation: a filter lets some keys pass by chance, and its hash is another one in
 * each database.
 */
const COUNT_SLACK = 0.005;

/** A change of one figure. */
export interface Change {
  readonly workload: string;
  readonly store: string;
  readonly phase: string;
  readonly title: string;
  /** 1.1: a tenth better; 0.9: a tenth worse. */
  readonly factor: number;
  readonly kind: Figure["kind"];
  /** Medians, of ratios where there is a store to compare with. */
  readonly from: number;
  readonly to: number;
  /** Store that the ratio was taken to; `undefined`: absolute. */
  readonly against: string | undefined;
}

/** Reads a result. Throws UsageError when it is none. */
export function readBaseline(file: string): BenchResult {
  let result: unknown;
  try {
    result = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(`cannot read the baseline ${file}: ${message}\n`, { cause: error });
  }
  if (!isResult(result)) {
    throw new UsageError(`${file} is no result of format ${RESULT_FORMAT}\n`);
  }
  return result;
}

/** Whether all that a comparison reads is there. */
function isResult(value: unknown): value is BenchResult {
  return (
    isObject(value) &&
    value["format"] === RESULT_FORMAT &&
    typeof value["startedAt"] === "string" &&
    isListOf(value["stores"], (store) => typeof store["store"] === "string") &&
    isListOf(value["runs"], isRun)
  );
}

function isRun(run: Readonly<Record<string, unknown>>): boolean {
  const { workload, store, repeat, phases } = run;
  return (
    typeof workload === "string" &&
    typeof store === "string" &&
    typeof repeat === "number" &&
    isListOf(phases, isPhase)
  );
}

function isPhase(phase: Readonly<Record<string, unknown>>): boolean {
  const numbers = ["ops", "ms", "diskBytes", "peakRssBytes"];
  const { name, latency, cpuMs } = phase;
  return (
    typeof name === "string" &&
    numbers.every((field) => typeof phase[field] === "number") &&
    isObject(latency) &&
    isListOf(Object.values(latency), ({ p50Us }) => typeof p50Us === "number") &&
    isObject(cpuMs)
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isListOf(
  value: unknown,
  is: (one: Readonly<Record<string, unknown>>) => boolean,
): boolean {
  return Array.isArray(value) && value.every((one) => isObject(one) && is(one));
}

/** Figures by workload, store, phase and title, and by repeat. */
class Figures {
  readonly #values = new Map<string, Map<number, number>>();
  readonly figures: Map<string, Figure> = new Map();
  readonly ids: Id[] = [];
  readonly #shortestMs = new Map<string, number>();

  constructor(result: BenchResult) {
    for (const { workload, store, repeat, phases } of result.runs) {
      for (const phase of phases) {
        const one = `${workload}\n${store}\n${phase.name}`;
        const shortest = this.#shortestMs.get(one) ?? Number.POSITIVE_INFINITY;
        this.#shortestMs.set(one, Math.min(shortest, phase.ms));
        for (const figure of figuresOf(phase)) {
          const id = [workload, store, phase.name, figure.title] as const;
          const key = id.join("\n");
          if (!this.#values.has(key)) {
            this.#values.set(key, new Map());
            this.figures.set(key, figure);
            this.ids.push(id);
          }
          this.#values.get(key)!.set(repeat, figure.value);
        }
      }
    }
  }

  /** The shortest time that the phase of a figure took, without its drain. */
  shortestMs([workload, store, phase]: Id): number {
    return this.#shortestMs.get(`${workload}\n${store}\n${phase}`) ?? 0;
  }

  /** Values of a figure, or their ratios to those of another store in the same repeat. */
  values([workload, store, phase, title]: Id, against: string | undefined): number[] {
    const own = this.#values.get([workload, store, phase, title].join("\n"));
    if (own === undefined) return [];
    if (against === undefined) return [...own.values()];
    const other = this.#values.get([workload, against, phase, title].join("\n"));
    return [...own].flatMap(([repeat, value]) => {
      const divisor = other?.get(repeat);
      return divisor === undefined || divisor === 0 ? [] : [value / divisor];
    });
  }
}

/** Returns the changes beyond the noise of the first store, and of the counts of all. */
export function findChanges(before: BenchResult, now: BenchResult): Change[] {
  const old = new Figures(before);
  const fresh = new Figures(now);
  const subject = now.stores[0]?.store;
  const peers = now.stores.map(({ store }) => store).filter((store) => store !== subject);
  const changes: Change[] = [];
  for (const id of fresh.ids) {
    const [workload, store, phase, title] = id;
    const figure = fresh.figures.get(id.join("\n"))!;
    const { kind, better } = figure;
    if (NOT_COMPARED.test(title)) continue;
    if (workload === counts.name && kind !== "count") continue;
    if (kind !== "count" && store !== subject) continue;
    const against =
      kind === "time"
        ? peers.find((peer) => old.values(id, peer).length > 0 && fresh.values(id, peer).length > 0)
        : undefined;
    const from = old.values(id, against);
    const to = fresh.values(id, against);
    if (from.length === 0 || to.length === 0) continue;
    if (kind === "time" && Math.min(old.shortestMs(id), fresh.shortestMs(id)) < PHASE_MS_MIN) {
      continue;
    }
    const unrest = Math.max(
      ...[old, fresh].flatMap((figures) =>
        [undefined, against].map((one) => noise(figures.values(withStore(id, one), undefined))),
      ),
    );
    const factor =
      kind === "count"
        ? countFactor(from, to)
        : noisyFactor(from, to, { unrest, margin: / p\d/.test(title) ? PERCENTILE_MARGIN : 1 });
    if (factor === undefined) continue;
    changes.push({
      workload,
      store,
      phase,
      title,
      factor: better === "more" ? factor : 1 / factor,
      kind,
      from: median(from),
      to: median(to),
      against,
    });
  }
  return changes;
}

/** Ratio of the medians where it is beyond the noise. */
function noisyFactor(
  from: readonly number[],
  to: readonly number[],
  { unrest, margin }: { readonly unrest: number; readonly margin: number },
): number | undefined {
  const [a, b] = [median(from), median(to)];
  if (!(a > 0 && b > 0)) return undefined;
  const factor = b / a;
  const change = factor > 1 ? factor - 1 : 1 / factor - 1;
  if (Math.min(from.length, to.length) < REPEATS_MIN) {
    return change > FLOOR_UNKNOWN ? factor : undefined;
  }
  const meets = Math.min(...to) <= Math.max(...from) && Math.min(...from) <= Math.max(...to);
  if (meets || change <= Math.max(FLOOR, margin * (noise(from) + noise(to)), unrest / 2))
    return undefined;
  return factor;
}

function countFactor(from: readonly number[], to: readonly number[]): number | undefined {
  const [a, b] = [median(from), median(to)];
  if (Math.abs(b - a) <= a * COUNT_GROWTH_MAX + COUNT_SLACK) return undefined;
  return b / Math.max(a, COUNT_SLACK);
}

/** Half the range, as a share of the median. */
function noise(values: readonly number[]): number {
  if (values.length === 0 || median(values) === 0) return 0;
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values);
}

type Id = readonly [workload: string, store: string, phase: string, title: string];

/** The same figure of another store. */
function withStore([workload, own, phase, title]: Id, store: string | undefined): Id {
  return [workload, store ?? own, phase, title];
}

/** Compares and says it in words. */
export function compareWithBaseline(
  before: BenchResult,
  now: BenchResult,
): { readonly text: string; readonly countsGrew: boolean; readonly changes: readonly Change[] } {
  const changes = findChanges(before, now);
  const grown = changes.filter(({ kind, factor }) => kind === "count" && factor < 1);
  const lines = [
    `against the baseline of ${before.startedAt}${before.commit === undefined ? "" : `, ${before.commit}`}:`,
  ];
  for (const { workload, store, phase, title, factor, kind, from, to, against } of changes) {
    const head = `  ${workload} ${phase}, ${store}: ${title}`;
    if (kind === "count") {
      const what = factor < 1 ? "GREW: this fails the run" : "fell";
      lines.push(`${head} ${what} (${from.toPrecision(4)} to ${to.toPrecision(4)})`);
      continue;
    }
    const percent = Math.round(Math.abs(factor > 1 ? factor - 1 : 1 - factor) * 100);
    const how = factor > 1 ? "better" : "WORSE";
    const by = against === undefined ? "" : `, as a ratio to ${against}`;
    lines.push(`${head} ${percent} % ${how}${by}`);
  }
  if (changes.length === 0) lines.push("  nothing changed beyond the noise");
  if (Math.min(repeatsOf(before), repeatsOf(now)) < REPEATS_MIN) {
    lines.push(`  times: fewer than ${REPEATS_MIN} repeats, so only large changes are named`);
  }
  return { text: lines.join("\n"), countsGrew: grown.length > 0, changes };
}

function repeatsOf({ runs }: BenchResult): number {
  return new Set(runs.map(({ repeat }) => repeat)).size;
}
