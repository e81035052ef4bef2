/**
 * A workload for calls that fail and change nothing: a database that was filled, and then left in one
 * of three ways, is opened, read in every way, written to, flushed, compacted and read again, twice.
 * What a read answers under faults is what a state that is possible holds, or it fails.
 */
import { SimFs } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type Snapshot } from "../../src/index.ts";
import {
  attempt,
  bounded,
  closeOnce,
  directory,
  durably,
  type FaultRun,
  faultSettings,
  large,
  newRun,
  openOnce,
  possibleStates,
  script,
  type Write,
  write,
} from "./fault-run.ts";

/** How the database was left: closed, by a kill with unsynced writes, by a power loss. */
export type Ending = "closed" | "killed" | "cut";

/** A database that was filled. */
export interface Start {
  readonly fs: SimFs;
  readonly ending: Ending;
  readonly writes: readonly Write[];
  /** So many of them are there, at least; and would be behind a power loss. */
  readonly least: number;
  readonly durable: number;
}

/** Fills a database, and leaves it in each of the ways. */
export async function makeStarts(): Promise<Start[]> {
  const run = newRun(new SimFs());
  await script(run);
  const copy = (): Write[] => run.writes.map((entry) => ({ ...entry }));
  const all = run.writes.length;
  const starts: Start[] = [
    { fs: run.fs.processKill(), ending: "closed", writes: copy(), least: all, durable: all },
  ];
  await openOnce(run);
  await write(run, "os", "sync", [["same", "t 1"]]);
  await write(run, "sync", "async", [["t a", large("t synced ")]]);
  await write(run, "os", "async", [["t b", "small"]]);
  await write(run, "os", "sync", [
    ["same", "t 2"],
    ["t a", undefined],
    ["t c", large("t in a batch ")],
  ]);
  await write(run, "os", "sync", [["t d", "last"]]);
  const writes = copy();
  const { durable } = run;
  const killed = run.fs.processKill();
  starts.push({ fs: killed, ending: "killed", writes, least: writes.length, durable });
  const cut = run.fs.crash({ seed: 3, data: "prefix" });
  starts.push({ fs: cut, ending: "cut", writes: copy(), least: durable, durable });
  await closeOnce(run);
  expect(run.errors).toEqual([]);
  return starts;
}

/** A run on a copy of a start. */
export function runFrom(start: Start): FaultRun {
  const run = newRun(start.fs.processKill());
  run.writes.push(...start.writes.map((entry) => ({ ...entry })));
  run.durable = start.durable;
  return run;
}

/** Opens, reads, writes, flushes, compacts, reads, closes; opens, reads and closes again. */
export async function readScript(run: FaultRun, start: Start): Promise<void> {
  for (let session = 0; session < 2; session++) {
    if (!(await openOnce(run))) continue;
    if (!isSettled(run, start)) await settleHistory(run, start.least);
    await readAll(run);
    if (session === 0) await workAndRead(run);
    await closeOnce(run);
  }
}

/** Whether it is known which of the writes are there: all, or those that an open found. */
export function isSettled(run: FaultRun, { ending, writes }: Start): boolean {
  return ending !== "cut" || run.writes[0]!.changes !== writes[0]!.changes;
}

async function workAndRead(run: FaultRun): Promise<void> {
  const db = run.db!;
  const before = possibleStates(run.writes, run.writes.length);
  const snapshot = await answer(run, "snapshot", () => db.snapshot());
  await write(run, "os", "sync", [["same", "u 1"]]);
  await write(run, "os", "async", [["big", large("u big ")]]);
  await write(run, "sync", "async", [
    ["u a", "small"],
    ["t b", undefined],
  ]);
  await durably(run, "flush", () => db.flush());
  await write(run, "os", "async", [["u b", large("u ")]]);
  await scanAll(run, false);
  await durably(run, "compact", () => db.compact());
  await attempt(run, "idle", () => db.idle());
  if (snapshot !== FAILED) {
    await scanSnapshot(run, snapshot, before);
    snapshot.release();
  }
  await readAll(run);
}

/**
 * After a power loss any prefix may have been recovered that holds what was durable; from now on it
 * is the one that this open put in force.
 */
async function settleHistory(run: FaultRun, least: number): Promise<void> {
  const { runtime } = run;
  const db = await AuraDB.open(directory, faultSettings, { fs: run.fs.processKill(), runtime });
  const found = new Map([...db.scanSync()].map(([key, value]) => [String(key), String(value)]));
  await bounded("close", db.close(), runtime);
  expectOneOf(possibleStates(run.writes, least), found);
  const settled: Write = {
    changes: [...found],
    level: "sync",
    outcome: "acknowledged",
    code: undefined,
  };
  run.writes.splice(0, run.writes.length, settled);
  run.durable = 1;
}

const FAILED = Symbol("failed");

/** What a call answers, or `FAILED`; the error is noted. */
async function answer<T>(
  run: FaultRun,
  what: string,
  work: () => T | Promise<T>,
): Promise<T | typeof FAILED> {
  try {
    return await bounded(what, (async () => work())(), run.runtime);
  } catch (error) {
    run.errors.push({ what, error });
    return FAILED;
  }
}

/**
 * Reads key by key, in each way that there is, many at once, and in both directions. What is shown is
 * of one of the `states`.
 */
export async function readAll(
  run: FaultRun,
  states: readonly ReadonlyMap<string, string>[] = possibleStates(run.writes, run.writes.length),
): Promise<void> {
  const db = run.db!;
  const keys = [...new Set(run.writes.flatMap(({ changes }) => changes.map(([key]) => key)))];
  keys.push("absent");
  const check = (what: string, key: string, found: string | undefined): void => {
    if (states.some((state) => state.get(key) === found)) return;
    expect(found?.slice(0, 16), `${what} ${key}`).toEqual(states[0]!.get(key)?.slice(0, 16));
    throw new Error(`${what} ${key}: a wrong value`);
  };
  for (const [i, key] of keys.entries()) {
    const found = await answer(run, `get ${key}`, () =>
      i % 2 === 0 ? db.getSync(key) : db.get(key),
    );
    if (found !== FAILED) check("get", key, found?.toString());
    const has = await answer(run, `has ${key}`, () =>
      i % 2 === 0 ? db.has(key) : db.hasSync(key),
    );
    if (has !== FAILED && !states.some((state) => state.has(key) === has)) {
      throw new Error(`has ${key}: ${has}`);
    }
  }
  const many = await answer(run, "getMany", () => db.getMany(keys));
  if (many !== FAILED) {
    for (const [i, key] of keys.entries()) check("getMany", key, many[i]?.toString());
  }
  await scanAll(run, true, states);
}

/** Scans forwards and backwards; on this thread and, when asked to, through the thread pool. */
async function scanAll(
  run: FaultRun,
  isAsync: boolean,
  states: readonly ReadonlyMap<string, string>[] = possibleStates(run.writes, run.writes.length),
): Promise<void> {
  const db = run.db!;
  for (const reverse of [false, true]) {
    const scanned = await collect(run, () => db.scanSync({ reverse }));
    expectScan(states, scanned, reverse);
    if (isAsync) expectScan(states, await collect(run, () => db.scan({ reverse })), reverse);
  }
}

async function scanSnapshot(
  run: FaultRun,
  snapshot: Snapshot,
  states: readonly ReadonlyMap<string, string>[],
): Promise<void> {
  const scanned = await collect(run, () => run.db!.scanSync({ snapshot }));
  expectScan(states, scanned, false);
}

interface Scanned {
  readonly entries: (readonly [string, string])[];
  readonly isWhole: boolean;
}

type Entries = Iterable<[Buffer, Buffer]> | AsyncIterable<[Buffer, Buffer]>;

async function collect(run: FaultRun, scan: () => Entries): Promise<Scanned> {
  const entries: (readonly [string, string])[] = [];
  const end = await answer(run, "scan", async () => {
    for await (const [key, value] of scan()) entries.push([key.toString(), value.toString()]);
  });
  return { entries, isWhole: end !== FAILED };
}

/** What was scanned is a state, or the beginning of one when the scan failed. */
function expectScan(
  states: readonly ReadonlyMap<string, string>[],
  { entries, isWhole }: Scanned,
  reverse: boolean,
): void {
  const isFit = (state: ReadonlyMap<string, string>): boolean => {
    if (isWhole ? entries.length !== state.size : entries.length > state.size) return false;
    const keys = [...state.keys()].sort();
    if (reverse) keys.reverse();
    return entries.every(([key, value], i) => key === keys[i] && value === state.get(key));
  };
  if (states.some(isFit)) return;
  const brief = entries.map(([key, value]) => `${key}: ${value.slice(0, 16)}`);
  throw new Error(`a ${isWhole ? "whole" : "failed"} scan shows ${brief.join(", ")}`);
}

function expectOneOf(
  states: readonly ReadonlyMap<string, string>[],
  found: ReadonlyMap<string, string>,
): void {
  const entries = [...found];
  expectScan(states, { entries, isWhole: true }, false);
}
