/** One store in its own process, and one workload: opens, runs the phases slice by slice, measures. */
import { type Clock, systemClock } from "./clock.ts";
import { folderBytes } from "./counters.ts";
import { Expectation } from "./expectation.ts";
import { createKeys, type KeySpec, type KeyTable } from "./key-table.ts";
import { type Calls, OpsDriver, type SliceSample } from "./ops-driver.ts";
import { PhaseMeter } from "./phase-meter.ts";
import { Random } from "./random.ts";
import type { Replay, ReplaySpec } from "./replay.ts";
import type { PhaseResult, Space } from "./result.ts";
import type { StoreDescription } from "./store-bench.ts";
import { type Budget, meetTerms, type Store, type StoreKind } from "./stores/store.ts";
import { ValuePool } from "./value-pool.ts";
import { workloadOf } from "./workloads/catalog.ts";
import type { PhasePlan, Records, Sizes } from "./workloads/workload.ts";

/** What a workload is run with: the same for each store. Plain data. */
export interface OpsSetup {
  readonly workload: string;
  readonly sizes: Sizes;
  readonly keys: KeySpec;
  readonly valueBytes: number;
  /** Share of each value that repeats itself. */
  readonly compressible: number;
  readonly calls: Calls;
  readonly seed: number;
  /** The trace that is the workload. */
  readonly replay?: ReplaySpec;
}

/** Streams of chance of the phases begin here. */
const PHASE_STREAM = 10_000;

interface Running {
  readonly plan: PhasePlan;
  readonly driver: OpsDriver;
  readonly meter: PhaseMeter;
  readonly space: Space[];
  sum: { ops: number; bytes: number; wrong: number };
  drainMs: number;
}

/** The calls of a host's process. */
export class OpsBench {
  readonly #kind: StoreKind;
  readonly #path: string;
  readonly #budget: Budget;
  readonly #notes: readonly string[];
  readonly #setup: OpsSetup;
  readonly #clock: Clock;
  readonly #plans: readonly PhasePlan[];
  readonly #keys: KeyTable;
  readonly #expected: Expectation;
  readonly #records: Records;
  #store: Store | undefined;
  #running: Running | undefined;
  #drainingSince: number | undefined;

  constructor(
    kind: StoreKind,
    path: string,
    options: {
      readonly budget: Budget;
      readonly setup: OpsSetup;
      readonly clock?: Clock;
      /** What `setup.replay` names, read. */
      readonly replay?: Replay | undefined;
    },
  ) {
    const { setup, budget, replay, clock = systemClock } = options;
    const terms = meetTerms(kind, budget);
    this.#kind = kind;
    this.#path = path;
    this.#budget = terms.budget;
    this.#notes = terms.notes;
    this.#setup = setup;
    this.#clock = clock;
    this.#plans = (replay?.workload ?? workloadOf(setup.workload)).phases(setup.sizes);
    this.#keys = replay?.keys ?? createKeys(setup.keys);
    const { seed, valueBytes, compressible } = setup;
    const valueBytesMax = replay?.valueBytesMax ?? valueBytes;
    const values = new ValuePool({ seed, valueBytesMax, compressible });
    const { inFlight } = setup.calls;
    this.#expected = new Expectation({ keys: this.#keys, values, valueBytes, inFlight });
    this.#records = { count: 0, countMax: this.#keys.count };
  }

  async open(): Promise<void> {
    this.#store = await this.#kind.open(this.#path, this.#budget);
    this.#store.onWork?.((work) => this.#running?.meter.noteWork(work));
  }

  describe(): StoreDescription {
    const notes = [...this.#notes];
    const { getSync, putSync } = this.#opened;
    if (this.#setup.calls.sync && (getSync === undefined || putSync === undefined)) {
      const kinds = [getSync === undefined ? "reads" : "", putSync === undefined ? "writes" : ""];
      notes.push(
        `has no sync ${kinds.filter((one) => one !== "").join(" and ")}: they are awaited`,
      );
    }
    return {
      package: this.#kind.name,
      version: this.#kind.version,
      hasSync: getSync !== undefined,
      flags: this.#kind.flags(this.#budget),
      facts: this.#opened.facts,
      ...(notes.length === 0 ? {} : { note: notes.join("; ") }),
    };
  }

  /** Begins a phase of the workload. */
  begin(phase: number): void {
    const plan = this.#plans[phase]!;
    const { calls, seed, valueBytes, keys } = this.#setup;
    const paced = plan.setup === true ? { ...calls, rate: undefined } : calls;
    const meter = new PhaseMeter(
      this.#opened,
      paced.rate !== undefined || plan.dueMs !== undefined,
    );
    const driver = new OpsDriver({
      store: this.#opened,
      keys: this.#keys,
      expected: this.#expected,
      clock: this.#clock,
      calls: paced,
      plan,
      source: plan.source(new Random(seed, PHASE_STREAM + phase), this.#records),
      recorder: meter,
      entryBytes: keys.bytes + valueBytes,
      checks: this.#kind.isEmpty !== true,
    });
    meter.follow(() => driver.elapsedMs + this.#drainedMs);
    this.#running = {
      plan,
      driver,
      meter,
      space: [],
      sum: { ops: 0, bytes: 0, wrong: 0 },
      drainMs: 0,
    };
  }

  async slice(limit: { readonly ops: number } | { readonly ms: number }): Promise<SliceSample> {
    const running = this.#current;
    const { plan, driver, sum } = running;
    const sample = await driver.slice(limit);
    sum.ops += sample.ops;
    sum.bytes += sample.bytes;
    sum.wrong += sample.wrong;
    if (plan.drainSlices === true) await this.#drain(running);
    if (plan.space === true) this.#noteSpace(running);
    return sample;
  }

  /** Waits for background work and returns what the phase came to; `startedMs` is the caller's to fill in. */
  async finish(): Promise<Omit<PhaseResult, "startedMs">> {
    const running = this.#current;
    const { plan, driver, meter, sum } = running;
    await this.#drain(running);
    if (plan.space === true) this.#noteSpace(running);
    meter.noteDrain(driver.elapsedMs, driver.elapsedMs + running.drainMs);
    this.#running = undefined;
    const { counts, ...measured } = meter.result();
    const perOp = Object.entries(counts).map(([name, n]) => [name, n / Math.max(1, sum.ops)]);
    return {
      name: plan.name,
      ...sum,
      ms: driver.elapsedMs,
      drainMs: running.drainMs,
      ...measured,
      diskBytes: folderBytes(this.#path),
      liveBytes: this.#expected.liveBytes,
      ...(perOp.length === 0
        ? {}
        : { counts: Object.fromEntries(perOp) as Record<string, number> }),
      ...(plan.space === true ? { space: running.space } : {}),
    };
  }

  async close(): Promise<void> {
    await this.#opened.close();
    this.#store = undefined;
  }

  async #drain(running: Running): Promise<void> {
    this.#drainingSince = this.#clock.now();
    await this.#opened.drain();
    // The news of its last work come in a later turn.
    await this.#clock.turn();
    running.drainMs += this.#clock.now() - this.#drainingSince;
    this.#drainingSince = undefined;
  }

  /** Time that the phase has been drained so far. */
  get #drainedMs(): number {
    const since = this.#drainingSince;
    const now = since === undefined ? 0 : this.#clock.now() - since;
    return (this.#running?.drainMs ?? 0) + now;
  }

  #noteSpace({ driver, drainMs, space }: Running): void {
    space.push({
      atMs: driver.elapsedMs + drainMs,
      diskBytes: folderBytes(this.#path),
      liveBytes: this.#expected.liveBytes,
    });
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error("the store is not open");
    return this.#store;
  }

  get #current(): Running {
    if (this.#running === undefined) throw new Error("no phase runs");
    return this.#running;
  }
}
