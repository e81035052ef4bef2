/**
 * Overwritten values: the bytes of separated values that inline values, or smaller separated ones, took
 * the place of, though no merge has met both. What bounds the space of values (value-gc.ts) takes them
 * off what lives: an inline value brings no bytes of values by which anybody would notice that it made
 * garbage, a smaller one too few, and what lives counts the older one in its place.
 *
 * What a put overwrites is looked up, but not for each one: once for as many puts as overwrite
 * 128 KiB of values if they meet them as often as others do, at random. The answer stands for the puts
 * of its kind, inline or apart, since the last one; that of one very large value for no more than a
 * mebibyte beyond itself. So a database whose keys keep their kind and size pays little and counts
 * nothing, and one without separated values pays nothing at all. What values grew by, up to a mebibyte,
 * is set against what others shrank by: sizes that vary and stay the same on the whole count for little.
 *
 * Bytes that are gone are booked where they lie, on the table, or the memtable, that refers to them, by
 * the memtable of what took their place. They go when both meet: in a flush of that memtable, or a merge
 * of the bottom run, or of new keys, with entries as new as that. All else goes on with the tables that such work makes.
 * The books are in memory only; after an open they know what memtables hold that were read from logs.
 */
import { compareKeys, hashKey, Kind, SEQ_MAX } from "@aura/base";
import type { MemtableReader } from "@aura/memtable";
import { Lookup, TableHit } from "@aura/sst";
import { PointerReader, recordBytes } from "@aura/vlog";
import type { AdaptiveReads } from "./adaptive-reads.ts";
import type { MemtableEntry, Memtables } from "./memtables.ts";
import { ReadOrders } from "./read-order.ts";
import type { TableStore } from "./table-store.ts";
import { bottomRun, referencedBytes, valueSpace } from "./value-space.ts";
import type { TableMeta, Version } from "./version.ts";
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

/** Bytes of a table that are gone, also by the number behind which the memtable of what overwrites begins. */
class Gone {
  bytes = 0;
  readonly byCause = new Map<number, number>();
}

/** Which puts of a kind are looked up. */
class Sample {
  /** Puts, and bytes that they may have overwritten, since one was looked up; the next one is at. */
  puts = 0;
  expected = 0;
  nextAt = 0;
  /** What values grew by. */
  credit = 0;
}

/** What takes the place of values: puts of a sample, each with so many bytes, in the memtable that begins behind `cause`. */
interface Taker {
  readonly sample: Sample;
  readonly newBytes: number;
  /** Of a value that is found, at most so much still counts as alive. */
  readonly most: number;
  readonly cause: number;
}

/** Counts what puts overwrite. */
export class OverwrittenValues {
  readonly #parts: OverwrittenParts;
  readonly #orders = new ReadOrders();
  readonly #hit = new TableHit();
  readonly #sampledBytes: number;
  /** What is gone, by the number of the table that refers to it; all of that, bytes. */
  readonly #gone = new Map<number, Gone>();
  #goneInTables = 0;
  /** The mean is that of this version. */
  #version: Version | undefined;
  #mean = 0;
  readonly #inline = new Sample();
  readonly #apart = new Sample();
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
   * Returns the bytes of values that the put of bytes[start, end), not yet applied, takes away: mostly 0,
   * and then for itself and those before it. `newBytes`: its own, 0 if it is inline.
   */
  ofPut(bytes: Uint8Array, start: number, end: number, newBytes: number): number {
    const mean = this.#meanBytes();
    if (mean === 0) return 0;
    const sample = newBytes === 0 ? this.#inline : this.#apart;
    sample.puts++;
    sample.expected += mean;
    if (sample.expected < sample.nextAt) return 0;
    const taken = this.#take(bytes, start, end, sample, newBytes);
    if (taken === UNREAD) {
      sample.nextAt += this.#sampledBytes / 2;
      return 0;
    }
    this.#begin(sample);
    return taken;
  }

  /** Begins to count for the next look-up: a fixed distance could fall in step with what a program writes. */
  #begin(sample: Sample): void {
    sample.puts = 0;
    sample.expected = 0;
    sample.nextAt = this.#sampledBytes * (0.5 + this.#unit());
  }

  /** Counts the inline values that recovery brought back, which knows no tables while it reads logs. */
  countRecovered(): void {
    const { active, sealed } = this.#parts.memtables;
    for (const memtable of [...sealed, active]) {
      if (this.#meanBytes() === 0) continue;
      memtable.takenBytes = this.#recoveredIn(memtable.table, memtable.afterSeq);
    }
  }

  /** A memtable was flushed: what it overwrote of its own is dropped. */
  noteFlushed({ goneLaterBytes }: MemtableEntry, tables: readonly TableMeta[]): void {
    this.#spread(goneLaterBytes, tables, this.#parts.memtables.active.afterSeq);
  }

  /** A merge was published that read `inputs` of version `before`. */
  noteMerged(before: Version, inputs: readonly TableMeta[], outputs: readonly TableMeta[]): void {
    if (this.#goneInTables === 0) return;
    const bottom = new Set(bottomRun(before)?.tables);
    const isLast = inputs.some((table) => bottom.has(table));
    const newest = inputs.reduce((most, { largestSeq }) => Math.max(most, largestSeq), 0);
    const left = new Map<number, number>();
    let met = 0;
    let dropped = 0;
    let fresh = 0;
    for (const table of inputs) {
      dropped += referencedBytes(table);
      fresh += table.newKeyBytes ?? 0;
      for (const [cause, bytes] of this.#gone.get(table.number)?.byCause ?? []) {
        left.set(cause, (left.get(cause) ?? 0) + bytes);
        if (cause < newest) met += bytes;
      }
      this.noteDropped(table.number);
    }
    for (const table of outputs) dropped -= referencedBytes(table);
    // What lives is counted by the bottom run and by new keys: from elsewhere nothing of it is dropped.
    const over = isLast ? met : Math.min(met, fresh, Math.max(0, dropped));
    for (const [cause, bytes] of left) {
      if (cause < newest) left.set(cause, bytes * (1 - over / met));
    }
    if (this.#gone.size === 0) this.#goneInTables = 0;
    if (this.#isAlone()) return;
    for (const [cause, bytes] of left) this.#spread(bytes, outputs, cause);
  }

  /** Whether there is one run and nothing above it: nothing in it is overwritten. */
  #isAlone(): boolean {
    const { memtables, versions } = this.#parts;
    if (!memtables.active.isEmpty || memtables.sealed.length > 0) return false;
    return versions.current.levels.reduce((sum, { runs }) => sum + runs.length, 0) < 2;
  }

  /** A table left the tree with all that it refers to. */
  noteDropped(number: number): void {
    this.#goneInTables -= this.#gone.get(number)?.bytes ?? 0;
    this.#gone.delete(number);
  }

  #spread(bytes: number, tables: readonly TableMeta[], cause: number): void {
    const all = tables.reduce((sum, table) => sum + referencedBytes(table), 0);
    if (bytes < 1 || all === 0) return;
    for (const table of tables) this.#book(table, (bytes * referencedBytes(table)) / all, cause);
  }

  /** Books values of a table as gone. Returns how much: no more than what the table refers to. */
  #book(table: TableMeta, bytes: number, cause: number): number {
    const gone = this.#gone.get(table.number) ?? new Gone();
    const booked = Math.min(bytes, referencedBytes(table) - gone.bytes);
    if (booked <= 0) return 0;
    this.#gone.set(table.number, gone);
    gone.bytes += booked;
    gone.byCause.set(cause, (gone.byCause.get(cause) ?? 0) + booked);
    this.#goneInTables += booked;
    return booked;
  }

  /** Books what the puts of a sample overwrite if they do as this one, and returns how much that is, or UNREAD. */
  #take(bytes: Uint8Array, start: number, end: number, sample: Sample, newBytes: number): number {
    const { active, sealed } = this.#parts.memtables;
    const cause = active.afterSeq;
    for (let i = sealed.length; i >= 0; i--) {
      const memtable = i === sealed.length ? active : sealed[i]!;
      const { table } = memtable;
      if (!table.find(bytes, start, end, SEQ_MAX)) continue;
      if (table.hitTag !== Kind.pointer) return 0;
      pointer.read(table.bytes, table.hitValueStart, table.hitValueEnd);
      const old = recordBytes(end - start, pointer.stored);
      // What lives counts an older version in place of this one, if there is one, less what was booked
      // when this one came: the smaller of both.
      const inTables = this.#takeInTables(bytes, start, end, {
        sample,
        newBytes,
        most: old,
        cause,
      });
      if (inTables !== ABSENT) return inTables;
      const gone = this.#goneOf(sample, old, newBytes);
      const booked = Math.max(0, Math.min(gone, memtable.valueBytes - memtable.goneBytes));
      memtable.goneBytes += booked;
      if (memtable !== active) memtable.goneLaterBytes += booked;
      return booked;
    }
    const most = Number.POSITIVE_INFINITY;
    const inTables = this.#takeInTables(bytes, start, end, { sample, newBytes, most, cause });
    return inTables === ABSENT ? 0 : inTables;
  }

  /** As `#take`, of what tables hold; ABSENT when none holds the key. */
  #takeInTables(bytes: Uint8Array, start: number, end: number, taker: Taker): number {
    const { sample, newBytes, most, cause } = taker;
    const runs = this.#orders.of(this.#parts.versions.current);
    if (runs.length === 0) return ABSENT;
    const key = bytes.subarray(start, end);
    const hash = hashKey(key, 0, key.length, this.#parts.hashSeed) | 0;
    for (const fences of runs) {
      const index = fences.find(key);
      if (index < 0) continue;
      const meta = fences.tables[index]!;
      const found = this.#valueIn(meta, key, hash, sample.expected);
      if (found === ABSENT) continue;
      if (found === UNREAD) return UNREAD;
      // What is inline there was counted when it came; a value in its place counts as nothing yet.
      if (found === 0) return 0;
      return this.#book(meta, this.#goneOf(sample, Math.min(found, most), newBytes), cause);
    }
    return ABSENT;
  }

  /** Returns the bytes that are gone when each put of a sample replaces `old` ones by `newBytes`. */
  #goneOf(sample: Sample, old: number, newBytes: number): number {
    const { puts, credit } = sample;
    if (newBytes === 0) return puts * old;
    const most = DUE_MAX * this.#sampledBytes;
    const each = old - newBytes;
    const gone = Math.min(puts * each, Math.max(each, most)) - credit;
    sample.credit = Math.min(most, Math.max(0, -gone));
    return Math.max(0, gone);
  }

  /** Returns the bytes of the value that a table has of a key: 0 if that is inline; ABSENT, UNREAD. */
  #valueIn(meta: TableMeta, key: Uint8Array, hash: number, expected: number): number {
    const { tables, reads } = this.#parts;
    const hit = this.#hit;
    try {
      const open = tables.opened(meta.number);
      if (open !== undefined && !open.mayHave(hash)) return ABSENT;
      const mayRead = expected >= DUE_MAX * this.#sampledBytes || reads.maySync();
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

  #recoveredIn(table: MemtableReader, cause: number): number {
    const cursor = table.cursor();
    const sample = this.#inline;
    const taker = { sample, newBytes: 0, most: Number.POSITIVE_INFINITY, cause };
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
      sample.puts++;
      sample.expected += this.#mean;
      if (sample.expected < sample.nextAt) continue;
      const bytes = this.#takeInTables(keyBytes, keyStart, keyEnd, taker);
      if (bytes === UNREAD) continue;
      if (bytes !== ABSENT) taken += bytes;
      this.#begin(sample);
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
