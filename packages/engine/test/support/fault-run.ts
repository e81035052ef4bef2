/**
 * A short scripted workload for fault injection: every call's outcome is noted, and what the disk
 * holds afterwards is judged by it. What was acknowledged at its level is there; what was rejected is
 * not, unless the code says that nobody knows.
 */
import { type SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type Durability, repair, type Settings, WriteBatch } from "../../src/index.ts";

export const directory = "/db";

export const faultSettings: Settings = {
  seed: 5,
  wal: { maxFileSize: 65536 },
  valueLog: { separationThreshold: 300, maxSegmentSize: 65536, spaceAmplificationMax: 1.1 },
  memtable: { maxSize: 262144 },
  table: { maxSize: 16384, blockSize: 512 },
  compaction: { l0Trigger: 2, baseLevelSize: 65536, fanout: 2 },
  cache: { capacity: 65536 },
};

/** One write and what became of it. */
export interface Write {
  readonly changes: readonly (readonly [key: string, value: string | undefined])[];
  readonly level: Durability;
  outcome: "acknowledged" | "rejected" | "unknown" | "pending";
  code: string | undefined;
}

/** What a run did and saw. */
export interface FaultRun {
  readonly fs: SimFs;
  readonly runtime: SimRuntime;
  readonly writes: Write[];
  /** Every write up to here is durable: a flush, sync or close said so. */
  durable: number;
  /** The last sessions were opened on what the earlier ones left; the one that opened last. */
  db: AuraDB | undefined;
  readonly errors: { readonly what: string; readonly error: unknown }[];
  readonly events: string[];
  readonly closedCleanly: boolean[];
  /** Calls that wait for something that is tried again and again; the close ends them. */
  pending: Promise<unknown>[];
  /** A failed sync of a log took pages away that were not durable: `os` does not survive that. */
  pagesLost: boolean;
  /** The same of a manifest: in the same boot an open may refuse the one in force. */
  manifestLost: boolean;
}

export function newRun(fs: SimFs): FaultRun {
  return {
    fs,
    runtime: simRuntime(3),
    writes: [],
    durable: 0,
    db: undefined,
    errors: [],
    events: [],
    closedCleanly: [],
    pending: [],
    pagesLost: false,
    manifestLost: false,
  };
}

const GIVE_UP_TURNS = 1_500;
/** Time goes on while one waits: what failed is tried again after a pause. Milliseconds a turn. */
const TURN_MS = 20;

/** Lets events arrive: they come in a turn of their own. */
export async function fewTurns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

class Hang extends Error {
  constructor(what: string) {
    super(`${what} hangs`);
  }
}

/** Awaits what must settle in a bounded number of turns. */
export async function bounded<T>(
  what: string,
  promise: Promise<T>,
  runtime?: SimRuntime,
): Promise<T> {
  let settled = false;
  const watched = promise.finally(() => {
    settled = true;
  });
  watched.catch(() => undefined);
  for (let turns = 0; !settled; turns++) {
    if (turns > GIVE_UP_TURNS) throw new Hang(what);
    await new Promise((resolve) => setImmediate(resolve));
    runtime?.advance(TURN_MS);
  }
  return watched;
}

/** Awaits a call; notes its error. Returns whether it succeeded. */
export async function attempt(
  run: FaultRun,
  what: string,
  work: () => Promise<unknown>,
): Promise<boolean> {
  const promise = work();
  promise.catch(() => undefined);
  try {
    await bounded(what, promise, run.runtime);
    return true;
  } catch (error) {
    await fewTurns();
    if (error instanceof Hang && what !== "close" && run.events.length > 0) {
      run.pending.push(promise);
      return false;
    }
    run.errors.push({ what, error });
    return false;
  }
}

/** Opens the database of the run, and listens to what fails behind its calls. */
export async function openOnce(run: FaultRun): Promise<boolean> {
  return attempt(run, "open", async () => {
    run.db = undefined;
    const db = await AuraDB.open(directory, faultSettings, { fs: run.fs, runtime: run.runtime });
    db.events.on("backgroundError", ({ activity, error, severity }) => {
      run.events.push(`${severity} ${activity}: ${(error as { code?: string }).code}`);
    });
    run.db = db;
  });
}

/** Writes, and notes what became of it. */
export async function write(
  run: FaultRun,
  level: Durability,
  manner: "sync" | "async",
  changes: Write["changes"],
): Promise<void> {
  const { db } = run;
  if (db === undefined) return;
  const entry: Write = { changes, level, outcome: "pending", code: undefined };
  run.writes.push(entry);
  const index = run.writes.length;
  const options = { durability: level };
  const batch = new WriteBatch();
  for (const [key, value] of changes) {
    if (value === undefined) batch.delete(key);
    else batch.put(key, value);
  }
  const [key, value] = changes[0]!;
  try {
    if (manner === "async") {
      const promise =
        changes.length > 1
          ? db.write(batch, options)
          : value === undefined
            ? db.delete(key, options)
            : db.put(key, value, options);
      await bounded("a write", promise, run.runtime);
    } else if (changes.length > 1) db.writeSync(batch, options);
    else if (value === undefined) db.deleteSync(key, options);
    else db.putSync(key, value, options);
    entry.outcome = "acknowledged";
    if (level === "sync") run.durable = Math.max(run.durable, index);
  } catch (error) {
    run.errors.push({ what: `write ${index}`, error });
    entry.code = (error as { code?: string }).code;
    entry.outcome = entry.code === "AURA_UNKNOWN_OUTCOME" ? "unknown" : "rejected";
  }
}

/** Makes a call that vouches for every write before it, if it succeeds. */
export async function durably(
  run: FaultRun,
  what: string,
  work: (db: AuraDB) => Promise<unknown>,
): Promise<boolean> {
  const { db } = run;
  if (db === undefined) return false;
  const index = run.writes.length;
  const done = await attempt(run, what, () => work(db));
  if (done) run.durable = Math.max(run.durable, index);
  return done;
}

/** Closes, and notes what that took along. Nothing is open behind it. */
export async function closeOnce(run: FaultRun): Promise<void> {
  const { db } = run;
  if (db === undefined) return;
  const clean = db.stats().failure === undefined;
  const done = await attempt(run, "close", () => db.close());
  const { pending } = run;
  run.pending = [];
  for (const promise of pending) {
    const error = await bounded("a call behind the close", promise).catch((e: unknown) => e);
    run.errors.push({ what: "a call that waited", error });
  }
  await fewTurns();
  run.db = undefined;
  run.closedCleanly.push(done && clean);
  if (done && clean) run.durable = run.writes.length;
  else if (run.pagesLost) {
    for (const entry of run.writes.slice(run.durable)) {
      if (entry.outcome === "acknowledged") entry.outcome = "unknown";
    }
  } else {
    // What was buffered last went with the process.
    for (const entry of run.writes.toReversed()) {
      if (entry.outcome !== "acknowledged") continue;
      if (entry.level !== "buffered") break;
      entry.outcome = "unknown";
    }
  }
  expect(run.fs.openPaths()).toEqual([]);
}

export const large = (name: string): string => name.repeat(Math.ceil(700 / name.length));

/** Puts of small and large values at each level, flush, compact, close, and all over again. */
export async function script(run: FaultRun): Promise<void> {
  for (let session = 0; session < 2; session++) {
    const p = `s${session}`;
    if (!(await openOnce(run))) continue;
    await write(run, "os", "sync", [["same", `${p} 1`]]);
    await write(run, "os", "async", [["big", large(`${p} big 1 `)]]);
    await write(run, "sync", "sync", [[`${p} a`, "small synced"]]);
    await write(run, "sync", "async", [[`${p} b`, large(`${p} synced `)]]);
    await write(run, "buffered", "sync", [[`${p} c`, "buffered"]]);
    await write(run, "os", "async", [
      ["same", `${p} 2`],
      [`${p} d`, large("in a batch ")],
      [`${p} a`, undefined],
    ]);
    await durably(run, "flush", (db) => db.flush());
    await write(run, "os", "sync", [["big", large(`${p} big 2 `)]]);
    await write(run, "buffered", "async", [[`${p} e`, "buffered again"]]);
    await write(run, "os", "sync", [[`${p} f`, undefined]]);
    await durably(run, "sync", (db) => db.sync());
    await write(run, "os", "async", [["same", `${p} 3`]]);
    await durably(run, "flush", (db) => db.flush());
    await write(run, "sync", "async", [["big", large(`${p} big 3 `)]]);
    await durably(run, "compact", (db) => db.compact());
    await write(run, "os", "async", [[`${p} g`, large("last ")]]);
    if (run.db !== undefined) {
      await attempt(run, "idle", () => run.db!.idle());
      read(run);
    }
    await closeOnce(run);
  }
}

/** What the open database shows is what was not rejected; what nobody knows is either. */
function read(run: FaultRun): void {
  const found = new Map<string, string>();
  try {
    for (const [key, value] of run.db!.scanSync()) found.set(key.toString(), value.toString());
  } catch (error) {
    run.errors.push({ what: "scan", error });
    return;
  }
  expectHistory(found, run.writes, run.writes.length);
}

/**
 * Opens what is left. Where a failed sync took acknowledged writes away, that is said, and what is left
 * can be salvaged; where no manifest could be synced any more and the pages of the last one are gone,
 * the directory can be repaired.
 */
async function openLeft(run: FaultRun, fs: SimFs): Promise<AuraDB> {
  const { runtime } = run;
  const refused = (error: unknown): void => {
    if ((error as { code?: string }).code !== "AURA_CORRUPTION") throw error;
  };
  try {
    return await AuraDB.open(directory, faultSettings, { fs, runtime });
  } catch (error) {
    if (!run.pagesLost && !run.manifestLost) throw error;
    refused(error);
  }
  if (run.pagesLost) {
    const wal = { ...faultSettings.wal, recovery: "salvage" as const };
    try {
      return await AuraDB.open(directory, { ...faultSettings, wal }, { fs, runtime });
    } catch (error) {
      if (!run.manifestLost) throw error;
      refused(error);
    }
  }
  await repair(directory, { fs, runtime });
  return AuraDB.open(directory, faultSettings, { fs, runtime });
}

/** Opens what is left (the disk is sound again), compares, writes, closes. */
export async function judge(run: FaultRun, fs: SimFs, least: number): Promise<void> {
  const { runtime } = run;
  const db = await openLeft(run, fs);
  try {
    const found = new Map<string, string>();
    for (const [key, value] of db.scanSync()) found.set(key.toString(), value.toString());
    expectHistory(found, run.writes, least);
    for (const key of new Set(run.writes.flatMap(({ changes }) => changes.map(([k]) => k)))) {
      expect(db.getSync(key)?.toString() === found.get(key), key).toBe(true);
    }
    db.putSync("after", "all", { durability: "sync" });
    await bounded("flush", db.flush(), runtime);
    expect(db.getSync("after")?.toString()).toBe("all");
  } finally {
    await bounded("close", db.close(), runtime);
  }
  expect(fs.openPaths()).toEqual([]);
  const report = await AuraDB.verify(directory, { fs, runtime });
  expect(report.problems).toEqual([]);
}

/** What `judge` has left on a disk is durable: a power loss changes nothing of it. */
export async function judgeAgain(run: FaultRun, fs: SimFs): Promise<void> {
  const { runtime } = run;
  const read = async (image: SimFs): Promise<Map<string, string>> => {
    const db = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
    try {
      return new Map([...db.scanSync()].map(([key, value]) => [String(key), String(value)]));
    } finally {
      await bounded("close", db.close(), runtime);
    }
  };
  const power = fs.crash({ data: "none", names: "none" });
  fs.dropCaches();
  const [before, behind] = [await read(fs), await read(power)];
  expect(before.get("after")).toBe("all");
  expect([...behind.keys()]).toEqual([...before.keys()]);
  for (const [key, value] of before) expect(behind.get(key) === value, key).toBe(true);
}

/**
 * The states behind each prefix of the writes that were not rejected, from the first `least` writes
 * on, the longest last; a write of unknown outcome may be in it or not.
 */
export function possibleStates(writes: readonly Write[], least: number): Map<string, string>[] {
  const histories: Map<string, string>[] = [new Map()];
  const states: Map<string, string>[] = [];
  const note = (count: number): void => {
    if (count < least) return;
    for (const state of histories) states.push(new Map(state));
  };
  note(0);
  writes.forEach(({ changes, outcome }, i) => {
    if (outcome !== "rejected") {
      if (outcome !== "acknowledged" && histories.length < 4096) {
        histories.push(...histories.map((state) => new Map(state)));
      }
      histories.forEach((state, h) => {
        if (outcome !== "acknowledged" && h < histories.length / 2) return;
        for (const [key, value] of changes) {
          if (value === undefined) state.delete(key);
          else state.set(key, value);
        }
      });
    }
    note(i + 1);
  });
  return states;
}

/** Checks that `found` is one of the states that `possibleStates` lists. */
function expectHistory(
  found: ReadonlyMap<string, string>,
  writes: readonly Write[],
  least: number,
): void {
  const states = possibleStates(writes, least);
  if (states.some((state) => same(found, state))) return;
  const brief = (state: ReadonlyMap<string, string>): string[] =>
    [...state].map(([key, value]) => `${key}: ${value.slice(0, 16)}`).sort();
  expect(brief(found)).toEqual(brief(states.at(-1)!));
  throw new Error("no prefix of the history");
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
