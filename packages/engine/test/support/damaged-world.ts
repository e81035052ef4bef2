/**
 * A small database with every kind of file, images of it, and the judgement of a damaged one: what
 * it may answer, and what it may not.
 */
import type { FileHandle, FileLock, FileSystem } from "@aura/base";
import { Codec, canCompress } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { AuraDB, type Settings } from "../../src/index.ts";

export const directory = "/db";

/**
 * What is put into tables, and how: two ways. What takes more keys, longer values or other codecs than
 * these have is in section-world.ts.
 */
export const SHAPES: Readonly<Record<string, Settings>> = {
  deflate: {
    seed: 5,
    valueLog: { separationThreshold: 100, compression: "deflate" },
    memtable: { maxSize: 262144 },
    table: { blockSize: 512, compression: "deflate", filter: "ribbon", prefixBytes: 2 },
    compaction: { automatic: false },
    cache: { capacity: 0 },
  },
  zstd: {
    seed: 6,
    valueLog: { separationThreshold: 100 },
    memtable: { maxSize: 262144 },
    table: { blockSize: 512, compression: "zstd", dictionaryBytes: 512, filter: "bloom" },
    learnedIndex: { modelType: "radix-spline" },
    compaction: { automatic: false },
    cache: { capacity: 0 },
  },
};

/** Names of the shapes that can be made here: Node 20 has no zstd of its own. */
export const SHAPES_HERE: readonly string[] = Object.keys(SHAPES).filter((shape) => {
  const { compression } = SHAPES[shape]!.table!;
  const isHere = compression !== "zstd" || canCompress(Codec.zstd);
  if (!isHere) {
    process.stderr.write(`\n*** SKIPPED: no zstd here; the shape "${shape}" is NOT tested ***\n\n`);
  }
  return isHere;
});

/** One write: key and value, a value of undefined deletes; or a range that is deleted. */
export type Write =
  | { readonly key: string; readonly value: string | undefined }
  | { readonly from: string; readonly to: string };

export type ImageName = "killed" | "powerless" | "closed";

/** A database at its end, and how it came there. */
export interface Subject {
  readonly settings: Settings;
  readonly writes: readonly Write[];
  /** The first so many writes were synced. */
  readonly durable: number;
  /** All keys that were ever written, and some that never were. */
  readonly keys: readonly string[];
  /** Keys whose values are read in parts as well. */
  readonly longKeys?: readonly string[];
  readonly images: Readonly<Record<ImageName, SimFs>>;
  /** Earlier moments of the same database. */
  readonly earlier: readonly SimFs[];
}

const name = (i: number): string => `k${String(i * 3).padStart(4, "0")}`;
export const text = (stamp: string, length: number): string =>
  `${stamp} ${"abcdefghij".repeat(Math.ceil(length / 10))}`.slice(0, length);

function planned(): Write[][] {
  const phases: Write[][] = [[], [], [], [], []];
  for (let i = 0; i < 150; i++)
    phases[0]!.push({ key: name(i), value: text(`a${i}`, 5 + (i % 40)) });
  for (let i = 0; i < 12; i++) phases[0]!.push({ key: `v${i}`, value: text(`big a${i}`, 160 + i) });
  for (let i = 0; i < 60; i++) phases[1]!.push({ key: name(i * 3), value: text(`b${i}`, 12) });
  for (let i = 0; i < 8; i++) phases[1]!.push({ key: `v${i * 2}`, value: text(`big b${i}`, 190) });
  phases[2]!.push({ from: name(20), to: name(28) }, { key: name(24), value: "again" });
  for (let i = 40; i < 60; i++) phases[2]!.push({ key: name(i), value: undefined });
  phases[2]!.push({ key: "", value: "empty key" }, { key: "\xff\xff", value: "" });
  // In the logs only: synced, and not synced.
  phases[3]!.push({ key: "log a", value: "synced" }, { key: "v3", value: text("log big", 220) });
  phases[3]!.push({ key: name(1), value: undefined }, { from: name(60), to: name(64) });
  phases[4]!.push({ key: "log b", value: "not synced" }, { key: "v5", value: text("last", 150) });
  phases[4]!.push({ key: name(70), value: "last" });
  return phases;
}

/** Makes the database. Another `uuidSeed` makes a twin that differs in its uids only. */
export async function makeSubject(settings: Settings, uuidSeed: number): Promise<Subject> {
  const fs = new SimFs();
  const runtime = simRuntime(uuidSeed);
  const db = await AuraDB.open(directory, settings, { fs, runtime });
  const phases = planned();
  const earlier: SimFs[] = [];
  const apply = async (writes: readonly Write[]): Promise<void> => {
    for (const write of writes) {
      if ("from" in write) await db.deleteRange({ gte: latin(write.from), lt: latin(write.to) });
      else if (write.value === undefined) await db.delete(latin(write.key));
      else await db.put(latin(write.key), latin(write.value));
    }
  };
  await apply(phases[0]!);
  await db.flush();
  await apply(phases[1]!);
  await db.flush();
  await db.compact();
  await db.idle();
  earlier.push(fs.crash({ data: "all", names: "all" }));
  await apply(phases[2]!);
  await db.flush();
  await db.idle();
  earlier.push(fs.crash({ data: "all", names: "all" }));
  await apply(phases[3]!);
  await db.sync();
  earlier.push(fs.crash({ data: "all", names: "all" }));
  await apply(phases[4]!);
  const killed = fs.processKill();
  const powerless = fs.crash({ data: "all", names: "all" });
  await db.close();
  const writes = phases.flat();
  const keys = new Set(["never", "k0000x", "\0"]);
  for (const write of writes) if ("key" in write) keys.add(write.key);
  return {
    settings,
    writes,
    durable: writes.length - phases[4]!.length,
    keys: [...keys].sort(),
    images: { killed, powerless, closed: fs },
    earlier,
  };
}

export const latin = (value: string): Buffer => Buffer.from(value, "latin1");

type State = ReadonlyMap<string, string>;

const states = new WeakMap<readonly Write[], Map<number, State>>();

/** The state behind the first `count` writes. */
export function stateAfter(writes: readonly Write[], count: number): State {
  const known = states.get(writes) ?? new Map<number, State>();
  states.set(writes, known);
  const found = known.get(count);
  if (found !== undefined) return found;
  const state = new Map<string, string>();
  for (const write of writes.slice(0, count)) {
    if ("from" in write) {
      for (const key of [...state.keys()]) {
        if (key >= write.from && key < write.to) state.delete(key);
      }
    } else if (write.value === undefined) state.delete(write.key);
    else state.set(write.key, write.value);
  }
  known.set(count, state);
  return state;
}

/** Longest read into memory beyond the size of the file: windows read ahead, never by a length. */
const READ_SLACK_BYTES = 2 << 20;

/** Passes calls on and notes the largest buffer that a read filled from too small a file. */
class ReadBounds implements FileSystem {
  readonly #inner: SimFs;
  excess: string | undefined;

  constructor(inner: SimFs) {
    this.#inner = inner;
  }

  openSync(path: string, mode: "read" | "create"): FileHandle {
    const inner = this.#inner.openSync(path, mode);
    const note = (target: Uint8Array): void => {
      if (target.length <= inner.sizeSync() + READ_SLACK_BYTES) return;
      this.excess = `${path}: a read of ${target.length} bytes of ${inner.sizeSync()}`;
    };
    return {
      path: inner.path,
      token: inner.token,
      readSync: (target, position) => {
        note(target);
        return inner.readSync(target, position);
      },
      read: (target, position) => {
        note(target);
        return inner.read(target, position);
      },
      writeSync: (bytes, position) => inner.writeSync(bytes, position),
      write: (bytes, position) => inner.write(bytes, position),
      writevSync: (parts, position) => inner.writevSync(parts, position),
      writev: (parts, position) => inner.writev(parts, position),
      syncSync: () => inner.syncSync(),
      sync: () => inner.sync(),
      truncateSync: (bytes) => inner.truncateSync(bytes),
      sizeSync: () => inner.sizeSync(),
      closeSync: () => inner.closeSync(),
    };
  }
  existsSync = (path: string): boolean => this.#inner.existsSync(path);
  fileBytesSync = (path: string): number => this.#inner.fileBytesSync(path);
  listSync = (path: string): string[] => this.#inner.listSync(path);
  makeDirectorySync = (path: string): void => this.#inner.makeDirectorySync(path);
  removeDirectorySync = (path: string): void => this.#inner.removeDirectorySync(path);
  renameSync = (from: string, to: string): void => this.#inner.renameSync(from, to);
  linkSync = (from: string, to: string): void => this.#inner.linkSync(from, to);
  unlinkSync = (path: string): void => this.#inner.unlinkSync(path);
  syncDirSync = (path: string): void => this.#inner.syncDirSync(path);
  syncDir = (path: string): Promise<void> => this.#inner.syncDir(path);
  syncTokenSync = (token: number): void => this.#inner.syncTokenSync(token);
  freeBytesSync = (path: string): number => this.#inner.freeBytesSync(path);
  lock = (path: string, owner: string): Promise<FileLock> => this.#inner.lock(path, owner);
  bootId = (): string => this.#inner.bootId();
}

/** What became of a damaged image. */
export interface Verdict {
  /** The open failed, or at least one read did, with a typed error. */
  readonly isNoticed: boolean;
  /** `verify` says that something is wrong. */
  readonly isReported?: boolean;
  /** What must not be: a sentence. */
  readonly wrong?: string;
}

const TYPED = new Set(["AURA_CORRUPTION", "AURA_UNSUPPORTED", "AURA_NOT_FOUND"]);

function isTyped(error: unknown): boolean {
  return TYPED.has((error as { code?: string }).code ?? "");
}

function contentsOf(fs: SimFs): Map<string, Buffer> {
  const files = fs.list(directory).filter((path) => !path.endsWith("/LOCK"));
  return new Map(files.map((path) => [path, fs.readFile(path)]));
}

function isUnchanged(fs: SimFs, before: ReadonlyMap<string, Buffer>): boolean {
  const after = contentsOf(fs);
  if (after.size !== before.size) return false;
  return [...after].every(([path, bytes]) => before.get(path)?.equals(bytes) === true);
}

/**
 * Opens and reads a damaged image in every way. Each answer is right for one history of at least
 * `least` writes, or a typed error; a refused open changes nothing; `verify` sees what reads saw.
 */
export async function judge(subject: Subject, image: SimFs, least: number): Promise<Verdict> {
  const problems = await verifyProblems(image.processKill());
  if (typeof problems === "string") return { isNoticed: false, wrong: problems };
  return { isReported: problems > 0, ...(await judgeReads(subject, image, least, problems)) };
}

async function judgeReads(
  subject: Subject,
  image: SimFs,
  least: number,
  problems: number,
): Promise<Verdict> {
  const fs = new ReadBounds(image);
  const before = contentsOf(image);
  let db: AuraDB;
  try {
    db = await AuraDB.open(directory, subject.settings, { fs, runtime: simRuntime(9) });
  } catch (error) {
    if (!isTyped(error)) return { isNoticed: false, wrong: `open: ${String(error)}` };
    if (image.openPaths().length > 0) return { isNoticed: true, wrong: "open left files open" };
    if (!isUnchanged(image, before)) return { isNoticed: true, wrong: "a refused open wrote" };
    if (problems === 0) return { isNoticed: true, wrong: `verify does not see: ${String(error)}` };
    return { isNoticed: true };
  }
  try {
    const reads = await readAll(db, subject);
    const wrong = fs.excess ?? reads.wrong ?? wrongness(subject, reads, least);
    if (wrong !== undefined) return { isNoticed: reads.errors > 0, wrong };
    if (reads.errors > 0 && problems === 0) {
      return { isNoticed: true, wrong: `verify does not see: ${reads.firstError}` };
    }
    return { isNoticed: reads.errors > 0 };
  } finally {
    await db.close().catch(() => undefined);
  }
}

/** Number of problems that verify reports; a sentence when it fails in any other way. */
async function verifyProblems(image: SimFs): Promise<number | string> {
  try {
    const { problems } = await AuraDB.verify(directory, { fs: image, runtime: simRuntime(9) });
    return image.openHandles > 0 ? "verify left files open" : problems.length;
  } catch (error) {
    if (image.openHandles > 0) return "verify left files open";
    return isTyped(error) ? 1 : `verify: ${String(error)}`;
  }
}

/** Length of long values: above 256 KiB, so that they are hashed in chunks, of which there are five. */
export const LONG_BYTES: number = 4 * 65536 + 4000;
/** Not the length of a chunk: most parts touch two. */
const PART_BYTES = 50_000;

interface Reads {
  /** What point reads gave, by key; keys whose read failed are missing. */
  readonly points: Map<string, string | undefined>;
  /** What reads of parts of values gave. */
  readonly parts: { readonly key: string; readonly offset: number; readonly part: string }[];
  /** What scans gave before they ended or failed, and whether they ended. */
  readonly scans: {
    readonly entries: readonly (readonly [string, string])[];
    isWhole: boolean;
    isReverse: boolean;
  }[];
  errors: number;
  firstError: string;
  wrong: string | undefined;
}

async function readAll(db: AuraDB, subject: Subject): Promise<Reads> {
  const reads: Reads = {
    points: new Map(),
    parts: [],
    scans: [],
    errors: 0,
    firstError: "",
    wrong: undefined,
  };
  const noteError = (what: string, error: unknown): void => {
    reads.errors++;
    if (reads.firstError === "") reads.firstError = `${what}: ${String(error)}`;
    if (!isTyped(error)) reads.wrong ??= `${what}: ${String((error as Error).stack)}`;
  };
  subject.keys.forEach((key) => {
    try {
      reads.points.set(key, db.getSync(latin(key))?.toString("latin1"));
    } catch (error) {
      noteError("get", error);
    }
  });
  for (const key of subject.longKeys ?? []) {
    for (let offset = 0; offset < LONG_BYTES; offset += PART_BYTES) {
      try {
        const part = db.readSync(latin(key), { offset, length: PART_BYTES });
        if (part !== undefined) reads.parts.push({ key, offset, part: part.toString("latin1") });
      } catch (error) {
        noteError("read", error);
      }
    }
  }
  for (const reverse of [false, true]) {
    const entries: [string, string][] = [];
    const scan = { entries, isWhole: false, isReverse: reverse };
    reads.scans.push(scan);
    try {
      for (const [key, value] of db.scanSync({ reverse })) {
        entries.push([key.toString("latin1"), value.toString("latin1")]);
      }
      scan.isWhole = true;
    } catch (error) {
      noteError("scan", error);
    }
  }
  return reads;
}

/** What is wrong with the reads, or undefined when one history explains them all. */
function wrongness({ writes }: Subject, reads: Reads, least: number): string | undefined {
  let last = "";
  for (let count = writes.length; count >= least; count--) {
    const wrong = differenceOf(stateAfter(writes, count), reads);
    if (wrong === undefined) return undefined;
    last ||= wrong;
  }
  return last;
}

function differenceOf(state: State, { points, parts, scans }: Reads): string | undefined {
  for (const [key, value] of points) {
    if (state.get(key) !== value) {
      return `get ${JSON.stringify(key)}: ${value?.slice(0, 20)} for ${state.get(key)?.slice(0, 20)}`;
    }
  }
  for (const { key, offset, part } of parts) {
    if (state.get(key)?.slice(offset, offset + PART_BYTES) !== part) {
      return `read ${JSON.stringify(key)}: a part at ${offset} is not that of the value`;
    }
  }
  const sorted = [...state].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const { entries, isWhole, isReverse } of scans) {
    const wanted = isReverse ? sorted.toReversed() : sorted;
    if (isWhole && entries.length !== wanted.length) {
      return `a scan of ${entries.length} entries instead of ${wanted.length}`;
    }
    const at = entries.findIndex(
      ([key, value], i) => wanted[i]?.[0] !== key || wanted[i]?.[1] !== value,
    );
    if (at >= 0) return `a scan gave ${JSON.stringify(entries[at]![0])} at ${at}`;
  }
  return undefined;
}

/** Merges what is there, and checks that nothing damaged was written on as sound. */
export async function judgeMerged(subject: Subject, image: SimFs, least: number): Promise<Verdict> {
  const components = { fs: image, runtime: simRuntime(9, { autoAdvance: true }) };
  let db: AuraDB;
  try {
    db = await AuraDB.open(directory, subject.settings, components);
  } catch (error) {
    return isTyped(error) ? { isNoticed: true } : { isNoticed: false, wrong: String(error) };
  }
  db.events.on("backgroundError", () => undefined);
  let isNoticed = false;
  try {
    await db.compact();
  } catch (error) {
    isNoticed = true;
    if (!isTyped(error)) return { isNoticed, wrong: `compact: ${String(error)}` };
  } finally {
    await db.close().catch(() => undefined);
  }
  const after = await judge(subject, image, least);
  return after.wrong === undefined ? { isNoticed } : { isNoticed, wrong: `merged: ${after.wrong}` };
}
