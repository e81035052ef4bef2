/**
 * Which segments to drain: the decision, a pure function of the version.
 *
 * Garbage is counted exactly (edit.ts). When the files of sealed segments take more than the bound
 * allows over the bytes of live records, the segments with the largest share of garbage are drained,
 * several in one sweep, until what would remain is back under the bound with some room. A drained
 * segment is rewritten by compactions (jobs/merge.ts) and removed when nothing refers to it.
 */
import type { Version } from "./version.ts";

/** Segments drained in one sweep at most (docs/rfcs/0002-value-pointers.md). */
const SWEEP_SEGMENTS_MAX = 8;
/** A segment with less garbage than this share is not worth a rewrite. */
const GARBAGE_SHARE_MIN = 0.05;
/** A sweep goes on until this share of the allowed garbage is left. */
const TARGET_SHARE = 0.85;

/** Bytes of value files, and what of them is live. */
export interface ValueSpace {
  readonly fileBytes: number;
  readonly liveBytes: number;
}

/** Returns how much space sealed segments take and how much of it is live. */
export function valueSpace(version: Version): ValueSpace {
  let fileBytes = 0;
  let liveBytes = 0;
  for (const segment of version.segments.values()) {
    if (segment.fileBytes === 0) continue;
    fileBytes += segment.fileBytes;
    liveBytes += segment.totalBytes - segment.deadBytes;
  }
  return { fileBytes, liveBytes };
}

/**
 * Returns the segments to drain. `draining` are those chosen before: they stay chosen until they are
 * gone, so that a sweep that began is finished.
 */
export function chooseDraining(
  version: Version,
  draining: ReadonlySet<number>,
  amplificationMax: number,
): Set<number> {
  const chosen = new Set<number>();
  for (const number of draining) if (version.segments.has(number)) chosen.add(number);
  if (chosen.size > 0) return chosen;
  const { liveBytes, fileBytes: allBytes } = valueSpace(version);
  let fileBytes = allBytes;
  if (fileBytes <= liveBytes * amplificationMax) return chosen;
  const candidates = [...version.segments.values()]
    .filter((segment) => segment.fileBytes > 0 && segment.lastSeq <= version.flushedSeq)
    // A relocated segment without a dead record would be rewritten to the same size, for ever.
    .filter((segment) => segment.kind === "vlog" || segment.deadCount > 0)
    .map((segment) => {
      const live = segment.totalBytes - segment.deadBytes;
      return { number: segment.number, live, fileBytes: segment.fileBytes };
    })
    .filter(({ live, fileBytes: bytes }) => bytes - live >= bytes * GARBAGE_SHARE_MIN)
    .sort((a, b) => a.live / a.fileBytes - b.live / b.fileBytes || a.number - b.number);
  const target = liveBytes * (1 + (amplificationMax - 1) * TARGET_SHARE);
  for (const { number, live, fileBytes: bytes } of candidates) {
    if (fileBytes <= target || chosen.size >= SWEEP_SEGMENTS_MAX) break;
    chosen.add(number);
    fileBytes -= bytes - live;
  }
  return chosen;
}
