/** Immutable sorted tables: written once from sorted entries, read by key, by cursor, or whole. */

export {
  BlockCache,
  type BlockCacheStats,
  type CacheCounts,
  type CacheSpace,
} from "./block-cache.ts";
export type { BlockIndex, BlockIndexBuilder, BlockIndexFormat } from "./block-index.ts";
export { FilterKind } from "./filter-kind.ts";
export { filterRate } from "./key-filter.ts";
export { LentMemory } from "./lent-memory.ts";
export type { SegmentReferences, TableSummary } from "./properties.ts";
export { readRangesSync } from "./range-block.ts";
export { RangeFragments } from "./range-fragments.ts";
export { ScanPlan } from "./scan-plan.ts";
export { separatorIndex } from "./separator-index.ts";
export { Lookup, Table, TableCounts, TableHit, type TableOpenOptions } from "./table.ts";
export { TableCursor, type TableCursorOptions } from "./table-cursor.ts";
export type { TableIdentity } from "./table-file.ts";
export { type LentBytes, TableScan, type TableScanOptions } from "./table-scan.ts";
export { type TableSettings, TableWriter, type TableWriterOptions } from "./table-writer.ts";
