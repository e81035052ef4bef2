/**
 * What operations do to values, put together: which values are of new keys, and which die by deletes and
 * by inline values. Looks through what recovery brought back, then at each operation that is applied.
 */
import { recoveredDeletes } from "./deleted-values.ts";
import { NewKeys } from "./new-keys.ts";
import { type OverwrittenParts, OverwrittenValues } from "./overwritten-values.ts";

/** Begins to watch the memtables; returns the books of values that inline ones took the place of. */
export function watchValues(parts: OverwrittenParts): OverwrittenValues {
  const { memtables, versions, tables, hashSeed } = parts;
  const newKeys = new NewKeys(memtables, versions, tables, hashSeed);
  newKeys.countRecovered();
  memtables.isNewKey = (bytes, start, end) => newKeys.has(bytes, start, end);
  memtables.deleted = recoveredDeletes(memtables, () => versions.current, newKeys);
  const overwritten = new OverwrittenValues(parts);
  overwritten.countRecovered();
  memtables.overwritten = overwritten;
  return overwritten;
}
