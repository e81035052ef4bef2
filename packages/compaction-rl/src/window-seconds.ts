/**
 * Seconds of a window of work: its counts times the measured unit costs. That is what agents make
 * small, what their predictions are compared with, and the reward of what learns (times minus one).
 *
 * Merges count when they end, and what they still owe counts when it comes to be owed: without that,
 * whoever puts a merge off looks better than whoever does it (debt conservation).
 */
import type { LevelObservation, UnitCosts, WindowObservation, WindowSeconds } from "./agent.ts";

/** Unit costs, all known. */
export type KnownCosts = Readonly<Required<UnitCosts>>;

/** Typical for this engine on one core of a small server, seconds: what was never measured. */
export const TYPICAL_COSTS: KnownCosts = {
  read: 0.6e-6,
  write: 1.5e-6,
  probe: 0.2e-6,
  blockRead: 0.7e-6,
  seek: 1.5e-6,
  scanEntry: 0.15e-6,
  flushedByte: 4e-9,
  mergedByte: 4e-9,
  valueRead: 2e-6,
  valueByte: 0.5e-9,
};

/** A measurement further off than so many times is taken for a slip of the clock. */
const OFF_MAX = 1000;

/** Returns every unit cost: as measured, within reason, or else as is typical. */
export function knownCosts(costs: UnitCosts | undefined): KnownCosts {
  const known = { ...TYPICAL_COSTS };
  for (const name of Object.keys(TYPICAL_COSTS) as (keyof UnitCosts)[]) {
    const value = costs?.[name];
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) continue;
    const typical = TYPICAL_COSTS[name];
    known[name] = Math.min(Math.max(value, typical / OFF_MAX), typical * OFF_MAX);
  }
  return known;
}

/**
 * Returns where the seconds of a window went. `debtBefore` is the debt at the end of the window before,
 * bytes; for the first window, its own.
 */
export function windowSeconds(
  observation: WindowObservation,
  costs: KnownCosts,
  debtBefore: number,
): WindowSeconds {
  const o = observation;
  let probes = 0;
  for (const level of o.levels) probes += level.probes;
  const reads =
    o.reads * costs.read +
    probes * costs.probe +
    o.blockReads * costs.blockRead +
    (o.valueReads ?? 0) * costs.valueRead;
  const scans = o.seeks * costs.seek + o.scanEntries * costs.scanEntry;
  const writes =
    o.writes * costs.write +
    o.flushedBytes * costs.flushedByte +
    (o.separatedBytes + o.relocatedBytes) * costs.valueByte;
  const merges = o.mergedBytesRead * costs.mergedByte;
  const stalls = o.delaySeconds;
  const debt = (o.debtBytes - debtBefore) * costs.mergedByte;
  return {
    reads,
    scans,
    writes,
    merges,
    stalls,
    debt,
    total: reads + scans + writes + merges + stalls + debt,
  };
}

const COUNTS: readonly (keyof WindowObservation)[] = [
  "window",
  "reads",
  "absentReads",
  "blockReads",
  "scans",
  "scanEntries",
  "seeks",
  "writes",
  "writtenBytes",
  "separatedBytes",
  "flushes",
  "flushedBytes",
  "mergedBytesRead",
  "mergedBytesWritten",
  "relocatedBytes",
  "delaySeconds",
  "stalls",
  "debtBytes",
  "spaceBytes",
  "liveBytes",
];

const LEVEL_COUNTS: readonly (keyof LevelObservation)[] = [
  "bytes",
  "targetBytes",
  "entries",
  "runs",
  "runsMax",
  "filterBits",
  "probes",
  "falsePositives",
  "hits",
  "bytesRead",
  "bytesWritten",
];

/** Levels that an observation may have at most. */
const LEVELS_MAX = 100;

/** Returns the first thing of an observation that makes no sense; undefined: it all does. */
export function nonsenseIn(observation: WindowObservation): string | undefined {
  if (typeof observation !== "object" || observation === null) return "not an observation";
  for (const name of COUNTS) {
    if (!isCount(observation[name])) return name;
  }
  const { levels } = observation;
  if (!Array.isArray(levels) || levels.length < 2 || levels.length > LEVELS_MAX) return "levels";
  for (const [i, level] of levels.entries()) {
    if (typeof level !== "object" || level === null) return `levels[${i}]`;
    for (const name of LEVEL_COUNTS) {
      if (!isCount((level as LevelObservation)[name])) return `levels[${i}].${name}`;
    }
  }
  const { valueReads, valueSizes } = observation;
  if (valueReads !== undefined && !isCount(valueReads)) return "valueReads";
  if (valueSizes !== undefined && !(Array.isArray(valueSizes) && valueSizes.every(isCount))) {
    return "valueSizes";
  }
  if (observation.absentReads > observation.reads) return "absentReads";
  return undefined;
}

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
