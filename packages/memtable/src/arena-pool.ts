/**
 * The arenas of a process: SharedArrayBuffers by size, counted, reused and never dropped.
 *
 * A SharedArrayBuffer that a worker has seen is not given back to the system when it is dropped:
 * measured, twenty of 64 MiB stayed resident for good. So a released one waits here for the next
 * memtable. The pool hangs on `globalThis` under a registered symbol: two copies of this package in
 * one process share it. It belongs to one thread; a worker that reads an arena says so to the
 * thread that holds it, which releases it.
 */
import { AuraError, assert } from "@aura/base";
import { checkArenaBytes } from "./arena.ts";

/** What the pool holds. */
export interface ArenaPoolStats {
  /** Arenas in use. */
  readonly heldCount: number;
  readonly heldBytes: number;
  /** Arenas waiting to be reused. */
  readonly freeCount: number;
  readonly freeBytes: number;
  /** Arenas ever made, and how often one was reused instead. */
  readonly madeCount: number;
  readonly reusedCount: number;
}

/** Plain data, so that copies of this package of one format can share it. */
interface PoolState {
  readonly free: Map<number, SharedArrayBuffer[]>;
  readonly holders: Map<SharedArrayBuffer, number>;
  made: number;
  reused: number;
}

const POOL_KEY = Symbol.for("aura.memtable.arenas.0");

function processState(): PoolState {
  const home = globalThis as { [POOL_KEY]?: PoolState };
  home[POOL_KEY] ??= { free: new Map(), holders: new Map(), made: 0, reused: 0 };
  return home[POOL_KEY];
}

/** A door to the process-wide pool; every instance opens on the same arenas. */
export class ArenaPool {
  readonly #state: PoolState = processState();

  /**
   * Returns an arena of exactly `bytes`, with one holder: the caller. Its content is arbitrary.
   * Throws AURA_INVALID_ARGUMENT for a size out of range, AURA_BUSY when there is no memory.
   */
  acquire(bytes: number): SharedArrayBuffer {
    checkArenaBytes(bytes);
    const state = this.#state;
    const reused = state.free.get(bytes)?.pop();
    const buffer = reused ?? makeArena(bytes);
    if (reused === undefined) state.made++;
    else state.reused++;
    assert(!state.holders.has(buffer), "a free arena has no holder");
    state.holders.set(buffer, 1);
    return buffer;
  }

  /** Adds a holder to an arena that has one. */
  retain(buffer: SharedArrayBuffer): void {
    const holders = this.#state.holders.get(buffer);
    assert(holders !== undefined, "an arena is retained while it is held");
    this.#state.holders.set(buffer, holders + 1);
  }

  /** Takes one holder away; without holders the arena waits for the next `acquire` of its size. */
  release(buffer: SharedArrayBuffer): void {
    const state = this.#state;
    const holders = state.holders.get(buffer);
    assert(holders !== undefined && holders > 0, "an arena is released once per holder");
    if (holders > 1) {
      state.holders.set(buffer, holders - 1);
      return;
    }
    state.holders.delete(buffer);
    const free = state.free.get(buffer.byteLength);
    if (free === undefined) state.free.set(buffer.byteLength, [buffer]);
    else free.push(buffer);
  }

  stats(): ArenaPoolStats {
    const state = this.#state;
    let heldBytes = 0;
    let freeBytes = 0;
    let freeCount = 0;
    for (const buffer of state.holders.keys()) heldBytes += buffer.byteLength;
    for (const [bytes, buffers] of state.free) {
      freeCount += buffers.length;
      freeBytes += bytes * buffers.length;
    }
    return {
      heldCount: state.holders.size,
      heldBytes,
      freeCount,
      freeBytes,
      madeCount: state.made,
      reusedCount: state.reused,
    };
  }
}

function makeArena(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch (cause) {
    throw noMemory(bytes, cause);
  }
}

function noMemory(bytes: number, cause: unknown): AuraError {
  return new AuraError("AURA_BUSY", `no memory for an arena of ${bytes} bytes`, { cause });
}
