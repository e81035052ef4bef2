/** Memtables by name. */
import { ArtMemtable, ArtReader } from "./art-memtable.ts";
import { BTreeMemtable, BTreeReader } from "./btree-memtable.ts";
import { HashRunsMemtable, HashRunsReader } from "./hash-runs-memtable.ts";
import type {
  Memtable,
  MemtableImplementation,
  MemtableOptions,
  MemtableReader,
  MemtableShare,
} from "./memtable.ts";
import { skipListEntryBytesMax } from "./skip-list-layout.ts";
import { SkipListMemtable } from "./skip-list-memtable.ts";
import { SkipListReader } from "./skip-list-reader.ts";

/**
 * Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer, and gives it
 * to one memtable at a time. Throws AURA_INVALID_ARGUMENT for a buffer of no use.
 */
export function createMemtable(
  implementation: MemtableImplementation,
  buffer: SharedArrayBuffer,
  options: MemtableOptions,
): Memtable {
  switch (implementation) {
    case "hash-runs":
      return new HashRunsMemtable(buffer, options);
    case "skiplist":
      return new SkipListMemtable(buffer, options);
    case "art":
      return new ArtMemtable(buffer, options);
    case "btree":
      return new BTreeMemtable(buffer, options);
    default:
      return implementation satisfies never;
  }
}

/** Returns a read-only view of a memtable of another thread. */
export function attachMemtable(share: MemtableShare): MemtableReader {
  const { implementation } = share;
  switch (implementation) {
    case "hash-runs":
      return HashRunsReader.attach(share);
    case "skiplist":
      return SkipListReader.attach(share);
    case "art":
      return ArtReader.attach(share);
    case "btree":
      return BTreeReader.attach(share);
    default:
      return implementation satisfies never;
  }
}

/**
 * Returns the most that an entry with this key and value takes of `roomBytes` of a memtable,
 * whichever it is: no implementation's own bound is larger.
 */
export function entryBytesMax(keyBytes: number, valueBytes: number): number {
  return skipListEntryBytesMax(keyBytes, valueBytes);
}
