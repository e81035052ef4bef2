/**
 * What `compact()` does about values: empties every segment whose garbage is worth it, whatever the
 * bound. A sweep copies as much as fits under the bound, or a sixteenth of what lives.
 */
import { AuraError } from "@aura/base";
import type { Compactor } from "./compaction.ts";
import { type CompactionRange, type CompactOptions, compactRange } from "./manual-compaction.ts";
import type { DatabaseParts } from "./open-parts.ts";
import type { ValueGc } from "./value-gc.ts";

/** Compacts a range; of all keys, reclaims values as well. Preconditions as below. */
export async function compactAndReclaim(
  { tree, compactor, settings, valueGc }: DatabaseParts,
  range: CompactionRange,
  options: CompactOptions,
): Promise<void> {
  await compactRange(tree, compactor, range, options, settings.table.maxSize);
  if (range.smallest !== undefined || range.largest !== undefined) return;
  await reclaimValues(valueGc, compactor, options.signal);
}

/** Empties segments. Precondition: no other compaction runs, none will begin. */
async function reclaimValues(
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
