/**
 * A database whose files have every section of the formats that a small one lacks: a table with a learned
 * model and a dictionary, tables of LZ4, of Snappy and of plain blocks, values that are hashed in chunks, in a
 * sealed value log and in a log that recovery reads. And where in a file each section stands.
 */
import { SimFs, simRuntime } from "@aura/base/testing";
import { FRAME_HEADER_BYTES, readLog } from "@aura/wal";
import { AuraDB, type Settings } from "../../src/index.ts";
import { ABSENT, codecHere } from "./codecs-here.ts";
import { directory, LONG_BYTES, latin, type Subject, text, type Write } from "./damaged-world.ts";

const base: Settings = {
  seed: 7,
  valueLog: { separationThreshold: 200 },
  memtable: { maxSize: 1 << 20 },
  learnedIndex: { modelType: "piecewise-linear" },
  compaction: { automatic: false },
  cache: { capacity: 0 },
};

const table = { blockSize: 512, prefixBytes: 2, filter: "ribbon" } as const;

/** The settings of four processes, one after the other. */
const SESSIONS: readonly Settings[] = [
  {
    ...base,
    valueLog: { ...base.valueLog, compression: codecHere("lz4") },
    table: { ...table, compression: codecHere("zstd"), dictionaryBytes: 512 },
  },
  { ...base, table: { ...table, compression: codecHere("lz4") } },
  { ...base, table: { ...table, compression: codecHere("snappy"), filter: "bloom" } },
  { ...base, table: { ...table, compression: "none" } },
];

/** Those of the subject: the last ones. */
export const SECTION_SETTINGS: Settings = SESSIONS.at(-1)!;

const KEY_COUNT = 1000;

const name = (i: number): string => `r${String(i * 7).padStart(5, "0")}`;

/** What many rows have, and few of a block: a dictionary knows them. */
const WORDS: readonly string[] = Array.from({ length: 24 }, (_, i) =>
  ((i + 1) * 0x9e3779b1 * 40503).toString(36).slice(0, 11),
);

function row(i: number, stamp: string): string {
  const word = (by: number): string => WORDS[(i * by + (i >> 3)) % WORDS.length]!;
  return `${stamp} ${i} ${word(5)} ${word(7)} ${word(11)}`;
}

/** No chunk of it is like another. */
function long(stamp: string): string {
  let lines = "";
  for (let i = 0; lines.length < LONG_BYTES; i++) lines += `${stamp} line ${i}\n`;
  return lines.slice(0, LONG_BYTES);
}

/** What is flushed: the first two parts by the first process, and one by each other. */
function planned(): Write[][] {
  const first: Write[] = [];
  for (let i = 0; i < KEY_COUNT; i++) first.push({ key: name(i), value: row(i, "first") });
  first.push({ key: "v short", value: text("separated", 300) });
  const again: Write[] = [];
  for (let i = 0; i < KEY_COUNT; i += 9) again.push({ key: name(i), value: row(i, "again") });
  const lz4: Write[] = [{ key: "v long", value: long("sealed") }];
  for (let i = 5; i < 205; i += 2) lz4.push({ key: name(i), value: row(i, "lz4") });
  lz4.push({ from: name(300), to: name(320) }, { key: name(310), value: row(310, "back") });
  const snappy: Write[] = [{ key: "v short", value: text("newer", 310) }];
  for (let i = 600; i < 700; i += 2) snappy.push({ key: name(i), value: row(i, "snappy") });
  for (let i = 400; i < 410; i++) snappy.push({ key: name(i), value: undefined });
  snappy.push({ from: name(800), to: name(803) });
  const plain: Write[] = [];
  for (let i = 900; i < 960; i += 2) plain.push({ key: name(i), value: row(i, "plain") });
  return [first, again, lz4, snappy, plain];
}

/** What stands in the logs only: synced, and not synced. */
const SYNCED: readonly Write[] = [
  { key: "v logged", value: long("logged") },
  { key: name(1), value: "synced" },
  { key: name(2), value: undefined },
];
const LAST: readonly Write[] = [
  { key: name(3), value: "not synced" },
  { key: "z", value: "last" },
];

/** Makes the database. Another `uuidSeed` makes a twin that differs in its uids only. */
export async function makeSectionSubject(uuidSeed: number): Promise<Subject> {
  const fs = new SimFs();
  const runtime = simRuntime(uuidSeed);
  const open = (i: number): Promise<AuraDB> =>
    AuraDB.open(directory, SESSIONS[i]!, { fs, runtime });
  const apply = async (db: AuraDB, writes: readonly Write[]): Promise<void> => {
    for (const write of writes) {
      if ("from" in write) await db.deleteRange({ gte: latin(write.from), lt: latin(write.to) });
      else if (write.value === undefined) await db.delete(latin(write.key));
      else await db.put(latin(write.key), latin(write.value));
    }
  };
  const flushed = planned();
  let db = await open(0);
  for (const [i, writes] of flushed.entries()) {
    if (i > 1) {
      await db.close();
      db = await open(i - 1);
    }
    await apply(db, writes);
    await db.flush();
    if (i === 1) await db.compact();
    await db.idle();
  }
  const earlier = [fs.crash({ data: "all", names: "all" })];
  await apply(db, SYNCED);
  await db.sync();
  await apply(db, LAST);
  const killed = fs.processKill();
  const powerless = fs.crash({ data: "all", names: "all" });
  await db.close();
  const writes = [...flushed.flat(), ...SYNCED, ...LAST];
  // One key of about each block: scans read them all.
  const keys = new Set(["never", "r00001x", "v short", "v long", "v logged", "z"]);
  for (let i = 0; i < KEY_COUNT; i += i % 100 === 0 ? 1 : 9) keys.add(name(i));
  return {
    settings: SECTION_SETTINGS,
    writes,
    durable: writes.length - LAST.length,
    keys: [...keys].sort(),
    longKeys: ["v long", "v logged"],
    images: { killed, powerless, closed: fs },
    earlier,
  };
}

/** A part of a file. */
export interface FileSection {
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

/** What tables and value logs of all shapes together have: every section of the formats. Sorted. */
export const SECTIONS: readonly string[] = [
  "block map",
  "block, deflate",
  "block, lz4",
  "block, none",
  "block, snappy",
  "block, zstd",
  "block, zstd with dictionary",
  "chunk table",
  "dictionary",
  "filter, bloom",
  "filter, ribbon",
  "footer",
  "head of a chunked record",
  "header",
  "index name",
  "largest key",
  "model",
  "properties",
  "ranges",
  "separators",
  "smallest key",
];

/** Returns those that this run can make, and says which it cannot: what only absent codecs make. */
export function madeHere(sections: readonly string[]): string[] {
  const isMade = (what: string): boolean =>
    !ABSENT.some(
      (codec) => what.startsWith(`block, ${codec}`) || (codec === "zstd" && what === "dictionary"),
    );
  const others = sections.filter((what) => !isMade(what));
  if (others.length > 0) {
    process.stderr.write(
      `\n*** SKIPPED: no codec here makes them; NOT tested: ${others.join("; ")} ***\n\n`,
    );
  }
  return sections.filter(isMade);
}

const FOOTER_BYTES = 92;
const HEADER_BYTES = 64;
const FOOTER_SECTIONS = ["separators", "block map", "model", "filter", "ranges", "properties"];
const CODECS: Readonly<Record<number, string>> = {
  0: "none",
  1: "lz4",
  2: "snappy",
  3: "zstd",
  4: "deflate",
  131: "zstd with dictionary",
};

const FILTERS: Readonly<Record<number, string>> = { 1: "bloom", 2: "ribbon" };

/** Reads a varint; returns it and where the next one begins. */
function varint(bytes: Buffer, at: number): [number, number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, at];
  }
}

/** The sections of a table (docs/formats/sst.md); those that are absent are left out. */
function tableSections(bytes: Buffer): FileSection[] {
  const footer = bytes.length - FOOTER_BYTES;
  const sections: FileSection[] = [
    { what: "header", start: 0, end: HEADER_BYTES },
    { what: "footer", start: footer, end: bytes.length },
  ];
  for (const [i, what] of FOOTER_SECTIONS.entries()) {
    const start = bytes.readUIntLE(footer + i * 12, 6);
    const length = bytes.readUIntLE(footer + i * 12 + 6, 6);
    if (length === 0) continue;
    const kind = what === "filter" ? `filter, ${FILTERS[bytes[start]!]}` : what;
    sections.push({ what: kind, start, end: start + length });
  }
  const of = (what: string): FileSection => sections.find((section) => section.what === what)!;
  let at = of("properties").start;
  for (let i = 0; i < 10; i++) at = varint(bytes, at)[1];
  for (const what of ["smallest key", "largest key", "index name", "dictionary"]) {
    const [length, start] = varint(bytes, at);
    if (length > 0) sections.push({ what, start, end: start + length });
    at = start + length;
  }
  let map = of("block map").start;
  let block = HEADER_BYTES;
  for (let i = 0; i < bytes.readUInt32LE(footer + 72); i++) {
    const [length, next] = varint(bytes, map);
    map = next;
    const codec = bytes[block + length - 5]!;
    sections.push({ what: `block, ${CODECS[codec]}`, start: block, end: block + length });
    block += length;
  }
  return sections;
}

/** The records of a value log that have a chunk table: head with key, and table (docs/formats/vlog.md). */
function chunkedRecords(fs: SimFs, path: string): FileSection[] {
  const sections: FileSection[] = [];
  const bytes = fs.readFile(path);
  const log = readLog(fs, path);
  try {
    while (log.next()) {
      const attached = log.offset + FRAME_HEADER_BYTES;
      let at = attached + (log.attachedStart - log.coveredStart);
      const end = attached + (log.attachedEnd - log.coveredStart);
      while (at < end) {
        const stored = bytes.readUInt32LE(at + 4);
        const chunks = stored > 256 * 1024 ? Math.ceil(stored / 65536) : 0;
        const table = at + 32 + bytes.readUInt16LE(at + 24);
        const values = table + 4 * chunks;
        if (chunks > 0) {
          sections.push({ what: "head of a chunked record", start: at, end: table });
          sections.push({ what: "chunk table", start: table, end: values });
        }
        at = values + stored;
      }
    }
  } finally {
    log.closeSync();
  }
  return sections;
}

/** The sections of a file that are told apart: of a table all, of a value log the chunked records. */
export function sectionsOf(fs: SimFs, path: string): FileSection[] {
  if (path.endsWith(".sst")) return tableSections(fs.readFile(path));
  return path.endsWith(".vlog") ? chunkedRecords(fs, path) : [];
}
