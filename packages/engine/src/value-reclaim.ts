/**
 * What `compact()` does about values: empties every segment whose garbage is worth it, whatever the
 * bound. A sweep copies as much as fits under the bound, or a sixteenth of what lives.
 */
import { AuraError } from "@aura/base";
import type { Compactor } from "./compaction.ts";
import type { ValueGc } from "./value-gc.ts";

/** Empties segments. Precondition: no other compaction runs, none will begin. */
export async function reclaimValues(
  valueGc: ValueGc,
  compactor: Compactor,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (;;) {
    if (signal?.aborted) {
      throw new AuraError("AURA_ABORTED", "compaction aborted", { cause: signal.reason });
    }
    valueGc.markAll();
    const choice = compactor.chooseRelocation();
    if (choice === undefined) return;
    await compactor.merge(choice, signal);
  }
}
