/** Figures of tables, level by level: what filters and the cache did for the tables that a level has. */
import type { TableStore } from "./table-store.ts";
import type { Level } from "./version.ts";

/** What the filters of a level's tables did since each of them was written, or the database opened. */
export interface FilterStats {
  /** Bits of all filters, over entries. */
  readonly bitsPerEntry: number;
  /** Look-ups of a table that its filter ended, that found a version, and that it let pass in vain. */
  readonly denied: number;
  readonly found: number;
  readonly passedInVain: number;
  /** Of the look-ups of absent keys, the share that passed; 0 without such look-ups. */
  readonly falsePositiveRate: number;
  /** What theory says that share is, for the tables that were asked; 0 without such look-ups. */
  readonly expectedRate: number;
}

/** Figures of one level. Sizes are bytes. */
export interface LevelStats {
  readonly runs: number;
  readonly tables: number;
  readonly bytes: number;
  readonly entries: number;
  readonly filter: FilterStats;
  /** Blocks of the level's tables that were found in the cache, and that were not. */
  readonly blockHits: number;
  readonly blockMisses: number;
}

/** Returns the figures of a level. */
export function levelStats({ runs }: Level, store: TableStore): LevelStats {
  const tables = runs.flatMap((run) => run.tables);
  const sum = { bytes: 0, entries: 0, bits: 0, denied: 0, found: 0, vain: 0, expected: 0 };
  const blocks = { hits: 0, misses: 0 };
  for (const { number, bytes, entryCount, filterBits } of tables) {
    sum.bytes += bytes;
    sum.entries += entryCount;
    sum.bits += filterBits;
    const counts = store.countsOf(number);
    if (counts === undefined) continue;
    sum.denied += counts.denied;
    sum.found += counts.found;
    sum.vain += counts.passedInVain;
    sum.expected += (counts.denied + counts.passedInVain) * counts.filterRate;
    blocks.hits += counts.blocks.hits;
    blocks.misses += counts.blocks.misses;
  }
  const absent = sum.denied + sum.vain;
  return {
    runs: runs.length,
    tables: tables.length,
    bytes: sum.bytes,
    entries: sum.entries,
    filter: {
      bitsPerEntry: sum.entries === 0 ? 0 : sum.bits / sum.entries,
      denied: sum.denied,
      found: sum.found,
      passedInVain: sum.vain,
      falsePositiveRate: absent === 0 ? 0 : sum.vain / absent,
      expectedRate: absent === 0 ? 0 : sum.expected / absent,
    },
    blockHits: blocks.hits,
    blockMisses: blocks.misses,
  };
}
