/**
 * What a threshold of separation means for the work of a window: which values go to the value log, what
 * is left in the tree, and how often a look-up or a scan has to fetch a value from there.
 *
 * Sizes are known by powers of two, so thresholds are compared at these only. Reads are taken to meet
 * sizes as writes do. A tree comes to hold what the threshold says only as fast as it is written anew;
 * what is said here is how it is then.
 */
import type { CostQuestion } from "./cost-model.ts";
import type { Workload } from "./workload.ts";

/** Bytes that a separated value leaves in the tree beside its key, about. */
const POINTER_BYTES = 20;
/** Smallest and largest thresholds that are thought of, as exponents of two. */
export const THRESHOLD_MIN = 7;
export const THRESHOLD_MAX = 16;

/** Returns the bucket of sizes that holds so many bytes: [2^i, 2^(i + 1)); 0 holds empty values, too. */
export function bucketOf(bytes: number): number {
  return bytes < 2 ? 0 : 31 - Math.clz32(bytes);
}

/** Bytes of a value of a bucket, about. */
function bytesOfBucket(bucket: number): number {
  return 1.5 * 2 ** bucket;
}

/** Returns the question as it would be with another threshold; both are powers of two. */
export function withThreshold(question: CostQuestion, from: number, to: number): CostQuestion {
  const { workload, profile } = question;
  const low = bucketOf(Math.min(from, to));
  const high = bucketOf(Math.max(from, to));
  let values = 0;
  let bytes = 0;
  for (let i = low; i < high; i++) {
    const count = workload.sizes[i] ?? 0;
    values += count;
    bytes += count * bytesOfBucket(i);
  }
  // More values in the tree: positive; fewer: negative.
  const sign = to > from ? 1 : -1;
  const inline = sign * Math.max(0, bytes - values * POINTER_BYTES);
  const least = workload.writes * POINTER_BYTES;
  const flushedBytes = Math.max(workload.flushedBytes + inline, least);
  const fetched = workload.reads - workload.absentReads + workload.scanEntries;
  const share = workload.writes > 0 ? values / workload.writes : 0;
  const valueReads = Math.min(Math.max(workload.valueReads - sign * fetched * share, 0), fetched);
  const next: Workload = {
    ...workload,
    flushedBytes,
    separatedBytes: Math.max(0, workload.separatedBytes - sign * bytes),
    valueReads,
  };
  const grown = workload.flushedBytes > 0 ? flushedBytes / workload.flushedBytes : 1;
  const last = profile.targets.length - 1;
  const lastBytes = Math.max(1, profile.targets[last]! * grown);
  return {
    ...question,
    workload: next,
    profile: {
      ...profile,
      targets: profile.targets.map((bytes, i) => (i === last ? lastBytes : bytes)),
      entryBytes: profile.entryBytes * grown,
    },
  };
}
