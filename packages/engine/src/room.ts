/**
 * Room in the memtables: what makes a write wait, and for how long.
 *
 * A group goes in when the active memtable has room for it, or another one may be made. Otherwise
 * promises wait for a flush, and a call on the owner's thread blocks until one is installed.
 */
import { AuraError } from "@aura/base";
import type { Health } from "./health.ts";
import type { Memtables } from "./memtables.ts";

/** A synchronous write gives up after this long without progress of the background work, ms. */
const STALL_MS_MAX = 60_000;
/** How long it waits for a completion before it looks again, ms. */
const STALL_SLICE_MS = 100;

/** What writes need of the background work. */
export interface BackgroundWork {
  /** Begins to flush sealed memtables. `again`: at once, even after a failure. */
  flushSealed(again?: boolean): void;
  /** Runs completions of background work on this thread. */
  poll(): void;
  /** Blocks until background work made progress, or `ms` went by. */
  waitSync(ms: number): boolean;
}

/** What room is made with. */
export interface RoomParts {
  readonly memtables: Memtables;
  readonly health: Health;
  readonly work: BackgroundWork;
  /** Seals the active memtable. */
  readonly seal: () => void;
  /** Whether the value log may grow now (value-gc.ts). */
  readonly mayGrow: () => boolean;
  /** A write waits. */
  readonly onStall: () => void;
}

/** Makes room for groups. */
export class Room {
  readonly #parts: RoomParts;
  /** Times a write had to wait. */
  stallCount = 0;

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  /** Makes room for a group that needs `bytes` of memtable. Returns false when it has to wait. */
  make(bytes: number): boolean {
    const { memtables, seal, mayGrow } = this.#parts;
    if (!mayGrow()) return false;
    if (memtables.hasRoom(bytes)) return true;
    if (!memtables.maySeal) return false;
    seal();
    return true;
  }

  /** As `make`; blocks until there is room. Throws AURA_BUSY when flushes make no progress. */
  makeSync(bytes: number): void {
    if (this.make(bytes)) return;
    this.noteStall();
    const { memtables, health, work } = this.#parts;
    for (let tries = 0; !this.make(bytes); ) {
      health.assertWritable();
      const before = memtables.sealed.length;
      work.flushSealed(true);
      // Anything that ended may have made room: values wait for merges and removals as well.
      if (work.waitSync(STALL_SLICE_MS) || memtables.sealed.length < before) tries = 0;
      else if (++tries * STALL_SLICE_MS >= STALL_MS_MAX) {
        throw new AuraError("AURA_BUSY", "no room: flushes make no progress");
      }
    }
  }

  /** Counts and announces that a write waits. */
  noteStall(): void {
    this.stallCount++;
    this.#parts.onStall();
  }
}
