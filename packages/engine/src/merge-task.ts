/**
 * One merge under way: the jobs that it is cut into, by ranges of keys, and what they brought. All
 * of it is published at once, or none.
 */
import type { Job } from "@aura/base";
import { AuraError, compareKeys, hasCode } from "@aura/base";
import type { MergeChoice } from "@aura/compaction-rl";
import type { MergeInput, MergeOutput } from "./jobs/merge.ts";
import type { ScanRange } from "./jobs/run-scan.ts";
import type { Rewrite } from "./value-locality.ts";
import type { Run, TableMeta } from "./version.ts";

/** A merge, whoever asked for it. */
export type MergePlan = Pick<
  MergeChoice,
  "inputs" | "outputLevel" | "outputRunId" | "tableBytesMax" | "drain"
> & {
  readonly reason: string;
  /** Values to be written again in the order of their keys. */
  readonly rewrite?: Rewrite;
};

/** Input tables of one run, in key order. */
export interface Slice {
  readonly level: number;
  readonly run: Run;
  readonly tables: readonly TableMeta[];
}

/** What becomes of a merge. `onFailed` undefined: the policy asked for it, and will again. */
export interface MergeEnd {
  readonly onDone: () => void;
  readonly onFailed: ((error: Error) => void) | undefined;
  /** The choice of the policy that the merge carries out; it is told what became of it. */
  readonly choice?: MergeChoice;
  /** A part ended well; `share` of the parts have. */
  readonly onPart?: (share: number) => void;
}

/** A merge and its parts. */
export class MergeTask {
  readonly plan: MergePlan;
  readonly slices: readonly Slice[];
  readonly end: MergeEnd;
  /** The first failure; the parts that were not begun are given up. */
  error: Error | undefined;
  /** Called once, when the merge is about to be published or given up. */
  onSettled: () => void = () => undefined;
  /** Monotonic clock when it was begun, ms. */
  startedMs = 0;
  /** Outputs of parts whose worker is gone. */
  readonly lost: MergeInput["output"][] = [];
  readonly #inputs: readonly MergeInput[];
  readonly #outputs: (MergeOutput | undefined)[];
  readonly #jobs = new Set<Job>();
  #next = 0;

  constructor(
    plan: MergePlan,
    slices: readonly Slice[],
    inputs: readonly MergeInput[],
    end: MergeEnd,
  ) {
    this.plan = plan;
    this.slices = slices;
    this.end = end;
    this.#inputs = inputs;
    this.#outputs = inputs.map(() => undefined);
  }

  /** Whether parts wait to be begun. */
  get hasNext(): boolean {
    return this.error === undefined && this.#next < this.#inputs.length;
  }

  /** Whether nothing of it runs or waits. */
  get hasEnded(): boolean {
    return this.#jobs.size === 0 && !this.hasNext;
  }

  /**
   * Begins the next part: `submit` is given its input and what to do with its result. `onPart` is
   * called when it ended, whatever its end was.
   */
  beginNext(
    submit: (
      input: MergeInput,
      onDone: (output: MergeOutput) => void,
      onError: (error: Error) => void,
    ) => Job,
    onPart: () => void,
  ): void {
    const part = this.#next++;
    const ended = (): void => {
      this.#jobs.delete(job);
      onPart();
    };
    const job = submit(
      this.#inputs[part]!,
      (output) => {
        this.#outputs[part] = output;
        this.end.onPart?.(this.outputs.length / this.#inputs.length);
        ended();
      },
      (error) => {
        if (hasCode(error, "AURA_WORKER")) this.lost.push(this.#inputs[part]!.output);
        this.error ??= error;
        this.cancel();
        ended();
      },
    );
    this.#jobs.add(job);
  }

  /** Ends what runs and gives up the rest. */
  cancel(): void {
    this.error ??= new AuraError("AURA_ABORTED", "the merge was cancelled");
    for (const job of this.#jobs) job.cancel();
  }

  /** What the parts brought that ended well, in key order. */
  get outputs(): MergeOutput[] {
    return this.#outputs.filter((output) => output !== undefined);
  }

  /** Returns an error unless the parts have read every entry of the tables once. */
  miscount(): AuraError | undefined {
    let expected = 0;
    for (const { tables } of this.slices) for (const table of tables) expected += table.entryCount;
    const actual = this.outputs.reduce((sum, output) => sum + output.entriesRead, 0);
    if (actual === expected) return undefined;
    const message = "a merge read another number of entries than its tables hold";
    return new AuraError("AURA_CORRUPTION", message, { expected, actual });
  }
}

/**
 * Cuts the keys of some tables into ranges of about `partBytes`, at bounds of tables: the only ones
 * known without reading. Returns one range, open on both sides, when there is nothing to cut.
 */
export function cutRanges(tables: readonly TableMeta[], partBytes: number): ScanRange[] {
  const total = tables.reduce((sum, table) => sum + table.bytes, 0);
  const begins = [...tables].sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
  const ends = [...tables].sort((a, b) => compareKeys(a.largestKey, b.largestKey));
  const ranges: ScanRange[] = [];
  let from: Uint8Array | undefined;
  let cutBytes = 0;
  // Bytes in front of a bound: those of tables that end there, half of those that it is inside of.
  let bytes = 0;
  let begun = 0;
  let ended = 0;
  for (const { smallestKey: key } of begins) {
    for (; compareKeys(begins[begun]!.smallestKey, key) < 0; begun++)
      bytes += begins[begun]!.bytes / 2;
    for (; compareKeys(ends[ended]!.largestKey, key) < 0; ended++) bytes += ends[ended]!.bytes / 2;
    if (bytes - cutBytes < partBytes || total - bytes < partBytes / 2) continue;
    ranges.push({ from, to: key });
    from = key;
    cutBytes = bytes;
  }
  ranges.push({ from, to: undefined });
  return ranges;
}
