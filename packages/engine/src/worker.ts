/** The worker's entry (`@aura/engine/worker`): serves the engine's jobs on a thread of its own. */
import { hashReady, nodeFileSystem, serveJobs } from "@aura/base";
import { engineJobs } from "./jobs/job-table.ts";

// Jobs wait for nothing that comes in a turn of the event loop: what loads asynchronously has to be there.
void hashReady().then(() => serveJobs(engineJobs, nodeFileSystem));
