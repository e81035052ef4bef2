/**
 * What an open cursor holds: its version, its memtables and its place among the open cursors.
 *
 * It knows nothing of the cursor. So a cursor that a program dropped without closing it is collected,
 * and what it held is then let go of and reported (`cursorLeft`); until then, files stay on the disk.
 */
import type { DatabaseEmitter } from "./events.ts";
import type { MemtableEntry } from "./memtables.ts";
import type { ScanTrace } from "./trace-recorder.ts";
import type { Version } from "./version.ts";
import type { VersionSet } from "./version-set.ts";
import type { VisibleCursor } from "./visible-cursor.ts";
import type { ScanSample, WorkCounts } from "./work-counts.ts";

/** Where cursors are counted, and what they hold is given back to. */
interface CursorHome {
  readonly cursors: Set<{ close(): void }>;
  readonly versions: VersionSet;
  readonly events: Pick<DatabaseEmitter, "announce">;
  readonly counts: Pick<WorkCounts, "endScan">;
}

const dropped = new FinalizationRegistry<CursorHold>((hold) => hold.abandon());

/** The hold of one cursor. */
export class CursorHold {
  /** A move is under way. */
  busy = false;
  /** Entries taken since the cursor was placed, for the trace. */
  taken = 0;
  trace: ScanTrace | undefined;
  /** What is measured of it, if it is one of those. */
  sample: ScanSample | undefined;
  readonly visible: VisibleCursor;
  readonly #home: CursorHome;
  readonly #memtables: readonly MemtableEntry[];
  readonly #version: Version;
  #closed = false;
  #released = false;

  /** Takes over what is held and pinned already. `cursor`: whose it is; not kept. */
  constructor(
    home: CursorHome,
    memtables: readonly MemtableEntry[],
    version: Version,
    visible: VisibleCursor,
    cursor: object,
  ) {
    this.#home = home;
    this.#memtables = memtables;
    this.#version = version;
    this.visible = visible;
    home.cursors.add(this);
    dropped.register(cursor, this, this);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Lets go, when no move is under way any more. Idempotent. */
  close(): void {
    this.#closed = true;
    if (!this.busy) this.#release();
  }

  /** A move has ended. */
  leave(): void {
    this.busy = false;
    if (this.#closed) this.#release();
  }

  /** The cursor is gone, and nobody closed it. */
  abandon(): void {
    if (this.#closed) return;
    this.busy = false;
    this.close();
    this.#home.events.announce("cursorLeft", { count: 1 });
  }

  #release(): void {
    if (this.#released) return;
    this.#released = true;
    dropped.unregister(this);
    this.trace?.end(this.taken);
    const { cursors, versions, counts } = this.#home;
    if (this.sample !== undefined) counts.endScan(this.sample);
    cursors.delete(this);
    this.visible.close();
    for (const entry of this.#memtables) entry.release();
    versions.unpin(this.#version);
  }
}
