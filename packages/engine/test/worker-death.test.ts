/** Workers that die in the middle of a job, lane by lane: said as an event, made again, never a hang. */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { expect, inject, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { withDirectory } from "./support/open-real.ts";

const settings: Settings = {
  wal: { maxFileSize: 65536, backgroundSyncBytes: 20000 },
  memtable: { maxSize: 262144, maxCount: 3 },
  table: { maxSize: 65536 },
  compaction: { l0Trigger: 2, baseLevelSize: 131072, fanout: 4 },
};
const PUTS = 8000;
const pad = "x".repeat(200);

/** Runs `work` with a worker entry whose thread of `lane` ends once, at its `nth` sync. */
async function withMortalLane(
  lane: string,
  nth: number,
  work: (path: string, workerUrl: URL, died: () => boolean) => Promise<void>,
): Promise<void> {
  await withDirectory(async (root) => {
    const mark = `${root}/died`;
    const entry = `${root}/worker.mjs`;
    mkdirSync(`${root}/db`);
    writeFileSync(
      entry,
      `import fs from "node:fs";
      import { syncBuiltinESMExports } from "node:module";
      import { workerData } from "node:worker_threads";
      let count = 0;
      for (const name of ["fsyncSync", "fdatasyncSync"]) {
        const sync = fs[name];
        fs[name] = (...args) => {
          const dies = workerData.lane === ${JSON.stringify(lane)} && ++count === ${nth};
          if (!dies || fs.existsSync(${JSON.stringify(mark)})) return sync(...args);
          fs.writeFileSync(${JSON.stringify(mark)}, "");
          process.exit(1);
        };
      }
      syncBuiltinESMExports();
      await import(${JSON.stringify(inject("workerUrl"))});`,
    );
    await work(`${root}/db`, pathToFileURL(entry), () => existsSync(mark));
  });
}

test.each([
  ["merge", 1],
  ["merge", 3],
  ["assist", 1],
  ["flush", 4],
  ["sync", 2],
])("of the lane %s, at its sync %i", async (lane, nth) => {
  await withMortalLane(lane, nth, async (path, workerUrl, died) => {
    const db = await AuraDB.open(path, settings, { workerUrl });
    const events: string[] = [];
    db.events.on("backgroundError", ({ severity, error }) => {
      events.push(`${severity} ${(error as { code?: string }).code}`);
    });
    for (let i = 0; i < PUTS; i++) await db.put(`k${(i * 31) % 5000}`, pad + i);
    await db.flush();
    await db.idle();
    if (lane === "assist" && !died()) await db.compact();
    expect(died()).toBe(true);
    // A sync of a log that nobody waits for is made again without a word.
    if (lane !== "sync") expect(events).toEqual(["soft AURA_WORKER"]);
    expect(db.stats().failure).toBe(undefined);
    await db.compact();
    await db.idle();
    // What the dead worker had begun is gone, too.
    const tables = readdirSync(path).filter((name) => name.endsWith(".sst")).length;
    expect(tables).toBe(db.stats().levels.reduce((sum, { tables }) => sum + tables, 0));
    let wrong = 0;
    for (let i = PUTS - 5000; i < PUTS; i++) {
      if (db.getSync(`k${(i * 31) % 5000}`)?.toString() !== pad + i) wrong++;
    }
    expect(wrong).toBe(0);
    await db.close();
    expect((await AuraDB.verify(path)).problems).toEqual([]);
  });
});

/** Runs `work` with a worker entry whose first `deaths` threads end while they load, or until workers are given up. */
async function withDeathsAtLoad(
  deaths: number,
  work: (db: AuraDB, served: () => number) => Promise<void>,
): Promise<{ errors: string[]; unavailable: number }> {
  const errors: string[] = [];
  let unavailable = 0;
  await withDirectory(async (root) => {
    const entry = `${root}/worker.mjs`;
    mkdirSync(`${root}/db`);
    mkdirSync(`${root}/starts`);
    writeFileSync(
      entry,
      `import fs from "node:fs";
      import { threadId } from "node:worker_threads";
      const starts = ${JSON.stringify(`${root}/starts`)};
      if (fs.existsSync(starts) && fs.readdirSync(starts).length < ${deaths}) {
        fs.writeFileSync(starts + "/" + threadId, "");
        process.exit(1);
      }
      fs.writeFileSync(${JSON.stringify(root)} + "/served-" + threadId, "");
      await import(${JSON.stringify(inject("workerUrl"))});`,
    );
    const db = await AuraDB.open(`${root}/db`, settings, { workerUrl: pathToFileURL(entry) });
    db.events.on("backgroundError", ({ severity, activity, error }) => {
      errors.push(`${severity} ${activity} ${(error as { code?: string }).code}`);
    });
    db.events.on("workersUnavailable", () => {
      unavailable++;
      renameSync(`${root}/starts`, `${root}/healed`);
    });
    const served = (): number =>
      readdirSync(root).filter((name) => name.startsWith("served-")).length;
    await work(db, served);
    expect(db.stats().failure).toBe(undefined);
    await db.close();
    expect((await AuraDB.verify(`${root}/db`)).problems).toEqual([]);
  });
  return { errors, unavailable };
}

async function fill(db: AuraDB, from: number): Promise<void> {
  for (let i = from; i < from + 2000; i++) await db.put(`k${i}`, pad + i);
  await db.flush();
  await db.idle();
  for (let i = from; i < from + 2000; i += 7) {
    expect(db.getSync(`k${i}`)?.toString()).toBe(pad + i);
  }
}

test("a worker that ends while it loads is said and replaced", async () => {
  const { errors, unavailable } = await withDeathsAtLoad(2, async (db, served) => {
    await fill(db, 0);
    expect(served()).toBeGreaterThan(0);
  });
  expect(errors).toEqual(["soft worker AURA_WORKER", "soft worker AURA_WORKER"]);
  expect(unavailable).toBe(0);
});

test("work that came to this thread leaves it once workers come up", async () => {
  const { errors, unavailable } = await withDeathsAtLoad(1000, async (db, served) => {
    for (let from = 0; served() === 0 && from < 40_000; from += 2000) await fill(db, from);
    expect(served()).toBeGreaterThan(0);
  });
  expect(unavailable).toBe(1);
  expect(new Set(errors)).toEqual(new Set(["soft worker AURA_WORKER"]));
});
