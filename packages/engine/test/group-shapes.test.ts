/**
 * Every shape that a group can have, at every level of durability: a crash or a fault at each operation
 * of the disk loses nothing that was promised, leaves no hole and no half of a batch.
 */
import type { SimFault, SimRuntime } from "@aura/base/testing";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Durability, type Settings, WriteBatch } from "../src/index.ts";
import { bounded } from "./support/fault-run.ts";
import { WatchedFs } from "./support/watched-fs.ts";

const directory = "/db";
const KIB = 1024;
const settings: Settings = {
  seed: 5,
  wal: { maxFileSize: 64 * KIB, backgroundSyncBytes: 64 * KIB, bufferedDelayMs: 60_000 },
  valueLog: { separationThreshold: 200, maxSegmentSize: 512 * KIB },
  memtable: { maxSize: 256 * KIB },
  compaction: { automatic: false },
};
/** Every so many operations are taken; with AURA_SLOW=1 all. */
const STRIDE = process.env["AURA_SLOW"] === "1" ? 1 : 4;

type Fs = SimFs | WatchedFs;
type Entry = readonly [key: string, bytes: number];

function open(fs: Fs, more: Settings = {}): Promise<AuraDB> {
  return AuraDB.open(directory, { ...settings, ...more }, { fs, runtime: simRuntime(7) });
}

/** What write `i` of the history puts, all of it or nothing. */
type Write = readonly Entry[];

/** One run of code: writes that are issued in it, and how. */
interface Shape {
  readonly name: string;
  readonly how: "awaited" | "together" | "synchronous" | "read between" | "landed";
  readonly writes: readonly (readonly number[])[];
}

const LARGE = 250 * KIB;
const SHAPES: readonly Shape[] = [
  { name: "one alone", how: "awaited", writes: [[20]] },
  { name: "one alone, apart", how: "awaited", writes: [[900]] },
  { name: "synchronous", how: "synchronous", writes: [[30], [700], [30]] },
  { name: "grouped", how: "together", writes: [[20], [20], [20]] },
  { name: "grouped, of both kinds", how: "together", writes: [[20], [900], [20]] },
  { name: "a batch", how: "awaited", writes: [[20, 900, 20]] },
  { name: "a batch for the thread pool", how: "awaited", writes: [[20, ...Array(5).fill(LARGE)]] },
  { name: "landed by a read", how: "read between", writes: [Array(5).fill(LARGE), [20], [900]] },
  { name: "a full group and the next", how: "together", writes: Array(10).fill([LARGE]) },
  { name: "a full group, landed", how: "landed", writes: [...Array(9).fill([LARGE]), [20]] },
  { name: "a synchronous batch", how: "synchronous", writes: [[20, 900], Array(5).fill(LARGE)] },
  { name: "grouped, at the end", how: "together", writes: [[20], [20]] },
];

const HISTORY: readonly Write[] = SHAPES.flatMap(({ writes }) => writes).map((sizes, i) =>
  sizes.map((bytes, at): Entry => [`${String(i).padStart(3, "0")}/${at}`, bytes]),
);
const contentOf = ([key, bytes]: Entry): Buffer => Buffer.alloc(bytes, `${key};`);

interface Promised {
  issued: number;
  acked: number;
  durable: number;
}

/** "acknowledged", or the code of an error. */
type Outcome = string | undefined;

function batchOf(write: Write): WriteBatch {
  const batch = new WriteBatch();
  for (const entry of write) batch.put(entry[0], contentOf(entry));
  return batch;
}

/** Runs the history; `told` hears how each write ended. */
async function run(
  db: AuraDB,
  level: Durability,
  promised: Promised,
  told: (i: number, outcome: Outcome) => void,
  runtime?: SimRuntime,
): Promise<void> {
  let i = 0;
  for (const { how, writes } of SHAPES) {
    const awaited: Promise<void>[] = [];
    for (const index of writes.keys()) {
      const at = i++;
      const write = HISTORY[at]!;
      const ended = (): void => {
        promised.acked = Math.max(promised.acked, at + 1);
        if (level === "sync") promised.durable = Math.max(promised.durable, at + 1);
        told(at, "acknowledged");
      };
      const failed = (error: { code: string }): void => told(at, error.code);
      promised.issued = at + 1;
      const options = { durability: level };
      const isLast = index === writes.length - 1;
      if (how === "synchronous" || (how === "landed" && isLast)) {
        try {
          if (write.length > 1) db.writeSync(batchOf(write), options);
          else db.putSync(write[0]![0], contentOf(write[0]!), options);
          ended();
        } catch (error) {
          failed(error as { code: string });
        }
        continue;
      }
      const written =
        write.length > 1
          ? db.write(batchOf(write), options)
          : db.put(write[0]![0], contentOf(write[0]!), options);
      awaited.push(written.then(ended, failed));
      if (how === "read between") db.getSync("nothing");
    }
    await bounded("a write", Promise.all(awaited), runtime);
  }
}

/** Returns how many writes an image holds; they are the first ones, each whole. */
async function checkPrefix(fs: SimFs, more: Settings = {}): Promise<number> {
  const db = await open(fs, more);
  let count: number;
  try {
    const found = new Map([...db.scanSync()].map(([key, value]) => [key.toString(), value]));
    count = HISTORY.findIndex((write) => !found.has(write[0]![0]));
    if (count < 0) count = HISTORY.length;
    const wanted = HISTORY.slice(0, count).flat();
    expect([...found.keys()]).toEqual(wanted.map(([key]) => key));
    for (const entry of wanted) expect(found.get(entry[0])!.equals(contentOf(entry))).toBe(true);
    db.putSync("~", "1", { sync: true });
  } finally {
    await bounded("close", db.close());
  }
  expect(fs.openPaths()).toEqual([]);
  return count;
}

describe.each(["buffered", "os", "sync"] as const)("level %s", (level) => {
  test("what was promised survives a crash at every operation, whatever the group's shape", {
    timeout: 300_000,
  }, async () => {
    const sim = new SimFs();
    const promised: Promised = { issued: 0, acked: 0, durable: 0 };
    const images: { fs: SimFs; kind: string; at: number; promised: Promised }[] = [];
    let at = 0;
    const watched = new WatchedFs(sim, () => {
      if (++at % STRIDE !== 0) return;
      const kind = (at / STRIDE) % 2 === 0 ? "kill" : "power";
      const image = kind === "kill" ? sim.processKill() : sim.crash({ seed: at });
      images.push({ fs: image, kind, at, promised: { ...promised } });
    });
    const db = await open(watched);
    await run(db, level, promised, () => undefined);
    await bounded("close", db.close());
    expect(promised.acked).toBe(HISTORY.length);
    expect(images.length).toBeGreaterThan(40 / STRIDE);
    for (const { fs, kind, at: operation, promised: then } of images) {
      try {
        const count = await checkPrefix(fs);
        // Nothing of a buffered write need be there, but for what was gone before a kill.
        const least = kind === "kill" && level !== "buffered" ? then.acked : then.durable;
        expect(count).toBeGreaterThanOrEqual(least);
        expect(count).toBeLessThanOrEqual(then.issued);
      } catch (cause) {
        throw new Error(`${kind} at operation ${operation}`, { cause });
      }
    }
  });
});

describe.each<[string, Omit<SimFault, "at">]>([
  ["EIO", { error: "EIO" }],
  ["ENOSPC after a part", { error: "ENOSPC", partial: 700 }],
])("%s", (_, fault) => {
  test.each(["os", "sync"] as const)(
    "at every operation on a log, level %s: what was acknowledged is there, what was rejected is not",
    { timeout: 300_000 },
    async (level) => {
      let fired = 0;
      for (let at = 1; at < 200; at += STRIDE) {
        const fs = new SimFs({ seed: at });
        const runtime = simRuntime(7);
        const more = { ...settings, wal: { ...settings.wal, backgroundSyncBytes: 0 } };
        const db = await AuraDB.open(directory, more, { fs, runtime });
        let operation = 0;
        const planned = fs.failAt({
          ...fault,
          at: (kind, path) => {
            if (kind !== "write" && kind !== "create" && kind !== "sync") return false;
            return (path.endsWith("vlog") || path.endsWith("wal")) && ++operation === at;
          },
        });
        const outcomes: Outcome[] = [];
        const note = (i: number, outcome: Outcome): void => {
          outcomes[i] = outcome;
        };
        await run(db, level, { issued: 0, acked: 0, durable: 0 }, note, runtime);
        await bounded(
          "close",
          db.close().catch(() => undefined),
          runtime,
        );
        expect(fs.openPaths()).toEqual([]);
        if (planned.fired === 0) break;
        fired++;
        const image = await open(fs.processKill());
        try {
          for (const [i, write] of HISTORY.entries()) {
            const outcome = outcomes[i];
            if (outcome === "AURA_UNKNOWN_OUTCOME") continue;
            for (const entry of write) {
              const value = image.getSync(entry[0]);
              const isThere = value?.equals(contentOf(entry)) === true;
              // A sync that failed says nothing of what the operating system was handed.
              if (outcome === "acknowledged") expect(isThere, `${at}: write ${i}`).toBe(true);
              else if (level === "os")
                expect(value, `${at}: write ${i}, ${outcome}`).toBe(undefined);
            }
            if (outcome !== "acknowledged") expect(outcome).toMatch(/^AURA_/);
          }
        } finally {
          await image.close();
        }
      }
      expect(fired).toBeGreaterThan(28 / STRIDE);
    },
  );
});

describe("wal.syncPolicy", () => {
  test.each([
    ["sync", true],
    ["os", false],
    ["buffered", false],
  ] as const)("%s is the level of writes that name none", async (syncPolicy, isDurable) => {
    const fs = new SimFs();
    const db = await open(fs, { wal: { ...settings.wal, syncPolicy } });
    await db.put("a", "1");
    db.putSync("b", "2");
    await Promise.all([db.put("c", "3"), db.put("d", "4"), db.delete("a")]);
    const power = await open(fs.crash({ data: "none", names: "none" }));
    expect([...power.scanSync()].length).toBe(isDurable ? 3 : 0);
    await power.close();
    const killed = await open(fs.processKill());
    expect([...killed.scanSync()].length).toBe(syncPolicy === "buffered" ? 0 : 3);
    await killed.close();
    await db.close();
  });
});
