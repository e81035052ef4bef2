/** Files that nobody needs any more: logs whose operations are in tables, and orphans of an earlier process. */
import type { FileSystem } from "@aura/base";
import { filePath } from "./file-names.ts";
import type { Journal } from "./journal.ts";
import type { LogCatalog } from "./log-catalog.ts";
import type { OldLog } from "./old-logs.ts";
import type { Tree } from "./tree.ts";
import type { VersionSet } from "./version-set.ts";

/** Orphans up to this many are removed at once; more go to a worker. */
const ORPHANS_INLINE_MAX = 4;

/** Forgets logs whose operations are all durable in tables, and lists those that can be removed. */
export function obsoleteLogs(
  directory: string,
  journal: Journal,
  oldLogs: OldLog[],
  flushedSeq: number,
  versions: VersionSet,
  catalog: LogCatalog,
): string[] {
  const { segments } = versions.current;
  const gone = journal.forget((log) => {
    if (log.lastSeq > flushedSeq) return false;
    return log.kind === "wal" || segments.get(log.number)?.fileBytes !== 0;
  });
  const paths: string[] = [];
  for (const log of gone) {
    // A log that held values is a segment by now, and leaves as one.
    const goes = log.kind === "wal" || log.lastSeq === log.createdAtSeq;
    if (catalog.leave(log, goes)) paths.push(filePath(directory, log.number, log.kind));
  }
  for (let i = oldLogs.length - 1; i >= 0; i--) {
    const log = oldLogs[i]!;
    if (log.lastSeq > flushedSeq) continue;
    if (log.kind === "vlog" && segments.get(log.number)?.fileBytes === 0) continue;
    oldLogs.splice(i, 1);
    if (catalog.leave(log, log.kind === "wal" || log.empty)) paths.push(log.path);
  }
  return paths;
}

/** Removes files that a process left behind and no manifest names. */
export function removeOrphans(fs: FileSystem, tree: Tree, orphans: readonly string[]): void {
  if (orphans.length > ORPHANS_INLINE_MAX) {
    tree.removeFiles(orphans);
    return;
  }
  for (const path of orphans) {
    try {
      fs.unlinkSync(path);
    } catch {
      // It stays an orphan until the next open.
    }
  }
}
