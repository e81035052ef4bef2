/**
 * Look-ups that wait for blocks, carried on together: sorted by place, each block read once for all
 * keys that want it, up to 64 reads side by side on the thread pool, or on this thread as far as
 * reads prove to be quick. A look-up that then waits for a block of another table joins the next
 * round.
 */
import type { TableHit } from "@aura/sst";
import { SLOW_READ_MS } from "./adaptive-reads.ts";
import type { Health } from "./health.ts";
import type { ReadTiming } from "./placed-reads.ts";
import type { TableStore } from "./table-store.ts";
import type { TableMeta } from "./version.ts";

/** In place of a block: the table is not open yet. */
export const UNOPENED = -1;
/** An opening that takes longer did not come from the page cache, milliseconds. */
const SLOW_OPEN_MS = 4;

/** What a look-up waits for: `hit.block` of a table, or its opening. */
export interface AwaitedBlock {
  readonly meta: TableMeta | undefined;
  readonly hit: TableHit;
}

/**
 * Reads what `uses` look-ups wait for, on this thread, and notes how long that took. Returns false when
 * it did not: a table whose first bytes were slow to come would block this thread for many reads more.
 */
export function loadSync(
  tables: TableStore,
  reads: ReadTiming,
  meta: TableMeta,
  block: number,
  uses: number = 1,
): boolean {
  const startMs = reads.startMs();
  let slowMs: number | undefined;
  try {
    if (block !== UNOPENED) tables.get(meta).loadBlockSync(block, uses);
    else {
      if (!tables.touchSync(meta, () => reads.startMs() - startMs <= SLOW_READ_MS)) return false;
      slowMs = SLOW_OPEN_MS;
      tables.get(meta);
    }
    return true;
  } finally {
    reads.note(startMs, slowMs);
  }
}

/** As `loadSync`, through the thread pool; `then` runs when it is there, before anything else. */
export async function load<T>(
  tables: TableStore,
  meta: TableMeta,
  block: number,
  then: () => T,
  uses: number = 1,
): Promise<T> {
  if (block === UNOPENED) {
    await tables.warm(meta);
    tables.get(meta);
    return then();
  }
  const table = tables.hold(meta);
  try {
    await table.loadBlock(block, uses);
    return then();
  } finally {
    tables.release(meta);
  }
}

/** A look-up that waits. */
export interface Miss {
  readonly search: AwaitedBlock;
}

/** Where blocks come from. */
interface MissParts {
  readonly tables: TableStore;
  readonly reads: ReadTiming;
  readonly health: Health;
}

/** Reads at one time on the thread pool. */
const READS_IN_FLIGHT_MAX = 64;

/**
 * Runs look-ups to their ends. `resume` goes on with one whose block is there, and returns whether it
 * waits again. The tables' files must be pinned. Throws the first failure, when no read is under way.
 */
export async function readMisses<M extends Miss>(
  misses: readonly M[],
  parts: MissParts,
  resume: (miss: M) => boolean,
): Promise<void> {
  for (let waiting = misses.slice(); waiting.length > 0; ) {
    waiting = await readRound(waiting, parts, resume);
  }
}

/** Reads the blocks that look-ups wait for, goes on with them, and returns those that wait again. */
async function readRound<M extends Miss>(
  waiting: M[],
  { tables, reads, health }: MissParts,
  resume: (miss: M) => boolean,
): Promise<M[]> {
  waiting.sort(byPlace);
  const again: M[] = [];
  const failures: unknown[] = [];
  const flying = new Set<Promise<void>>();
  const goOn = (start: number, end: number): void => {
    for (let i = start; i < end; i++) if (resume(waiting[i]!)) again.push(waiting[i]!);
  };
  for (let start = 0; start < waiting.length && failures.length === 0; ) {
    const meta = waiting[start]!.search.meta!;
    const { block } = waiting[start]!.search.hit;
    let end = start + 1;
    while (end < waiting.length && byPlace(waiting[start]!, waiting[end]!) === 0) end++;
    const from = start;
    let isDone = false;
    if (reads.maySync()) {
      try {
        isDone = loadSync(tables, reads, meta, block, end - from);
        if (isDone) goOn(from, end);
      } catch (error) {
        failures.push(error);
        isDone = true;
      }
    }
    if (!isDone) {
      const flight: Promise<void> = load(tables, meta, block, () => goOn(from, end), end - from)
        .catch((error: unknown) => {
          failures.push(error);
        })
        .then(() => {
          flying.delete(flight);
        });
      flying.add(flight);
      if (flying.size >= READS_IN_FLIGHT_MAX) {
        await Promise.race(flying);
        try {
          health.assertOpen();
        } catch (error) {
          failures.push(error);
        }
      }
    }
    start = end;
  }
  await Promise.all(flying);
  if (failures.length > 0) throw failures[0] as Error;
  return again;
}

/** Newer files have higher numbers; within one, blocks follow each other. */
function byPlace(a: Miss, b: Miss): number {
  return a.search.meta!.number - b.search.meta!.number || a.search.hit.block - b.search.hit.block;
}
