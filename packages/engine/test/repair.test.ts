/**
 * Repair: what is left opens, verifies and goes on, and holds for each key what one moment of the
 * history held, or nothing. That moment is never before the last flush: no delete is undone.
 */
import { type SimFs, simRuntime } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { AuraDB, repair } from "../src/index.ts";
import {
  directory,
  makeSubject,
  SHAPES,
  SHAPES_HERE,
  type Subject,
  stateAfter,
} from "./support/damaged-world.ts";
import { madeHere, makeSectionSubject, sectionsOf } from "./support/section-world.ts";

/** Every how manieth place is damaged. AURA_REPAIR_STRIDE=1: all of them. */
const STRIDE = Number(process.env["AURA_REPAIR_STRIDE"] ?? "997");
const timeout = 3_600_000;

const runtime = () => simRuntime(4, { autoAdvance: true });
const latin = (key: string): Buffer => Buffer.from(key, "latin1");

async function contentOf(image: SimFs, subject: Subject): Promise<Map<string, string>> {
  const db = await AuraDB.open(directory, subject.settings, { fs: image, runtime: runtime() });
  const found = new Map<string, string>();
  for (const [key, value] of db.scanSync()) {
    found.set(key.toString("latin1"), value.toString("latin1"));
  }
  for (const key of subject.keys) {
    expect(db.getSync(latin(key))?.toString("latin1"), key).toBe(found.get(key));
  }
  await db.put("after", "the repair");
  await db.flush();
  await db.compact();
  const again = new Map(
    [...db.scanSync()].map(([k, v]) => [k.toString("latin1"), v.toString("latin1")]),
  );
  again.delete("after");
  await db.close();
  expect(again).toEqual(found);
  return found;
}

/** Number of keys that are there as one moment from `least` writes on had them; -1: no such moment. */
function keptOf(subject: Subject, found: ReadonlyMap<string, string>, least: number): number {
  for (let count = subject.writes.length; count >= least; count--) {
    const state = stateAfter(subject.writes, count);
    if ([...found].every(([key, value]) => state.get(key) === value)) return found.size;
  }
  return -1;
}

async function repaired(
  subject: Subject,
  image: SimFs,
  least: number,
): Promise<{ kept: number; report: Awaited<ReturnType<typeof repair>> }> {
  const report = await repair(directory, { fs: image, runtime: runtime() });
  expect(report.problems).toEqual([]);
  expect(image.openPaths()).toEqual([]);
  const found = await contentOf(image.processKill(), subject);
  const kept = keptOf(subject, found, least);
  const lost = [...found].filter(
    ([key, value]) => stateAfter(subject.writes, subject.writes.length).get(key) !== value,
  );
  expect(kept, `back from the dead: ${JSON.stringify(lost.slice(0, 3))}`).toBeGreaterThanOrEqual(0);
  return { kept, report };
}

describe.each(SHAPES_HERE)("%s", (shape) => {
  let subject: Subject;
  let whole: number;
  beforeAll(async () => {
    subject = await makeSubject(SHAPES[shape]!, 9);
    whole = stateAfter(subject.writes, subject.writes.length).size;
  });
  const pathsOf = (image: SimFs, kind: RegExp): string[] =>
    image.list(directory).filter((path) => kind.test(path));

  test("a sound database is left as it is", async () => {
    const { killed } = subject.images;
    const { kept, report } = await repaired(subject, killed.processKill(), subject.writes.length);
    expect(kept).toBe(whole);
    expect(report).toMatchObject({
      manifest: "sound",
      tablesRewritten: [],
      logsSetAside: [],
      seqsLost: 0,
    });
  });

  test("flipped bits in tables: the rest stays, and nothing older shows through", {
    timeout,
  }, async () => {
    const { closed } = subject.images;
    let worst = whole;
    let count = 0;
    for (const path of pathsOf(closed, /\.sst$/)) {
      const { length } = closed.readFile(path);
      for (let at = count % STRIDE; at < length; at += STRIDE) {
        const image = closed.processKill();
        image.flipBits(path, at, 1 << (at % 8));
        const { kept, report } = await repaired(subject, image, subject.writes.length);
        expect(report.tablesRewritten.length, `${path} at ${at}`).toBe(1);
        worst = Math.min(worst, kept);
        count++;
        const again = await repair(directory, { fs: image, runtime: runtime() });
        expect(again.tablesRewritten).toEqual([]);
      }
    }
    expect(count).toBeGreaterThan(4);
    expect(worst).toBeLessThan(whole);
  });

  test("one bad block costs its entries, not the table", async () => {
    const { closed } = subject.images;
    const [largest] = pathsOf(closed, /\.sst$/).sort(
      (a, b) => closed.readFile(b).length - closed.readFile(a).length,
    );
    const image = closed.processKill();
    image.flipBits(largest!, 700, 4);
    const { kept, report } = await repaired(subject, image, subject.writes.length);
    expect(report.tablesRewritten[0]!.entriesLost).toBeGreaterThan(0);
    expect(kept).toBeGreaterThan(whole / 2);
  });

  test("missing and foreign tables hide what was older", { timeout }, async () => {
    const { closed, killed } = subject.images;
    for (const path of pathsOf(closed, /\.sst$/)) {
      const gone = closed.processKill();
      gone.unlinkSync(path);
      await repaired(subject, gone, subject.writes.length);
      const [other] = pathsOf(closed, /\.sst$/).filter((one) => one !== path);
      const foreign = killed.processKill();
      foreign.writeFile(path, closed.readFile(other ?? path).subarray(0, 900));
      await repaired(subject, foreign, subject.durable);
    }
  });

  test("damaged values leave deletes, not the values before them", { timeout }, async () => {
    const { closed } = subject.images;
    let lost = 0;
    for (const path of pathsOf(closed, /\.(vlog|seg)$/)) {
      const { length } = closed.readFile(path);
      for (let at = 3; at < length; at += STRIDE) {
        const image = closed.processKill();
        image.flipBits(path, at, 1 << (at % 8));
        const { report } = await repaired(subject, image, subject.durable - 6);
        for (const table of report.tablesRewritten) lost += table.valuesLost;
      }
      const gone = closed.processKill();
      gone.unlinkSync(path);
      await repaired(subject, gone, subject.durable - 6);
    }
    expect(lost).toBeGreaterThan(0);
  });

  test("damaged logs keep the history before the damage", { timeout }, async () => {
    const { killed } = subject.images;
    // What was flushed holds; of the rest a beginning.
    const flushed = subject.durable - 4;
    for (const path of pathsOf(killed, /\.(wal|vlog)$/)) {
      const bytes = killed.readFile(path);
      for (let at = 0; at < bytes.length; at += at < 120 ? 13 : STRIDE) {
        const image = killed.processKill();
        image.flipBits(path, at, 1 << (at % 8));
        await repaired(subject, image, flushed);
        const cut = killed.processKill();
        cut.writeFile(path, bytes.subarray(0, at));
        await repaired(subject, cut, flushed);
      }
    }
  });

  test("a damaged manifest is good up to its damage; without any, it is refused", {
    timeout,
  }, async () => {
    const { killed } = subject.images;
    const [path] = pathsOf(killed, /\.manifest$/);
    const { length } = killed.readFile(path!);
    let mended = 0;
    let refused = 0;
    for (let at = 0; at < length; at += Math.min(STRIDE, 41)) {
      const image = killed.processKill();
      image.flipBits(path!, at, 1 << (at % 8));
      try {
        // The moment is that of the last edit before the damage.
        const { report } = await repaired(subject, image, 0);
        expect(report.manifest).toBe("cut");
        mended++;
      } catch (error) {
        expect(error).toMatchObject({ code: "AURA_CORRUPTION", message: /deleted keys/ });
        refused++;
      }
    }
    expect(Math.min(mended, refused)).toBeGreaterThan(0);
    const lost = killed.processKill();
    lost.unlinkSync(`${directory}/CURRENT`);
    const { kept } = await repaired(subject, lost, subject.writes.length);
    expect(kept).toBe(whole);
  });
});

test("what only larger databases have: models, dictionaries, values in chunks", {
  timeout,
}, async () => {
  const subject = await makeSectionSubject(9);
  const { closed } = subject.images;
  const whole = stateAfter(subject.writes, subject.writes.length).size;
  const tried = new Set<string>();
  for (const path of closed.list(directory)) {
    for (const { what, start, end } of sectionsOf(closed, path)) {
      const isTried =
        /^(model|separators|dictionary|block, zstd with dictionary|chunk table)$/.test(what);
      if (!isTried || tried.has(what)) continue;
      tried.add(what);
      const image = closed.processKill();
      image.flipBits(path, (start + end) >> 1, 4);
      const isTable = path.endsWith(".sst");
      // Of a log, what was flushed holds.
      const least = isTable ? subject.writes.length : subject.durable - 3;
      const { kept, report } = await repaired(subject, image, least);
      expect(report.tablesRewritten.length, what).toBe(1);
      const { entriesLost, valuesLost } = report.tablesRewritten[0]!;
      // Entries are all there without a model, and without what it stands for.
      const isOnlyIndex = what === "model" || what === "separators";
      expect(entriesLost === 0, what).toBe(isOnlyIndex || !isTable);
      expect(valuesLost, what).toBe(isTable ? 0 : 1);
      expect(kept === whole, what).toBe(isOnlyIndex);
    }
  }
  const wanted = [
    "block, zstd with dictionary",
    "chunk table",
    "dictionary",
    "model",
    "separators",
  ];
  expect([...tried].sort()).toEqual(madeHere(wanted));
});

test("what is no database, or is open, is not repaired", async () => {
  const { images } = await makeSubject(SHAPES["deflate"]!, 9);
  const fs = images.closed.processKill();
  const components = { fs, runtime: runtime() };
  await expect(repair("/none", components)).rejects.toMatchObject({ code: "AURA_NOT_FOUND" });
  const db = await AuraDB.open(directory, SHAPES["deflate"], components);
  await expect(repair(directory, components)).rejects.toMatchObject({ code: "AURA_LOCKED" });
  await db.close();
});
