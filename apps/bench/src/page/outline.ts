/**
 * The runs of a result in the order of a report: workload, phase, store, repeat. All names stay
 * keys of maps, so that no name of a result can meet a property of an object.
 */
import type { BenchResult, PhaseResult, RunResult, StoreInfo } from "../result.ts";

/** A workload with its phases, in the order in which they first ran. */
export interface WorkloadOutline {
  readonly workload: string;
  readonly phases: readonly PhaseOutline[];
  readonly runs: readonly RunResult[];
}

/** One phase of a workload: what it gave for each store, repeat by repeat. */
export interface PhaseOutline {
  readonly workload: string;
  readonly phase: string;
  readonly results: ReadonlyMap<string, ReadonlyMap<number, PhaseResult>>;
}

/** Returns the stores of a result: as listed, then those that only runs name. */
export function storesOf(result: BenchResult): readonly StoreInfo[] {
  const stores = new Map(result.stores.map((info) => [info.store, info]));
  for (const { store } of result.runs) {
    if (!stores.has(store)) stores.set(store, { store, package: store, version: "", flags: {} });
  }
  return [...stores.values()];
}

/** Returns the workloads of a result. A phase that comes twice in one run is told apart by a number. */
export function outlineOf(result: BenchResult): readonly WorkloadOutline[] {
  const workloads = new Map<string, RunResult[]>();
  for (const run of result.runs) {
    const runs = workloads.get(run.workload);
    if (runs === undefined) workloads.set(run.workload, [run]);
    else runs.push(run);
  }
  return [...workloads].map(([workload, runs]) => {
    return { workload, runs, phases: phasesOf(workload, runs) };
  });
}

function phasesOf(workload: string, runs: readonly RunResult[]): readonly PhaseOutline[] {
  const phases = new Map<string, Map<string, Map<number, PhaseResult>>>();
  for (const run of runs) {
    const seen = new Map<string, number>();
    for (const phase of run.phases) {
      const count = (seen.get(phase.name) ?? 0) + 1;
      seen.set(phase.name, count);
      const name = count === 1 ? phase.name : `${phase.name} ${count}`;
      const results = phases.get(name) ?? new Map<string, Map<number, PhaseResult>>();
      phases.set(name, results);
      const repeats = results.get(run.store) ?? new Map<number, PhaseResult>();
      results.set(run.store, repeats);
      repeats.set(run.repeat, phase);
    }
  }
  return [...phases].map(([phase, results]) => ({ workload, phase, results }));
}
