/**
 * Components: the parts of the world that a database is given. Everything else is settings, which
 * are plain data.
 */
import type { Executor, FileSystem, Runtime } from "@aura/base";
import { AuraError, nodeFileSystem, systemRuntime } from "@aura/base";
import type { AgentSettings, CompactionAgent, CompactionPolicy } from "@aura/compaction-rl";
import { simulatedJobs, threadJobs } from "./job-lanes.ts";
import { workerEntryUrl } from "./worker-entry.ts";

/** What a database works with. Each has a default. */
export interface Components {
  readonly fs: FileSystem;
  readonly runtime: Runtime;
  /** Where background jobs run. Default: worker threads shared by the process. */
  readonly executor: Executor;
  /** URL of the worker entry, for hosts that moved it. Default: beside the engine's module. */
  readonly workerUrl: URL;
  /** Decides about compactions. Default: leveled, as `settings.compaction` says. */
  readonly policy: CompactionPolicy;
  /** Makes what steers the tree in the mode `adaptive`. Default: the agent of `settings.rlAgent`. */
  readonly agent: (settings: AgentSettings) => CompactionAgent;
}

/** Components with their defaults, but for the policy and the agent, which need the settings. */
export type ResolvedComponents = Omit<Components, "workerUrl" | "policy" | "agent"> & {
  readonly policy: CompactionPolicy | undefined;
  readonly agent: Components["agent"] | undefined;
};

/**
 * Fills in defaults. Worker threads read the real disk through Node: a database on another file
 * system runs its jobs inline.
 */
export function resolveComponents(components: Partial<Components>): ResolvedComponents {
  if (typeof components !== "object" || components === null) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "components: expected an object");
  }
  const fs = components.fs ?? nodeFileSystem;
  const runtime = components.runtime ?? systemRuntime;
  const executor =
    components.executor ??
    (fs === nodeFileSystem
      ? threadJobs(components.workerUrl ?? workerEntryUrl())
      : simulatedJobs(fs, runtime));
  return { fs, runtime, executor, policy: components.policy, agent: components.agent };
}
