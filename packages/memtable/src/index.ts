export { ARENA_BYTES_DEFAULT, ARENA_BYTES_MAX, ARENA_BYTES_MIN } from "./arena.ts";
export { ArenaPool, type ArenaPoolStats } from "./arena-pool.ts";
export { attachMemtable, createMemtable, entryBytesMax } from "./create-memtable.ts";
export type {
  Memtable,
  MemtableImplementation,
  MemtableOptions,
  MemtableReader,
  MemtableShare,
} from "./memtable.ts";
