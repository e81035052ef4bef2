/**
 * Which segments to drain: the decision, a pure function of the version and the room there is.
 *
 * A drained segment is emptied by merges that copy what is alive in it (jobs/merge.ts), and removed
 * when nothing refers to it: until then its copies take space as well. So segments are marked while
 * their copies fit under the bound, several at a time, since one merge empties all of them.
 *
 * The order is by cost and benefit (Rosenblum and Ousterhout, The Design and Implementation of a
 * Log-Structured File System, section 3.6): age x garbage / (bytes to copy + tables to rewrite). Old
 * segments go at a lower share of garbage than young ones, whose garbage still grows. Tables that a
 * marked segment has claimed already cost nothing more.
 */
import { liveBytesOf, valueSpace } from "./value-space.ts";
import type { SegmentMeta, Version } from "./version.ts";

/** A segment with less garbage than this share is not worth a rewrite. */
const GARBAGE_SHARE_MIN = 0.05;
/** Nor is one with less than this part of the best one's share: what does not fit yet is worth a wait. */
const BEST_SHARE_MIN = 0.6;
/** A sweep takes so many segments at most. */
const SWEEP_SEGMENTS_MAX = 64;

/** How far a sweep goes. Sizes are bytes. */
export interface DrainRoom {
  /** Garbage to be marked beside that of the segments that are marked already. */
  readonly wantedBytes: number;
  /** What may be copied. */
  readonly copyBytesMax: number;
  /** There is no time to wait: of those that fit the best are marked; if none does, the one with the fewest copies. */
  readonly isForced?: boolean;
}

/** Returns the segments of `draining` that are still there. */
export function stillDraining(version: Version, draining: ReadonlySet<number>): Set<number> {
  const left = new Set<number>();
  for (const number of draining) if (version.segments.has(number)) left.add(number);
  return left;
}

/** Returns the segments to drain beside those of `draining`, best first. */
export function chooseDrain(
  version: Version,
  draining: ReadonlySet<number>,
  { wantedBytes, copyBytesMax, isForced = false }: DrainRoom,
): number[] {
  const chosen: number[] = [];
  if (wantedBytes <= 0) return chosen;
  const { levelZero, tableBytes } = valueSpace(version);
  const candidates = [...version.segments.values()].filter(
    (segment) =>
      !draining.has(segment.number) && !levelZero.has(segment.number) && mayDrain(version, segment),
  );
  const newest = candidates.reduce((most, { number }) => Math.max(most, number), 0);
  // Every table refers to nearly every segment: the tables are rewritten once for all of them.
  const tableShare =
    draining.size > 0 ? 0 : tableBytes / Math.min(SWEEP_SEGMENTS_MAX, candidates.length + 1);
  const scored = candidates.map((segment) => {
    const live = liveBytesOf(segment);
    const garbage = segment.fileBytes - live;
    const age = newest + 1 - segment.number + AGE_MIN;
    return { segment, live, garbage, score: (age * garbage) / (live + tableShare + 1) };
  });
  scored.sort((a, b) => b.score - a.score || a.segment.number - b.segment.number);
  let wanted = wantedBytes;
  let room = copyBytesMax;
  const best = isForced ? scored.find(({ live }) => live <= room) : scored[0];
  const shareMin =
    best === undefined ? 0 : (best.garbage / best.segment.fileBytes) * BEST_SHARE_MIN;
  for (const { segment, live, garbage } of scored) {
    if (garbage < segment.fileBytes * shareMin) continue;
    if (wanted <= 0 || chosen.length >= SWEEP_SEGMENTS_MAX) break;
    if (live > room) continue;
    chosen.push(segment.number);
    wanted -= garbage;
    room -= live;
  }
  if (isForced && chosen.length === 0 && scored.length > 0) {
    const fewest = scored.reduce((least, each) => (each.live < least.live ? each : least));
    chosen.push(fewest.segment.number);
  }
  return chosen;
}

/** Age of the youngest segment, in file numbers: as if some more had been made since. */
const AGE_MIN = 64;

/** Sealed, its operations in tables, and with garbage that is worth the copies. */
function mayDrain(version: Version, segment: SegmentMeta): boolean {
  const { fileBytes, lastSeq, kind, deadCount } = segment;
  if (fileBytes === 0 || lastSeq > version.flushedSeq) return false;
  // A relocated segment without a dead record would be rewritten to the same size, for ever.
  if (kind === "seg" && deadCount === 0) return false;
  return fileBytes - liveBytesOf(segment) >= fileBytes * GARBAGE_SHARE_MIN;
}
