/**
 * A small database of values apart, most of which a test makes garbage: `GONE` of `KEYS`, in segments so
 * small that garbage has to go.
 */
import { type SimFs, simRuntime } from "@aura/base/testing";
import { AuraDB, type Settings } from "../../src/index.ts";
import { simulatedJobs } from "../../src/job-lanes.ts";

export const KIB = 1024;
export const KEYS = 520;
export const GONE = 468;
/** Bytes of a value, and of a segment. */
export const VALUE: number = 4 * KIB;
export const SEGMENT: number = 64 * KIB;
export const BOUND = 1.3;
export const directory = "/db";

export const settings: Settings = {
  seed: 3,
  valueLog: { maxSegmentSize: SEGMENT, spaceAmplificationMax: BOUND },
  memtable: { maxSize: 1024 * KIB },
  table: { maxSize: 16 * KIB, blockSize: 512, compression: "none" },
};

export function keyOf(index: number): string {
  return `key ${String(index).padStart(6, "0")}`;
}

export async function open(fs: SimFs): Promise<AuraDB> {
  const runtime = simRuntime(5, { tickMs: 0.01, autoAdvance: true });
  return AuraDB.open(directory, settings, { fs, runtime, executor: simulatedJobs(fs, runtime) });
}

/** Bytes of all files that hold values. */
export function valueBytes(fs: SimFs): number {
  return fs
    .listSync(directory)
    .filter((name) => /\.(vlog|seg)$/.test(name))
    .reduce((sum, name) => sum + fs.fileBytesSync(`${directory}/${name}`), 0);
}

/** Turns of the event loop: what is under way ends, nothing is asked for. */
export async function turns(db: AuraDB): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    db.hasSync("");
  }
}

/** Opens a database with all values, as they are in memtables or, flushed and merged, in tables. */
export async function load(fs: SimFs, where: string): Promise<AuraDB> {
  const db = await open(fs);
  for (let i = 0; i < KEYS; i++) await db.put(keyOf(i), Buffer.alloc(VALUE, i));
  if (where === "in memory") return db;
  await db.compact();
  await db.idle();
  return db;
}
