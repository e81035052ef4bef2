/** AuraDB: an embedded, ordered key-value storage engine. */

export { AuraError, type AuraErrorCode } from "@aura/base";
export type {
  AgentDecision,
  AgentWeights,
  CompactionMode,
  TreeShape,
  WindowObservation,
} from "@aura/compaction-rl";
export { AuraDB } from "./aura-db.ts";
export { WriteBatch } from "./batch.ts";
export type { Bytes } from "./bytes-in.ts";
export type {
  KeyRangeOptions,
  Priority,
  ReadOptions,
  WriteOptions,
  WriteStreamOptions,
} from "./call-options.ts";
export type { ChangeFeed, ChangesOptions } from "./change-feed.ts";
export type { Change, ChangeGroup } from "./change-group.ts";
export type { Receipt } from "./commit.ts";
export type { CompactionRequest, CompactionShape } from "./compaction-mode.ts";
export type { Components } from "./components.ts";
export type { DbCursor } from "./db-cursor.ts";
export { createEngineWithConfig, EngineBuilder } from "./engine-builder.ts";
export type { BackgroundErrorEvent, DatabaseEvents, StallEvent } from "./events.ts";
export type { CompactionProgress, CompactOptions } from "./manual-compaction.ts";
export type { PartOptions, ReadStreamOptions } from "./part-options.ts";
export type { RangeOptions, ScanOptions } from "./range.ts";
export type { DeleteRange } from "./range-delete.ts";
export { type RepairReport, repair } from "./repair.ts";
export type { AsyncScan } from "./scan.ts";
export type { Durability, Settings } from "./settings.ts";
export { createCache, type SharedCache, type SharedCacheStats } from "./shared-cache.ts";
export type { Snapshot } from "./snapshot.ts";
export type { SegmentStats, Stats, StatsOptions } from "./stats.ts";
export type { DecisionRecord, SteeringStats } from "./steering.ts";
export type { FilterStats, LevelStats } from "./table-stats.ts";
export type { Trace, TraceOptions, TraceSummary } from "./tracing.ts";
export type { ValueReadStream, ValueWriteStream } from "./value-stream.ts";
export type { VerifyReport } from "./verify.ts";
