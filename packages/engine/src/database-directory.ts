/**
 * The directory of a database: what a path names, and making it. When `makeDurableDirectory` returns,
 * the directory is there, and its name and those of its parents survive a power loss.
 */
import { resolve } from "node:path";
import { AuraError, type FileSystem } from "@aura/base";

/** Creates a directory and its parents, and makes the new names durable. */
export function makeDurableDirectory(fs: FileSystem, directory: string): void {
  const parents: string[] = [];
  for (let path = directory; !fs.existsSync(path); path = parentOf(path)) {
    parents.push(parentOf(path));
    if (parentOf(path) === path) break;
  }
  fs.makeDirectorySync(directory);
  for (const parent of parents) fs.syncDirSync(parent);
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : path.slice(0, slash);
}

/** Returns the directory of a path. Throws AURA_INVALID_ARGUMENT. */
export function directoryOf(path: string): string {
  if (typeof path !== "string" || path.length === 0 || path.includes("\0")) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "path: expected the path of a directory");
  }
  // Absolute: a later change of the working directory must not move the database.
  return resolve(path).replaceAll("\\", "/");
}
