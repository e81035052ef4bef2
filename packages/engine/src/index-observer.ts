/**
 * Looks at what look-ups cost in each level, and has the tuner decide when tables are planned.
 *
 * Counts come from the tables themselves; the time of a search is sampled then and there, on keys of
 * open tables that are in memory, in their models and in the separators that stand beside them, so
 * look-ups carry no clock. A decision is kept for `db.stats()`.
 */
import type { Clock } from "@aura/base";
import type { Table } from "@aura/sst";
import {
  decideIndex,
  type IndexDecision,
  type IndexObservation,
  type IndexPlan,
  type IndexTuning,
} from "./index-tuner.ts";
import type { TableStore } from "./table-store.ts";
import type { Version } from "./version.ts";

/** What the observer looks at. */
export interface ObservedParts {
  readonly tables: TableStore;
  readonly version: () => Version;
  readonly clock: Clock;
}

/** Decisions that are kept. */
const DECISIONS_MAX = 64;
/** Tables of a level that are timed, keys sought in each, and how often. */
const TIMED_TABLES = 3;
const KEYS_MAX = 128;
const ROUNDS = 3;
/** Fewer keys say nothing. */
const KEYS_MIN = 16;

/** What was counted of a level, or of a table. */
interface Counted {
  lookups: number;
  blocks: number;
  blocksRead: number;
}

/** Plans indexes by level. */
export class IndexObserver {
  readonly #parts: ObservedParts;
  readonly #initial: IndexPlan;
  readonly #tunings = new Map<number, IndexTuning>();
  /** Of each table, what is in the sum of a level already. */
  #seen = new Map<number, Counted>();
  /** Of each level, what was counted since its last decision, also in tables that are gone. */
  readonly #sums = new Map<number, Counted>();
  #decisions: IndexDecision[] = [];

  constructor(parts: ObservedParts, initial: IndexPlan) {
    this.#parts = parts;
    this.#initial = initial;
  }

  /** The last decisions, the newest at the end. */
  get decisions(): readonly IndexDecision[] {
    return this.#decisions;
  }

  /** Returns how the next tables of a level are indexed; decides anew when there is enough to go by. */
  planFor(level: number): IndexPlan {
    const tuning = this.#tunings.get(level) ?? { plan: this.#initial, advice: undefined };
    this.#gather();
    const next = decideIndex(tuning, this.#observe(level));
    if (next.decision.reason === "too few look-ups") return tuning.plan;
    this.#tunings.set(level, next.tuning);
    this.#sums.delete(level);
    this.#decisions = [...this.#decisions.slice(1 - DECISIONS_MAX), next.decision];
    return next.tuning.plan;
  }

  /** Adds what tables have counted to the sums of their levels: those that are to be merged go away. */
  #gather(): void {
    const { tables, version } = this.#parts;
    const seen = new Map<number, Counted>();
    for (const [level, { runs }] of version().levels.entries()) {
      for (const { number } of runs.flatMap((run) => run.tables)) {
        const counts = tables.countsOf(number);
        if (counts === undefined) continue;
        const { found, passedInVain, blocks } = counts;
        const now: Counted = {
          lookups: found + passedInVain,
          blocks: blocks.hits + blocks.misses,
          blocksRead: blocks.misses,
        };
        const before = this.#seen.get(number) ?? NOTHING;
        const sum = this.#sumOf(level);
        sum.lookups += now.lookups - before.lookups;
        sum.blocks += now.blocks - before.blocks;
        sum.blocksRead += now.blocksRead - before.blocksRead;
        seen.set(number, now);
      }
    }
    this.#seen = seen;
  }

  #sumOf(level: number): Counted {
    let sum = this.#sums.get(level);
    if (sum === undefined) {
      sum = { ...NOTHING };
      this.#sums.set(level, sum);
    }
    return sum;
  }

  #observe(level: number): IndexObservation {
    const open = this.#openTables(level);
    const modelled = open.filter(({ indexName }) => indexName !== "separators");
    return {
      level,
      ...this.#sumOf(level),
      tables: open.length,
      modelled: modelled.length,
      indexBytes: open.reduce((sum, table) => sum + table.indexBytes, 0),
      fileBytes: open.reduce((sum, table) => sum + table.summary.fileBytes, 0),
      ...this.#timeSearches(modelled),
    };
  }

  #openTables(level: number): Table[] {
    const { tables, version } = this.#parts;
    const runs = version().levels[level]?.runs ?? [];
    return runs
      .flatMap((run) => run.tables)
      .map(({ number }) => tables.opened(number))
      .filter((table) => table !== undefined);
  }

  /** Returns the mean time of a search for the same keys in models and in the separators beside them. */
  #timeSearches(modelled: readonly Table[]): { searchNs: number; separatorNs: number } {
    let searches = 0;
    let modelMs = 0;
    let separatorMs = 0;
    for (const table of modelled.slice(0, TIMED_TABLES)) {
      const keys = table.keysInMemory(KEYS_MAX);
      if (keys.length < KEYS_MIN) continue;
      const separators = separatorsOf(table);
      if (separators === undefined) continue;
      searches += keys.length;
      modelMs += this.#leastMs(() => {
        for (const key of keys) table.locate(key);
      });
      separatorMs += this.#leastMs(() => {
        for (const key of keys) separators.locate(key, 0, key.length);
      });
    }
    if (searches === 0) return { searchNs: 0, separatorNs: 0 };
    const nsPerMs = 1e6;
    return {
      searchNs: (modelMs * nsPerMs) / searches,
      separatorNs: (separatorMs * nsPerMs) / searches,
    };
  }

  /** Returns the least time of a few rounds: the first one fills the processor's caches. */
  #leastMs(round: () => void): number {
    const { clock } = this.#parts;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < ROUNDS; i++) {
      const startMs = clock.monotonicMs();
      round();
      least = Math.min(least, clock.monotonicMs() - startMs);
    }
    return least;
  }
}

/** Returns the separators of a table; undefined when they cannot be read: look-ups do well without. */
function separatorsOf(table: Table): ReturnType<Table["readSeparators"]> | undefined {
  try {
    return table.readSeparators();
  } catch {
    return undefined;
  }
}

const NOTHING: Readonly<Counted> = { lookups: 0, blocks: 0, blocksRead: 0 };
