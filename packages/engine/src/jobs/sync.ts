/** Sync: makes open files durable away from the owner's thread. */
import type { JobContext } from "@aura/base";

/** What to sync. Structured-cloneable. The files stay open until the job ends. */
export interface SyncInput {
  readonly tokens: readonly number[];
}

/** The job body. */
export function* syncJob(input: SyncInput, context: JobContext): Generator<void, void, void> {
  for (const token of input.tokens) {
    context.fs.syncTokenSync(token);
    yield;
  }
}
