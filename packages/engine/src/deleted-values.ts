/**
 * Deleted values: how many bytes of values the deletes in memory take away, about. Until their memtable is
 * flushed nothing else says so, and a program that only deletes fills no memtable: without this count its
 * values would stay on the disk for good (value-gc.ts seals a memtable by it).
 *
 * A delete of a key whose newest version a memtable holds is known exactly. Of one that only tables may
 * hold, the mean value of the bottom run is taken; a key that no filter lets pass takes nothing. What
 * range deletes cover is estimated by the bounds of tables, within a table by where a key lies between
 * them. Of each table, and each memtable, at most all of it is counted, once: deleting the same range
 * time and again does not seal memtables time and again.
 */
import { commonPrefix, compareKeys, Kind, SEQ_MAX } from "@aura/base";
import { PointerReader, recordBytes } from "@aura/vlog";
import type { MemtableEntry, Memtables } from "./memtables.ts";
import type { NewKeys } from "./new-keys.ts";
import { referencedBytes, valueSpace } from "./value-space.ts";
import { type TableMeta, tableIndexFor, type Version } from "./version.ts";

/** Entries of a memtable that are looked at one by one for a range delete. */
const WALK_MAX = 64;
/** Bytes of a key that are taken for a number. */
const NUMBER_BYTES = 6;

const pointer = new PointerReader();

/** Counts what deletes take away. */
export class DeletedValues {
  readonly #memtables: Memtables;
  readonly #version: () => Version;
  readonly #newKeys: Pick<NewKeys, "isInNoTable">;
  /** What range deletes were counted for so far: the share of a table, the bytes of a memtable. */
  readonly #counted = new WeakMap<TableMeta | MemtableEntry, number>();

  constructor(memtables: Memtables, version: () => Version, newKeys: Pick<NewKeys, "isInNoTable">) {
    this.#memtables = memtables;
    this.#version = version;
    this.#newKeys = newKeys;
  }

  /** Returns the bytes of the value that a delete of bytes[start, end), not yet applied, takes away. */
  ofKey(bytes: Uint8Array, start: number, end: number): number {
    const { active, sealed } = this.#memtables;
    const mean = this.#meanBytes();
    if (mean === 0 && active.valueBytes === 0 && sealed.every((one) => one.valueBytes === 0))
      return 0;
    for (let i = sealed.length; i >= 0; i--) {
      const { table } = i === sealed.length ? active : sealed[i]!;
      if (!table.find(bytes, start, end, SEQ_MAX)) continue;
      const isApart =
        table.hitTag === Kind.pointer &&
        pointer.read(table.bytes, table.hitValueStart, table.hitValueEnd);
      return isApart ? recordBytes(end - start, pointer.stored) : 0;
    }
    return mean === 0 || this.#newKeys.isInNoTable(bytes, start, end) ? 0 : mean;
  }

  /** Returns the bytes of values under keys in [begin, end) that were not counted yet, about. */
  ofRange(begin: Uint8Array, end: Uint8Array): number {
    const { active, sealed } = this.#memtables;
    let bytes = this.#inTables(begin, end);
    for (const memtable of [active, ...sealed]) bytes += this.#inMemtable(memtable, begin, end);
    return bytes;
  }

  /** Counts the deletes that recovery brought back, which knows no tables while it reads logs. */
  countRecovered(): void {
    const { active, sealed } = this.#memtables;
    for (const memtable of [...sealed, active]) {
      memtable.deletedBytes = this.#recoveredIn(memtable);
      for (const { begin, end } of memtable.ranges?.list ?? []) {
        memtable.coveredBytes += this.ofRange(begin, end);
      }
    }
  }

  #recoveredIn({ table, valueBytes }: MemtableEntry): number {
    const mean = this.#meanBytes();
    if (mean === 0 && valueBytes === 0) return 0;
    const cursor = table.cursor();
    let bytes = 0;
    let keyBytes = cursor.keyBytes;
    let keyStart = 0;
    let keyEnd = -1;
    let isDeleted = false;
    for (cursor.first(); cursor.valid; cursor.next()) {
      const isSame =
        keyEnd >= 0 &&
        compareKeys(
          keyBytes.subarray(keyStart, keyEnd),
          cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd),
        ) === 0;
      if (isSame) {
        if (isDeleted) bytes += valueBytesAt(cursor);
        isDeleted = false;
        continue;
      }
      ({ keyBytes, keyStart, keyEnd } = cursor);
      isDeleted = cursor.tag === Kind.delete;
      if (isDeleted && !this.#newKeys.isInNoTable(keyBytes, keyStart, keyEnd)) {
        bytes += mean;
        isDeleted = false;
      }
    }
    return bytes;
  }

  /** Bytes of values for each entry of the bottom run. */
  #meanBytes(): number {
    const version = this.#version();
    if (version.segments.size === 0) return 0;
    const { bottomBytes, bottomEntries } = valueSpace(version);
    return bottomEntries > 0 ? bottomBytes / bottomEntries : 0;
  }

  #inTables(begin: Uint8Array, end: Uint8Array): number {
    const version = this.#version();
    if (version.segments.size === 0) return 0;
    let bytes = 0;
    for (const { runs } of version.levels) {
      for (const { tables } of runs) {
        let index = tableIndexFor(tables, begin, 0, begin.length);
        for (; index < tables.length; index++) {
          const table = tables[index]!;
          if (compareKeys(table.smallestKey, end) >= 0) break;
          const counted = this.#counted.get(table) ?? 0;
          if (counted === 1 || table.references.length === 0) continue;
          const share = Math.min(1 - counted, coveredShare(table, begin, end));
          this.#counted.set(table, counted + share);
          bytes += share * referencedBytes(table);
        }
      }
    }
    return bytes;
  }

  #inMemtable(memtable: MemtableEntry, begin: Uint8Array, end: Uint8Array): number {
    const counted = this.#counted.get(memtable) ?? 0;
    const rest = memtable.valueBytes - counted;
    if (rest <= 0) return 0;
    const cursor = memtable.table.cursor();
    let bytes = 0;
    let seen = 0;
    for (cursor.seek(begin, 0, begin.length); cursor.valid; cursor.next()) {
      const key = cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd);
      if (compareKeys(key, end) >= 0) break;
      bytes += valueBytesAt(cursor);
      if (++seen < WALK_MAX) continue;
      bytes = Math.max(bytes, memtable.valueBytes * shareOfAll(cursor, begin, end));
      break;
    }
    bytes = Math.min(bytes, rest);
    if (bytes > 0) this.#counted.set(memtable, counted + bytes);
    return bytes;
  }
}

function valueBytesAt(cursor: ReturnType<MemtableEntry["table"]["cursor"]>): number {
  const { tag, valueBytes, valueStart, valueEnd, keyStart, keyEnd } = cursor;
  const isApart = tag === Kind.pointer && pointer.read(valueBytes, valueStart, valueEnd);
  return isApart ? recordBytes(keyEnd - keyStart, pointer.stored) : 0;
}

/** As `coveredShare`, of a memtable. Moves the cursor. */
function shareOfAll(
  cursor: ReturnType<MemtableEntry["table"]["cursor"]>,
  begin: Uint8Array,
  end: Uint8Array,
): number {
  cursor.first();
  const smallestKey = cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
  cursor.last();
  const largestKey = cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd);
  return coveredShare({ smallestKey, largestKey }, begin, end);
}

/** Returns about what share of a table's keys lies in [begin, end), by where these are between its bounds. */
function coveredShare(
  { smallestKey, largestKey }: Pick<TableMeta, "smallestKey" | "largestKey">,
  begin: Uint8Array,
  end: Uint8Array,
): number {
  const isFromStart = compareKeys(begin, smallestKey) <= 0;
  const isToEnd = compareKeys(end, largestKey) > 0;
  if (isFromStart && isToEnd) return 1;
  const shared = commonPrefix(smallestKey, 0, smallestKey.length, largestKey, 0, largestKey.length);
  const low = numberAt(smallestKey, shared);
  const width = numberAt(largestKey, shared) - low;
  if (width <= 0) return 0;
  const from = isFromStart ? 0 : (numberAt(begin, shared) - low) / width;
  const to = isToEnd ? 1 : (numberAt(end, shared) - low) / width;
  return Math.min(1, Math.max(0, to - from));
}

/** Returns the bytes of a key behind `at` as a number. */
function numberAt(key: Uint8Array, at: number): number {
  let number = 0;
  for (let i = at; i < at + NUMBER_BYTES; i++) number = number * 256 + (key[i] ?? 0);
  return number;
}

/** Returns the count of a database that is being opened: what recovery brought back is counted. */
export function recoveredDeletes(
  memtables: Memtables,
  version: () => Version,
  newKeys: Pick<NewKeys, "isInNoTable">,
): DeletedValues {
  const deleted = new DeletedValues(memtables, version, newKeys);
  deleted.countRecovered();
  return deleted;
}
