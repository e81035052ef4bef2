/**
 * Overwritten values: the bytes of separated values that inline values took the place of, though no
 * merge has met both. What bounds the space of values (value-gc.ts) takes them off what lives: an inline
 * value brings no bytes of values by which anybody would notice that it made garbage.
 *
 * What an inline put overwrites is looked up, but not for each one: once for as many puts as overwrite
 * 128 KiB of values if they meet them as often as others do, at random. The answer stands for the puts
 * since the last one. So a database whose keys keep their kind pays little and counts nothing, and one
 * without separated values pays nothing at all.
 *
 * Bytes that are gone are booked where they lie: on the table, or the memtable, that refers to them. A
 * flush or merge takes off what it drops. What was booked and is not dropped goes on with its outputs; half
 * of it, if what overwrites could have been met: where the estimate was wrong, that fades away. The
 * books are in memory only; after an open they know what memtables hold that were read from logs.
 */
import { compareKeys, hashKey, Kind, SEQ_MAX } from "@aura/base";
import type { MemtableReader } from "@aura/memtable";
import { Lookup, TableHit } from "@aura/sst";
import { PointerReader, recordBytes } from "@aura/vlog";
import type { AdaptiveReads } from "./adaptive-reads.ts";
import type { MemtableEntry, Memtables } from "./memtables.ts";
import { ReadOrders } from "./read-order.ts";
import type { TableStore } from "./table-store.ts";
import { referencedBytes, valueSpace } from "./value-space.ts";
import type { Run, TableMeta, Version } from "./version.ts";
import type { VersionSet } from "./version-set.ts";

/** Expected bytes for which one put is looked up: this at most, and this part of a segment. */
const SAMPLED_BYTES_MAX = 128 * 1024;
const SAMPLED_PART = 64;

/** A look-up may read, whatever that takes, when so many are due. */
const DUE_MAX = 8;

/** In place of bytes: no table has the key; the answer is not in memory, and this is no time to read. */
const ABSENT = -1;
const UNREAD = -2;

const pointer = new PointerReader();

/** What overwritten values are looked up in. */
export interface OverwrittenParts {
  readonly memtables: Memtables;
  readonly versions: Pick<VersionSet, "current">;
  readonly tables: Pick<TableStore, "get" | "opened">;
  readonly reads: AdaptiveReads;
  readonly hashSeed: number;
  readonly maxSegmentSize: number;
}

function isOfOneRun({ levels }: Version, tables: readonly TableMeta[]): boolean {
  const wanted = new Set(tables);
  const holds = (run: Run): boolean => run.tables.some((table) => wanted.has(table));
  return levels.reduce((sum, { runs }) => sum + runs.filter(holds).length, 0) === 1;
}

/** Of what a table refers to, what not only snapshots saw when it was written. */
function seenBytes(table: TableMeta): number {
  return referencedBytes(table) * (1 - table.shadowedCount / Math.max(1, table.entryCount));
}

/** Counts what inline puts overwrite. */
export class OverwrittenValues {
  readonly #parts: OverwrittenParts;
  readonly #orders = new ReadOrders();
  readonly #hit = new TableHit();
  readonly #sampledBytes: number;
  /** Bytes that are gone, by the number of the table that refers to them; all of them. */
  readonly #gone = new Map<number, number>();
  #goneInTables = 0;
  /** The mean is that of this version. */
  #version: Version | undefined;
  #mean = 0;
  /** Puts, and bytes that they may have overwritten, since one was looked up; the next one is at. */
  #puts = 0;
  #expected = 0;
  #nextAt = 0;
  #state = 0x9e3779b9;

  constructor(parts: OverwrittenParts) {
    this.#parts = parts;
    this.#sampledBytes = Math.min(SAMPLED_BYTES_MAX, parts.maxSegmentSize / SAMPLED_PART);
  }

  /** Bytes of values that live no more though tables and memtables refer to them, about. */
  get bytes(): number {
    const { active, sealed } = this.#parts.memtables;
    let bytes = this.#goneInTables + active.goneBytes;
    for (const { goneBytes } of sealed) bytes += goneBytes;
    return bytes;
  }

  /** As `bytes`, in tables alone: a merge can make it known. */
  get bytesInTables(): number {
    return this.#goneInTables;
  }

  /**
   * Returns the bytes of values that the inline put of bytes[start, end), not yet applied, takes away:
   * mostly 0, and then for itself and those before it.
   */
  ofPut(bytes: Uint8Array, start: number, end: number): number {
    const mean = this.#meanBytes();
    if (mean === 0) return 0;
    this.#puts++;
    this.#expected += mean;
    if (this.#expected < this.#nextAt) return 0;
    const taken = this.#take(bytes, start, end, this.#puts);
    if (taken === UNREAD) {
      this.#nextAt += this.#sampledBytes / 2;
      return 0;
    }
    this.#begin();
    return taken;
  }

  /** Begins to count for the next look-up: a fixed distance could fall in step with what a program writes. */
  #begin(): void {
    this.#puts = 0;
    this.#expected = 0;
    this.#nextAt = this.#sampledBytes * (0.5 + this.#unit());
  }

  /** Counts the inline values that recovery brought back, which knows no tables while it reads logs. */
  countRecovered(): void {
    const { active, sealed } = this.#parts.memtables;
    for (const memtable of [...sealed, active]) {
      if (this.#meanBytes() === 0) continue;
      memtable.takenBytes = this.#recoveredIn(memtable.table);
    }
  }

  /** A memtable was flushed: of its values, `droppedBytes` were dropped. */
  noteFlushed(
    { goneBytes }: MemtableEntry,
    tables: readonly TableMeta[],
    droppedBytes: number,
  ): void {
    this.#spread(goneBytes - droppedBytes, tables);
  }

  /** A merge was published that read `inputs` of version `before`. */
  noteMerged(before: Version, inputs: readonly TableMeta[], outputs: readonly TableMeta[]): void {
    if (this.#goneInTables === 0) return;
    let gone = 0;
    let dropped = 0;
    for (const table of inputs) {
      const bytes = this.#gone.get(table.number) ?? 0;
      gone += bytes;
      this.#goneInTables -= bytes;
      this.#gone.delete(table.number);
      dropped += seenBytes(table);
    }
    for (const table of outputs) dropped -= seenBytes(table);
    if (this.#gone.size === 0) this.#goneInTables = 0;
    if (this.#isAlone()) return;
    // A run by itself meets nothing that overwrites what is in it.
    const kept = isOfOneRun(before, inputs) ? 1 : 0.5;
    this.#spread((gone - Math.max(0, dropped)) * kept, outputs);
  }

  /** Whether there is one run and nothing above it: nothing in it is overwritten. */
  #isAlone(): boolean {
    const { memtables, versions } = this.#parts;
    if (!memtables.active.isEmpty || memtables.sealed.length > 0) return false;
    return versions.current.levels.reduce((sum, { runs }) => sum + runs.length, 0) < 2;
  }

  /** A table left the tree with all that it refers to. */
  noteDropped(number: number): void {
    this.#goneInTables -= this.#gone.get(number) ?? 0;
    this.#gone.delete(number);
  }

  #spread(bytes: number, tables: readonly TableMeta[]): void {
    const all = tables.reduce((sum, table) => sum + referencedBytes(table), 0);
    if (bytes < 1 || all === 0) return;
    for (const table of tables) this.#book(table, (bytes * referencedBytes(table)) / all);
  }

  /** Books values of a table as gone. Returns how much: no more than what the table refers to. */
  #book(table: TableMeta, bytes: number): number {
    const before = this.#gone.get(table.number) ?? 0;
    const booked = Math.min(bytes, referencedBytes(table) - before);
    if (booked <= 0) return 0;
    this.#gone.set(table.number, before + booked);
    this.#goneInTables += booked;
    return booked;
  }

  /** Books what `weight` puts of keys like this one overwrite, and returns how much that is, or UNREAD. */
  #take(bytes: Uint8Array, start: number, end: number, weight: number): number {
    const { active, sealed } = this.#parts.memtables;
    for (let i = sealed.length; i >= 0; i--) {
      const memtable = i === sealed.length ? active : sealed[i]!;
      const { table } = memtable;
      if (!table.find(bytes, start, end, SEQ_MAX)) continue;
      if (table.hitTag !== Kind.pointer) return 0;
      pointer.read(table.bytes, table.hitValueStart, table.hitValueEnd);
      const gone = weight * recordBytes(end - start, pointer.stored);
      // What lives counts an older version in place of this one, if there is one.
      const inTables = this.#takeInTables(bytes, start, end, weight);
      if (inTables !== ABSENT) return inTables;
      const booked = Math.min(gone, memtable.valueBytes - memtable.goneBytes);
      memtable.goneBytes += Math.max(0, booked);
      return Math.max(0, booked);
    }
    const inTables = this.#takeInTables(bytes, start, end, weight);
    return inTables === ABSENT ? 0 : inTables;
  }

  /** As `#take`, of what tables hold; ABSENT when none holds the key. */
  #takeInTables(bytes: Uint8Array, start: number, end: number, weight: number): number {
    const runs = this.#orders.of(this.#parts.versions.current);
    if (runs.length === 0) return ABSENT;
    const key = bytes.subarray(start, end);
    const hash = hashKey(key, 0, key.length, this.#parts.hashSeed) | 0;
    for (const fences of runs) {
      const index = fences.find(key);
      if (index < 0) continue;
      const meta = fences.tables[index]!;
      const found = this.#valueIn(meta, key, hash);
      if (found === ABSENT) continue;
      return found === UNREAD ? UNREAD : this.#book(meta, weight * found);
    }
    return ABSENT;
  }

  /** Returns the bytes of the value that a table has of a key: 0 if that is inline; ABSENT, UNREAD. */
  #valueIn(meta: TableMeta, key: Uint8Array, hash: number): number {
    const { tables, reads } = this.#parts;
    const hit = this.#hit;
    try {
      const open = tables.opened(meta.number);
      if (open !== undefined && !open.mayHave(hash)) return ABSENT;
      const mayRead = this.#expected >= DUE_MAX * this.#sampledBytes || reads.maySync();
      const table = mayRead ? tables.get(meta) : open;
      if (table === undefined) return UNREAD;
      const startMs = mayRead ? reads.startMs() : 0;
      const state = table.get(key, 0, key.length, hash, SEQ_MAX, hit, mayRead);
      if (mayRead) reads.note(startMs);
      if (state === Lookup.absent) return ABSENT;
      if (state === Lookup.pending) return UNREAD;
    } catch {
      // Whoever reads it is told what is wrong with it. As others of this table.
      return referencedBytes(meta) / Math.max(1, meta.entryCount);
    }
    const isApart =
      hit.tag === Kind.pointer && pointer.read(hit.bytes, hit.valueStart, hit.valueEnd);
    return isApart ? recordBytes(key.length, pointer.stored) : 0;
  }

  #recoveredIn(table: MemtableReader): number {
    const cursor = table.cursor();
    let taken = 0;
    let keyBytes = cursor.keyBytes;
    let keyStart = 0;
    let keyEnd = -1;
    for (cursor.first(); cursor.valid; cursor.next()) {
      const isSame =
        keyEnd >= 0 &&
        compareKeys(
          keyBytes.subarray(keyStart, keyEnd),
          cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd),
        ) === 0;
      if (isSame) continue;
      ({ keyBytes, keyStart, keyEnd } = cursor);
      if (cursor.tag !== Kind.value) continue;
      this.#puts++;
      this.#expected += this.#mean;
      if (this.#expected < this.#nextAt) continue;
      const bytes = this.#takeInTables(keyBytes, keyStart, keyEnd, this.#puts);
      if (bytes === UNREAD) continue;
      if (bytes !== ABSENT) taken += bytes;
      this.#begin();
    }
    return taken;
  }

  /** Bytes of values for each entry, where there are most; 0: there are no separated values. */
  #meanBytes(): number {
    const version = this.#parts.versions.current;
    if (version !== this.#version) {
      this.#version = version;
      const { bottomBytes, bottomEntries } = valueSpace(version);
      const hasAny = version.segments.size > 0 && bottomEntries > 0;
      this.#mean = hasAny ? bottomBytes / bottomEntries : 0;
    }
    const { active, sealed } = this.#parts.memtables;
    let mean = this.#mean;
    for (let i = sealed.length; i >= 0; i--) {
      const { valueBytes, table } = i === sealed.length ? active : sealed[i]!;
      if (valueBytes > 0) mean = Math.max(mean, valueBytes / table.entryCount);
    }
    return mean;
  }

  /** A number from 0 to below 1. */
  #unit(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 4294967296;
  }
}
