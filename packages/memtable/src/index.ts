export {
  ARENA_BYTES_DEFAULT,
  ARENA_BYTES_MAX,
  ARENA_BYTES_MIN,
  entryBytesMax,
  HEIGHT_MAX,
} from "./arena-layout.ts";
export { ArenaPool, type ArenaPoolStats } from "./arena-pool.ts";
export { SkipListMemtable, type SkipListOptions } from "./skip-list-memtable.ts";
export { type MemtableShare, SkipListReader } from "./skip-list-reader.ts";
