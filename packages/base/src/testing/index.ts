/**
 * Test doubles of everything that a database gets from its platform: a file system that crashes,
 * and time, chance and turns that a test moves.
 */
export {
  type PlannedFault,
  type SimCall,
  SimCrash,
  type SimErrorName,
  type SimFault,
  type SimOperation,
} from "./sim-faults.ts";
export type { CrashData, FailedSync } from "./sim-file.ts";
export { type CrashOptions, SimFs, type SimFsOptions } from "./sim-fs.ts";
export type { CrashNames } from "./sim-names.ts";
export { PAGE_BYTES, SECTOR_BYTES } from "./sim-pages.ts";
export {
  SimClock,
  type SimRuntime,
  type SimRuntimeOptions,
  SimScheduler,
  simRuntime,
} from "./sim-runtime.ts";
