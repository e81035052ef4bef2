/** Quiet: nothing is left to flush, to merge, to sync or to remove. */
import type { DatabaseParts } from "./open-parts.ts";

/**
 * Resolves when no background work is left, or the database is read-only; throws what failed of it, and
 * failed again. `until` waits for background work.
 */
export async function whenQuiet(
  parts: DatabaseParts,
  until: (isDone: () => boolean) => Promise<void>,
): Promise<void> {
  const { writes, memtables, committer, flusher, compactor, queue, health, tree, valueGc } = parts;
  const mayFlush = health.failure === undefined && memtables.maySeal;
  if (mayFlush && valueGc.isDeletedInMemory) committer.sealMemtable();
  const flushes = flusher.vainTries.watch();
  const merges = compactor.vainTries.watch();
  const isQuiet = (): boolean =>
    health.failure !== undefined ||
    (!writes.unsettled &&
      memtables.sealed.length === 0 &&
      !flusher.busy &&
      compactor.settled &&
      tree.durable &&
      queue.outstanding === 0);
  await compactor.awaited(() => until(() => isQuiet() || flushes() || merges()));
}
