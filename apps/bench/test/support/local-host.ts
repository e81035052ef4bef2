import type { HostSetup, StartHost } from "../../src/bench-host.ts";
import { readDataSet } from "../../src/data-set.ts";
import { StoreBench } from "../../src/store-bench.ts";
import type { StoreKind } from "../../src/stores/store.ts";

/** Runs benches in this process; `log` has each call, and when a store may work. */
export function localHosts(kindOf: (setup: HostSetup) => StoreKind, log: string[] = []): StartHost {
  return async (setup) => {
    const data = await readDataSet(setup.dataFolder);
    const bench = new StoreBench(kindOf(setup), setup.path, setup.budget, data);
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
