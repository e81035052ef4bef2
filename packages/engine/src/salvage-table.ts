/**
 * What can be saved of one table, and the table that takes its place.
 *
 * Entries are read from the front up to the first damage, and from the back down to the last. What
 * lies between may have held newer versions and deletes of any key there: so the new table covers the
 * gap with a range tombstone at the highest sequence number of the old one. Older versions in other
 * tables stay hidden, and nothing that was deleted comes back; versions that were newer than the lost
 * ones, but older than that number, are hidden with them. A value that cannot be read leaves a delete
 * in its place, for the same reason.
 */
import type { FileSystem } from "@aura/base";
import { Codec, compareKeys, hasCode, Kind } from "@aura/base";
import { RangeFragments, type Table, type TableCursor } from "@aura/sst";
import { PointerReader, recordBytes, type ValueReader } from "@aura/vlog";
import { RangePieces } from "./jobs/range-drop.ts";
import { OutputNumbers, TableOutput, type TableOutputSettings } from "./jobs/table-output.ts";
import { behind } from "./range.ts";
import type { TableMeta } from "./version.ts";

/** A table that was written anew. */
export interface SalvagedTable {
  readonly meta: TableMeta;
  readonly entriesKept: number;
  /** Entries of the old table that are not in the new one. */
  readonly entriesLost: number;
  /** Values that could not be read: their keys are deleted. */
  readonly valuesLost: number;
}

/** Where tables are and where the new ones go. */
export interface SalvagePlace {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly databaseUuid: Uint8Array;
  readonly hashSeed: number;
  readonly values: ValueReader;
  /** Number of the file that is written, when one is. */
  readonly number: number;
  readonly uidSeed: number;
}

interface Entry {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly tag: number;
  readonly value: Uint8Array;
}

/**
 * Whether an error says that bytes are not what they were: not that the disk refused, and not that a later
 * build wrote them (AURA_UNSUPPORTED).
 */
export function isDamage(error: unknown): boolean {
  return hasCode(error, "AURA_CORRUPTION") || hasCode(error, "AURA_NOT_FOUND");
}

/**
 * Reads a table whole, its values too. Returns undefined when all of it is sound; else writes what is
 * left of it to a new file. `open` throws when the table cannot be opened. Throws AURA_IO, and
 * AURA_UNSUPPORTED when the table or a value of it is of a later build: then no file is left.
 */
export function salvageTable(
  place: SalvagePlace,
  meta: TableMeta,
  open: () => Table,
): SalvagedTable | undefined {
  const reading = new TableReading(place, meta);
  try {
    const table = open();
    reading.read(table);
  } catch (error) {
    if (!isDamage(error)) throw error;
    reading.isSound = false;
  }
  return reading.isSound ? undefined : reading.write();
}

class TableReading {
  isSound = true;
  readonly #place: SalvagePlace;
  readonly #meta: TableMeta;
  readonly #pointer = new PointerReader();
  readonly #front: Entry[] = [];
  /** From the last entry down. */
  readonly #back: Entry[] = [];
  #ranges = new RangeFragments();
  #isWhole = false;
  #valuesLost = 0;

  constructor(place: SalvagePlace, meta: TableMeta) {
    this.#place = place;
    this.#meta = meta;
  }

  read(table: Table): void {
    try {
      table.verifySync();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.isSound = false;
    }
    this.#ranges = table.ranges ?? this.#ranges;
    const cursor = table.cursor({ mayRead: true });
    try {
      this.#isWhole = this.#take(cursor, true);
      if (!this.#isWhole) this.#take(cursor, false);
    } finally {
      cursor.close();
    }
    const count = this.#front.length;
    if (!this.#isWhole || count !== this.#meta.entryCount || this.#valuesLost > 0) {
      this.isSound = false;
    }
  }

  /** Reads on until the end (true) or damage (false). */
  #take(cursor: TableCursor, forward: boolean): boolean {
    const entries = forward ? this.#front : this.#back;
    const edge = this.#front.at(-1)?.key;
    try {
      for (forward ? cursor.first() : cursor.last(); cursor.valid; ) {
        const key = new Uint8Array(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd));
        if (!this.#isInPlace(entries.at(-1), key, cursor.seq, forward)) return false;
        // What was read from the front needs no second reading.
        if (!forward && edge !== undefined && compareKeys(key, edge) <= 0) break;
        entries.push(this.#entryOf(cursor, key));
        if (forward) cursor.next();
        else cursor.prev();
      }
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return false;
    }
  }

  /**
   * Whether an entry may stand behind the one read before it: within the bounds of the table, and in
   * order. Blocks whose checksums are right may be wrong all the same.
   */
  #isInPlace(before: Entry | undefined, key: Uint8Array, seq: number, forward: boolean): boolean {
    const { smallestKey, largestKey, largestIsExclusive } = this.#meta;
    const above = compareKeys(key, largestKey);
    if (compareKeys(key, smallestKey) < 0 || above > 0 || (above === 0 && largestIsExclusive)) {
      return false;
    }
    if (before === undefined) return true;
    const order = compareKeys(before.key, key) || seq - before.seq;
    return forward ? order < 0 : order > 0;
  }

  #entryOf(cursor: TableCursor, key: Uint8Array): Entry {
    const { seq, tag } = cursor;
    const value = new Uint8Array(cursor.valueBytes.subarray(cursor.valueStart, cursor.valueEnd));
    if (tag !== Kind.pointer || this.#isReadable(key, value)) return { key, seq, tag, value };
    this.#valuesLost++;
    return { key, seq, tag: Kind.delete, value: new Uint8Array(0) };
  }

  #isReadable(key: Uint8Array, value: Uint8Array): boolean {
    const pointer = this.#pointer;
    if (!pointer.read(value, 0, value.length)) return false;
    const { file, offset, stored, raw, codec } = pointer;
    try {
      this.#place.values.readSync(file, offset, stored, raw, codec, key, 0, key.length);
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return false;
    }
  }

  write(): SalvagedTable {
    const { smallestKey, largestKey, largestIsExclusive, largestSeq } = this.#meta;
    const back = this.#back.reverse();
    // Newer versions of the first key behind the gap may lie in it: that key is lost as well.
    const [first] = back;
    const from =
      first === undefined ? 0 : back.findIndex((one) => compareKeys(one.key, first.key) > 0);
    const rest = from < 0 ? [] : back.slice(from);
    const last = this.#front.at(-1);
    let ranges = this.#ranges;
    if (!this.#isWhole) {
      const start = last === undefined ? smallestKey : behind(last.key);
      const end = rest[0]?.key ?? (largestIsExclusive ? largestKey : behind(largestKey));
      ranges = new RangeFragments();
      for (const part of [
        this.#ranges.within(undefined, start),
        gap(start, end, largestSeq),
        this.#ranges.within(end, undefined),
      ]) {
        part.starts.forEach((begin, i) => {
          ranges.push(begin, part.ends[i]!, part.seqs[i]!);
        });
      }
    }
    return this.#writeAll([...this.#front, ...rest], ranges);
  }

  #writeAll(entries: readonly Entry[], ranges: RangeFragments): SalvagedTable {
    const { fs, number } = this.#place;
    const output = new TableOutput(
      fs,
      settingsOf(this.#place),
      new OutputNumbers(settingsOf(this.#place)),
    );
    if (ranges.count > 0) output.ranges = new RangePieces(ranges);
    try {
      for (const { key, seq, tag, value } of entries) {
        output.add(key, 0, key.length, seq, tag, value, 0, value.length);
        if (tag !== Kind.pointer) continue;
        this.#pointer.read(value, 0, value.length);
        const { file, stored } = this.#pointer;
        output.noteReference(file, recordBytes(key.length, stored));
      }
      const meta = output.finishSync().find((table) => table.number === number)!;
      return {
        meta:
          this.#meta.createdMs === undefined ? meta : { ...meta, createdMs: this.#meta.createdMs },
        entriesKept: entries.length,
        entriesLost: this.#meta.entryCount - entries.length,
        valuesLost: this.#valuesLost,
      };
    } catch (error) {
      output.discardSync();
      throw error;
    }
  }
}

function gap(start: Uint8Array, end: Uint8Array, seq: number): RangeFragments {
  const ranges = new RangeFragments();
  if (compareKeys(start, end) < 0) ranges.push(start, end, [seq]);
  return ranges;
}

/** Plain tables: the next merge writes them as the settings say. */
function settingsOf(place: SalvagePlace): TableOutputSettings {
  return {
    directory: place.directory,
    databaseUuid: place.databaseUuid,
    hashSeed: place.hashSeed,
    blockBytes: 4096,
    codec: Codec.none,
    valueCodec: Codec.none,
    bloomBitsPerKey: 10,
    learnedIndex: false,
    tableBytesMax: Number.MAX_SAFE_INTEGER,
    segmentBytesMax: Number.MAX_SAFE_INTEGER,
    firstNumber: place.number,
    numberCount: 1,
    uidSeed: place.uidSeed,
  };
}
