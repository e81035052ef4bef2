/** Remove: unlinks files that nothing refers to any more; freeing a large file takes its time. */
import type { JobContext } from "@aura/base";
import { hasCode } from "@aura/base";

/** What to remove. Structured-cloneable. */
export interface RemoveInput {
  readonly paths: readonly string[];
}

/** What was removed. */
export interface RemoveOutput {
  readonly count: number;
  readonly bytes: number;
}

/** The job body. A file that is gone already is no error: the work is done. */
export function* removeJob(
  input: RemoveInput,
  context: JobContext,
): Generator<void, RemoveOutput, void> {
  let count = 0;
  let bytes = 0;
  for (const path of input.paths) {
    try {
      const fileBytes = context.fs.fileBytesSync(path);
      context.fs.unlinkSync(path);
      count++;
      bytes += fileBytes;
    } catch (error) {
      if (!hasCode(error, "AURA_NOT_FOUND")) throw error;
    }
    yield;
  }
  return { count, bytes };
}
