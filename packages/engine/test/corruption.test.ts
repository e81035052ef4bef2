/**
 * Damage to every kind of file, and to every section of the formats: flipped bits, cuts, what stands behind the end, sectors that are
 * zeroed, exchanged or repeated, files of another database, files of an earlier moment. Every answer
 * is right or a typed error; nothing is lost but what no sync covered; `verify` sees what reads see.
 *
 * AURA_CORRUPTION=every-byte flips a bit of each byte and cuts at each length; every-bit flips each
 * bit. AURA_CORRUPTION_PART=2/8 takes the second of eight parts of it. Of the files with the sections that
 * the small shapes lack (section-world.ts) only those sections are damaged so, and one block of each codec.
 */
import type { SimFs } from "@aura/base/testing";
import { SECTOR_BYTES, simRuntime } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { readTrace } from "../src/trace.ts";
import { noteCounts } from "./support/counts.ts";
import {
  directory,
  type ImageName,
  judge,
  judgeMerged,
  makeSubject,
  SHAPES,
  SHAPES_HERE,
  type Subject,
} from "./support/damaged-world.ts";
import {
  type FileSection,
  madeHere,
  makeSectionSubject,
  SECTIONS,
  sectionsOf,
} from "./support/section-world.ts";

const MODE = process.env["AURA_CORRUPTION"] ?? "sample";
const [PART, PARTS] = (process.env["AURA_CORRUPTION_PART"] ?? "1/1").split("/").map(Number);
/** A prime: it meets every place of a structure in time. */
const STRIDE = MODE === "sample" ? 997 : 1;
const IMAGES: readonly ImageName[] = ["killed", "powerless", "closed"];
const NUMBERED = /\.(manifest|wal|vlog|seg|sst)$|CURRENT$/;
const timeout = 3_600_000;

/** Those of them that the small shapes lack, and what leads to them. */
const DAMAGED_SECTIONS: readonly string[] = [
  "block map",
  "block, lz4",
  "block, none",
  "block, snappy",
  "block, zstd with dictionary",
  "chunk table",
  "footer",
  "head of a chunked record",
  "header",
  "model",
  "properties",
  "separators",
];

let caseCount = 0;
/** Whether a case is of the part that was asked for. */
const isOurs = (): boolean => caseCount++ % PARTS! === PART! - 1;

const hasFile = (image: SimFs, path: string, bytes: Buffer): boolean =>
  image.list(directory).includes(path) && image.readFile(path).equals(bytes);

const filesOf = (image: SimFs): string[] =>
  image.list(directory).filter((path) => NUMBERED.test(path));

/** A file of an image, damaged. */
interface Case {
  readonly what: string;
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Damages copies of an image, one case after the other, and gathers what is wrong. */
async function damageAll(
  subject: Subject,
  cases: Iterable<Case>,
  image: SimFs,
  least: number,
): Promise<{ count: number; noticed: number; reported: number }> {
  const wrong: string[] = [];
  let count = 0;
  let noticed = 0;
  let reported = 0;
  for (const { what, path, bytes } of cases) {
    if (!isOurs()) continue;
    const copy = image.processKill();
    copy.writeFile(path, bytes);
    count++;
    const mergeToo = count % 7 === 0;
    const merged = mergeToo ? await judgeMerged(subject, copy.processKill(), least) : undefined;
    const verdict = await judge(subject, copy, least);
    if (verdict.isNoticed) noticed++;
    if (verdict.isReported === true) reported++;
    const sentence = verdict.wrong ?? merged?.wrong;
    if (sentence !== undefined) wrong.push(`${path} ${what}: ${sentence}`);
  }
  expect(wrong.slice(0, 5), `${wrong.length} of ${count}`).toEqual([]);
  return { count, noticed, reported };
}

describe.each(SHAPES_HERE)("%s", (shape) => {
  let subject: Subject;
  let twin: Subject;
  beforeAll(async () => {
    subject = await makeSubject(SHAPES[shape]!, 9);
    twin = await makeSubject(SHAPES[shape]!, 10);
  });

  // A sample of one image of the second shape: its tables are what differs.
  const images = MODE === "sample" && shape === "zstd" ? IMAGES.slice(2) : IMAGES;

  const damage = (cases: Iterable<Case>, image: SimFs, least: number) =>
    damageAll(subject, cases, image, least);

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
      expect(verdict).toEqual({ isNoticed: false, isReported: false });
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
      const flips = function* (): Generator<Case> {
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
      const { count, noticed, reported } = await damage(flips(), image, least);
      all += count;
      // All of a table is under some checksum.
      if (path.endsWith(".sst")) expect(reported, path).toBe(count);
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
      const lengths = function* (): Generator<Case> {
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
      const sectors = function* (): Generator<Case> {
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
      const foreign = function* (): Generator<Case> {
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
    const older = function* (): Generator<Case> {
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

describe("sections that small databases lack", () => {
  let subject: Subject;
  let twin: Subject;
  beforeAll(async () => {
    subject = await makeSectionSubject(9);
    twin = await makeSectionSubject(10);
  });

  /** The sections that are damaged, of each file of the image that has any. */
  function damagedSections(): Map<string, FileSection[]> {
    const image = subject.images.killed;
    const all = new Map<string, FileSection[]>();
    for (const path of filesOf(image)) {
      const sections = sectionsOf(image, path);
      const hasModel = sections.some(({ what }) => what === "model");
      const chosen = sections.filter(({ what }, i) => {
        if (/^block, (lz4|none|snappy|zstd with dictionary)$/.test(what)) {
          return sections.findIndex((other) => other.what === what) === i;
        }
        if (/^(chunk table|head of a chunked record)$/.test(what)) return true;
        const isSmall = /^(header|footer|separators|block map|model|properties)$/.test(what);
        return hasModel && isSmall;
      });
      if (chosen.length > 0) all.set(path, chosen);
    }
    return all;
  }

  test("are there, each with bytes", async () => {
    const { killed, closed } = subject.images;
    const bytes = new Map<string, number>();
    const note = (image: SimFs): void => {
      for (const path of filesOf(image)) {
        for (const { what, start, end } of sectionsOf(image, path)) {
          bytes.set(what, Math.max(bytes.get(what) ?? 0, end - start));
        }
      }
    };
    note(killed);
    for (const shape of SHAPES_HERE) {
      note((await makeSubject(SHAPES[shape]!, 9)).images.closed);
    }
    expect([...bytes].filter(([, length]) => length === 0)).toEqual([]);
    expect([...bytes.keys()].sort()).toEqual(madeHere(SECTIONS));
    const damaged = [...damagedSections().values()].flat().map(({ what }) => what);
    expect([...new Set(damaged)].sort()).toEqual(madeHere(DAMAGED_SECTIONS));
    // Chunks in a sealed log of values, and in one that recovery reads.
    expect(damaged.filter((what) => what === "chunk table")).toHaveLength(2);
    for (const image of [killed, closed]) {
      const verdict = await judge(subject, image.processKill(), subject.writes.length);
      expect(verdict).toEqual({ isNoticed: false, isReported: false });
    }
  });

  test("flipped bits in each", { timeout }, async () => {
    const image = subject.images.killed;
    let all = 0;
    for (const [path, sections] of damagedSections()) {
      const whole = image.readFile(path);
      for (const { what, start, end } of sections) {
        const flips = function* (): Generator<Case> {
          const step = MODE === "sample" ? Math.ceil((end - start) / 2) : 1;
          for (let at = start + (all % step); at < end; at += step) {
            const bits = MODE === "every-bit" ? [0, 1, 2, 3, 4, 5, 6, 7] : [(at * 5) % 8];
            for (const bit of bits) {
              const bytes = Buffer.from(whole);
              bytes[at]! ^= 1 << bit;
              yield { what: `bit ${bit} of byte ${at} (${what})`, path, bytes };
            }
          }
        };
        const { length } = subject.writes;
        const { count, noticed, reported } = await damageAll(subject, flips(), image, length);
        all += count;
        expect(reported, `${path} ${what}`).toBe(count);
        // A table does without its model, and has no use for separators then: no read is refused.
        const isNeeded = what !== "model" && what !== "separators";
        expect(noticed, `${path} ${what}`).toBe(isNeeded ? count : 0);
      }
    }
    expect(all).toBeGreaterThan(PARTS === 1 ? 20 : 0);
    noteCounts({ flips: all });
  });

  test("cut off, zeroed, and repeated", { timeout }, async () => {
    const image = subject.images.killed;
    const changes = function* (): Generator<Case> {
      for (const [path, sections] of damagedSections()) {
        const whole = image.readFile(path);
        for (const [i, { what, start, end }] of sections.entries()) {
          if (MODE === "sample" && i % 3 !== 0) continue;
          yield { what: `cut in front of ${what}`, path, bytes: whole.subarray(0, start) };
          yield { what: `cut within ${what}`, path, bytes: whole.subarray(0, end - 1) };
          const zeroed = Buffer.from(whole);
          zeroed.fill(0, start, end);
          yield { what: `${what} zeroed`, path, bytes: zeroed };
          const repeated = Buffer.from(whole);
          whole.copy(repeated, start, Math.max(0, start - (end - start)), start);
          if (!repeated.equals(whole)) {
            yield { what: `${what} repeats what is before it`, path, bytes: repeated };
          }
        }
      }
    };
    const { count, noticed } = await damageAll(subject, changes(), image, subject.durable);
    if (PARTS === 1) expect(noticed).toBeGreaterThan(count / 2);
  });

  test("files of a twin and of an earlier moment", { timeout }, async () => {
    const image = subject.images.killed;
    const foreign = function* (): Generator<Case> {
      for (const path of filesOf(image)) {
        const [early] = subject.earlier;
        for (const [what, other] of Object.entries({ twin: twin.images.killed, early: early! })) {
          if (!filesOf(other).includes(path) || hasFile(image, path, other.readFile(path)))
            continue;
          yield { what: `of ${what}`, path, bytes: other.readFile(path) };
        }
      }
    };
    await damageAll(subject, foreign(), image, subject.durable);
  });

  test("chunks exchanged with each other and with those of another value", async () => {
    const image = subject.images.killed;
    const chunk = 65536;
    const tables = filesOf(image).flatMap((path) =>
      sectionsOf(image, path)
        .filter(({ what }) => what === "chunk table")
        .map(({ end }) => ({ path, values: end })),
    );
    const exchanged = function* (): Generator<Case> {
      for (const [i, { path, values }] of tables.entries()) {
        const whole = image.readFile(path);
        const other = tables[1 - i]!;
        const swapped = Buffer.from(whole);
        whole.copy(swapped, values, values + chunk, values + 2 * chunk);
        whole.copy(swapped, values + chunk, values, values + chunk);
        yield { what: "two chunks exchanged", path, bytes: swapped };
        const foreign = Buffer.from(whole);
        image.readFile(other.path).copy(foreign, values, other.values, other.values + chunk);
        yield { what: "a chunk of another value", path, bytes: foreign };
      }
    };
    const { length } = subject.writes;
    const { count, noticed } = await damageAll(subject, exchanged(), image, length);
    expect(noticed).toBe(count);
  });
});

/** Files that stand in the directory and are no part of the database. */
describe("what is not data", () => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await makeSubject(SHAPES["deflate"]!, 9);
  });

  test.each(IMAGES)("LOCK and BALLAST may hold anything, or be missing: %s", async (name) => {
    const image = subject.images[name];
    const contents: readonly (Buffer | undefined)[] = [
      undefined,
      Buffer.alloc(0),
      Buffer.alloc(3, 0xff),
      Buffer.alloc(3 << 20, 0x41),
      image.readFile(`${directory}/CURRENT`),
      Buffer.from('{"pid":1,"nonce":"x"}\n'),
    ];
    for (const file of ["LOCK", "BALLAST"]) {
      for (const content of contents) {
        const copy = image.processKill();
        const path = `${directory}/${file}`;
        if (content !== undefined) copy.writeFile(path, content);
        else if (copy.list(directory).includes(path)) copy.unlinkSync(path);
        const verdict = await judge(subject, copy, subject.writes.length);
        expect(verdict, `${file} of ${content?.length} bytes`).toEqual({
          isNoticed: false,
          isReported: false,
        });
      }
    }
  });

  test("a trace among the files, whole or damaged, is nobody's but its reader's", async () => {
    const fs = subject.images.closed.processKill();
    const path = `${directory}/000001.trace`;
    const components = { fs, runtime: simRuntime(3, { autoAdvance: true }) };
    const db = await AuraDB.open(directory, subject.settings, components);
    const trace = db.trace(path);
    // Alike, and so compressed: the block is stored as LZ4.
    for (let i = 0; i < 200; i++) db.getSync(`some key ${i}`);
    await trace.stop();
    await db.close();
    const whole = fs.readFile(path);
    const recordsOf = (image: SimFs): number | string => {
      try {
        const reader = readTrace(path, { fs: image });
        try {
          while (reader.next());
          return reader.number;
        } finally {
          reader.close();
        }
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(recordsOf(fs)).toBe(200);
    for (let at = 0; at < whole.length; at += MODE === "sample" ? 61 : 1) {
      if (!isOurs()) continue;
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 1 << (at % 8);
      for (const bytes of [flipped, whole.subarray(0, at)]) {
        const copy = fs.processKill();
        copy.writeFile(path, bytes);
        expect(recordsOf(copy), `at ${at}`).toBe("AURA_CORRUPTION");
        if (at % 5 > 0) continue;
        const verdict = await judge(subject, copy, subject.writes.length);
        expect(verdict, `at ${at}`).toEqual({ isNoticed: false, isReported: false });
        expect(copy.readFile(path).equals(bytes)).toBe(true);
      }
    }
    fs.unlinkSync(path);
  });
});
