/**
 * Names of files in a database directory. Every name is generated here; none is taken from content.
 *
 * NNNNNN.wal   log of groups without separated values     NNNNNN.vlog  log of groups with them
 * NNNNNN.seg   relocated values                           NNNNNN.sst   table
 * NNNNNN.*.copy  a log that recovery writes anew, until it is renamed
 * NNNNNN.*.damaged  a log that nobody could read: nothing of it counts, and nobody removes it
 * NNNNNN.manifest, CURRENT (names the manifest), CURRENT.tmp, LOCK, BALLAST
 *
 * All numbers come from one counter and are never used twice.
 */

/** Kinds of numbered files. */
export type NumberedKind = "wal" | "vlog" | "seg" | "sst" | "manifest";

export const CURRENT_NAME = "CURRENT";
export const COPY_SUFFIX = ".copy";
export const DAMAGED_SUFFIX = ".damaged";
export const CURRENT_TMP_NAME = "CURRENT.tmp";
export const LOCK_NAME = "LOCK";
export const BALLAST_NAME = "BALLAST";

/** Returns the name of a numbered file. */
export function fileName(number: number, kind: NumberedKind): string {
  return `${String(number).padStart(6, "0")}.${kind}`;
}

/** Returns the path of a numbered file in `directory`. */
export function filePath(directory: string, number: number, kind: NumberedKind): string {
  return `${directory}/${fileName(number, kind)}`;
}

/** A name taken apart. */
export interface ParsedName {
  readonly number: number;
  readonly kind: NumberedKind;
}

/** Returns what a name of this module says, or undefined for any other name. */
export function parseFileName(name: string): ParsedName | undefined {
  const match = /^([0-9]{6,15})\.(wal|vlog|seg|sst|manifest)$/.exec(name);
  if (match === null) return undefined;
  const number = Number(match[1]);
  if (fileName(number, match[2] as NumberedKind) !== name) return undefined;
  return { number, kind: match[2] as NumberedKind };
}
