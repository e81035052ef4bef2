/** The process of one store: answers calls of its bench until its parent goes away. */
import type { Call, HostSetup, Reply } from "./bench-host.ts";
import { resetPeak } from "./counters.ts";
import { readDataSet } from "./data-set.ts";
import { OpsBench } from "./ops-bench.ts";
import { readReplay } from "./replay.ts";
import { StoreBench } from "./store-bench.ts";
import { loadStore } from "./stores/catalog.ts";

const setup = JSON.parse(process.argv[2] ?? "null") as HostSetup;

// Ctrl-C reaches the whole group: the parent decides what becomes of this process.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit());

function reply(message: Reply): void {
  process.send?.(message);
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function makeBench(): Promise<StoreBench | OpsBench> {
  const { store, path, budget, dataFolder, ops } = setup;
  const kind = await loadStore(store);
  if (ops !== undefined) {
    const replay = ops.replay === undefined ? undefined : await readReplay(ops.replay);
    return new OpsBench(kind, path, { budget, setup: ops, replay });
  }
  return new StoreBench(kind, path, budget, await readDataSet(dataFolder ?? ""));
}

async function serve(): Promise<void> {
  const bench = await makeBench();
  resetPeak();
  const calls = bench as unknown as Record<string, (...args: readonly unknown[]) => unknown>;
  const answer = async ({ id, method, args }: Call): Promise<void> => {
    try {
      reply({ id, result: await calls[method]!(...args) });
    } catch (error) {
      reply({ id, error: `${setup.store}: ${method}: ${textOf(error)}` });
    }
  };
  process.on("message", (call: Call) => void answer(call));
  reply({ id: 0, result: undefined });
}

serve().catch((error: unknown) => reply({ id: 0, error: `${setup.store}: ${textOf(error)}` }));
