/** Statistics of a database: counters since it was opened, and sizes as they are now. */

import type { TreeShape } from "@aura/compaction-rl";
import type { DelayStats } from "./admission.ts";
import { checkOptions } from "./call-options.ts";
import type { IndexDecision } from "./index-tuner.ts";
import type { IoStats } from "./io-budget.ts";
import { addPacked, type PackedValues } from "./jobs/value-mover.ts";
import type { MergeReasons } from "./merge-reasons.ts";
import type { DatabaseParts } from "./open-parts.ts";
import type { SteeringStats } from "./steering.ts";
import { type LevelStats, levelStats } from "./table-stats.ts";
import type { ValueLogSpace } from "./value-gc.ts";
import { valueSpace } from "./value-space.ts";
import type { SegmentKind } from "./version.ts";
import type { DebtShare, WriteDebt } from "./write-debt.ts";

/** What `db.stats()` returns. Sizes are bytes. */
export interface Stats {
  /**
   * Highest sequence number given. A write has one when it is appended, not when it is called: those
   * that wait, for their group or for room, are not counted.
   */
  readonly lastSeq: number;
  readonly durableSeq: number;
  readonly flushedSeq: number;
  readonly memtables: {
    readonly count: number;
    readonly usedBytes: number;
    readonly entries: number;
  };
  readonly levels: readonly LevelStats[];
  /** The last decisions of `learnedIndex.onlineTuning`, the newest at the end. */
  readonly indexTuning: readonly IndexDecision[];
  readonly values: {
    readonly segments: number;
    /** Files of sealed segments, and the records in them that are referred to. */
    readonly fileBytes: number;
    readonly liveBytes: number;
    /** fileBytes / liveBytes; 1 without segments. */
    readonly spaceAmplification: number;
    readonly draining: number;
    /** Values that flushes and relocations compressed, and their bytes before and after. */
    readonly packed: PackedValues;
  };
  /** The value log against its bound (`valueLog.spaceAmplificationMax`). */
  readonly valueLog: ValueLogSpace & {
    readonly segments: number;
    /** Segments that are being emptied, and those that were since the database was opened. */
    readonly draining: number;
    readonly drained: number;
    /** Bytes of values that merges have copied. */
    readonly relocatedBytes: number;
    /** Reads of scans that the order of values would have saved, and bytes rewritten for it. */
    readonly scatteredReads: number;
    readonly localityBytes: number;
    /** Times that a write had to wait for room in the value log. */
    readonly waits: number;
    /** With `{ segments: true }`. */
    readonly bySegment: readonly SegmentStats[] | undefined;
  };
  readonly log: {
    readonly files: number;
    /** Groups of writes: each is one append per file. */
    readonly groupsAppended: number;
    readonly bytesAppended: number;
    readonly syncs: number;
    /** Syncs of long unsynced files (`wal.backgroundSyncBytes`). */
    readonly backgroundSyncs: number;
    readonly backgroundSyncBytes: number;
  };
  readonly flushes: { readonly count: number; readonly bytesWritten: number };
  readonly compactions: {
    /** Mode in force; `custom` when levels were given, `adaptive` while an agent steers. */
    readonly mode: string;
    /** What it means: runs per level from level 1 on, and the trigger of level 0. */
    readonly shape: TreeShape;
    /** Merges under way. */
    readonly running: number;
    readonly merges: number;
    readonly moves: number;
    /** Tables dropped unread: range tombstones cover all of them. */
    readonly drops: number;
    readonly bytesRead: number;
    readonly bytesWritten: number;
    readonly bytesRelocated: number;
    /** Merges, and the bytes of tables they read and wrote, by the reason for which they were begun. */
    readonly byReason: ReturnType<MergeReasons["stats"]>;
  };
  /** Files that were removed, and their bytes. */
  readonly removals: { readonly count: number; readonly bytes: number };
  /** What the mode `adaptive` has done since the database was opened. */
  readonly steering: SteeringStats;
  /** Times a write had to wait for room in the memtables. */
  readonly stalls: number;
  /** What background jobs have read and written, by cause. */
  readonly io: IoStats;
  /** Writes that were acknowledged later because of debt or for the sake of space, and debt by cause. */
  readonly admission: DelayStats & {
    /** Writes of low priority that stood back so far, and bytes of those that do now. */
    readonly heldWrites: number;
    readonly heldBytes: number;
    readonly debt: ReturnType<WriteDebt["stats"]>;
    /** The room for values: as debt, in bytes of values. */
    readonly values: DebtShare;
  };
  readonly cache: {
    readonly capacity: number;
    /** Memory in use, of all databases that share the cache. */
    readonly usedBytes: number;
    /** Of it, filters and indexes of open tables. */
    readonly pinnedBytes: number;
    /** Tables that were closed because filters and indexes took too much of the cache. */
    readonly tablesClosed: number;
    /** Of this database's blocks. */
    readonly hits: number;
    readonly misses: number;
    /** Of separated values that are short enough to be kept. */
    readonly valueHits: number;
    readonly valueMisses: number;
  };
  /** Numbers of tables and segments that merges have met damaged, or of a later build, and leave alone. */
  readonly damaged: { readonly tables: readonly number[]; readonly segments: readonly number[] };
  readonly openSnapshots: number;
  readonly openCursors: number;
  readonly changeFeeds: {
    readonly open: number;
    /** The last sequence number that the slowest has handed out; undefined without feeds. */
    readonly oldestSeq: number | undefined;
    /** Logs that exist only because a feed has not read them yet. */
    readonly pinnedFiles: number;
    readonly pinnedBytes: number;
    /** The least that an open feed may hold of them; undefined without feeds. */
    readonly pinBytesMax: number | undefined;
    /** Feeds that lagged too far behind, and were ended. */
    readonly gone: number;
  };
  /** What made the database read-only, if anything did. */
  readonly failure: string | undefined;
}

/** What is asked of `db.stats()`. */
export interface StatsOptions {
  /** The figures of each value segment. Default false. */
  readonly segments?: boolean;
}

const STATS_OPTIONS: readonly string[] = ["segments"];

/** Figures of one segment. Bytes are those of records, but for `fileBytes`. */
export interface SegmentStats {
  readonly number: number;
  readonly kind: SegmentKind;
  /** Size of the file; 0 while it is still written to. */
  readonly fileBytes: number;
  readonly totalCount: number;
  readonly totalBytes: number;
  /** Records that no table refers to any more. */
  readonly garbageCount: number;
  readonly garbageBytes: number;
  readonly draining: boolean;
}

function segmentStats({ versions, valueGc }: DatabaseParts): SegmentStats[] {
  return [...versions.current.segments.values()].map(
    ({ number, kind, fileBytes, totalCount, totalBytes, deadCount, deadBytes }) => ({
      number,
      kind,
      fileBytes,
      totalCount,
      totalBytes,
      garbageCount: deadCount,
      garbageBytes: deadBytes,
      draining: valueGc.draining.has(number),
    }),
  );
}

/** Collects the statistics of an open database. */
export function collectStats(parts: DatabaseParts, options: StatsOptions = {}): Stats {
  checkOptions(options, STATS_OPTIONS);
  const { segments } = options;
  const { committer, journal, versions, memtables, flusher, compactor, tables, valueGc } = parts;
  const { current } = versions;
  const space = valueSpace(current);
  const cache = tables.cache.stats();
  const hot = parts.values.cache;
  const all = [memtables.active, ...memtables.sealed];
  return {
    lastSeq: committer.lastSeq,
    durableSeq: journal.syncs.durableSeq,
    flushedSeq: current.flushedSeq,
    memtables: {
      count: all.length,
      usedBytes: memtables.usedBytes,
      entries: all.reduce((sum, memtable) => sum + memtable.table.entryCount, 0),
    },
    indexTuning: parts.indexObserver.decisions,
    levels: current.levels.map((level) => levelStats(level, tables)),
    values: {
      segments: current.segments.size,
      fileBytes: space.fileBytes,
      liveBytes: space.referencedBytes,
      spaceAmplification: space.referencedBytes === 0 ? 1 : space.fileBytes / space.referencedBytes,
      draining: valueGc.draining.size,
      packed: addPacked(flusher.packed, compactor.packed),
    },
    valueLog: {
      ...valueGc.space(),
      segments: current.segments.size,
      draining: valueGc.draining.size,
      drained: valueGc.drained,
      relocatedBytes: compactor.bytesRelocated,
      scatteredReads: parts.locality.readsWasted,
      localityBytes: parts.locality.rewrittenBytes,
      waits: valueGc.waits,
      bySegment: segments === true ? segmentStats(parts) : undefined,
    },
    log: {
      files: journal.files.length,
      groupsAppended: journal.groupsAppended,
      bytesAppended: journal.bytesAppended,
      syncs: journal.syncs.count,
      backgroundSyncs: journal.syncs.backgroundCount,
      backgroundSyncBytes: journal.syncs.backgroundBytes,
    },
    flushes: { count: flusher.flushes, bytesWritten: flusher.bytesWritten },
    compactions: {
      mode: parts.steering.isOn ? "adaptive" : compactor.shape.name,
      shape: compactor.shape,
      running: compactor.running,
      merges: compactor.merges,
      moves: compactor.moves,
      drops: compactor.drops,
      bytesRead: compactor.bytesRead,
      bytesWritten: compactor.bytesWritten,
      bytesRelocated: compactor.bytesRelocated,
      byReason: compactor.reasons.stats(),
    },
    removals: parts.tree.removals,
    steering: parts.steering.stats(),
    stalls: committer.admission.stallCount,
    io: parts.io.stats(),
    admission: {
      ...committer.admission.stats(),
      heldWrites: parts.writes.heldCount,
      heldBytes: parts.writes.heldBytes,
      debt: parts.debt.stats(),
      values: {
        share: valueGc.pace.share,
        drainBytesPerSecond: Math.round(valueGc.pace.bytesPerMs * 1000),
      },
    },
    cache: {
      capacity: parts.settings.cache.capacity,
      usedBytes: cache.usedBytes,
      pinnedBytes: cache.pinnedBytes,
      tablesClosed: tables.closedForMemory,
      ...tables.blockCounts,
      valueHits: hot.hits,
      valueMisses: hot.misses,
    },
    damaged: {
      tables: [...compactor.damage.tables],
      segments: [...compactor.damage.segments],
    },
    openSnapshots: parts.snapshots.count,
    openCursors: parts.cursors.size,
    changeFeeds: feedStats(parts),
    failure: parts.health.failure?.message,
  };
}

function feedStats({ feeds, feedsGone, catalog }: DatabaseParts): Stats["changeFeeds"] {
  const { files, bytes } = catalog.pinned();
  return {
    open: feeds.size,
    oldestSeq: feeds.size === 0 ? undefined : Math.min(...[...feeds].map((feed) => feed.seq)),
    pinnedFiles: files,
    pinnedBytes: bytes,
    pinBytesMax:
      feeds.size === 0 ? undefined : Math.min(...[...feeds].map((feed) => feed.pinBytesMax)),
    gone: feedsGone,
  };
}
