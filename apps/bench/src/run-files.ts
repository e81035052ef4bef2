/**
 * The folder that a run works in and the files that it leaves. What cannot be made or written is a
 * wrong option, found before the first store starts; a file that fails at the end costs nothing else.
 */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type BenchOptions, UsageError } from "./options.ts";

/** Returns the empty folder of a run, made when absent. Throws UsageError. */
export function makeFolder(given: string | undefined): string {
  if (given === undefined) return mkdtempSync(join(tmpdir(), "aura-bench-"));
  const folder = resolve(given);
  let entries: readonly string[];
  try {
    makePath(folder);
    accessSync(folder, constants.W_OK | constants.X_OK);
    entries = readdirSync(folder);
  } catch (error) {
    throw unusable("--dir", folder, error);
  }
  if (entries.length > 0) throw new UsageError(`${folder} is not empty\n`);
  return folder;
}

/** Folder by folder: the recursive `mkdirSync` of Node 20 never returns inside of /proc. */
function makePath(folder: string): void {
  if (existsSync(folder)) return;
  makePath(dirname(folder));
  mkdirSync(folder);
}

/** Throws UsageError unless every file that the run is to leave can be written. */
export function checkFiles({ json, report }: BenchOptions): void {
  if (json !== undefined && report !== undefined && resolve(json) === resolve(report)) {
    throw new UsageError("error: --json and --report name the same file\n");
  }
  if (json !== undefined) checkFile("--json", json);
  if (report !== undefined) checkFile("--report", report);
}

function checkFile(flag: string, file: string): void {
  const isNew = !existsSync(file);
  try {
    closeSync(openSync(file, "a"));
    if (isNew) rmSync(file);
  } catch (error) {
    throw unusable(flag, file, error);
  }
}

function unusable(flag: string, path: string, error: unknown): UsageError {
  const { message } = error as Error;
  return new UsageError(`error: ${flag} ${path} cannot be used: ${message}\n`, { cause: error });
}

/** Writes a file; returns what went wrong, in words, if anything did. */
export function saveFile(file: string, text: string): string | undefined {
  try {
    writeFileSync(file, text);
    return undefined;
  } catch (error) {
    return `${file} could not be written: ${(error as Error).message}`;
  }
}
