/**
 * A volume that is really full: a small tmpfs, which needs root to mount. At each level and for each
 * kind of write: the error says so, nothing acknowledged is lost, nothing rejected appears, writing
 * resumes by itself when there is space again, and the next open is clean.
 */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuraDB, type Durability, WriteBatch } from "../src/index.ts";
import { openReal } from "./support/open-real.ts";

const MIB = 1024 * 1024;
const VOLUME_MIB = 32;
/** Of the system. */
const tools = { mount: "mount", unmount: "umount" };

const place: string = mkdtempSync(`${tmpdir()}/aura-full-`);

function mount(): boolean {
  try {
    const options = `size=${VOLUME_MIB}m`;
    execFileSync(tools.mount, ["-t", "tmpfs", "-o", options, "tmpfs", place], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

const isMounted: boolean = mount();
if (!isMounted) {
  process.stderr.write(
    "\n*** SKIPPED: out-of-space.test.ts needs to mount a tmpfs (root); a full volume is NOT tested ***\n\n",
  );
}

/** Takes all space but `left` bytes, and gives it back. */
function takeSpace(left: number): () => void {
  const path = `${place}/other`;
  const fd = openSync(path, "w");
  try {
    const chunk = Buffer.alloc(65_536);
    for (let at = 0; ; at += chunk.length) writeSync(fd, chunk, 0, chunk.length, at);
  } catch (error) {
    expect((error as { code: string }).code).toBe("ENOSPC");
  } finally {
    closeSync(fd);
  }
  if (left > 0) truncateSync(path, statSync(path).size - left);
  return () => {
    unlinkSync(path);
  };
}

afterAll(() => {
  if (isMounted) execFileSync(tools.unmount, ["-l", place]);
  rmSync(place, { recursive: true, force: true });
});

describe.runIf(isMounted)("a full volume", () => {
  let directory = "";
  let round = 0;
  beforeAll(() => {
    directory = `${place}/db`;
  });

  /** What was written and how it ended, by key. */
  const outcomes = new Map<string, string>();

  async function note(keys: readonly string[], work: () => Promise<void>): Promise<string> {
    let code = "acknowledged";
    try {
      await work();
    } catch (error) {
      code = (error as { code: string }).code;
      if (code === undefined) throw error;
    }
    for (const key of keys) outcomes.set(key, code);
    return code;
  }

  type Write = (db: AuraDB, key: string, durability: Durability) => Promise<void>;
  const kinds: readonly (readonly [string, Write, (key: string) => string[]])[] = [
    [
      "single puts",
      (db, key, durability) => db.put(key, "v".repeat(500), { durability }),
      (key) => [key],
    ],
    [
      "batches",
      (db, key, durability) => {
        const batch = new WriteBatch();
        for (const part of ["a", "b", "c"]) batch.put(key + part, part.repeat(5000));
        return db.write(batch, { durability });
      },
      (key) => [`${key}a`, `${key}b`, `${key}c`],
    ],
    [
      "large values",
      (db, key, durability) => db.put(key, Buffer.alloc(1.5 * MIB, key), { durability }),
      (key) => [key],
    ],
    [
      "streamed values",
      (db, key, durability) => {
        const pieces = Array.from({ length: 20 }, () => Buffer.alloc(262_144, key));
        return pipeline(Readable.from(pieces), db.createWriteStream(key, { durability }));
      },
      (key) => [key],
    ],
  ];
  const cases = (["buffered", "os", "sync"] as const).flatMap((level) =>
    kinds.map(([name, write, keysOf]) => ({ level, name, write, keysOf })),
  );

  test.each(cases)(
    "$name at level $level",
    { timeout: 60_000 },
    async ({ level, write, keysOf }) => {
      const volumes = [
        [true, 0],
        [false, 300_000],
        [true, 700_000],
      ] as const;
      const last = level === "sync" ? 3 : 2;
      for (const [hasBallast, left] of volumes.slice(0, last)) {
        rmSync(directory, { recursive: true, force: true });
        outcomes.clear();
        const db = await openReal(directory, { memtable: { maxSize: 4 * MIB, maxCount: 2 } });
        const key = (name: string): string => `${++round} ${name}`;
        const before = key("before");
        await note([before], () => db.put(before, "1", { sync: true }));
        if (hasBallast) await db.flush();
        const freeSpace = takeSpace(left);
        let refused = "";
        for (let i = 0; i < 4000 && refused === ""; i++) {
          const own = key("full");
          const code = await note(keysOf(own), () => write(db, own, level));
          if (code !== "acknowledged") refused = code;
        }
        expect(refused).toBe("AURA_OUT_OF_SPACE");
        // Reading goes on.
        expect(db.getSync(before)?.toString()).toBe("1");
        for (let i = 0; i < 3; i++) {
          const own = key("full still");
          await note(keysOf(own), () => write(db, own, level));
        }
        expect(db.stats().failure).toBe(undefined);
        freeSpace();
        // It looks at most every 100 ms.
        let resumed = "";
        for (let i = 0; i < 100 && resumed !== "acknowledged"; i++) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          const own = key("resumed");
          resumed = await note(keysOf(own), () => write(db, own, "sync"));
        }
        expect(resumed).toBe("acknowledged");
        await db.flush();
        await db.close();
        const again = await openReal(directory);
        for (const [name, outcome] of outcomes) {
          expect(again.getSync(name) !== undefined, `${name}: ${outcome}`).toBe(
            outcome === "acknowledged",
          );
        }
        await again.close();
        expect((await AuraDB.verify(directory)).problems).toEqual([]);
      }
    },
  );
});
