/**
 * What each test of the engine leaves behind. Loaded before every one of its test files (`setupFiles`
 * of vitest.config.ts); behind each test, of each directory in which it opened a database:
 *
 * - every database was closed, and no file is open, in the simulated file system or as a descriptor of
 *   this process;
 * - a database that closes has no snapshot and no cursor;
 * - when the last one closed by itself, `verify` finds nothing, and the directory holds the files that
 *   the manifest lists and no other.
 *
 * A simulated file system knows what a test did with it. Where a call failed that changes something, or
 * a database failed, files may be left over until a database is opened there again without such a fault:
 * that one sweeps them. Where the test did not, a database is opened in a copy, and closed. A planned fault
 * that never fired, or fired in a read, excuses nothing. Where files were changed, `verify` may find so;
 * where the machine went off or an image was taken, the process may have been killed. A test about what is
 * left at a close says `leaveOpen`, one that damages files behind a proxy `expectDamage`.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type FileSystem, nodeFileSystem } from "@aura/base";
import {
  type PlannedFault,
  type SimCall,
  type SimFault,
  SimFs,
  simRuntime,
} from "@aura/base/testing";
import { afterEach, expect } from "vitest";
import { AuraDB } from "../../src/aura-db.ts";
import type { Components } from "../../src/components.ts";
import { BALLAST_NAME, CURRENT_NAME, fileName, LOCK_NAME } from "../../src/file-names.ts";
import { readManifest } from "../../src/manifest.ts";
import type { Settings } from "../../src/settings.ts";
import { WatchedFs } from "./watched-fs.ts";

interface Opened {
  readonly db: AuraDB;
  readonly directory: string;
  readonly fs: FileSystem;
  readonly settings: Settings;
  readonly components: Partial<Components>;
  /** Set when `close` resolved. */
  closed: boolean;
  /** Left at the close. */
  left: string | undefined;
}

/** Places that are looked at behind a test, the last ones. */
const PLACES_MAX = 16;

let opened: Opened[] = [];
let mayLeave = false;
let isDamage = false;

/** Says that this test leaves snapshots or cursors to a close, or a database open. */
export function leaveOpen(): void {
  mayLeave = true;
}

/** Says that this test damages files in a way that their file system does not see. */
export function expectDamage(): void {
  isDamage = true;
}

/** What tests did with a simulated file system. */
interface Treatment {
  /** Directories where files may be left over for the next open. */
  readonly failed: Set<string>;
  /** Faults that fired, in calls of any kind. */
  fired: number;
  changed: boolean;
  copied: boolean;
}

const treatments = new WeakMap<object, Treatment>();

function treatmentOf(fs: object): Treatment {
  let treatment = treatments.get(fs);
  if (treatment === undefined) {
    treatment = { failed: new Set(), fired: 0, changed: false, copied: false };
    treatments.set(fs, treatment);
  }
  return treatment;
}

/** Calls that leave all files as they are, whether they succeed or not. */
const READ_CALLS: ReadonlySet<SimCall> = new Set(["open", "read", "stat", "list", "lock"]);

type SimMethod = "flipBits" | "writeFile" | "crash" | "processKill" | "crashAt";

/** Notes each call of a method of simulated file systems. */
function watch(method: SimMethod, note: (treatment: Treatment, result: unknown) => void): void {
  const original = SimFs.prototype[method] as (...args: unknown[]) => unknown;
  Object.assign(SimFs.prototype, {
    [method](this: SimFs, ...args: unknown[]): unknown {
      const result = original.apply(this, args);
      note(treatmentOf(this), result);
      return result;
    },
  });
}

const { failAt } = SimFs.prototype;
Object.assign(SimFs.prototype, {
  failAt(this: SimFs, fault: SimFault): PlannedFault {
    const { at, sticky } = fault;
    const fits = (kind: SimCall, path: string, nth: number): boolean => {
      if (typeof at === "function") return at(kind, path, nth);
      if (READ_CALLS.has(kind) || kind === "close") return false;
      return this.operations === at || (sticky === true && this.operations > at);
    };
    // It is asked of calls that it may fire on, and fires where it says so.
    const noted = (kind: SimCall, path: string, nth: number): boolean => {
      if (!fits(kind, path, nth)) return false;
      const treatment = treatmentOf(this);
      treatment.fired++;
      if (!READ_CALLS.has(kind)) treatment.failed.add(path).add(dirname(path));
      return true;
    };
    return failAt.call(this, { ...fault, at: noted });
  },
});
for (const method of ["flipBits", "writeFile"] as const) {
  watch(method, (treatment) => {
    treatment.changed = true;
  });
}
for (const method of ["crash", "processKill"] as const) {
  watch(method, (treatment, image) => {
    treatment.copied = true;
    const { failed, changed } = treatment;
    treatments.set(image as SimFs, { failed: new Set(failed), fired: 0, changed, copied: false });
  });
}
watch("crashAt", (treatment) => {
  treatment.copied = true;
});

const isSamePlace = (a: Opened, b: Opened): boolean => a.fs === b.fs && a.directory === b.directory;

const isGone = ({ closed, fs }: Opened): boolean => closed || treatmentOf(fs).copied;

/** Opens a database, after which nothing is left over of what failed before. */
async function openSwept<T>(fs: object, directory: string, openNow: () => Promise<T>): Promise<T> {
  const treatment = treatmentOf(fs);
  const { fired } = treatment;
  const wasFailed = treatment.failed.delete(directory);
  try {
    return await openNow();
  } catch (error) {
    // What ended early did not sweep, and where a read failed it may have begun to write.
    if (wasFailed || treatment.fired > fired) treatment.failed.add(directory);
    throw error;
  }
}

const { open } = AuraDB;
Object.assign(AuraDB, {
  open: async (...args: Parameters<typeof open>): Promise<AuraDB> => {
    const [path, settings = {}, components = {}] = args;
    // What is no path and no component is refused.
    if (typeof path !== "string" || components === null) return open.apply(AuraDB, args);
    const given = components.fs ?? nodeFileSystem;
    const fs = given instanceof WatchedFs ? given.inner : given;
    const directory = resolve(path);
    const db = await openSwept(fs, directory, () => open.apply(AuraDB, args));
    const one: Opened = {
      ...{ db, directory, fs, settings, components },
      ...{ closed: false, left: undefined },
    };
    // Of those that are gone without a trace, the last one of a place speaks for all; of many, few.
    opened = opened.filter((other, at) => {
      if (other.left !== undefined || !isGone(other)) return true;
      return !isSamePlace(other, one) && at > opened.length - 2 * PLACES_MAX;
    });
    opened.push(one);
    const close = db.close.bind(db);
    db.close = () => {
      if (!db.closed) {
        const { openSnapshots, openCursors, failure } = db.stats();
        if (openSnapshots + openCursors > 0) {
          one.left = `${openSnapshots} snapshots, ${openCursors} cursors`;
        }
        // What a database that failed leaves over goes at the next open.
        if (failure !== undefined) treatmentOf(fs).failed.add(directory);
      }
      const closing = close();
      closing.then(
        () => {
          one.closed = true;
        },
        () => undefined,
      );
      return closing;
    };
    return db;
  },
});

/** Files of a directory that are open, of databases that are all closed. */
function openFiles(fs: FileSystem, directory: string): string[] {
  if (fs instanceof SimFs) return fs.openPaths().filter((path) => path.startsWith(`${directory}/`));
  if (fs !== nodeFileSystem || process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(`${directory}/`) ? [path] : [];
    } catch {
      return [];
    }
  });
}

/** Names in a directory that no manifest lists, and listed ones that are not there. */
function strangers(fs: FileSystem, directory: string): string[] {
  const state = readManifest(fs, directory);
  if (state === undefined) return ["no manifest"];
  const { version, clean, number } = state;
  const live = new Set([CURRENT_NAME, LOCK_NAME, fileName(number, "manifest")]);
  for (const table of version.tables()) live.add(fileName(table.number, "sst"));
  for (const segment of version.segments.values()) live.add(fileName(segment.number, segment.kind));
  for (const { name } of clean?.files ?? []) live.add(name);
  const there = new Set(fs.listSync(directory));
  there.delete(BALLAST_NAME);
  const wrong = [...there].filter((name) => !live.has(name)).map((name) => `${name} is not live`);
  live.delete(LOCK_NAME);
  for (const name of live) if (!there.has(name)) wrong.push(`${name} is missing`);
  return wrong;
}

/** What is wrong with a directory behind a next database in it, one that meets no fault. */
async function leftBehindAnOpen(last: Opened, fs: SimFs): Promise<string[]> {
  const { directory, settings } = last;
  const components = { fs: fs.processKill(), runtime: simRuntime(1) };
  try {
    await (
      await open.call(AuraDB, directory, { ...settings, errorIfExists: false }, components)
    ).close();
  } catch (error) {
    return [`not to be opened again: ${String(error)}`];
  }
  const { problems } = await AuraDB.verify(directory, components);
  const all = [...problems, ...strangers(components.fs, directory)];
  return all.map((problem) => `opened again: ${problem}`);
}

/** What is wrong with a directory behind the last database in it. */
async function leaksOf(all: readonly Opened[]): Promise<string[]> {
  const last = all.at(-1)!;
  const { fs, directory, components, closed } = last;
  const { failed, changed, copied } = treatmentOf(fs);
  if (fs instanceof SimFs && fs.isOff) return [];
  const wrong: string[] = [];
  if (!mayLeave) {
    for (const { left } of all) if (left !== undefined) wrong.push(`left at the close: ${left}`);
  }
  const isClosed = all.every(({ db }) => db.closed);
  if (!isClosed && !mayLeave && !copied) wrong.push("a database was not closed");
  if (isClosed) for (const path of openFiles(fs, directory)) wrong.push(`open: ${path}`);
  // A test's own file system may do what it likes with files.
  const isKnown = fs instanceof SimFs || fs === nodeFileSystem;
  if (!closed || isDamage || changed || !isKnown || !fs.existsSync(directory)) return wrong;
  const { problems } = await AuraDB.verify(directory, { ...components, fs });
  wrong.push(...problems);
  if (!failed.has(directory)) wrong.push(...strangers(fs, directory));
  else if (fs instanceof SimFs) wrong.push(...(await leftBehindAnOpen(last, fs)));
  return wrong;
}

afterEach(async () => {
  const all = opened;
  opened = [];
  const wrong: string[] = [];
  try {
    // A sweep over hundreds of images checks them itself.
    for (const of of group(all).slice(-PLACES_MAX)) {
      const leaks = await leaksOf(of);
      wrong.push(...leaks.map((leak) => `${of[0]!.directory}: ${leak}`));
    }
  } finally {
    mayLeave = false;
    isDamage = false;
  }
  expect(wrong, "what the test left behind").toEqual([]);
});

/** By file system and directory. */
function group(all: readonly Opened[]): Opened[][] {
  const places: Opened[][] = [];
  for (const one of all) {
    const place = places.find(([first]) => isSamePlace(first!, one));
    if (place === undefined) places.push([one]);
    else place.push(one);
  }
  return places;
}
