/**
 * Garbage collection of the value log: holds its files within `valueLog.spaceAmplificationMax` times
 * the bytes of live values, at every moment (docs/rfcs/0010-value-gc.md).
 *
 * disk    files with values, the copies that running merges are about to make, and dropped files
 *         that are not gone yet
 * live    L, the least that a reader of the present may see of them: what the bottom run refers to,
 *         as if every entry above it and in memory stood for one of its values, but for what came with a
 *         key that was new (new-keys.ts)
 * pinned  what only snapshots, cursors and feeds hold: outside of the bound, reported apart
 * limit   bound x L; with tables much larger than the values, or a few segments only, more (`#limit`)
 *
 * Below the limit stand three marks. From `limit - margin` on, segments are marked, and merges that
 * come anyway empty them, and writes are slowed down (value-pace.ts). When the copies that are still
 * to be made come near the limit, merges are begun for that alone, before any other (`demand`). And
 * writes wait when nothing but room for the copies of one more segment is left (`mayWrite`), as long
 * as something is under way that makes room.
 *
 * Garbage that no merge has met is hidden: in the memtable and in the runs above the last one. It
 * takes of the bound what segments with garbage could take, so it is kept small: the memtable is
 * sealed early, and level 0 is merged early. How early, weighs the tables that are rewritten for it
 * against the copies that are saved.
 */
import type { Clock } from "@aura/base";
import { chooseDrain, stillDraining } from "./drain-choice.ts";
import type { Journal } from "./journal.ts";
import type { LogCatalog } from "./log-catalog.ts";
import type { MemtableEntry, Memtables } from "./memtables.ts";
import type { OldLog } from "./old-logs.ts";
import type { OverwrittenValues } from "./overwritten-values.ts";
import type { SnapshotList } from "./snapshot.ts";
import { ValuePace } from "./value-pace.ts";
import { bottomRun, liveBytesOf, valueSpace } from "./value-space.ts";
import type { SegmentMeta, TableMeta, Version } from "./version.ts";
import type { VersionSet } from "./version-set.ts";

const MIB = 1024 * 1024;
/** Least size of a segment, and the least number of segments that the live values fill. */
const SEGMENT_BYTES_MIN = 8 * MIB;
const LIVE_SEGMENTS_MIN = 64;
/** The memtable is sealed at so many bytes of values: recovery reads what is not flushed. */
const UNFLUSHED_BYTES_MAX = 512 * MIB;
/** The same of those that may be garbage: at most this, or this share of L. */
const HIDDEN_BYTES_MAX = 64 * MIB;
const HIDDEN_SHARE_MAX = 0.03;
/** Of a small value log, so many segments may be garbage whatever the bound is. */
const SPARE_SEGMENTS = 4;
/** Room that is left for copies when writes begin to wait, in segments. */
const COPY_SEGMENTS = 1.25;
/**
 * Marking, and the delay of writes, start where so many times the garbage of a sweep may still be
 * written before writes wait; and where so many segments may, at least and at most.
 */
const MARGIN_SWEEPS = 1.5;
const MARGIN_SEGMENTS_MIN = 0.5;
const MARGIN_SEGMENTS_MAX = 1.5;
/** At rest, deletes in memory may take away this share of L. */
const DELETED_SHARE_MAX = 0.05;
/** Tables up to this share of L leave the bound as it is. */
const LEAN_TABLE_SHARE = 0.1;

/** What a garbage collector looks at. */
export interface ValueGcParts {
  readonly versions: VersionSet;
  readonly memtables: Memtables;
  readonly journal: Pick<Journal, "files">;
  readonly oldLogs: readonly OldLog[];
  readonly catalog: Pick<LogCatalog, "pinned">;
  readonly snapshots: Pick<SnapshotList, "oldest">;
  readonly clock: Clock;
  /** Bytes of values that are being written while they come. */
  readonly streamedBytes: () => number;
  readonly spaceAmplificationMax: number;
  readonly maxSegmentSize: number;
  readonly overwritten: Pick<
    OverwrittenValues,
    "bytes" | "bytesInTables" | "noteMerged" | "noteDropped"
  >;
  /** It was looked at how much room there is. */
  readonly onLooked: () => void;
  readonly onDraining: (event: SegmentsDraining) => void;
}

/** Segments that were chosen to be emptied. */
export interface SegmentsDraining {
  readonly segments: readonly number[];
  /** Bytes to copy, and bytes that are gained. */
  readonly liveBytes: number;
  readonly garbageBytes: number;
}

/** What garbage collection asks of the tree. */
export interface SpaceDemand {
  /** Merges that empty segments go before all others. */
  readonly isUrgent: boolean;
  /** Runs above the last one are to be merged down, so that hidden garbage is met. */
  readonly isHiding: boolean;
}

/** Sizes of the value log, bytes. */
export interface ValueLogSpace {
  /** Values that the present refers to; what stands above the bottom run, by what merges met. */
  readonly liveBytes: number;
  /** Files with values, on their way to be removed included, without what is pinned. */
  readonly totalBytes: number;
  /** totalBytes - liveBytes, at least 0. */
  readonly garbageBytes: number;
  /** totalBytes / liveBytes; 1 without values. */
  readonly amplification: number;
  /** What only snapshots, cursors and feeds hold: files, and about how much within files. */
  readonly pinnedBytes: number;
}

/** Decides what is drained and who waits. */
export class ValueGc {
  readonly #parts: ValueGcParts;
  #draining = new Set<number>();
  /** Bytes that running merges copy. */
  #copying = 0;
  /** Dropped segments whose file is not gone, and the first version without them. */
  readonly #leaving = new Map<number, { readonly bytes: number; readonly versionId: number }>();
  /** Entries that came down to the bottom run, and how many of them met an older version there. */
  #arrived = 0;
  #overwrote: number;
  /** The same of the last merge alone: what has changed shows here first. */
  #lastShare = 0;
  /** `mayWrite` says yes until the active memtable has used so much room. */
  #granted = 0;
  #grantedSeq = -1;
  #sealAt = 0;
  /** What a write that waits has to have. */
  #neededBytes = 0;
  #segmentBytes = SEGMENT_BYTES_MIN;
  /** Garbage of a sweep lately. */
  #sweptBytes = Number.POSITIVE_INFINITY;
  /** Segments that are left alone: they are damaged. */
  avoid: ReadonlySet<number> = new Set();
  /** Counters for stats. */
  drained = 0;
  waits = 0;

  /** What writes are delayed by. */
  readonly pace: ValuePace;

  constructor(parts: ValueGcParts) {
    this.#parts = parts;
    const { memtables, spaceAmplificationMax } = parts;
    this.pace = new ValuePace(
      parts.clock,
      () => memtables.valueBytesAdded + spaceAmplificationMax * memtables.valueBytesTaken,
    );
    // What a reopened database is like is not known before its first merge: look from below.
    const { segments } = parts.versions.current;
    this.#overwrote = [...segments.values()].some(({ deadBytes }) => deadBytes > 0) ? 1 : 0;
    this.#arrived = this.#overwrote;
    this.#refresh();
  }

  /** Segments that are being emptied. */
  get draining(): ReadonlySet<number> {
    return this.#draining;
  }

  /** A log with values, or a relocated segment, is followed by the next one from this size on. */
  get segmentBytesMax(): number {
    return this.#segmentBytes;
  }

  /** Whether the active memtable names so many values that it is to be sealed. */
  get mustSeal(): boolean {
    const { active } = this.#parts.memtables;
    return hiddenBytesOf(active) > this.#sealAt || active.valueBytes > UNFLUSHED_BYTES_MAX;
  }

  /** Looks at the sizes. */
  space(): ValueLogSpace {
    const liveBytes = this.#live();
    const held = this.#held();
    const totalBytes = Math.max(0, this.#disk() - held);
    return {
      liveBytes,
      totalBytes,
      garbageBytes: Math.max(0, totalBytes - liveBytes),
      amplification: liveBytes > 0 ? Math.max(1, totalBytes / liveBytes) : 1,
      pinnedBytes: held + this.#pinnedFiles(),
    };
  }

  /** Marks segments as far as the sizes ask for it, and says what the tree is to do. */
  demand(): SpaceDemand {
    const version = this.#parts.versions.current;
    this.#draining = stillDraining(version, this.#draining);
    for (const number of this.avoid) this.#draining.delete(number);
    this.#refresh();
    const limit = this.#limit();
    const disk = this.#disk() - this.#held();
    const room = limit - this.#copyRoom();
    // For a large group there is to be room before it comes: up to half of what may be garbage.
    const needed = Math.min(this.#neededBytes, (room - this.#least()) / 2);
    const high = room - Math.max(needed, this.#softRoom);
    let garbage = 0;
    let copies = -this.#copying;
    for (const number of this.#draining) {
      const segment = version.segments.get(number)!;
      garbage += segment.fileBytes - liveBytesOf(segment);
      copies += liveBytesOf(segment);
    }
    copies = Math.max(0, copies);
    const step = this.#segmentBytes / 4;
    const wantedBytes = disk - garbage - high;
    let isBlocked = false;
    if (wantedBytes > 0) {
      const copyBytesMax = limit - disk - copies - step;
      // What leaves may be all the room that is missing.
      const isShort = needed > 0 || disk + step > limit;
      const isForced = this.#draining.size === 0 && !this.isLeaving && isShort;
      const chosen = chooseDrain(version, this.#taken(), { wantedBytes, copyBytesMax, isForced });
      for (const number of chosen) copies += liveBytesOf(version.segments.get(number)!);
      this.#mark(chosen);
      isBlocked = chosen.length === 0;
    }
    const hidden = this.#hiddenInTables();
    // Nothing can be drained that level 0 refers to.
    const { fileBytes, referencedBytes, levelZero } = valueSpace(version);
    const isAtZero = isBlocked && levelZero.size > 0 && fileBytes - referencedBytes > step;
    return {
      isUrgent:
        this.#draining.size > 0 &&
        (isBlocked || (needed > 0 && disk > high) || disk + copies + 2 * step >= limit),
      isHiding:
        isAtZero ||
        (hidden > 0 &&
          disk > high - this.#hiddenMax() &&
          (isBlocked || hidden > this.#hiddenMax())),
    };
  }

  /**
   * Marks all that is worth it, whatever the bound, as far as the copies fit: what is marked already
   * comes first. Returns what is marked.
   */
  markAll(): ReadonlySet<number> {
    const version = this.#parts.versions.current;
    this.#draining = stillDraining(version, this.#draining);
    if (this.#draining.size > 0) return this.#draining;
    const copyBytesMax = Math.max(this.#roomForWrites().room, this.#least() / 16);
    const wantedBytes = Number.POSITIVE_INFINITY;
    this.#mark(chooseDrain(version, this.#taken(), { wantedBytes, copyBytesMax, isForced: true }));
    return this.#draining;
  }

  /**
   * Whether a write may take `bytes` more of values now. Without any it may yet take values away, and so
   * lower the limit: where such writes came, others may have to wait. `isWorking`: something is under way
   * that makes room; it may begin it, by all means if there is none.
   */
  mayWrite(bytes: number, isWorking: (isNeeded: boolean) => boolean): boolean {
    const { active } = this.#parts.memtables;
    const { valueBytes, afterSeq } = active;
    const takenBytes = active.deletedBytes + active.takenBytes;
    if (bytes === 0 && takenBytes === 0) return true;
    const used = valueBytes + this.#parts.spaceAmplificationMax * takenBytes;
    if (used + bytes <= this.#granted && afterSeq === this.#grantedSeq) return true;
    this.#refresh();
    const { live, room } = this.#roomForWrites();
    const step = Math.max(Math.min(MIB, this.#segmentBytes / 4), live / 512);
    const isOver = room < bytes;
    this.#neededBytes = isOver ? bytes : 0;
    const isBusy = (isOver || room < 2 * this.#softRoom) && isWorking(isOver);
    this.#look(room, isBusy);
    if (isOver && isBusy) {
      this.waits++;
      return false;
    }
    this.#neededBytes = 0;
    this.#granted = used + Math.max(bytes, Math.min(room, step));
    this.#grantedSeq = afterSeq;
    return true;
  }

  /** As `mayWrite`, for bytes that reach no memtable yet. */
  mayStream(bytes: number, isWorking: (isNeeded: boolean) => boolean): boolean {
    if (this.#roomForWrites().room >= bytes || !isWorking(true)) return true;
    this.waits++;
    return false;
  }

  /** Work that makes room has ended. */
  noteProgress(isWorking: boolean): void {
    this.#look(this.#roomForWrites().room, isWorking);
  }

  /** What may be copied without a write being delayed for it, bytes. */
  get spareBytes(): number {
    return this.#roomForWrites().room - 2 * this.#softRoom;
  }

  /** How short the room is: 1 where writes begin to be delayed, 1/2 at twice that room. */
  get urgency(): number {
    const { room } = this.#roomForWrites();
    return room <= 0 ? Number.POSITIVE_INFINITY : this.#softRoom / room;
  }

  #look(room: number, isWorking: boolean): void {
    this.pace.look(room, this.#softRoom, isWorking);
    this.#parts.onLooked();
  }

  /** Whether the active memtable holds enough of what nobody knows to be garbage to be sealed for it. */
  get isHiddenInMemory(): boolean {
    return hiddenBytesOf(this.#parts.memtables.active) >= this.#segmentBytes / 4;
  }

  /** Whether deletes in the active memtable take so much away that who waits for quiet waits for it. */
  get isDeletedInMemory(): boolean {
    const { deletedBytes, coveredBytes, takenBytes } = this.#parts.memtables.active;
    return deletedBytes + coveredBytes + takenBytes > this.#least() * DELETED_SHARE_MAX;
  }

  /**
   * A merge begins that copies what `tables` refer to in `drain`, and `rewriteBytes` more. Returns how
   * many bytes.
   */
  noteBegun(tables: readonly TableMeta[], drain: readonly number[], rewriteBytes = 0): number {
    const drained = new Set(drain);
    let bytes = rewriteBytes;
    for (const { references } of tables) {
      for (const reference of references) {
        if (drained.has(reference.segment)) bytes += reference.bytes;
      }
    }
    this.#copying += bytes;
    return bytes;
  }

  /** A merge ended, well or not, that `noteBegun` had given `bytes` for. */
  noteEnded(bytes: number): void {
    this.#copying -= bytes;
  }

  /** What a merge did, and if it reached the bottom run did: how many entries came, how many keys were new. */
  noteMerged(before: Version, inputs: readonly TableMeta[], outputs: readonly TableMeta[]): void {
    this.#parts.overwritten.noteMerged(before, inputs, outputs);
    const bottom = new Set(bottomRun(before)?.tables);
    let arrived = 0;
    let fresh = 0;
    let met = 0;
    for (const table of inputs) {
      const seen = table.entryCount - table.shadowedCount;
      if (bottom.has(table)) {
        met++;
        fresh -= seen;
      } else arrived += table.entryCount;
    }
    if (arrived === 0 || met === 0) return;
    for (const table of outputs) fresh += table.entryCount - table.shadowedCount;
    const overwrote = Math.min(arrived, Math.max(0, arrived - fresh));
    this.#arrived = this.#arrived / 2 + arrived;
    this.#overwrote = this.#overwrote / 2 + overwrote;
    this.#lastShare = overwrote / arrived;
  }

  /** The tree has dropped a table unread. */
  noteDropped(table: number): void {
    this.#parts.overwritten.noteDropped(table);
  }

  /** The tree has dropped a segment in version `versionId`. */
  noteLeaving({ number, fileBytes }: SegmentMeta, versionId: number): void {
    this.#leaving.set(number, { bytes: fileBytes, versionId });
    if (this.#draining.has(number)) this.drained++;
  }

  /** The file of a dropped segment is gone, or a feed keeps it. */
  noteGone(number: number): void {
    this.#leaving.delete(number);
  }

  /** Whether files are on their way that nobody pins. */
  get isLeaving(): boolean {
    const { oldestPinnedId } = this.#parts.versions;
    for (const { versionId } of this.#leaving.values())
      if (versionId <= oldestPinnedId) return true;
    return false;
  }

  /** What is not to be chosen. */
  #taken(): ReadonlySet<number> {
    return this.avoid.size === 0 ? this.#draining : new Set([...this.#draining, ...this.avoid]);
  }

  #mark(numbers: readonly number[]): void {
    if (numbers.length === 0) return;
    const { versions, onDraining } = this.#parts;
    let garbageBytes = 0;
    let liveBytes = 0;
    for (const number of numbers) {
      this.#draining.add(number);
      const segment = versions.current.segments.get(number)!;
      liveBytes += liveBytesOf(segment);
      garbageBytes += segment.fileBytes - liveBytesOf(segment);
    }
    this.#sweptBytes = Number.isFinite(this.#sweptBytes)
      ? this.#sweptBytes + (garbageBytes - this.#sweptBytes) / 4
      : garbageBytes;
    onDraining({ segments: numbers, liveBytes, garbageBytes });
  }

  /** Room from which on writes are delayed, and segments marked. */
  get #softRoom(): number {
    const margin = (MARGIN_SWEEPS * this.#sweptBytes) / this.#segmentBytes;
    const segments = Math.min(MARGIN_SEGMENTS_MAX, Math.max(MARGIN_SEGMENTS_MIN, margin));
    return segments * this.#segmentBytes;
  }

  #refresh(): void {
    const live = this.#least();
    this.#segmentBytes = Math.min(
      this.#parts.maxSegmentSize,
      Math.max(SEGMENT_BYTES_MIN, live / LIVE_SEGMENTS_MIN),
    );
    this.#sealAt = Math.min(
      Math.max(HIDDEN_BYTES_MAX, live * HIDDEN_SHARE_MAX),
      Math.max(this.#segmentBytes, this.#hiddenMax() / 2),
    );
  }

  #roomForWrites(): { live: number; room: number } {
    const live = this.#least();
    const copies = Math.max(this.#copying, this.#copyRoom());
    const disk = this.#disk() - this.#held() - this.#copying;
    const least = live + SPARE_SEGMENTS * this.#segmentBytes;
    // What a group may bring beyond its grant, and the heads of records, which nobody asked for.
    const spare = this.#segmentBytes / 8;
    return { live, room: Math.max(this.#limit(), least) - disk - copies - spare };
  }

  /** Room that is kept for copies: what one sweep should copy, so that tables are not rewritten for little. */
  #copyRoom(): number {
    const hidden = this.#hiddenMax();
    return Math.max(this.#segmentBytes * COPY_SEGMENTS, Number.isFinite(hidden) ? 2 * hidden : 0);
  }

  /** Share of entries that overwrite something older. */
  get overwriteShare(): number {
    return this.#arrived > 0 ? Math.max(this.#lastShare, this.#overwrote / this.#arrived) : 0;
  }

  /** L: of the entries above the bottom run, only those are of new keys that surely are. */
  #least(): number {
    return this.#liveWith(0);
  }

  /** As L, but entries above the bottom run count as far as they seem to be of new keys. */
  #live(): number {
    return this.#liveWith(1 - this.overwriteShare);
  }

  #liveWith(freshShare: number): number {
    const { current } = this.#parts.versions;
    const { bottomBytes, aboveBytes, aboveNewBytes, shadowedBytes } = valueSpace(current);
    const { valueBytes, newKeyBytes, deletedBytes } = this.#unflushed();
    const known = aboveNewBytes + newKeyBytes;
    const fresh = known + (aboveBytes + valueBytes - known) * freshShare;
    const deleted = this.#deletedAbove() + deletedBytes + this.#parts.overwritten.bytes;
    return Math.max(0, bottomBytes + fresh - deleted - shadowedBytes);
  }

  #unflushed(): { valueBytes: number; newKeyBytes: number; deletedBytes: number } {
    const { active, sealed } = this.#parts.memtables;
    let { valueBytes, newKeyBytes, deletedBytes } = active;
    for (const each of sealed) {
      valueBytes += each.valueBytes;
      newKeyBytes += each.newKeyBytes;
      deletedBytes += each.deletedBytes;
    }
    return { valueBytes, newKeyBytes, deletedBytes };
  }

  /** Hidden garbage that a merge could make known, about. */
  #hiddenInTables(): number {
    const { aboveBytes, aboveNewBytes, shadowedBytes } = valueSpace(this.#parts.versions.current);
    const shadowed = this.#parts.snapshots.oldest === undefined ? shadowedBytes : 0;
    const deleted = this.#deletedAbove() + this.#parts.overwritten.bytesInTables;
    // A few deletes are no reason to merge.
    const isMuch = deleted > this.#least() / LIVE_SEGMENTS_MIN;
    return aboveBytes - aboveNewBytes + shadowed + (isMuch ? deleted : 0);
  }

  /** What the deletes above the bottom run take away, about. */
  #deletedAbove(): number {
    const { aboveDeletes, bottomBytes, bottomEntries } = valueSpace(this.#parts.versions.current);
    return bottomEntries > 0 ? bottomBytes * Math.min(1, aboveDeletes / bottomEntries) : 0;
  }

  /**
   * Hidden garbage from which on it is to be met. Meeting it rewrites tables of T bytes; a share x of
   * L that stays hidden costs copies as if the bound were smaller by x, which grow with the square of
   * the garbage that is left: x = 1.2 (bound - 1) sqrt(T / L) is about where both are least together.
   */
  #hiddenMax(): number {
    const live = this.#least();
    if (live <= 0) return Number.POSITIVE_INFINITY;
    const slack = this.#parts.spaceAmplificationMax - 1;
    const { tableBytes } = valueSpace(this.#parts.versions.current);
    const share = 1.2 * slack * Math.sqrt(tableBytes / live);
    return live * Math.min(slack / 3, Math.max(1 / LIVE_SEGMENTS_MIN, share));
  }

  /**
   * The most that files may take. Beside small values in the tables, a bound on the separated ones
   * alone would rewrite all tables for little: what tables have above a tenth of L counts as live.
   */
  #limit(): number {
    const live = this.#least();
    const { tableBytes } = valueSpace(this.#parts.versions.current);
    const base = live + Math.max(0, tableBytes - live * LEAN_TABLE_SHARE);
    return live + (this.#parts.spaceAmplificationMax - 1) * base;
  }

  /** Bytes on the disk now or soon, without what is pinned as whole files. */
  #disk(): number {
    const { versions, journal, oldLogs } = this.#parts;
    const { segments } = versions.current;
    let bytes =
      valueSpace(versions.current).fileBytes + this.#copying + this.#parts.streamedBytes();
    for (const log of journal.files) {
      if (log.kind === "vlog" && !isSealed(segments, log.number)) bytes += log.contentBytes;
    }
    for (const log of oldLogs) {
      if (log.kind === "vlog" && !isSealed(segments, log.number)) bytes += log.validBytes;
    }
    const { oldestPinnedId } = versions;
    for (const leaving of this.#leaving.values()) {
      if (leaving.versionId <= oldestPinnedId) bytes += leaving.bytes;
    }
    return bytes;
  }

  /** What snapshots hold within files: nobody else sees it. Without snapshots it is garbage. */
  #held(): number {
    const { versions, snapshots } = this.#parts;
    return snapshots.oldest === undefined ? 0 : valueSpace(versions.current).shadowedBytes;
  }

  #pinnedFiles(): number {
    const { versions, catalog } = this.#parts;
    let { bytes } = catalog.pinned();
    for (const leaving of this.#leaving.values()) {
      if (leaving.versionId > versions.oldestPinnedId) bytes += leaving.bytes;
    }
    return bytes;
  }
}

/** Bytes of values of which a flush may find out that they are garbage. */
function hiddenBytesOf(memtable: MemtableEntry): number {
  const { valueBytes, newKeyBytes, deletedBytes, coveredBytes, takenBytes } = memtable;
  return valueBytes - newKeyBytes + deletedBytes + coveredBytes + takenBytes;
}

function isSealed(segments: ReadonlyMap<number, SegmentMeta>, number: number): boolean {
  return (segments.get(number)?.fileBytes ?? 0) > 0;
}
