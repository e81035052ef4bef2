/**
 * Damage to every kind of file: flipped bits, cuts, what stands behind the end, sectors that are
 * zeroed, exchanged or repeated, files of another database, files of an earlier moment. Every answer
 * is right or a typed error; nothing is lost but what no sync covered; `verify` sees what reads see.
 *
 * AURA_CORRUPTION=every-byte flips a bit of each byte and cuts at each length; every-bit flips each
 * bit. AURA_CORRUPTION_PART=2/8 takes the second of eight parts of it.
 */
import type { SimFs } from "@aura/base/testing";
import { SECTOR_BYTES } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { noteCounts } from "./support/counts.ts";
import {
  directory,
  type ImageName,
  judge,
  judgeMerged,
  makeSubject,
  SHAPES,
  type Subject,
} from "./support/damaged-world.ts";

const MODE = process.env["AURA_CORRUPTION"] ?? "sample";
const [PART, PARTS] = (process.env["AURA_CORRUPTION_PART"] ?? "1/1").split("/").map(Number);
/** A prime: it meets every place of a structure in time. */
const STRIDE = MODE === "sample" ? 997 : 1;
const IMAGES: readonly ImageName[] = ["killed", "powerless", "closed"];
const NUMBERED = /\.(manifest|wal|vlog|seg|sst)$|CURRENT$/;
const timeout = 3_600_000;

let caseCount = 0;
/** Whether a case is of the part that was asked for. */
const isOurs = (): boolean => caseCount++ % PARTS! === PART! - 1;

describe.each(Object.keys(SHAPES))("%s", (shape) => {
  let subject: Subject;
  let twin: Subject;
  beforeAll(async () => {
    subject = await makeSubject(SHAPES[shape]!, 9);
    twin = await makeSubject(SHAPES[shape]!, 10);
  });

  // A sample of one image of the second shape: its tables are what differs.
  const images = MODE === "sample" && shape === "zstd" ? IMAGES.slice(2) : IMAGES;

  const hasFile = (image: SimFs, path: string, bytes: Buffer): boolean =>
    image.list(directory).includes(path) && image.readFile(path).equals(bytes);

  const filesOf = (image: SimFs): string[] =>
    image.list(directory).filter((path) => NUMBERED.test(path));

  /** Damages copies of an image, one case after the other, and gathers what is wrong. */
  async function damage(
    cases: Iterable<{ what: string; path: string; bytes: Uint8Array }>,
    image: SimFs,
    least: number,
  ): Promise<{ count: number; noticed: number }> {
    const wrong: string[] = [];
    let count = 0;
    let noticed = 0;
    for (const { what, path, bytes } of cases) {
      if (!isOurs()) continue;
      const copy = image.processKill();
      copy.writeFile(path, bytes);
      count++;
      const mergeToo = count % 7 === 0;
      const merged = mergeToo ? await judgeMerged(subject, copy.processKill(), least) : undefined;
      const verdict = await judge(subject, copy, least);
      if (verdict.isNoticed) noticed++;
      const sentence = verdict.wrong ?? merged?.wrong;
      if (sentence !== undefined) wrong.push(`${path} ${what}: ${sentence}`);
    }
    expect(wrong.slice(0, 5), `${wrong.length} of ${count}`).toEqual([]);
    return { count, noticed };
  }

  test("every kind of file is there", async () => {
    const kinds = new Set(
      filesOf(subject.images.killed).map((path) => path.replace(/^.*[./]/, "")),
    );
    expect([...kinds].sort()).toEqual(["CURRENT", "manifest", "seg", "sst", "vlog", "wal"]);
    for (const name of images) {
      const verdict = await judge(
        subject,
        subject.images[name].processKill(),
        subject.writes.length,
      );
      expect(verdict).toEqual({ isNoticed: false });
    }
  });

  test.each(images)("flipped bits, %s", { timeout }, async (name) => {
    const image = subject.images[name];
    // Without a power loss, and behind a clean close, nothing at all may be missing.
    const least = name === "powerless" ? subject.durable : subject.writes.length;
    let all = 0;
    for (const path of filesOf(image)) {
      const whole = image.readFile(path);
      // Tables and segments are the same in all images, and read the same way: once is enough.
      const isSeen = /\.(sst|seg)$/.test(path) && image !== subject.images.killed;
      if (MODE !== "sample" && isSeen && hasFile(subject.images.killed, path, whole)) continue;
      const flips = function* (): Generator<{ what: string; path: string; bytes: Buffer }> {
        const step = whole.length < 1000 ? Math.ceil(STRIDE / 20) : STRIDE;
        for (let at = all % step; at < whole.length; at += step) {
          const bits = MODE === "every-bit" ? [0, 1, 2, 3, 4, 5, 6, 7] : [(at * 5) % 8];
          for (const bit of bits) {
            const bytes = Buffer.from(whole);
            bytes[at]! ^= 1 << bit;
            yield { what: `bit ${bit} of byte ${at}`, path, bytes };
          }
        }
      };
      const { count, noticed } = await damage(flips(), image, least);
      all += count;
      if (count < 20) continue;
      // Dead bytes: filters and models of tables that no answer depends on, logs that are done with.
      if (path.endsWith(".sst")) expect(noticed, path).toBeGreaterThan(count / 2);
    }
    expect(all).toBeGreaterThan(PARTS === 1 ? 20 : 0);
    noteCounts({ flips: all });
  });

  test.each(images)("cut and longer files, %s", { timeout }, async (name) => {
    const image = subject.images[name];
    const least = name === "closed" ? subject.writes.length : subject.durable;
    for (const path of filesOf(image)) {
      const whole = image.readFile(path);
      const lengths = function* (): Generator<{ what: string; path: string; bytes: Buffer }> {
        const step = whole.length < 1000 ? Math.ceil(STRIDE / 10) : STRIDE * 2 - 1;
        for (let length = 0; length < whole.length; length += step) {
          yield { what: `cut to ${length}`, path, bytes: whole.subarray(0, length) };
        }
        const half = whole.length >> 1;
        const tails = {
          "a zero": Buffer.alloc(1),
          zeros: Buffer.alloc(5000),
          ones: Buffer.alloc(700, 0xff),
          "its own head": whole.subarray(0, Math.min(half, 3000)),
          "its own tail": whole.subarray(Math.max(half, whole.length - 3000)),
        };
        for (const [what, tail] of Object.entries(tails)) {
          yield { what: `with ${what} behind`, path, bytes: Buffer.concat([whole, tail]) };
        }
      };
      await damage(lengths(), image, least);
    }
  });

  test.each(images)("sectors, %s", { timeout }, async (name) => {
    const image = subject.images[name];
    const least = name === "closed" ? subject.writes.length : subject.durable;
    for (const path of filesOf(image)) {
      const whole = image.readFile(path);
      const count = Math.ceil(whole.length / SECTOR_BYTES);
      const sectors = function* (): Generator<{ what: string; path: string; bytes: Buffer }> {
        const step = MODE === "sample" ? 9 : 1;
        for (let sector = (path.length + count) % step; sector < count; sector += step) {
          const [start, end] = [
            sector * SECTOR_BYTES,
            Math.min(whole.length, (sector + 1) * SECTOR_BYTES),
          ];
          const zeroed = Buffer.from(whole);
          zeroed.fill(0, start, end);
          yield { what: `sector ${sector} zeroed`, path, bytes: zeroed };
          const other = ((sector * 7 + 3) % count) * SECTOR_BYTES;
          const repeated = Buffer.from(whole);
          whole.copy(repeated, start, other, Math.min(other + SECTOR_BYTES, other + end - start));
          if (!repeated.equals(whole)) {
            yield {
              what: `sector ${sector} repeats ${other / SECTOR_BYTES}`,
              path,
              bytes: repeated,
            };
          }
          const swapped = Buffer.from(repeated);
          whole.copy(
            swapped,
            other,
            start,
            Math.min(end, start + Math.max(0, whole.length - other)),
          );
          if (!swapped.equals(whole)) {
            yield {
              what: `sectors ${sector} and ${other / SECTOR_BYTES} exchanged`,
              path,
              bytes: swapped,
            };
          }
        }
      };
      await damage(sectors(), image, least);
    }
  });

  test.each(images)(
    "files of other databases and of other names, %s",
    { timeout },
    async (name) => {
      const image = subject.images[name];
      const other = twin.images[name];
      const paths = filesOf(image);
      const foreign = function* (): Generator<{ what: string; path: string; bytes: Buffer }> {
        for (const path of paths) {
          if (filesOf(other).includes(path)) {
            yield { what: "of a twin", path, bytes: other.readFile(path) };
          }
          for (const source of paths) {
            if (source === path) continue;
            yield { what: `has the content of ${source}`, path, bytes: image.readFile(source) };
          }
        }
      };
      const least = name === "closed" ? subject.writes.length : subject.durable;
      const { count, noticed } = await damage(foreign(), image, least);
      if (PARTS === 1) expect(noticed).toBeGreaterThan(count * 0.9);
    },
  );

  test.each(images)("files of an earlier moment, or none, %s", { timeout }, async (name) => {
    const image = subject.images[name];
    const least = name === "closed" ? subject.writes.length : subject.durable;
    const older = function* (): Generator<{ what: string; path: string; bytes: Buffer }> {
      for (const [moment, early] of subject.earlier.entries()) {
        for (const path of filesOf(early)) {
          const bytes = early.readFile(path);
          if (!hasFile(image, path, bytes)) yield { what: `of moment ${moment}`, path, bytes };
        }
      }
    };
    await damage(older(), image, least);
    const wrong: string[] = [];
    for (const path of filesOf(image)) {
      const copy = image.processKill();
      copy.unlinkSync(path);
      const verdict = await judge(subject, copy, least);
      if (verdict.wrong !== undefined) wrong.push(`${path} removed: ${verdict.wrong}`);
    }
    expect(wrong).toEqual([]);
  });
});
