/**
 * The process that is killed: loads names from an index on, and says through a pipe how many were
 * acknowledged. With `audit` it reads everything back instead. It knows the data; what it may have
 * lost is judged by its parent, which is outside of the store.
 */
import { writeSync } from "node:fs";
import { AuraDB, WriteBatch } from "@aura/engine";
import type { DataSet } from "./data-set.ts";
import { readDataSet } from "./data-set.ts";

/** What the parent asks for. */
export interface KillOrder {
  readonly dataFolder: string;
  readonly path: string;
  readonly audit: boolean;
  /** Names that were acknowledged before: all must be there. */
  readonly acked: number;
}

/** Every so many names one has a blob of 64 KiB for its value. */
const BLOB_EVERY = 5000;
/** Names between two reports. */
const REPORT_STEP = 16;
/** Every so many of the old names one is read back at each start, and all of the newest ones. */
const SAMPLE = 89;
const NEWEST = 20_000;
const REPORTS = 3;

const order = JSON.parse(process.argv[2] ?? "null") as KillOrder;

function valueFor(data: DataSet, index: number): Buffer {
  return index % BLOB_EVERY === 0 ? data.blob((index / BLOB_EVERY) % 100) : data.value(index, 0);
}

function report(kind: "recovered" | "acked" | "failed", value: number | string): void {
  writeSync(REPORTS, `${kind} ${value}\n`);
}

function check(data: DataSet, db: AuraDB, index: number): void {
  const found = db.getSync(data.key(index));
  if (found === undefined) throw new Error(`name ${index} is lost`);
  if (!found.equals(valueFor(data, index))) throw new Error(`name ${index} has another value`);
}

/** The history must be a prefix: returns its length, after a look at what it holds. */
function checkPrefix(data: DataSet, db: AuraDB, acked: number): number {
  let length = acked;
  while (length < data.count && db.hasSync(data.key(length))) length++;
  for (let i = 0; i < length; i += i < length - NEWEST ? SAMPLE : 1) check(data, db, i);
  for (let i = length; i < Math.min(data.count, length + 5000); i++) {
    if (db.hasSync(data.key(i))) throw new Error(`name ${i} is there, but ${length} is not`);
  }
  return length;
}

async function load(data: DataSet, db: AuraDB, from: number): Promise<void> {
  let next = from;
  while (next < data.count) {
    const end = Math.min(data.count, next + REPORT_STEP);
    const form = ((next / REPORT_STEP) % 3) | 0;
    if (form === 0) {
      for (let i = next; i < end; i++) db.putSync(data.key(i), valueFor(data, i));
    } else if (form === 1) {
      const puts: Promise<void>[] = [];
      for (let i = next; i < end; i++) puts.push(db.put(data.key(i), valueFor(data, i)));
      await Promise.all(puts);
    } else {
      const batch = new WriteBatch();
      for (let i = next; i < end; i++) batch.put(data.key(i), valueFor(data, i));
      await db.write(batch);
    }
    next = end;
    report("acked", next);
  }
  await db.idle();
}

async function audit(data: DataSet, db: AuraDB): Promise<void> {
  for (let i = 0; i < data.count; i++) check(data, db, i);
  let seen = 0;
  for (const key of db.keysSync()) {
    if (!key.equals(data.key(data.order[seen]!))) throw new Error(`scan: another key at ${seen}`);
    seen++;
  }
  if (seen !== data.count) throw new Error(`scan: ${seen} names instead of ${data.count}`);
}

try {
  const data = await readDataSet(order.dataFolder);
  const db = await AuraDB.open(order.path, { memtable: { maxSize: 16 << 20 } });
  const length = checkPrefix(data, db, order.acked);
  report("recovered", length);
  if (order.audit) await audit(data, db);
  else await load(data, db, length);
  await db.close();
} catch (error) {
  report("failed", String(error instanceof Error ? error.stack : error).replaceAll("\n", " | "));
  process.exitCode = 1;
}
