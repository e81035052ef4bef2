/**
 * What is fuzzed: every decoder of bytes that come from a disk. A target takes any bytes; it ends, or
 * throws a typed error. Seeds are files of small databases, which have every part of the formats.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Codec, compress, decodeFileHeader, decompress, FileType } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { AuraDB } from "@aura/engine";
import { readTrace } from "@aura/engine/trace";
import { ByteReader } from "../../packages/engine/src/byte-buffer.ts";
import { decodeEdit } from "../../packages/engine/src/edit-format.ts";
import { decodePreamble, encodePreamble } from "../../packages/engine/src/log-preamble.ts";
import { readManifest } from "../../packages/engine/src/manifest.ts";
import { OperationReader } from "../../packages/engine/src/operations.ts";
import { salvageManifest } from "../../packages/engine/src/salvage-manifest.ts";
import {
  directory,
  makeSubject,
  SHAPES,
  SHAPES_HERE,
  type Subject,
} from "../../packages/engine/test/support/damaged-world.ts";
import { learnedIndex } from "../../packages/learned-index/src/index.ts";
import { decodeModel } from "../../packages/learned-index/src/model-format.ts";
import { Table, TableHit } from "../../packages/sst/src/index.ts";
import { openFilter } from "../../packages/sst/src/key-filter.ts";
import { scanSegment } from "../../packages/vlog/src/index.ts";
import { readLog } from "../../packages/wal/src/index.ts";
import { mendHeader, mendLog, mendRecords, mendTable } from "./checksums.ts";
import { directoryTargets, homesOf, spreadHome } from "./directories.ts";
import { lockTarget, valuesTarget } from "./small-files.ts";
import { attempt, bounded, isTyped, type Target } from "./target.ts";

function fileOf(path: string, bytes: Uint8Array): SimFs {
  const fs = new SimFs();
  fs.writeFile(path, bytes);
  return fs;
}

function runLog(bytes: Uint8Array): void {
  const path = "/db/000007.wal";
  const log = readLog(fileOf(path, bytes), path);
  try {
    const operations = new OperationReader();
    bounded(() => {
      if (!log.next()) return false;
      operations.reset(log.bytes, log.coveredStart, log.coveredEnd, path, log.offset);
      try {
        bounded(() => operations.next());
      } catch (error) {
        if (!isTyped(error)) throw error;
      }
      return true;
    });
    log.scanOn();
    decodePreamble(new ByteReader(log.preamble, path, 0));
  } finally {
    log.closeSync();
  }
}

function runManifest(bytes: Uint8Array): void {
  const path = `${directory}/000001.manifest`;
  const fs = fileOf(path, bytes);
  if (bytes.length >= 64) {
    const current = bytes.slice(0, 64);
    current[4] = FileType.current;
    mendHeader(current);
    fs.writeFile(`${directory}/CURRENT`, current);
  }
  salvageManifest(fs, directory);
  readManifest(fs, directory);
}

function runSegment(bytes: Uint8Array): void {
  const path = "/db/000009.seg";
  const segment = scanSegment(fileOf(path, bytes), path);
  try {
    bounded(() => segment.next());
  } finally {
    segment.closeSync();
  }
}

/** `hashSeeds`: of the databases that the seeds are from; a table fits one of them. */
function runTable(bytes: Uint8Array, hashSeeds: readonly number[]): void {
  const path = "/db/000004.sst";
  const fs = fileOf(path, bytes);
  const { number, uid, databaseUuid } = decodeFileHeader(bytes, path);
  const indexFormats = [learnedIndex()];
  const options = { path, number, uid, databaseUuid, indexFormats };
  const open = (hashSeed: number): Table => Table.openSync(fs, { ...options, hashSeed });
  const table = firstOf(hashSeeds, open);
  try {
    const hit = new TableHit();
    for (const key of ["", "k0003", "v3", "zz"]) {
      const asked = Buffer.from(key);
      attempt(() => table.get(asked, 0, asked.length, 12345, Number.MAX_SAFE_INTEGER, hit, true));
    }
    const cursor = table.cursor({ mayRead: true });
    attempt(() => {
      cursor.first();
      bounded(() => {
        if (cursor.valid) cursor.next();
        return cursor.valid;
      });
    });
    attempt(() => {
      cursor.last();
      bounded(() => {
        if (cursor.valid) cursor.prev();
        return cursor.valid;
      });
    });
    attempt(() => cursor.seek(Buffer.from("k0100"), 0, 5));
    cursor.close();
    table.verifySync();
  } finally {
    table.closeSync();
  }
}

/** Returns what `open` gives for the first seed that it takes; throws its last refusal. */
function firstOf(seeds: readonly number[], open: (seed: number) => Table): Table {
  let refusal: unknown;
  for (const seed of seeds) {
    try {
      return open(seed);
    } catch (error) {
      if (!isTyped(error)) throw error;
      refusal = error;
    }
  }
  throw refusal;
}

/** `RangeError` is how a model says that it is none: its owner takes the separators then. */
function runModel(bytes: Uint8Array): void {
  try {
    const model = learnedIndex().decode(bytes, 40);
    for (const key of ["", "k0", "k0300", "\xff\xff\xff"]) {
      const asked = Buffer.from(key, "latin1");
      model.locate(asked, 0, asked.length);
    }
    decodeModel(bytes, 40);
  } catch (error) {
    if (!(error instanceof RangeError) && !isTyped(error)) throw error;
  }
}

function runFilter(bytes: Uint8Array): void {
  const filter = openFilter(bytes, "file", 0);
  for (const hash of [0, 1, 0x7fffffff, 0xffffffff]) filter.has(hash);
}

/** First byte: codec. Then two bytes of raw length. The rest is packed, its half the dictionary. */
function runCodec(bytes: Uint8Array): void {
  if (bytes.length < 3) return;
  const raw = (bytes[1]! | (bytes[2]! << 8)) * (bytes[0]! & 0x80 ? 70_000 : 1);
  const codec = bytes[0]! & 7;
  const packed = bytes.subarray(3);
  const isLong = (bytes[0]! & 0x40) !== 0 && codec === Codec.zstd && packed.length > 40;
  const dictionary = isLong ? packed.subarray(packed.length >> 1) : undefined;
  decompress(codec, packed, raw, dictionary);
}

/** What other programs compressed: all codecs, whatever can be compressed here. */
function codecSeeds(): Uint8Array[] {
  const file = new URL("../../packages/base/test/fixtures/codec-vectors.json", import.meta.url);
  const vectors = JSON.parse(readFileSync(fileURLToPath(file), "utf8")) as {
    readonly codec: keyof typeof Codec;
    readonly raw: string;
    readonly stored: string;
    readonly dictionary?: string;
  }[];
  const raw = Buffer.from("some text that repeats, some text that repeats. ".repeat(20));
  const seed = (codec: number, rawBytes: number, packed: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from([codec, rawBytes & 255, rawBytes >> 8]), packed]);
  return [
    seed(Codec.none, raw.length, raw),
    ...vectors.flatMap(({ codec, raw: text, stored, dictionary }) => {
      const { length } = Buffer.from(text, "base64");
      if (dictionary !== undefined) return [];
      return [seed(Codec[codec], length, Buffer.from(stored, "base64"))];
    }),
    ...[Codec.lz4, Codec.snappy, Codec.zstd, Codec.deflate].flatMap((codec) => {
      const packed = compress(codec, raw);
      return packed === undefined ? [] : [seed(codec, raw.length, packed)];
    }),
  ];
}

async function traceSeeds(): Promise<Uint8Array[]> {
  const fs = new SimFs();
  const db = await AuraDB.open(directory, { seed: 1 }, { fs, runtime: simRuntime(1) });
  const trace = db.trace("/trace");
  for (let i = 0; i < 40; i++) {
    db.putSync(`k${i}`, "v".repeat(i));
    db.getSync(`k${i * 2}`);
  }
  db.deleteRangeSync({ gte: "k1", lt: "k3" });
  for (const _ of db.scanSync({ prefix: "k", reverse: true }));
  const cursor = db.cursor();
  cursor.seekSync("k5");
  cursor.close();
  await trace.stop();
  await db.close();
  return [fs.readFile("/trace")];
}

function runTrace(bytes: Uint8Array): void {
  const path = "/trace";
  const trace = readTrace(path, { fs: fileOf(path, bytes), partial: true });
  try {
    bounded(() => trace.next());
  } finally {
    trace.close();
  }
}

function seedsOf(subjects: readonly Subject[], kind: string): Uint8Array[] {
  return subjects.flatMap(({ images }) =>
    images.killed
      .list(directory)
      .filter((path) => path.endsWith(kind))
      .map((path) => images.killed.readFile(path)),
  );
}

/** A section of each table: `index` counts as in the footer. */
function sectionsOf(tables: readonly Uint8Array[], index: number): Uint8Array[] {
  return tables.flatMap((table) => {
    const bytes = Buffer.from(table);
    const at = bytes.length - 92 + index * 12;
    const start = bytes.readUIntLE(at, 6);
    const length = bytes.readUIntLE(at + 6, 6);
    return length < 6 ? [] : [bytes.subarray(start, start + length - 5)];
  });
}

/** The payloads of a log's frames, without what `skip` bytes begin them. */
function payloadsOf(logs: readonly Uint8Array[], skip: number): Uint8Array[] {
  return logs.flatMap((bytes) => {
    const path = "/log/000001.wal";
    const log = readLog(fileOf(path, bytes), path);
    const payloads: Uint8Array[] = [];
    while (log.next()) {
      if (log.count > 0) payloads.push(log.bytes.slice(log.coveredStart + skip, log.coveredEnd));
    }
    log.closeSync();
    return payloads;
  });
}

const nothing = (): void => undefined;

/** Returns all targets. */
export async function makeTargets(): Promise<Target[]> {
  const subjects = await Promise.all(
    SHAPES_HERE.map((shape, i) => makeSubject(SHAPES[shape]!, 20 + i)),
  );
  const hashSeeds = subjects.map(
    ({ images }) => readManifest(images.killed, directory)!.identity.hashSeed,
  );
  const wal = seedsOf(subjects, ".wal");
  const vlog = seedsOf(subjects, ".vlog");
  const manifests = seedsOf(subjects, ".manifest");
  const tables = seedsOf(subjects, ".sst");
  const preamble = encodePreamble({
    createdAtSeq: 300,
    bootId: "boot",
    predecessor: { number: 5, bytes: 200, lastSeq: 299, checksum: 7 },
    voids: [{ first: 7, last: 8 }],
    poisoned: [{ number: 5, validBytes: 130 }],
    valuesAlone: true,
  });
  const operations = (bytes: Uint8Array): void => {
    const reader = new OperationReader();
    reader.reset(bytes, 0, bytes.length, "log", 0);
    bounded(() => reader.next());
  };
  return [
    { name: "log", seeds: [...wal, ...vlog], mend: (b) => mendLog(b, false), run: runLog },
    { name: "manifest", seeds: manifests, mend: (b) => mendLog(b, true), run: runManifest },
    {
      name: "segment",
      seeds: seedsOf(subjects, ".seg"),
      mend: (b) => mendRecords(b, 64, b.length, mendHeader(b)),
      run: runSegment,
    },
    { name: "table", seeds: tables, mend: mendTable, run: (b) => runTable(b, hashSeeds) },
    {
      name: "file header",
      seeds: seedsOf(subjects, "CURRENT"),
      mend: mendHeader,
      run: (b) => void decodeFileHeader(b, "file"),
    },
    { name: "operations", seeds: payloadsOf([...wal, ...vlog], 0), mend: nothing, run: operations },
    {
      name: "edit",
      seeds: payloadsOf(manifests, 5),
      mend: nothing,
      run: (b) => void decodeEdit(new ByteReader(b, "m", 0)),
    },
    {
      name: "preamble",
      seeds: [preamble],
      mend: nothing,
      run: (b) => void decodePreamble(new ByteReader(b, "log", 0)),
    },
    { name: "filter", seeds: sectionsOf(tables, 3), mend: nothing, run: runFilter },
    { name: "model", seeds: modelSeeds(tables), mend: nothing, run: runModel },
    { name: "codecs", seeds: codecSeeds(), mend: nothing, run: runCodec },
    { name: "trace", seeds: await traceSeeds(), mend: (b) => mendLog(b, false), run: runTrace },
    valuesTarget(seedsOf(subjects, ".seg")),
    lockTarget(),
    ...directoryTargets(homesOf(subjects, await spreadHome())),
  ];
}

/** Models are rare in small tables: one is built as well. */
function modelSeeds(tables: readonly Uint8Array[]): Uint8Array[] {
  const builder = learnedIndex().builder();
  for (let i = 0; i < 40; i++) {
    builder.add(i === 0 ? Buffer.alloc(0) : Buffer.from(`key/${String(i * 37).padStart(6, "0")}`));
  }
  const built = builder.finish();
  return [...sectionsOf(tables, 2), ...(built === undefined ? [] : [built])];
}
