/**
 * The options of calls, and what they are checked for: a misspelt option is refused, because it may
 * be the one that asks for durability.
 */
import { AuraError, compareKeys } from "@aura/base";
import { WriteBatch } from "./batch.ts";
import type { Bytes } from "./bytes-in.ts";
import { keyBytes } from "./bytes-in.ts";
import type { CompactionRange, CompactOptions } from "./manual-compaction.ts";
import type { Durability } from "./settings.ts";
import { shown } from "./shown-value.ts";
import type { Snapshot } from "./snapshot.ts";

/** Whose turn it is when not everything can be done at once. */
export type Priority = "high" | "normal" | "low";

/** Options of a write. */
export interface WriteOptions {
  /**
   * `high`: is not slowed down by debt. `low`: is slowed down first, and stands back behind other
   * calls; it is visible when its promise resolves, not before. Writes of one priority are appended
   * in call order, those of different ones in any. Reads have none: they never wait for writes.
   * Default: `normal`.
   */
  readonly priority?: Priority;
  /** True: as `durability: "sync"`. False: as `"os"`. Refused beside a `durability` that says otherwise. */
  readonly sync?: boolean;
  /** What the acknowledged write survives. Default: `settings.wal.syncPolicy`. */
  readonly durability?: Durability;
  /**
   * Gives the write up, with AURA_ABORTED, if it fires before the write is on its way. A write that
   * waits for room can still be given up; one that was begun is carried out.
   */
  readonly signal?: AbortSignal;
}

/** Options of a point read. */
export interface ReadOptions {
  /** Reads the state that the snapshot holds. */
  readonly snapshot?: Snapshot;
}

/** Options of `createWriteStream`. */
export interface WriteStreamOptions extends WriteOptions {
  /** Bytes of the whole value: the stream fails when another number comes. */
  readonly size?: number;
}

/** A range of keys to compact. */
export interface KeyRangeOptions {
  readonly gte?: Bytes;
  readonly lte?: Bytes;
}

/**
 * Returns the bounds of a compaction; the caller may reuse its buffers. Throws AURA_INVALID_ARGUMENT, also
 * for bounds the wrong way round, as `deleteRange` does.
 */
export function compactionRange(range: KeyRangeOptions, options: CompactOptions): CompactionRange {
  checkOptions(options, COMPACT_OPTIONS);
  checkSignal(options.signal);
  if (!["undefined", "function"].includes(typeof options.onProgress)) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "options.onProgress: expected a function");
  }
  if (typeof range !== "object" || range === null) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "range: expected an object");
  }
  for (const name of Object.keys(range)) {
    if (name !== "gte" && name !== "lte") {
      throw new AuraError("AURA_INVALID_ARGUMENT", `range.${name}: unknown; known: gte, lte`);
    }
  }
  const smallest = range.gte === undefined ? undefined : new Uint8Array(keyBytes(range.gte));
  const largest = range.lte === undefined ? undefined : new Uint8Array(keyBytes(range.lte));
  if (smallest !== undefined && largest !== undefined && compareKeys(smallest, largest) > 0) {
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      "range: its lower bound lies above its upper bound",
    );
  }
  return {
    ...(smallest === undefined ? {} : { smallest }),
    ...(largest === undefined ? {} : { largest }),
  };
}

/** Whether a read is of a snapshot. */
export function isOfSnapshot(options: ReadOptions | undefined): boolean {
  return options?.snapshot !== undefined;
}

/** Names of the options of each kind of call. */
export const WRITE_OPTIONS: readonly string[] = ["sync", "durability", "signal", "priority"];
export const SUBMIT_OPTIONS: readonly string[] = ["signal"];
export const READ_OPTIONS: readonly string[] = ["snapshot"];
const COMPACT_OPTIONS: readonly string[] = ["signal", "onProgress"];
export const WRITE_STREAM_OPTIONS: readonly string[] = [...WRITE_OPTIONS, "size"];

/** Throws AURA_INVALID_ARGUMENT for what is not known. */
export function checkOptions(options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "options: expected an object");
  }
  for (const name in options) {
    if (known.includes(name)) continue;
    const list = known.join(", ");
    throw new AuraError("AURA_INVALID_ARGUMENT", `options.${name}: unknown; known: ${list}`);
  }
}

/** Throws for what is not an AbortSignal: only a real one takes listeners, and gives them back. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  const { aborted, addEventListener, removeEventListener } = (signal ?? {}) as Partial<AbortSignal>;
  const isLike =
    typeof addEventListener === "function" && typeof removeEventListener === "function";
  if (typeof aborted === "boolean" && isLike) return;
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `options.signal: expected an AbortSignal, got ${shown(signal)}`,
  );
}

/**
 * Returns the level that the options of a write ask for, undefined for none. Throws for what is no
 * level, and for two that contradict each other.
 */
export function levelOf({ sync, durability }: WriteOptions): Durability | undefined {
  if (sync !== undefined && typeof sync !== "boolean") {
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      `options.sync: expected true or false, got ${shown(sync)}`,
    );
  }
  if (durability === undefined) return sync === undefined ? undefined : sync ? "sync" : "os";
  const level = checkedLevel(durability);
  if (sync === undefined || sync === (level === "sync")) return level;
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `options.sync: ${sync} contradicts durability, ${level}`,
  );
}

/** Throws for what is not a level. */
function checkedLevel(durability: Durability): Durability {
  if (durability !== "buffered" && durability !== "os" && durability !== "sync") {
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      `durability: expected buffered, os or sync, got ${shown(durability)}`,
    );
  }
  return durability;
}

/** Throws for what is not a priority. */
export function checkPriority(priority: Priority): void {
  if (priority === "high" || priority === "normal" || priority === "low") return;
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `priority: expected high, normal or low, got ${shown(priority)}`,
  );
}

/** Throws for what is not a batch. */
export function assertBatch(batch: WriteBatch): void {
  if (WriteBatch.isBatch(batch)) return;
  throw new AuraError("AURA_INVALID_ARGUMENT", "batch: expected a WriteBatch");
}
