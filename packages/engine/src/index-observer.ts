/**
 * Looks at what look-ups cost in each level, and has the tuner decide when tables are planned.
 *
 * Counts come from the tables themselves; the time of a search is sampled then and there, on a few
 * keys of open tables, so look-ups carry no clock. A decision is kept for `db.stats()`.
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
/** Tables of a level that are timed, and searches in each. */
const TIMED_TABLES = 3;
const SEARCHES = 128;

/** Sums over the tables of a level, since the database was opened. */
interface LevelSums {
  readonly lookups: number;
  readonly blocks: number;
  readonly blocksRead: number;
}

/** Plans indexes by level. */
export class IndexObserver {
  readonly #parts: ObservedParts;
  readonly #initial: IndexPlan;
  readonly #tunings = new Map<number, IndexTuning>();
  readonly #before = new Map<number, LevelSums>();
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
    const sums = this.#sumsOf(level);
    const before = this.#before.get(level) ?? { lookups: 0, blocks: 0, blocksRead: 0 };
    const observation = this.#observe(level, sums, before);
    const next = decideIndex(tuning, observation);
    if (next.decision.reason === "too few look-ups") return tuning.plan;
    this.#tunings.set(level, next.tuning);
    this.#before.set(level, sums);
    this.#decisions = [...this.#decisions.slice(1 - DECISIONS_MAX), next.decision];
    return next.tuning.plan;
  }

  #observe(level: number, sums: LevelSums, before: LevelSums): IndexObservation {
    const open = this.#openTables(level);
    return {
      level,
      // Tables that went away took their counts with them.
      lookups: Math.max(sums.lookups - before.lookups, 0),
      blocks: Math.max(sums.blocks - before.blocks, 0),
      blocksRead: Math.max(sums.blocksRead - before.blocksRead, 0),
      tables: open.length,
      modelled: open.filter(({ indexName }) => indexName !== "separators").length,
      indexBytes: open.reduce((sum, table) => sum + table.indexBytes, 0),
      fileBytes: open.reduce((sum, table) => sum + table.summary.fileBytes, 0),
      searchNs: this.#searchNs(open),
      separatorNs: this.#searchNs(this.#openTables(0)),
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

  #sumsOf(level: number): LevelSums {
    const { tables, version } = this.#parts;
    let lookups = 0;
    let blocks = 0;
    let blocksRead = 0;
    for (const run of version().levels[level]?.runs ?? []) {
      for (const { number } of run.tables) {
        const counts = tables.countsOf(number);
        if (counts === undefined) continue;
        lookups += counts.found + counts.passedInVain;
        blocks += counts.blocks.hits + counts.blocks.misses;
        blocksRead += counts.blocks.misses;
      }
    }
    return { lookups, blocks, blocksRead };
  }

  /** Returns the mean time of a search, 0 when the clock cannot tell. */
  #searchNs(open: readonly Table[]): number {
    const { clock } = this.#parts;
    let searches = 0;
    let spentMs = 0;
    for (const table of open.slice(0, TIMED_TABLES)) {
      const keys = open
        .slice(0, TIMED_TABLES)
        .flatMap(({ summary }) => [summary.smallestKey, summary.largestKey]);
      const startMs = clock.monotonicMs();
      for (let i = 0; i < SEARCHES; i++) table.locate(keys[i % keys.length]!);
      spentMs += clock.monotonicMs() - startMs;
      searches += SEARCHES;
    }
    return searches === 0 ? 0 : (spentMs * 1e6) / searches;
  }
}
