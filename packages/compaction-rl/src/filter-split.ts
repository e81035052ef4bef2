/**
 * Filter bits split over levels by what look-ups ask in vain. Monkey makes least what an absent key costs;
 * but a key that is found asks the levels above in vain and never those below, and where most are found,
 * in the last level, filters there are hardly used. Every run counts here as often as it is asked in vain:
 * rates of false positives in proportion to keys per run and such asking.
 *
 * Source: Dayan, Athanassoulis, Idreos, "Monkey", SIGMOD 2017, section 4.1, with weights.
 */
import { type CostQuestion, monkeyBits } from "./cost-model.ts";

/** Least share of look-ups that a run is thought to be asked by in vain: workloads change. */
const VAIN_MIN = 0.01;

/**
 * Returns bits per key for the levels of a profile, whole numbers; undefined without filters or reads.
 * `runs`: those of level 0, and of each level.
 */
export function filterSplit(
  { profile, workload, filters }: CostQuestion,
  runs: readonly number[],
): readonly number[] | undefined {
  const { reads, absentReads } = workload;
  if (filters.bits === 0 || !(reads > 0)) return undefined;
  const absent = absentReads / reads;
  let below = 1 - absent;
  const vain = runs.map((within, i) => {
    const own = (1 - absent) * (profile.hitShares[i] ?? 0);
    below = Math.max(0, below - own);
    // Of a level's runs one has the answer; of the others, half stand before it.
    const beside = within > 1 ? (own * (within - 1)) / (2 * within) : 0;
    return Math.max(VAIN_MIN, absent + below + beside);
  });
  const entries = [Math.max(1, runs[0]!) * profile.flushBytes, ...profile.targets].map((bytes) =>
    Math.max(1, bytes / profile.entryBytes),
  );
  const bits = monkeyBits(entries, runs, filters.bits, vain);
  return bits.slice(1).map((one) => Math.round(one));
}
