/**
 * Open tables of which a scan of a prefix need read no block: those whose filter knows the first
 * bytes of keys (`table.prefixBytes`) and denies the ones that all keys of the scan begin with.
 */
import { hashKey } from "@aura/base";
import type { ParsedRange } from "./range.ts";
import type { TableStore } from "./table-store.ts";
import type { TableMeta } from "./version.ts";

/** A prefix that spans more tables of a run is in most of them. */
const TABLES_MAX = 4;

/** Returns how many bytes all keys of a range have in common, which are the first ones of its lower bound. */
export function sharedPrefixBytes({ lower, upper }: Pick<ParsedRange, "lower" | "upper">): number {
  if (lower === undefined || upper === undefined) return 0;
  let shared = 0;
  while (shared < lower.length && shared < upper.length && lower[shared] === upper[shared])
    shared++;
  // The upper bound is the next prefix of a length: "b" behind "a", also behind "a\xff\xff".
  if (upper.length !== shared + 1 || lower.length <= shared) return shared;
  if (upper[shared]! !== lower[shared]! + 1) return shared;
  shared++;
  while (shared < lower.length && lower[shared] === 0xff) shared++;
  return shared;
}

/**
 * Returns the tables of a run that may hold a key of the range, of those given: all but the ones
 * whose filters deny its prefix. A table that is not open stays: to open it takes reads that the
 * caller may not wait for here.
 */
export function tablesWithPrefix(
  tables: readonly TableMeta[],
  range: Pick<ParsedRange, "lower" | "upper">,
  store: TableStore,
  hashSeed: number,
): readonly TableMeta[] {
  if (tables.length > TABLES_MAX) return tables;
  const shared = sharedPrefixBytes(range);
  if (shared === 0) return tables;
  const { lower } = range;
  const mayHave = (meta: TableMeta): boolean => {
    const table = store.peek(meta);
    if (table === undefined) return true;
    const { prefixBytes } = table.summary;
    if (prefixBytes === 0 || prefixBytes > shared) return true;
    return table.mayHavePrefix(hashKey(lower!, 0, prefixBytes, hashSeed));
  };
  return tables.every(mayHave) ? tables : tables.filter(mayHave);
}
