/**
 * Counts again what the manifest says of segments: walks the tables that it lists, entry by entry, and
 * compares. referenced = total - dead, for each segment and each table, and every segment's file is
 * there. Tables never change: each is walked once.
 */
import type { FileSystem } from "@aura/base";
import { Kind } from "@aura/base";
import { PointerReader, recordBytes } from "@aura/vlog";
import { filePath } from "../../src/file-names.ts";
import { readManifest } from "../../src/manifest.ts";
import { RunCursor } from "../../src/run-cursor.ts";
import { TableStore } from "../../src/table-store.ts";
import type { TableMeta } from "../../src/version.ts";

type Sums = Map<number, { count: number; bytes: number }>;

/** Walks the tables of one directory. */
export class Recount {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #walked = new Map<string, Sums>();
  /** What the last `check` met: the test that something was counted. */
  records = 0;

  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs;
    this.#directory = directory;
  }

  /** Throws when the books do not agree with the tables. */
  check(): void {
    const state = readManifest(this.#fs, this.#directory);
    if (state === undefined) return;
    const { version, identity } = state;
    const store = new TableStore({
      fs: this.#fs,
      directory: this.#directory,
      identity,
      maxOpenFiles: 16,
      cacheBytes: 0,
    });
    const referenced: Sums = new Map();
    this.records = 0;
    try {
      for (const table of version.tables()) {
        const sums = this.#sumsOf(store, table);
        for (const [segment, { count, bytes }] of sums) {
          add(referenced, segment, count, bytes);
          this.records += count;
        }
        for (const { segment, count, bytes } of table.references) {
          expectSame(`table ${table.number}, segment ${segment}`, sums.get(segment), count, bytes);
        }
        if (sums.size !== table.references.length) {
          throw new Error(`table ${table.number} refers to more segments than it declares`);
        }
      }
    } finally {
      store.closeAll();
    }
    for (const segment of version.segments.values()) {
      const { number, kind, totalCount, deadCount, totalBytes, deadBytes } = segment;
      const found = referenced.get(number);
      expectSame(`segment ${number}`, found, totalCount - deadCount, totalBytes - deadBytes);
      referenced.delete(number);
      if (found !== undefined && !this.#fs.existsSync(filePath(this.#directory, number, kind))) {
        throw new Error(`segment ${number} is referred to and gone`);
      }
    }
    if (referenced.size > 0) throw new Error(`segments ${[...referenced.keys()]} are not known`);
  }

  #sumsOf(store: TableStore, table: TableMeta): Sums {
    const id = `${table.number}/${table.uid.hi}/${table.uid.lo}`;
    let sums = this.#walked.get(id);
    if (sums !== undefined) return sums;
    sums = new Map();
    const pointer = new PointerReader();
    const cursor = new RunCursor(
      [table],
      (meta) => store.hold(meta),
      { mayRead: true },
      (meta) => store.release(meta),
    );
    for (cursor.first(); cursor.valid; cursor.next()) {
      if (cursor.tag !== Kind.pointer) continue;
      pointer.read(cursor.valueBytes, cursor.valueStart, cursor.valueEnd);
      add(sums, pointer.file, 1, recordBytes(cursor.keyEnd - cursor.keyStart, pointer.stored));
    }
    cursor.close();
    this.#walked.set(id, sums);
    return sums;
  }
}

function add(sums: Sums, segment: number, count: number, bytes: number): void {
  const sum = sums.get(segment) ?? { count: 0, bytes: 0 };
  sum.count += count;
  sum.bytes += bytes;
  sums.set(segment, sum);
}

function expectSame(
  what: string,
  found: { count: number; bytes: number } | undefined,
  count: number,
  bytes: number,
): void {
  if ((found?.count ?? 0) === count && (found?.bytes ?? 0) === bytes) return;
  const counted = `${found?.count ?? 0} records, ${found?.bytes ?? 0} bytes`;
  throw new Error(`${what}: ${counted} are referred to, the manifest says ${count}, ${bytes}`);
}
