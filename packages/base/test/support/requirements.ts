/** What tests need and a machine, or a run, may not have. Without it they are skipped, out loud. */

/**
 * Returns whether a requirement is missing, for `test.skipIf`; says then that `what` is NOT tested.
 * vitest reports the tests as skipped, and nobody reads that: the line stands in the log of the run.
 */
export function isMissing(isThere: boolean, what: string): boolean {
  if (!isThere) process.stderr.write(`\n*** SKIPPED: ${what} ***\n\n`);
  return !isThere;
}
