import type { HostSetup, StartHost } from "../../src/bench-host.ts";
import type { Clock } from "../../src/clock.ts";
import { readDataSet } from "../../src/data-set.ts";
import { OpsBench } from "../../src/ops-bench.ts";
import type { Hosts } from "../../src/run.ts";
import { StoreBench } from "../../src/store-bench.ts";
import type { StoreKind } from "../../src/stores/store.ts";

type KindOf = (setup: HostSetup) => StoreKind;

/** Runs benches of the names job in this process; `log` has each call, and when a store may work. */
export function localHosts(kindOf: KindOf, log: string[] = []): StartHost<StoreBench> {
  return localHost(async (setup) => {
    const data = await readDataSet(setup.dataFolder ?? "");
    return new StoreBench(kindOf(setup), setup.path, setup.budget, data);
  }, log);
}

/** Runs benches of workloads in this process. */
export function localOpsHosts(
  kindOf: KindOf,
  log: string[] = [],
  clock?: Clock,
): StartHost<OpsBench> {
  return localHost(async (setup) => {
    const { budget, ops } = setup;
    const options = { budget, setup: ops!, ...(clock === undefined ? {} : { clock }) };
    return new OpsBench(kindOf(setup), setup.path, options);
  }, log);
}

/** Runs everything in this process. */
export function localRun(kindOf: KindOf): Hosts {
  return { names: localHosts(kindOf), ops: localOpsHosts(kindOf) };
}

function localHost<B>(make: (setup: HostSetup) => Promise<B>, log: string[]): StartHost<B> {
  return async (setup) => {
    const bench = await make(setup);
    const calls = bench as unknown as Record<string, (...args: unknown[]) => unknown>;
    return {
      call: async (method: string, ...args: unknown[]) => {
        log.push(`${setup.store}: ${method} ${args.join(" ")}`.trim());
        return (await calls[method]!(...args)) as never;
      },
      resume: () => void log.push(`${setup.store}: resume`),
      pause: () => void log.push(`${setup.store}: pause`),
      kill: async () => void log.push(`${setup.store}: kill`),
    };
  };
}
