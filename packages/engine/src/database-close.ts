/** Closes a database: what it leaves behind tells the next open that nothing needs recovery. */
import { fileName, filePath } from "./file-names.ts";
import type { OldLog } from "./old-logs.ts";
import type { DatabaseParts } from "./open-parts.ts";

/** Makes everything durable and writes the record of a clean close. */
export async function closeCleanly(parts: DatabaseParts): Promise<void> {
  const { journal, tree, flusher, versions, fs, directory, oldLogs } = parts;
  await journal.syncs.sync();
  journal.seal("wal");
  journal.seal("vlog");
  // What was zero-filled ahead is cut off before the lengths are made durable.
  await journal.settle();
  journal.syncs.syncRestSync();
  // A log that became a segment, and was emptied and removed, may still be the journal's. One that
  // recovery needs has to be there: without it, closing fails.
  const { flushedSeq } = versions.current;
  const seals = flusher.sealsUpTo(flushedSeq);
  const isThere = (log: Pick<OldLog, "number" | "kind" | "lastSeq">): boolean =>
    log.lastSeq > flushedSeq || fs.existsSync(filePath(directory, log.number, log.kind));
  const logs = [
    // Behind a failed write a file may hold anything: its length is not vouched for.
    ...journal.files
      .filter(({ writer }) => writer.failure === undefined)
      .map(({ number, kind, lastSeq }) => ({ number, kind, lastSeq })),
    ...oldLogs.map(({ number, kind, lastSeq }) => ({ number, kind, lastSeq })),
  ].filter(isThere);
  // What stands behind these lengths never counts: a failed write may have left something there.
  const validities = journal.files.filter(isThere).map(({ number, kind, writer, lastSeq }) => ({
    number,
    kind,
    validBytes: writer.bytes,
    lastSeq,
  }));
  await journal.close();
  const files = logs.map(({ number, kind }) => ({
    name: fileName(number, kind),
    bytes: fs.fileBytesSync(filePath(directory, number, kind)),
  }));
  tree.closeSync({
    segmentSeals: seals,
    logs: validities,
    clean: { lastSeq: journal.appendedSeq, files },
  });
}

/**
 * Lets go of everything that is open, and unlocks the directory, whatever fails of it. Returns the first
 * error.
 */
export async function releaseParts(parts: DatabaseParts): Promise<unknown> {
  const { journal, tree, queue, tables, values, memtables, lock } = parts;
  const steps: readonly (() => Promise<void> | void)[] = [
    // Reads that wait for the disk have their files until they are answered.
    () => parts.versions.whenUnpinned(),
    () => journal.close(),
    () => tree.sayFailedSync(),
    () => queue.close(),
    () => tree.releaseSync(),
    () => tables.closeAll(),
    () => values.closeAll(),
    () => memtables.close(),
    () => lock.releaseSync(),
  ];
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures[0];
}
