import { compareKeys, type EntryCursor } from "@aura/base";
import type { Memtable, MemtableImplementation, MemtableReader } from "../src/index.ts";

/** All of them; a new one is tested by being named here. */
export const IMPLEMENTATIONS: readonly MemtableImplementation[] = [
  "hash-runs",
  "skiplist",
  "art",
  "btree",
];

/** A version of a key, as a test knows it. */
export interface ModelEntry {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly tag: number;
  readonly value: Uint8Array;
}

/** Internal order: key ascending, sequence descending. */
export function compareEntries(a: ModelEntry, b: ModelEntry): number {
  return compareKeys(a.key, b.key) || b.seq - a.seq;
}

export function addEntry(memtable: Memtable, entry: ModelEntry): boolean {
  const { key, seq, tag, value } = entry;
  return memtable.add(seq, tag, key, 0, key.length, value, 0, value.length);
}

/** The entry that a cursor stands on, copied. */
export function entryAt(cursor: EntryCursor): ModelEntry {
  return {
    key: cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd),
    seq: cursor.seq,
    tag: cursor.tag,
    value: cursor.valueBytes.slice(cursor.valueStart, cursor.valueEnd),
  };
}

export function entriesForward(memtable: MemtableReader): ModelEntry[] {
  const entries: ModelEntry[] = [];
  const cursor = memtable.cursor();
  for (cursor.first(); cursor.valid; cursor.next()) entries.push(entryAt(cursor));
  return entries;
}

export function entriesBackward(memtable: MemtableReader): ModelEntry[] {
  const entries: ModelEntry[] = [];
  const cursor = memtable.cursor();
  for (cursor.last(); cursor.valid; cursor.prev()) entries.push(entryAt(cursor));
  return entries;
}

/** What `find` answers, from the sorted entries. */
export function findInModel(
  sorted: readonly ModelEntry[],
  key: Uint8Array,
  seqMax: number,
): ModelEntry | undefined {
  return sorted.find((entry) => compareKeys(entry.key, key) === 0 && entry.seq <= seqMax);
}

/** The hit of the last `find`, copied. */
export function hitOf(memtable: MemtableReader, key: Uint8Array): ModelEntry {
  return {
    key,
    seq: memtable.hitSeq,
    tag: memtable.hitTag,
    value: memtable.bytes.slice(memtable.hitValueStart, memtable.hitValueEnd),
  };
}

/** An arena full of garbage: what a reused one may hold. */
export function garbageArena(bytes: number, fill: number): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes);
  const view = new Uint8Array(buffer);
  let state = fill | 1;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    view[i] = fill === 0xff ? 0xff : state >>> 24;
  }
  return buffer;
}
