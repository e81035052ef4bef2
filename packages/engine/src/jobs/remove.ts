/** Remove: unlinks files that nothing refers to any more; freeing a large file takes its time. */
import type { JobContext } from "@aura/base";
import { hasCode } from "@aura/base";

/** What to remove. Structured-cloneable. */
export interface RemoveInput {
  readonly paths: readonly string[];
}

/** The job body. A file that is gone already is no error: the work is done. */
export function* removeJob(input: RemoveInput, context: JobContext): Generator<void, void, void> {
  for (const path of input.paths) {
    try {
      context.fs.unlinkSync(path);
    } catch (error) {
      if (!hasCode(error, "AURA_NOT_FOUND")) throw error;
    }
    yield;
  }
}
