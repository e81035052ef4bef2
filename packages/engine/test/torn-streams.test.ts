/**
 * Two logs that are cut off, one of each stream: a watermark that could not be written whole, nor cut
 * off, and the group that was being appended to the other stream when the process died. Nothing that
 * was acknowledged stands in either. Two cuts that do not look like that are damage.
 */
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { directory, faultSettings } from "./support/fault-run.ts";

const SMALL = "small";
const LARGE = "L".repeat(700);
/** Bytes of a frame's header, and of its start that tells whether it has a payload. */
const HEADER_BYTES = 36;
const START_BYTES = 8;

const damaged = { code: "AURA_CORRUPTION" };

type Recovery = NonNullable<NonNullable<Settings["wal"]>["recovery"]>;

function open(
  fs: SimFs,
  recovery?: Recovery,
  runtime: SimRuntime = simRuntime(1),
): Promise<AuraDB> {
  const wal = recovery === undefined ? {} : { recovery };
  return AuraDB.open(directory, { ...faultSettings, wal }, { fs, runtime });
}

async function contentOf(fs: SimFs, recovery?: Recovery): Promise<Record<string, string>> {
  const db = await open(fs, recovery);
  const found: Record<string, string> = {};
  for (const [key, value] of db.scanSync()) found[key.toString()] = value.toString();
  await db.close();
  const { problems } = await AuraDB.verify(directory, { fs, runtime: simRuntime(2) });
  expect(problems).toEqual([]);
  return found;
}

interface Cut {
  /** How much of the watermark, in the log of small groups, and of the large group behind it is written. */
  readonly watermarkBytes: number;
  readonly groupBytes: number;
}

/** What a process leaves that could not cut off half a watermark, and died in its next append. */
async function twiceCut({ watermarkBytes, groupBytes }: Cut): Promise<SimFs> {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await open(fs, undefined, runtime);
  db.putSync("large", LARGE);
  db.putSync("small", SMALL);
  db.syncSync();
  const cut = fs.failAt({
    error: "EIO",
    partial: watermarkBytes,
    at: (kind, file) => kind === "write" && file.endsWith(".wal"),
  });
  fs.failAt({ error: "EIO", sticky: true, at: (kind) => kind === "truncate" });
  runtime.advance(100);
  expect(cut.fired).toBe(1);
  expect(db.stats().failure).toBe(undefined);
  // A kill in the middle of an append: nothing of what comes behind it is done.
  fs.failAt({
    error: "EIO",
    partial: groupBytes,
    at: (kind, file) => kind === "write" && file.endsWith(".vlog"),
  });
  fs.failAt({ error: "EIO", sticky: true, at: (kind) => kind === "create" });
  expect(() => db.putSync("last", LARGE)).toThrow(
    expect.objectContaining({ code: "AURA_UNKNOWN_OUTCOME" }),
  );
  const left = fs.processKill();
  left.clearFaults();
  return left;
}

describe("half a watermark that could not be cut off, and half a group in the other stream", () => {
  test.each([
    [START_BYTES, 500],
    [HEADER_BYTES - 1, HEADER_BYTES],
    [START_BYTES, 20],
  ])(
    "are two torn tails (%i B and %i B): nothing acknowledged is lost, and nothing refuses",
    async (watermarkBytes, groupBytes) => {
      const left = await twiceCut({ watermarkBytes, groupBytes });
      const wanted = { large: LARGE, small: SMALL };
      expect(await contentOf(left.processKill())).toEqual(wanted);
      expect(await contentOf(left.processKill(), "tolerate-tail")).toEqual(wanted);
      await expect(open(left.processKill(), "absolute")).rejects.toMatchObject(damaged);
      // Through a recovery that nothing comes behind, too.
      const second = await open(left);
      second.putSync("later", SMALL);
      const again = left.processKill();
      await second.close();
      expect(await contentOf(again)).toEqual({ ...wanted, later: SMALL });
      expect(await contentOf(again)).toEqual({ ...wanted, later: SMALL });
    },
  );

  test("refuse where too little is left to tell that it was one", async () => {
    const watermarkBytes = START_BYTES - 1;
    const left = await twiceCut({ watermarkBytes, groupBytes: 500 });
    await expect(open(left.processKill())).rejects.toMatchObject(damaged);
    expect(await contentOf(left, "salvage")).toEqual({ large: LARGE, small: SMALL });
  });
});

describe("acknowledged groups at the end of both streams that somebody cut off", () => {
  /** Cuts the last log of a stream to `keep` bytes behind the start of its last frame. */
  async function cutBoth(keepWal: number, keepLog: number, walLast: boolean): Promise<SimFs> {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", SMALL);
    db.putSync("b", LARGE);
    const ends = sizes(fs);
    if (walLast) db.putSync("d", LARGE);
    db.putSync("c", SMALL);
    if (!walLast) db.putSync("d", LARGE);
    const left = fs.processKill();
    await db.close();
    for (const [path, bytes] of ends) {
      const keep = path.endsWith(".wal") ? keepWal : keepLog;
      left.writeFile(path, left.readFile(path).subarray(0, bytes + keep));
    }
    return left;
  }

  function sizes(fs: SimFs): [string, number][] {
    const logs = fs.listSync(directory).filter((name) => /\.(wal|vlog)$/.test(name));
    return logs.map((name) => [`${directory}/${name}`, fs.fileBytesSync(`${directory}/${name}`)]);
  }

  test.each([
    ["each within its payload", 40, 500, false],
    ["each within its header", 10, 10, false],
    ["one within its header", 10, 500, false],
    ["the other first, each within its payload", 40, 500, true],
    ["the other first, each within its header", 10, 10, true],
    ["the other first, one within its header", 10, 500, true],
  ] as const)("refuse: %s", async (_, keepWal, keepLog, walLast) => {
    const left = await cutBoth(keepWal, keepLog, walLast);
    await expect(open(left)).rejects.toMatchObject(damaged);
  });
});
