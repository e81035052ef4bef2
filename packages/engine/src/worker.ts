/** The worker's entry (`@aura/engine/worker`): serves the engine's jobs on a thread of its own. */
import { hashReady, nodeFileSystem, serveJobs } from "@aura/base";
import { engineJobs } from "./jobs/job-table.ts";

void hashReady();
serveJobs(engineJobs, nodeFileSystem);
