/**
 * Whole databases as they were written once, in `golden/`: each opens, verifies, holds what it held, and
 * goes on. A file of a later version, or one that asks for what this build does not know, is refused
 * and left as it is.
 *
 * `AURA_GOLDEN=write` writes those that are missing, of a new version in a folder of their own; those that
 * are there stay as they are.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { FORMAT_VERSION, putU16, putU32, xxh32 } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { ABSENT, codecHere } from "./support/codecs-here.ts";
import {
  directory,
  type ImageName,
  makeSubject,
  SHAPES,
  type Subject,
  stateAfter,
} from "./support/damaged-world.ts";
import {
  makeSectionSubject,
  SECTION_SETTINGS,
  SECTIONS,
  sectionsOf,
} from "./support/section-world.ts";

const golden = new URL("./golden/", import.meta.url);
const isWriting = process.env["AURA_GOLDEN"] === "write";
const IMAGES: readonly ImageName[] = ["killed", "powerless", "closed"];
const EXPECTED = "expected.json";
/** Not part of a database's content; the next open makes them. */
const IS_LEFT_OUT = /\/(LOCK|BALLAST)$/;

/** Longer values are expected by their digest. */
const SHOWN_BYTES_MAX = 4096;

type Shown = string | { readonly bytes: number; readonly sha256: string };

interface Expected {
  readonly shape: string;
  /** Keys and values in latin1. */
  readonly entries: readonly (readonly [string, Shown])[];
}

function shown(value: Buffer): Shown {
  if (value.length <= SHOWN_BYTES_MAX) return value.toString("latin1");
  return { bytes: value.length, sha256: createHash("sha256").update(value).digest("hex") };
}

/** The shapes that are small enough for an image of each end; and the one with all sections, closed. */
const SETTINGS: Readonly<Record<string, Settings>> = { ...SHAPES, sections: SECTION_SETTINGS };
const FOLDERS: readonly { readonly shape: string; readonly image: ImageName }[] = [
  ...Object.keys(SHAPES).flatMap((shape) => IMAGES.map((image) => ({ shape, image }))),
  { shape: "sections", image: "closed" },
];

async function writeMissing(): Promise<void> {
  if (ABSENT.length > 0) throw new Error("what is written takes all codecs");
  let count = 0;
  for (const { shape, image } of FOLDERS) {
    const folder = new URL(`v${FORMAT_VERSION}/${shape}-${image}/`, golden);
    if (existsSync(folder)) continue;
    const subject: Subject =
      shape === "sections" ? await makeSectionSubject(9) : await makeSubject(SETTINGS[shape]!, 9);
    const { images, writes } = subject;
    mkdirSync(folder, { recursive: true });
    const fs = images[image];
    for (const path of fs.list(directory).filter((name) => !IS_LEFT_OUT.test(name))) {
      writeFileSync(new URL(basename(path), folder), fs.readFile(path));
    }
    const entries = [...stateAfter(writes, writes.length)]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, shown(Buffer.from(value, "latin1"))] as const);
    const expected: Expected = { shape, entries };
    writeFileSync(new URL(EXPECTED, folder), `${JSON.stringify(expected)}\n`);
    count++;
  }
  if (count === 0) throw new Error("this version is frozen");
}

beforeAll(async () => {
  if (isWriting) await writeMissing();
});

/** All golden databases, of all versions: "v0/deflate-killed". */
function names(): string[] {
  if (!existsSync(golden)) return [];
  return readdirSync(golden).flatMap((version) =>
    readdirSync(new URL(`${version}/`, golden)).map((name) => `${version}/${name}`),
  );
}

function load(name: string): { fs: SimFs; expected: Expected } {
  const folder = new URL(`${name}/`, golden);
  const fs = new SimFs();
  fs.makeDirectorySync(directory);
  for (const file of readdirSync(folder)) {
    if (file !== EXPECTED)
      fs.writeFile(`${directory}/${file}`, readFileSync(new URL(file, folder)));
  }
  fs.syncDirSync("/");
  fs.syncDirSync(directory);
  return { fs, expected: JSON.parse(readFileSync(new URL(EXPECTED, folder), "utf8")) as Expected };
}

const open = (fs: SimFs, settings: Settings): Promise<AuraDB> =>
  AuraDB.open(directory, settings, { fs, runtime: simRuntime(3) });

function contentOf(db: AuraDB): [string, Shown][] {
  return [...db.scanSync()].map(([key, value]) => [key.toString("latin1"), shown(value)]);
}

test("each way of ending and each shape is there, of this version", () => {
  const wanted = FOLDERS.map(({ shape, image }) => `v${FORMAT_VERSION}/${shape}-${image}`);
  expect(
    names()
      .filter((name) => name.startsWith(`v${FORMAT_VERSION}/`))
      .sort(),
  ).toEqual(wanted.sort());
});

test("those of this version have every section of the formats", () => {
  const sections = new Set<string>();
  for (const { shape } of FOLDERS) {
    const { fs } = load(`v${FORMAT_VERSION}/${shape}-closed`);
    for (const path of fs.list(directory)) {
      for (const { what, start, end } of sectionsOf(fs, path)) if (end > start) sections.add(what);
    }
  }
  expect([...sections].sort()).toEqual(SECTIONS);
});

const contents = (fs: SimFs): Map<string, string> =>
  new Map(
    fs
      .list(directory)
      .filter((path) => !IS_LEFT_OUT.test(path))
      .map((path) => [path, fs.readFile(path).toString("latin1")]),
  );

/**
 * Returns the settings of a shape. Where nothing compresses with its codec, they are refused, and
 * nothing changes; what the codec compressed before is read without it, under those that are returned.
 */
async function settingsHere(fs: SimFs, shape: string): Promise<Settings> {
  const settings = SETTINGS[shape]!;
  const codec = settings.table!.compression!;
  const compression = codecHere(codec);
  if (compression === codec) return settings;
  const before = contents(fs);
  await expect(open(fs, settings)).rejects.toMatchObject({
    code: "AURA_UNSUPPORTED",
    message: expect.stringContaining(`settings.table.compression: ${codec}`) as string,
  });
  expect(contents(fs)).toEqual(before);
  expect(fs.openPaths()).toEqual([]);
  return { ...settings, table: { ...settings.table, compression } };
}

describe.each(isWriting ? [] : names())("%s", (name) => {
  test("verifies, opens, holds what it held, and goes on", async () => {
    const { fs, expected } = load(name);
    const verify = async (): Promise<readonly string[]> =>
      (await AuraDB.verify(directory, { fs, runtime: simRuntime(3) })).problems;
    expect(await verify()).toEqual([]);
    const settings = await settingsHere(fs, expected.shape);
    const db = await open(fs, settings);
    expect(contentOf(db)).toEqual(expected.entries);
    for (const [key, value] of expected.entries) {
      const found = db.getSync(Buffer.from(key, "latin1"));
      expect(found === undefined ? found : shown(found)).toEqual(value);
    }
    db.putSync("written by", "this build");
    db.deleteSync(Buffer.from(expected.entries[0]![0], "latin1"));
    await db.compact();
    await db.close();
    expect(await verify()).toEqual([]);
    const again = await open(fs, settings);
    const wanted = [...expected.entries.slice(1), ["written by", "this build"]];
    expect(contentOf(again)).toEqual(wanted.sort(([a], [b]) => (a! < b! ? -1 : 1)));
    await again.close();
  });
});

/** Headers that are whole, and say what this build does not know. */
const LATER: Readonly<Record<string, (header: Buffer) => void>> = {
  "the next version": (header) => {
    header[5] = FORMAT_VERSION + 1;
  },
  "version 255": (header) => {
    header[5] = 255;
  },
  "a longer header": (header) => putU16(header, 6, 128),
  "the first feature bit": (header) => putU32(header, 8, 1),
  "the last feature bit": (header) => putU32(header, 8, 0x80000000),
  "a cipher": (header) => {
    header[42] = 1;
  },
  "frame trailers": (header) => {
    header[43] = 16;
  },
  "a key": (header) => putU32(header, 44, 7),
  "a field that is reserved": (header) => {
    header[48] = 1;
  },
  "a type that is not known": (header) => {
    header[4] = 99;
  },
};

describe.each(Object.keys(LATER))("a file with %s", (what) => {
  test.each(IMAGES)("is refused, and nothing changes: %s", async (image) => {
    const settings = SHAPES["deflate"]!;
    const { fs: whole, expected } = load(`v${FORMAT_VERSION}/deflate-${image}`);
    const kinds = new Set<string>();
    for (const path of whole.list(directory)) {
      const fs = whole.processKill();
      const bytes = Buffer.from(fs.readFile(path));
      LATER[what]!(bytes);
      putU32(bytes, 60, xxh32(bytes, 0, 60, 0));
      fs.writeFile(path, bytes);
      const before = contents(fs);
      const components = { fs, runtime: simRuntime(3) };
      const report = await AuraDB.verify(directory, components).catch((error: unknown) => error);
      if (report instanceof Error) expect(report).toMatchObject({ code: "AURA_UNSUPPORTED" });
      else expect((report as { problems: string[] }).problems, path).not.toEqual([]);
      let refused: unknown;
      try {
        const db = await AuraDB.open(directory, settings, components);
        // Tables and segments are opened when something of them is read.
        expect(path).toMatch(/\.(sst|seg|vlog)$/);
        try {
          contentOf(db);
        } catch (error) {
          refused = error;
        }
        await db.close().catch(() => undefined);
        expect(fs.readFile(path).equals(bytes), path).toBe(true);
      } catch (error) {
        refused = error;
        expect(contents(fs), path).toEqual(before);
      }
      expect(refused, path).toMatchObject({ code: "AURA_UNSUPPORTED" });
      expect(fs.openPaths()).toEqual([]);
      kinds.add(path.replace(/^.*[./]/, ""));
    }
    expect([...kinds].sort()).toEqual(["CURRENT", "manifest", "seg", "sst", "vlog", "wal"]);
    expect(expected.entries.length).toBeGreaterThan(100);
  });
});
