/**
 * What `compact()` does about values: empties every segment whose garbage is worth it, whatever the
 * bound. A sweep copies as much as fits under the bound, or a sixteenth of what lives. The files that
 * one emptied are gone before the next begins: those of several, with their copies, are no bound at all.
 */
import { hasCode } from "@aura/base";
import type { Compactor } from "./compaction.ts";
import {
  type CompactionRange,
  type CompactOptions,
  compactRange,
  throwIfAborted,
} from "./manual-compaction.ts";
import type { DatabaseParts } from "./open-parts.ts";
import type { ValueGc } from "./value-gc.ts";

/**
 * Compacts a range; of all keys, reclaims values as well. When it resolves, the files of the values that
 * went are gone, too, but for those that somebody reads. Preconditions as below. `until` waits for
 * background work.
 */
export async function compactAndReclaim(
  { tree, compactor, settings, valueGc }: DatabaseParts,
  range: CompactionRange,
  options: CompactOptions,
  until: (isDone: () => boolean) => Promise<void>,
): Promise<void> {
  const { signal } = options;
  const allGone = (): Promise<void> => until(() => !valueGc.isLeaving || signal?.aborted === true);
  await compactRange(tree, compactor, range, options, settings.table.maxSize);
  await allGone();
  throwIfAborted(signal);
  if (range.smallest !== undefined || range.largest !== undefined) return;
  await reclaimValues(valueGc, compactor, signal, allGone);
}

/** Empties segments. Precondition: no other compaction runs, none will begin. */
async function reclaimValues(
  valueGc: ValueGc,
  compactor: Compactor,
  signal: AbortSignal | undefined,
  allGone: () => Promise<void>,
): Promise<void> {
  for (;;) {
    throwIfAborted(signal);
    valueGc.markAll();
    const choice = compactor.chooseRelocation();
    if (choice === undefined) return;
    try {
      await compactor.merge(choice, signal);
    } catch (error) {
      // With the reason of the signal.
      if (hasCode(error, "AURA_ABORTED")) throwIfAborted(signal);
      throw error;
    }
    await allGone();
  }
}
