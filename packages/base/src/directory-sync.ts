/**
 * Syncing a directory, which makes the names in it durable.
 *
 * A directory that is locked is held open meanwhile, so that syncing it takes no descriptor: a
 * process that has run out of them has lost nothing, and must not be told that a sync failed. A
 * descriptor is closed behind the last sync through it, never under one.
 *
 * A system tells each open file once of what it could not write back. So this thread and its thread pool
 * have a descriptor each, and syncs of the pool that are under way together share their outcome: none of
 * them succeeds because another one was told.
 */
import fs from "node:fs";
import { systemError } from "./system-error.ts";

const onWindows: boolean = process.platform === "win32";

/** A directory that is open. */
interface OpenDirectory {
  readonly fd: number;
  /** For the thread pool; the same where there was no second one. */
  readonly poolFd: number;
  /** Syncs on the thread pool that have not ended. */
  readonly underWay: Set<PoolSync>;
  /** Those who hold it, and syncs under way. */
  users: number;
}

/** One sync on the thread pool. */
interface PoolSync {
  readonly work: Promise<void>;
  /** Those that were under way at any time while it was. */
  readonly beside: Promise<void>[];
}

/** Directories that are held in this thread, by path. */
const held = new Map<string, OpenDirectory>();

function open(path: string): OpenDirectory {
  try {
    const fd = fs.openSync(path, fs.constants.O_RDONLY);
    return { fd, poolFd: fd, underWay: new Set(), users: 0 };
  } catch (cause) {
    throw systemError(cause, path, "open");
  }
}

/** As `open`, to be held. */
function openTwice(path: string): OpenDirectory {
  const directory = open(path);
  try {
    return { ...directory, poolFd: fs.openSync(path, fs.constants.O_RDONLY) };
  } catch {
    return directory;
  }
}

/** Returns the directory, which counts one user more until `letGo`. */
function use(path: string): OpenDirectory {
  const directory = held.get(path) ?? open(path);
  directory.users++;
  return directory;
}

function letGo(directory: OpenDirectory): void {
  directory.users--;
  if (directory.users > 0) return;
  const { fd, poolFd } = directory;
  fs.closeSync(fd);
  if (poolFd !== fd) fs.closeSync(poolFd);
}

/** Some file systems cannot sync a directory, and say so in one of these ways. */
function cannotSync(cause: unknown): boolean {
  const code = (cause as { code?: unknown } | undefined)?.code;
  return code === "EINVAL" || code === "ENOTSUP" || code === "EOPNOTSUPP";
}

/**
 * Opens a directory that stays what it is while it is held, and keeps it open until the function
 * returned is called, once. Throws as opening does.
 */
export function holdDirectory(path: string): () => void {
  if (onWindows || held.has(path)) return nothing;
  const directory = openTwice(path);
  directory.users++;
  held.set(path, directory);
  return () => {
    held.delete(path);
    letGo(directory);
  };
}

function nothing(): void {
  // It cannot be synced here, or somebody else holds it.
}

/** Makes the names in a directory durable; does nothing where the platform cannot. */
export function syncDirSync(path: string): void {
  if (onWindows) return;
  const directory = use(path);
  try {
    fs.fsyncSync(directory.fd);
  } catch (cause) {
    if (!cannotSync(cause)) throw systemError(cause, path, "directory sync");
  } finally {
    letGo(directory);
  }
}

/** As `syncDirSync`, on the thread pool. */
export async function syncDir(path: string): Promise<void> {
  if (onWindows) return;
  const directory = use(path);
  const { underWay } = directory;
  const sync: PoolSync = { work: syncOnPool(directory.poolFd, path), beside: [] };
  for (const other of underWay) {
    other.beside.push(sync.work);
    sync.beside.push(other.work);
  }
  underWay.add(sync);
  try {
    await sync.work.finally(() => underWay.delete(sync));
    // What one of them was told is not told again.
    await Promise.all(sync.beside);
  } finally {
    letGo(directory);
  }
}

function syncOnPool(fd: number, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(fd, (cause) => {
      if (cause === null || cannotSync(cause)) resolve();
      else reject(systemError(cause, path, "directory sync"));
    });
  });
}
