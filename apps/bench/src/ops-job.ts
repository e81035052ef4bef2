/**
 * One workload on several stores, once: all go through the same phases, cut into slices, and take turns
 * slice by slice; who begins changes from one to the next. A store that fails drops out, the others go on.
 */
import type { BenchHost, HostSetup, StartHost } from "./bench-host.ts";
import { cut } from "./names-job.ts";
import type { OpsBench } from "./ops-bench.ts";
import type { SliceSample } from "./ops-driver.ts";
import type { Progress } from "./progress.ts";
import type { PhaseResult, RunResult } from "./result.ts";
import type { StoreDescription } from "./store-bench.ts";
import type { StoreName } from "./stores/catalog.ts";
import type { PhasePlan } from "./workloads/workload.ts";

/** Turns that each store has in a phase. */
const SLICES = 10;

/** What a job needs. */
export interface OpsJobSetup {
  readonly workload: string;
  readonly repeat: number;
  readonly stores: readonly HostSetup[];
  readonly plans: readonly PhasePlan[];
  /** Length of a measured phase; `undefined`: as long as its operations take. */
  readonly durationMs: number | undefined;
  readonly startHost: StartHost<OpsBench>;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** One store in the job. */
interface Taking {
  readonly setup: HostSetup;
  readonly host: BenchHost<OpsBench>;
  readonly run: { -readonly [K in keyof RunResult]: RunResult[K] } & { phases: PhaseResult[] };
}

/** Runs one workload; what it measured so far is there at any time. */
export class OpsJob {
  readonly descriptions: Map<StoreName, StoreDescription> = new Map();
  /** Stores that could not be started, with the reason. */
  readonly missing: Map<StoreName, string> = new Map();
  readonly #setup: OpsJobSetup;
  readonly #all: Taking[] = [];
  #taking: Taking[] = [];
  #turn: number;

  constructor(setup: OpsJobSetup) {
    this.#setup = setup;
    this.#turn = setup.repeat;
  }

  /** One per store that was started. */
  get runs(): readonly RunResult[] {
    return this.#all.map(({ run }) => run);
  }

  /** Runs all phases. Throws the signal's reason when it is interrupted. */
  async run(): Promise<void> {
    const { plans, progress } = this.#setup;
    try {
      await this.#start();
      const startedAt = performance.now();
      await this.#each((taking) => this.#open(taking));
      for (const [index, plan] of plans.entries()) {
        await this.#phase(index, plan, performance.now() - startedAt);
      }
      await this.#each(({ host }) => host.call("close"));
    } finally {
      for (const { host } of this.#all) await host.kill();
      progress.end();
    }
  }

  async #start(): Promise<void> {
    const { stores, startHost, signal, workload, repeat } = this.#setup;
    for (const setup of stores) {
      signal.throwIfAborted();
      try {
        const host = await startHost(setup);
        host.pause();
        this.#all.push({ setup, host, run: { workload, store: setup.store, repeat, phases: [] } });
      } catch (error) {
        this.missing.set(setup.store, (error as Error).message);
      }
    }
    this.#taking = [...this.#all];
  }

  async #open({ host, setup }: Taking): Promise<void> {
    await host.call("open");
    this.descriptions.set(setup.store, await host.call("describe"));
  }

  async #phase(index: number, plan: PhasePlan, startedMs: number): Promise<void> {
    const { progress, durationMs, workload } = this.#setup;
    const title = plan.name === workload ? workload : `${workload} ${plan.name}`;
    const samples = new Map<Taking, SliceSample[]>(this.#taking.map((taking) => [taking, []]));
    const limits = limitsOf(plan, durationMs);
    progress.begin(
      title,
      this.#taking.map(({ setup }) => setup.store),
      limits.length,
    );
    try {
      await this.#each(({ host }) => host.call("begin", index));
      for (const [slice, limit] of limits.entries()) {
        this.#turn++;
        await this.#each(async (taking) => {
          const own = samples.get(taking)!;
          own.push(await taking.host.call("slice", limit));
          progress.step(title, taking.setup.store, slice + 1, own);
        });
      }
      await this.#each(async (taking) => {
        taking.run.phases.push({ startedMs, ...(await taking.host.call("finish")) });
        samples.delete(taking);
      });
    } finally {
      // Interrupted or failed: what the slices said is what there is.
      for (const [taking, own] of samples) {
        if (own.length > 0) taking.run.phases.push(partial(plan.name, startedMs, own));
      }
    }
  }

  /** Lets the stores work one after the other; one that fails takes no further part. */
  async #each(call: (taking: Taking) => Promise<unknown>): Promise<void> {
    const { signal } = this.#setup;
    const taking = [...this.#taking];
    for (let i = 0; i < taking.length; i++) {
      const one = taking[(i + this.#turn) % taking.length]!;
      signal.throwIfAborted();
      one.host.resume();
      try {
        await orAborted(call(one), signal);
      } catch (error) {
        signal.throwIfAborted();
        one.run.failure = (error as Error).message;
        this.#taking = this.#taking.filter((other) => other !== one);
      } finally {
        one.host.pause();
      }
    }
  }
}

function limitsOf(
  plan: PhasePlan,
  durationMs: number | undefined,
): readonly ({ readonly ops: number } | { readonly ms: number })[] {
  if (durationMs !== undefined && plan.setup !== true) {
    return Array.from({ length: SLICES }, () => ({ ms: durationMs / SLICES }));
  }
  return cut(plan.ops, Number.POSITIVE_INFINITY, SLICES).map(([from, to]) => ({ ops: to - from }));
}

function partial(name: string, startedMs: number, samples: readonly SliceSample[]): PhaseResult {
  const sum = { ops: 0, ms: 0, bytes: 0, wrong: 0 };
  for (const sample of samples) {
    sum.ops += sample.ops;
    sum.ms += sample.ms;
    sum.bytes += sample.bytes;
    sum.wrong += sample.wrong;
  }
  return {
    name,
    startedMs,
    ...sum,
    latency: {},
    series: [],
    background: [],
    cpuMs: { user: 0, system: 0 },
    diskBytes: 0,
    peakRssBytes: 0,
  };
}

/** Resolves as a promise does, or rejects as soon as the signal is aborted. */
async function orAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let forget = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    forget = () => signal.removeEventListener("abort", onAbort);
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    forget();
  }
}
