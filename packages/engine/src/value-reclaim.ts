/**
 * What `compact()` does about values: empties every segment whose garbage is worth it, whatever the
 * bound. A sweep copies as much as fits under the bound, or a sixteenth of what lives.
 */
import { AuraError } from "@aura/base";
import { chooseForSpace, type LeveledSettings } from "@aura/compaction-rl";
import type { Compactor } from "./compaction.ts";
import type { ValueGc } from "./value-gc.ts";

/** Empties segments. Precondition: no other compaction runs, none will begin. */
export async function reclaimValues(
  valueGc: ValueGc,
  compactor: Compactor,
  shape: LeveledSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const need = { isUrgent: true, isHiding: false, oldestSnapshot: undefined };
  for (;;) {
    if (signal?.aborted) {
      throw new AuraError("AURA_ABORTED", "compaction aborted", { cause: signal.reason });
    }
    const choice = chooseForSpace(compactor.view(valueGc.markAll()), need, shape);
    if (choice?.kind !== "merge") return;
    await compactor.merge(choice);
  }
}
