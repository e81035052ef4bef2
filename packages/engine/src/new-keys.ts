/**
 * Which separated values are of new keys: keys that neither a memtable nor a table held when the value
 * came. Such a value overwrites nothing, so its bytes are known to be alive before any merge
 * (value-gc.ts), and a load of new keys is not held back for garbage that it cannot contain.
 *
 * Only certainty counts. Filters say for certain that a key is absent; where a table has none, is
 * not open or cannot be opened, the key counts as an old one. What was dropped since, by a flush or a
 * merge, is taken off as if all of it had been new.
 */
import { compareBytes, hashKey, Kind, SEQ_MAX } from "@aura/base";
import type { MemtableReader } from "@aura/memtable";
import { PointerReader, recordBytes } from "@aura/vlog";
import type { MemtableEntry, Memtables } from "./memtables.ts";
import { ReadOrders } from "./read-order.ts";
import type { TableStore } from "./table-store.ts";
import { referencedBytes } from "./value-space.ts";
import type { TableMeta, Version } from "./version.ts";
import type { VersionSet } from "./version-set.ts";

const pointer = new PointerReader();

/** Tells new keys from old ones. */
export class NewKeys {
  readonly #memtables: Memtables;
  readonly #versions: Pick<VersionSet, "current">;
  readonly #tables: Pick<TableStore, "get" | "opened">;
  readonly #hashSeed: number;
  readonly #orders = new ReadOrders();
  /** Tables that were opened for this once. One that was closed since, for memory, stays so. */
  readonly #asked = new WeakSet<TableMeta>();

  constructor(
    memtables: Memtables,
    versions: Pick<VersionSet, "current">,
    tables: Pick<TableStore, "get" | "opened">,
    hashSeed: number,
  ) {
    this.#memtables = memtables;
    this.#versions = versions;
    this.#tables = tables;
    this.#hashSeed = hashSeed;
  }

  /** Whether bytes[start, end) is surely a key that no memtable and no table holds. */
  has(bytes: Uint8Array, start: number, end: number): boolean {
    const { active, sealed } = this.#memtables;
    if (active.table.find(bytes, start, end, SEQ_MAX)) return false;
    return isInNone(sealed, bytes, start, end) && this.isInNoTable(bytes, start, end);
  }

  /** Counts what recovery brought back, which knows no tables while it reads logs. */
  countRecovered(): void {
    const { active, sealed } = this.#memtables;
    for (const [at, memtable] of [...sealed, active].entries()) {
      if (memtable.valueBytes > 0)
        memtable.newKeyBytes = this.#newIn(memtable, sealed.slice(0, at));
    }
  }

  /** Returns the bytes of the oldest values of those keys of a memtable that nothing older holds. */
  #newIn({ table }: MemtableEntry, older: readonly MemtableEntry[]): number {
    const cursor = table.cursor();
    let bytes = 0;
    cursor.first();
    while (cursor.valid) {
      const { keyBytes, keyStart, keyEnd } = cursor;
      let oldest = 0;
      // The arena does not move, and versions of a key come new to old.
      do {
        const { valueBytes, valueStart, valueEnd } = cursor;
        const isApart =
          cursor.tag === Kind.pointer && pointer.read(valueBytes, valueStart, valueEnd);
        oldest = isApart ? recordBytes(keyEnd - keyStart, pointer.stored) : 0;
        cursor.next();
      } while (cursor.valid && isKeyOf(cursor, keyBytes, keyStart, keyEnd));
      if (oldest === 0 || !isInNone(older, keyBytes, keyStart, keyEnd)) continue;
      if (this.isInNoTable(keyBytes, keyStart, keyEnd)) bytes += oldest;
    }
    return bytes;
  }

  /** Whether bytes[start, end) is surely a key that no table holds. */
  isInNoTable(bytes: Uint8Array, start: number, end: number): boolean {
    const runs = this.#orders.of(this.#versions.current);
    if (runs.length === 0) return true;
    const key = bytes.subarray(start, end);
    const hash = hashKey(key, 0, key.length, this.#hashSeed) | 0;
    for (const fences of runs) {
      const index = fences.find(key);
      if (index >= 0 && this.#mayHave(fences.tables[index]!, hash)) return false;
    }
    return true;
  }

  #mayHave(meta: TableMeta, hash: number): boolean {
    const open = this.#tables.opened(meta.number);
    if (open !== undefined) return open.mayHave(hash);
    if (this.#asked.has(meta)) return true;
    this.#asked.add(meta);
    try {
      return this.#tables.get(meta).mayHave(hash);
    } catch {
      // Whoever reads it is told what is wrong with it.
      return true;
    }
  }
}

function isInNone(
  memtables: readonly MemtableEntry[],
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  for (const { table } of memtables) if (table.find(bytes, start, end, SEQ_MAX)) return false;
  return true;
}

function isKeyOf(
  cursor: ReturnType<MemtableReader["cursor"]>,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  return compareBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd, bytes, start, end) === 0;
}

/** Returns the tables of a flush that dropped `droppedBytes` of a memtable's values. */
export function flushedNewKeys(
  tables: readonly TableMeta[],
  { newKeyBytes, valueBytes }: Pick<MemtableEntry, "newKeyBytes" | "valueBytes">,
  droppedBytes: number,
): readonly TableMeta[] {
  // Packed values are smaller than they were in the log: it is a share that stays.
  return withShare(tables, (newKeyBytes - droppedBytes) / (valueBytes - droppedBytes));
}

/**
 * Returns the tables that a merge of `inputs` made. `isBottom`: nothing older is below them, so that
 * all of their keys are new to the tree, but for versions that only snapshots see.
 */
export function mergedNewKeys(
  inputs: readonly TableMeta[],
  outputs: readonly TableMeta[],
  isBottom: boolean,
): readonly TableMeta[] {
  const bytes = sum(outputs, referencedBytes);
  if (bytes === 0) return outputs;
  if (isBottom) {
    return outputs.map((table) => {
      const seen = 1 - table.shadowedCount / table.entryCount;
      return { ...table, newKeyBytes: Math.floor(referencedBytes(table) * seen) };
    });
  }
  const dropped = Math.max(0, sum(inputs, referencedBytes) - bytes);
  return withShare(outputs, (sum(inputs, ({ newKeyBytes = 0 }) => newKeyBytes) - dropped) / bytes);
}

/** Whether nothing in `version` but `inputs` is older than run `runId` of `level`. */
export function isBottomRun(
  version: Version,
  inputs: readonly TableMeta[],
  level: number,
  runId: number,
): boolean {
  const taken = new Set(inputs);
  const isGone = (tables: readonly TableMeta[]): boolean => tables.every((each) => taken.has(each));
  for (let at = level; at < version.levels.length; at++) {
    const { runs } = version.levels[at]!;
    const from = at > level ? 0 : runs.findIndex(({ id }) => id === runId) + 1;
    for (const { tables } of runs.slice(from)) if (!isGone(tables)) return false;
  }
  return true;
}

function withShare(tables: readonly TableMeta[], share: number): readonly TableMeta[] {
  if (!(share > 0)) return tables;
  const part = Math.min(1, share);
  return tables.map((table) => ({
    ...table,
    newKeyBytes: Math.floor(referencedBytes(table) * part),
  }));
}

function sum(tables: readonly TableMeta[], of: (table: TableMeta) => number): number {
  return tables.reduce((total, table) => total + of(table), 0);
}
