/** The jobs of the engine by name: the same table in a worker and inline. */
import type { JobTable } from "@aura/base";
import { flushJob } from "./flush.ts";
import { mergeJob } from "./merge.ts";
import { removeJob } from "./remove.ts";
import { syncJob } from "./sync.ts";

export const engineJobs: JobTable = {
  flush: flushJob,
  merge: mergeJob,
  remove: removeJob,
  sync: syncJob,
};
