/**
 * What a window of work takes in a tree of a given shape: seconds, in closed
 * form, from the work of the window and measured unit costs.
 *
 * Writing. What comes to a level covers the keys once with each `unit` bytes: all of level 0 at a time,
 * all of a level of several runs, or slice after slice of a level of one run. A byte that comes to a
 * level is read there once, together with
 *   - K = 1: what the level has in its range: size / unit bytes;
 *   - K > 1: what its active run has so far: m arrivals fill one, so (m - 1) / 2, m = target / (K unit);
 *   - K > 1 in the last level: that, and all of the level once for every K - 1 runs.
 * A level of one run that gets as much at a time as it may hold sends it on at once, and is often empty.
 *
 * Reading. Level 0 has (trigger - 1) / 2 runs on average; a level of K > 1 between none and all of its
 * runs, evenly; a last level between two and K while it is filled, and K for a third of the time, while it
 * is merged range by range; an absent key asks all, a found one those above it and half of those around it; blocks
 * are read for answers and for false positives at the rates that the filters have (Monkey or uniform).
 * A scan is positioned in every run.
 *
 * Coming to rest. Runs go as fast as their level is turned over; they come as fast as they are filled, the
 * first one with the first bytes that arrive; and a last level is merged only when all its runs are. Over the time that the workload lasts, a level's runs are between
 * those that it has and those that it will have.
 *
 * Falling behind. Merges run beside the work; where they take longer than it does, they are fewer and
 * larger than the shape asks for, and level 0 is longer.
 *
 * Source: the terms are RusKey's and Dostoevsky's with the constants of this tree's own rules
 * (shape.ts); test/cost-model.test.ts holds them against the simulator.
 */
import type { LevelShape, TreeShape } from "./shape.ts";
import type { KnownCosts } from "./window-seconds.ts";
import type { TreeProfile, Workload } from "./workload.ts";

/** How filters of a tree are. */
export interface FilterPlan {
  /** Bits per key over all levels; 0: none. */
  readonly bits: number;
  readonly allocation: "monkey" | "uniform";
  /** Bits that the shape names for levels of the profile, before all that. */
  readonly levelBits?: readonly (number | undefined)[];
}

/** What the model is asked about. */
export interface CostQuestion {
  readonly profile: TreeProfile;
  readonly workload: Workload;
  readonly costs: KnownCosts;
  readonly filters: FilterPlan;
  /** Bytes that will be flushed while the workload lasts: how far levels come to rest. 0: as it is. */
  readonly horizonBytes: number;
}

/** Seconds per window, and what they come from. */
export interface CostAnswer {
  readonly reads: number;
  readonly scans: number;
  readonly writes: number;
  readonly merges: number;
  readonly total: number;
  /** Runs of the whole tree on average, by level from level 0 on, and those the shape asks for at most. */
  readonly runs: number;
  readonly runsByLevel: readonly number[];
  readonly runsMax: number;
  /** Bytes that merges read for each byte that a flush writes. */
  readonly mergedPerByte: number;
  /** Runs that an absent key asks and false positives of it. */
  readonly falsePositives: number;
  /** Bytes of the tree over those of a leveled one. */
  readonly space: number;
}

/** The tables of a slice are chosen by how little they meet below: it is less than the average. */
const CHOSEN_OVERLAP = 0.75;
/** Of what runs of a last level are built of, the part that is left after what merges drop. */
const DROPPED = 0.75;
/** Part of the time in which a last level of several runs is merged. */
const MERGED_SHARE = 0.34;
/** A change is worth something even where it shows after the workload: there is another after it. */
const SETTLED_MIN = 0.5;
/** Merges of a last level that come due after the workload count so much: somebody pays for them. */
const DUE_MIN = 0.7;
/** Part of the flushes that are merged all the same where most are moved. */
const MOVED = 0.3;
/**
 * One core of merging beside the work of a window. Beyond this load merges fall behind, and what they do
 * grows with the root of what they should: level 0 and the levels below are merged in larger pieces.
 * Runs of level 0 pile up in proportion to the load.
 */
const KEEPS_UP = 0.6;
const BEHIND = 0.6;
const LN2_SQUARED = Math.LN2 ** 2;
const BITS_MIN = 4;
const BITS_WEIGHTED_MIN = 1;
const BITS_MAX = 20;
/** Halvings of an interval of 300 bits: 0.00002 are left. */
const MONKEY_STEPS = 24;

/** Returns K of level `base + index` of a profile. */
function runsAt(levels: readonly LevelShape[], level: number): number {
  return levels[Math.min(level, levels.length) - 1]!.runs;
}

/** Returns the seconds of a window in a tree of this shape. */
export function predictedCost(question: CostQuestion, shape: TreeShape): CostAnswer {
  const { profile, workload, costs } = question;
  const { targets, base } = profile;
  const count = targets.length;
  const runs = [0];
  /** Bytes of one run, by level of the profile. */
  const runBytes: number[] = [];
  let runsMax = shape.l0Trigger;
  let unit = shape.l0Trigger * profile.flushBytes;
  let isSliced = false;
  let mergedPerByte = 0;
  let bytes = 0;
  let leveledBytes = 0;
  for (let i = 0; i < count; i++) {
    const k = runsAt(shape.levels, base + i);
    const isLast = i === count - 1;
    const size = targets[i]!;
    leveledBytes += size;
    bytes += size;
    const overlap = isSliced ? CHOSEN_OVERLAP : 1;
    if (k === 1) {
      // A level that goes down by tables as large as itself is half full on average.
      const empty = isLast ? 0 : Math.min(1, unit / (2 * size));
      const held = isLast ? size : size * (1 - Math.min(1, profile.tableBytes[i]! / size) / 2);
      mergedPerByte += 1 + (held / unit) * overlap;
      runs.push(1 - empty);
      runBytes.push(size);
      runsMax += k;
      unit = Math.max(size, unit);
      isSliced = isLast || profile.tableBytes[i]! < size;
    } else if (isLast) {
      // Runs of 1/k of the level, counted with them, come in front of one of all of it, until there are k.
      const run = Math.ceil((2 * size) / (k + 1) / unit) * unit;
      const filled = run * (k - 1);
      const free = Math.max(0, k - Math.max(1, profile.runs[i]!)) * run;
      const due = dueShare(question.horizonBytes, free);
      const built = (run / unit + 1) / 2 + (due * overlap * (size + filled)) / (filled + unit);
      mergedPerByte += built * DROPPED;
      runs.push((2 + k) / 2 + (MERGED_SHARE * (k - 2)) / 2);
      runBytes.push(run);
      runsMax += k;
      bytes += filled / 2;
    } else {
      // A flush as large as a run of the base level becomes one as it is.
      const isMoved = i === 0 && size / k <= profile.flushBytes;
      const part = isMoved ? profile.flushBytes : unit;
      const run = Math.ceil(size / k / part) * part;
      mergedPerByte += isMoved ? MOVED : (run / unit + 1) / 2;
      // It is emptied when it is full.
      const most = Math.max(1, Math.ceil(size / run));
      runs.push(most / 2);
      runBytes.push(run);
      runsMax += k;
      // Where flushes are moved one by one, the level is full when it has its target, not with all of level 0.
      unit = isMoved ? size : Math.max(size, unit);
      isSliced = false;
    }
  }
  const wanted = workload.flushedBytes * mergedPerByte * costs.mergedByte;
  const fixed =
    workload.reads * (costs.read + costs.blockRead) +
    workload.scanEntries * costs.scanEntry +
    workload.writes * costs.write +
    workload.flushedBytes * costs.flushedByte +
    workload.valueReads * costs.valueRead +
    workload.separatedBytes * costs.valueByte;
  const load = wanted / fixed;
  const merges = load < KEEPS_UP ? wanted : fixed * Math.sqrt(load * KEEPS_UP);
  for (let i = 0; i < count; i++) {
    const now = profile.runs[i]!;
    const more = runs[i + 1]! - now;
    const slow = more > 1 ? more - 1 : Math.min(0, more);
    const bytes = more > 1 ? slow * runBytes[i]! : targets[i]!;
    const quick = question.horizonBytes > 0 ? more - slow : 0;
    runs[i + 1] = now + quick + slow * settledShare(question.horizonBytes, bytes);
  }
  runs[0] = (shape.l0Trigger - 1) / 2 + shape.l0Trigger * BEHIND * load * Math.min(1, load * 2);
  let total = 0;
  for (const n of runs) total += n;
  const rates = falsePositiveRates(question, runs);
  const { probes, falsePositives, absentFalse } = probesOf(question, runs, rates);
  const hits = workload.reads - workload.absentReads;
  const reads =
    workload.reads * costs.read +
    probes * costs.probe +
    (hits * shareInTables(profile) + falsePositives) * costs.blockRead +
    workload.valueReads * costs.valueRead;
  const scans = workload.scans * total * costs.seek + workload.scanEntries * costs.scanEntry;
  const writes =
    workload.writes * costs.write +
    workload.flushedBytes * costs.flushedByte +
    workload.separatedBytes * costs.valueByte;
  return {
    reads,
    scans,
    writes,
    merges,
    total: reads + scans + writes + merges,
    runs: total,
    runsByLevel: runs,
    runsMax,
    mergedPerByte,
    falsePositives: absentFalse,
    space: bytes / Math.max(1, leveledBytes),
  };
}

/** Returns how much of a change is there on average over so many bytes, when it takes `bytes` to be there. */
function settledShare(horizonBytes: number, bytes: number): number {
  if (horizonBytes === 0) return 0;
  if (bytes === 0) return 1;
  const turnovers = horizonBytes / bytes;
  return Math.max(SETTLED_MIN, turnovers <= 1 ? turnovers / 2 : 1 - 1 / (2 * turnovers));
}

/** Returns how much of what comes due after so many bytes counts over the time that the workload lasts. */
function dueShare(horizonBytes: number, bytes: number): number {
  if (horizonBytes === 0) return 1;
  return Math.max(DUE_MIN, 1 - bytes / horizonBytes);
}

function shareInTables({ hitShares }: TreeProfile): number {
  let sum = 0;
  for (const share of hitShares) sum += share;
  return sum;
}

/** Runs that the look-ups of a window ask, and false positives of their filters. */
function probesOf(
  { profile, workload }: CostQuestion,
  runs: readonly number[],
  rates: readonly number[],
): { probes: number; falsePositives: number; absentFalse: number } {
  const found = workload.reads - workload.absentReads;
  let above = 0;
  let aboveFalse = 0;
  let probes = 0;
  let falsePositives = 0;
  for (let i = 0; i < runs.length; i++) {
    const within = runs[i]!;
    const share = found * (profile.hitShares[i] ?? 0);
    // The answer stands in one run of the level; those before it in it are half of the others.
    const others = Math.max(0, within - 1) / 2;
    probes += share * (above + 1 + others);
    falsePositives += share * (aboveFalse + others * rates[i]!);
    above += within;
    aboveFalse += within * rates[i]!;
  }
  probes += workload.absentReads * above;
  falsePositives += workload.absentReads * aboveFalse;
  return { probes, falsePositives, absentFalse: aboveFalse };
}

/** Returns rates of false positives: level 0, then the levels of the profile. */
export function falsePositiveRates(
  { profile, filters }: CostQuestion,
  runs: readonly number[],
): readonly number[] {
  const { levelBits } = filters;
  const allocated = allocatedBits(profile, filters, runs);
  if (allocated === undefined) return runs.map(() => 1);
  return allocated.map((bits, i) => {
    const named = i > 0 ? levelBits?.[i - 1] : undefined;
    return Math.exp(-(named ?? bits) * LN2_SQUARED);
  });
}

/** Returns the bits of level 0 and the levels of the profile as the settings give them. */
function allocatedBits(
  profile: TreeProfile,
  filters: FilterPlan,
  runs: readonly number[],
): readonly number[] | undefined {
  if (filters.bits === 0) return undefined;
  if (filters.allocation === "uniform") return runs.map(() => filters.bits);
  const entries = [Math.max(1, runs[0]!) * profile.flushBytes, ...profile.targets].map((bytes) =>
    Math.max(1, bytes / profile.entryBytes),
  );
  return monkeyBits(entries, runs, filters.bits);
}

/**
 * Returns the filter bits per key of each level that make the sum of false-positive rates over all runs
 * least, for so many bits per key in all (Monkey: a level's rate is in proportion to its keys per run),
 * within the bounds that tables have. 0 for a level without keys. `weights`: how often a run of a level is
 * asked, relative to others; default: all alike.
 */
export function monkeyBits(
  entries: readonly number[],
  runs: readonly number[],
  bitsPerKey: number,
  weights?: readonly number[],
): number[] {
  // Where hardly anybody asks in vain, hardly any bits are needed.
  const least = Math.min(weights === undefined ? BITS_MIN : BITS_WEIGHTED_MIN, bitsPerKey);
  const most = Math.max(BITS_MAX, bitsPerKey);
  const logs = entries.map((n, i) => {
    return Math.log(n / Math.max(1, runs[i]!) / (weights?.[i] ?? 1)) / LN2_SQUARED;
  });
  let keys = 0;
  for (const n of entries) keys += n;
  const bitsOf = (i: number, level: number): number => {
    const bits = level - logs[i]!;
    return bits < least ? least : bits > most ? most : bits;
  };
  let low = -100;
  let high = 200;
  for (let step = 0; step < MONKEY_STEPS; step++) {
    const middle = (low + high) / 2;
    let bits = 0;
    for (let i = 0; i < entries.length; i++) {
      if (entries[i]! > 0) bits += entries[i]! * bitsOf(i, middle);
    }
    if (bits > keys * bitsPerKey) high = middle;
    else low = middle;
  }
  return entries.map((n, i) => (n > 0 ? bitsOf(i, low) : 0));
}
