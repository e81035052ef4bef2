/**
 * A run over names, and what it promised: writes names with small and large values, overwrites and
 * deletes, through flushes, a compaction and a drained segment; and the check of what a crash left.
 */

import type { FileSystem, Runtime } from "@aura/base";
import { SeededRandom } from "@aura/base";
import { simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type Components, type Durability, type Settings } from "../../src/index.ts";
import { steered } from "./agents.ts";

export const directory = "/db";

/** Small enough that a short run has everything. */
export const smallSettings: Settings = {
  wal: { maxFileSize: 65536, backgroundSyncBytes: 20000 },
  valueLog: { separationThreshold: 400, maxSegmentSize: 65536, spaceAmplificationMax: 1.2 },
  memtable: { maxSize: 262144, maxCount: 3 },
  table: { maxSize: 65536, blockSize: 1024 },
  compaction: { l0Trigger: 2, baseLevelSize: 131072, fanout: 4 },
  cache: { capacity: 262144 },
};

/** One write of the run: a put, a delete when `value` is undefined, with `end` of all keys up to it. */
export interface Step {
  readonly key: string;
  readonly value: string | undefined;
  /** Exclusive. */
  readonly end?: string;
}

/** Returns the writes of a run: mostly new names, some overwritten, some deleted. */
export function makeSteps(count: number, seed: number): Step[] {
  const random = new SeededRandom(seed);
  const syllables = [
    "al",
    "bor",
    "cen",
    "dur",
    "el",
    "fin",
    "gor",
    "hal",
    "is",
    "jun",
    "kor",
    "lim",
  ];
  const word = (): string => {
    let text = "";
    for (let i = 2 + random.below(3); i > 0; i--) text += syllables[random.below(syllables.length)];
    return text;
  };
  const keys: string[] = [];
  const steps: Step[] = [];
  for (let i = 0; i < count; i++) {
    const again = keys.length > 20 && random.below(100) < 35;
    const key = again ? keys[random.below(keys.length)]! : `${word()}-${word()}/${i % 97}`;
    if (!again) keys.push(key);
    if (again && random.below(4) === 0) {
      // Every tenth takes its neighbours along.
      const end = `${key.slice(0, 5)}~`;
      steps.push({ key, value: undefined, ...(random.below(10) === 0 && { end }) });
      continue;
    }
    const large = random.below(10) === 0;
    steps.push({ key, value: `${i}:${word().repeat(large ? 60 : 1 + random.below(8))}` });
  }
  return steps;
}

/** What has been asked of the database, and what it promised. */
export interface Promised {
  /** Writes handed in. */
  issued: number;
  /** Writes acknowledged at their level. */
  acked: number;
  /** Writes that a sync (or a `sync` acknowledgement) covers. */
  durable: number;
}

/** Opens with the parts that a simulation needs; with an agent, steered by it. */
export function openSim(
  fs: FileSystem,
  settings: Settings = smallSettings,
  agent?: Components["agent"],
  runtime: Runtime = simRuntime(7),
): Promise<AuraDB> {
  if (agent === undefined) return AuraDB.open(directory, settings, { fs, runtime });
  return AuraDB.open(directory, steered(settings), { fs, runtime, agent });
}

/**
 * Carries out the steps. `promised` is kept up to date, so that a watcher of the file system can
 * note, at any operation, what a crash there must not lose.
 */
export async function runNames(
  fs: FileSystem,
  steps: readonly Step[],
  level: Durability,
  promised: Promised,
  agent?: Components["agent"],
): Promise<{ flushes: number; merges: number; segmentsRemoved: number; changes: number }> {
  const runtime = simRuntime(7);
  const db = await openSim(fs, smallSettings, agent, runtime);
  let segmentsRemoved = 0;
  db.events.on("segmentRemoved", () => segmentsRemoved++);
  const third = Math.ceil(steps.length / 3);
  for (const [i, step] of steps.entries()) {
    promised.issued = i + 1;
    const { key, value, end } = step;
    // Both kinds of calls, in turn.
    if (end !== undefined) {
      if (i % 2 === 0) db.deleteRangeSync({ gte: key, lt: end }, { durability: level });
      else await db.deleteRange({ gte: key, lt: end }, { durability: level });
    } else if (i % 2 === 0) {
      if (value === undefined) db.deleteSync(key, { durability: level });
      else db.putSync(key, value, { durability: level });
    } else if (value === undefined) await db.delete(key, { durability: level });
    else await db.put(key, value, { durability: level });
    promised.acked = i + 1;
    // Decisions have turns of their own.
    if (agent !== undefined && i % 40 === 0) {
      await new Promise<void>((resolve) => {
        runtime.scheduler.nextTurn(resolve);
      });
    }
    if (level === "sync") promised.durable = i + 1;
    if (i % third === third - 1 || i === steps.length - 1) {
      await db.flush();
      promised.durable = i + 1;
    }
    if (i % 701 === 700) {
      await db.sync();
      promised.durable = i + 1;
    }
  }
  await db.compact();
  await db.idle();
  const stats = db.stats();
  await db.close();
  return {
    flushes: stats.flushes.count,
    merges: stats.compactions.merges,
    segmentsRemoved,
    changes: stats.steering.changes,
  };
}

/** What of a history an image must hold, and how closely it is looked at. */
export interface Expected {
  /** Writes that must be there, at least. */
  readonly least: number;
  /** Writes that can be there, at most. */
  readonly most: number;
  /**
   * Also reads backwards and key by key, every key of the history, and verifies the files behind the
   * close. For every image where runs are short, else for a fixed share of them.
   */
  readonly isThorough: boolean;
}

/**
 * Opens what a crash left, and checks that it holds exactly the first k writes, for a k between
 * `least` and `most`, and that it takes a write. When asked to be thorough: that a reverse scan and
 * look-ups of every key of the history answer the same, and that `verify` finds nothing. Returns k.
 */
export async function checkPrefix(
  fs: FileSystem,
  steps: readonly Step[],
  { least, most, isThorough }: Expected,
): Promise<number> {
  const db = await openSim(fs);
  let k: number;
  try {
    const found = new Map<string, string>();
    for (const [key, value] of db.scanSync()) found.set(key.toString(), value.toString());
    if (isThorough) checkOtherReads(db, steps, found);
    // Every value says which write it is of: the history reaches at least to the highest one.
    k = least;
    for (const value of found.values())
      k = Math.max(k, Number(value.slice(0, value.indexOf(":"))) + 1);
    expect(k).toBeLessThanOrEqual(most);
    const model = new Map<string, string>();
    for (const step of steps.slice(0, k)) take(model, step);
    // What leaves no mark may follow: deletes, and puts that these took away again.
    const told = differences(found, model);
    const marked = k;
    for (; k < most && !sameEntries(found, model); k++) take(model, steps[k]!);
    if (!sameEntries(found, model)) expect(told, `behind write ${marked}`).toEqual([]);
    // The database goes on: a write after the crash is not hidden by anything before it.
    db.putSync("after", "crash");
    expect(db.getSync("after")?.toString()).toBe("crash");
  } finally {
    await db.close();
  }
  if (isThorough) {
    const { problems } = await AuraDB.verify(directory, { fs, runtime: simRuntime(1) });
    expect(problems).toEqual([]);
  }
  return k;
}

/** Checks that a reverse scan and look-ups of every key of the history answer as the scan did. */
function checkOtherReads(
  db: AuraDB,
  steps: readonly Step[],
  found: ReadonlyMap<string, string>,
): void {
  const backwards = [...db.scanSync({ reverse: true })].map(([k, v]) => [String(k), String(v)]);
  const forwards = [...found];
  const at = forwards.findIndex(([key, value], i) => {
    const [otherKey, otherValue] = backwards.at(-1 - i) ?? [];
    return key !== otherKey || value !== otherValue;
  });
  expect(at, `a reverse scan differs from ${forwards[at]?.[0]} on`).toBe(-1);
  expect(backwards.length).toBe(forwards.length);
  for (const key of new Set(steps.map((step) => step.key))) {
    const value = db.getSync(key)?.toString();
    if (value !== found.get(key)) expect([key, value]).toEqual([key, found.get(key)]);
  }
}

function take(model: Map<string, string>, { key, value, end }: Step): void {
  if (value !== undefined) model.set(key, value);
  else if (end === undefined) model.delete(key);
  else for (const each of [...model.keys()]) if (each >= key && each < end) model.delete(each);
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

function differences(
  found: ReadonlyMap<string, string>,
  model: ReadonlyMap<string, string>,
): string[] {
  const lines: string[] = [];
  for (const [key, value] of model) {
    if (found.get(key) !== value)
      lines.push(`${key}: ${found.get(key)?.slice(0, 12)} for ${value.slice(0, 12)}`);
  }
  for (const key of found.keys())
    if (!model.has(key)) lines.push(`${key}: never written or deleted`);
  return lines.slice(0, 5);
}
