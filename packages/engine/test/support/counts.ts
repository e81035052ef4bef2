/**
 * What a long run of a test went through, for who adds such runs up: a line of JSON in the file that
 * AURA_COUNTS names, or nothing.
 */
import { appendFileSync } from "node:fs";

/** Adds to the counts of the run. Names are those of docs/reliability.md. */
export function noteCounts(counts: Readonly<Record<string, number>>): void {
  const file = process.env["AURA_COUNTS"];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(counts)}\n`);
}
