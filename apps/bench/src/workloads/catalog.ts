/** The workloads by name. */
import { counts } from "./counts.ts";
import { dbBench } from "./db-bench.ts";
import { dynamic } from "./dynamic.ts";
import { largeValues } from "./large-values.ts";
import { space } from "./space.ts";
import type { Workload } from "./workload.ts";
import { ycsb } from "./ycsb.ts";

const workloads: ReadonlyMap<string, Workload> = new Map(
  [...ycsb, ...dbBench, largeValues, dynamic, space, counts].map((one) => [one.name, one]),
);

export const WORKLOAD_NAMES: readonly string[] = [...workloads.keys()];

/** Returns a workload. Throws for a name that is none. */
export function workloadOf(name: string): Workload {
  const workload = workloads.get(name);
  if (workload === undefined) throw new Error(`unknown workload "${name}"`);
  return workload;
}
