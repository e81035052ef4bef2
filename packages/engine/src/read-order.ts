/**
 * The read order of a version, laid out for look-ups: the runs that have tables, newest first, and
 * of each run the bounds of its tables by their first bits.
 *
 * The bounds of a run share a prefix, which is compared once. Behind it, 31 bits of each largest and
 * smallest key stand in typed arrays; whole keys are compared only where these bits are equal. Made
 * once for a version, at its first read.
 */
import { commonPrefix, compareBytes } from "@aura/base";
import type { TableMeta, Version } from "./version.ts";

/** The tables of one run, and where a key's table is. */
export class RunFences {
  readonly tables: readonly TableMeta[];
  readonly #prefix: Uint8Array;
  readonly #largestHeads: Int32Array;
  readonly #smallestHeads: Int32Array;

  /** `tables`: at least one, in key order, without a user key in common. */
  constructor(tables: readonly TableMeta[]) {
    this.tables = tables;
    const first = tables[0]!.smallestKey;
    const last = tables.at(-1)!.largestKey;
    const shared = commonPrefix(first, 0, first.length, last, 0, last.length);
    this.#prefix = first.slice(0, shared);
    this.#largestHeads = Int32Array.from(tables, ({ largestKey: key }) => {
      return headOf(key, shared, key.length);
    });
    this.#smallestHeads = Int32Array.from(tables, ({ smallestKey: key }) => {
      return headOf(key, shared, key.length);
    });
  }

  /** Returns the index of the only table that may hold `key`, -1 when there is none. */
  find(key: Uint8Array): number {
    const prefix = this.#prefix;
    const shared = prefix.length;
    const length = key.length;
    if (length < shared) return -1;
    for (let i = 0; i < shared; i++) if (key[i] !== prefix[i]) return -1;
    const heads = this.#largestHeads;
    const wanted = headOf(key, shared, length);
    let low = 0;
    let size = heads.length;
    while (size > 0) {
      const half = (size + 1) >>> 1;
      // Goes on behind the first half when its last head is smaller: -1 is all ones.
      low += half & ((heads[low + half - 1]! - wanted) >> 31);
      size -= half;
    }
    const { tables } = this;
    for (; low < heads.length && heads[low] === wanted; low++) {
      const { largestKey: last, largestIsExclusive } = tables[low]!;
      const order = compareBytes(last, shared, last.length, key, shared, length);
      if (order > 0 || (order === 0 && !largestIsExclusive)) break;
    }
    if (low === heads.length) return -1;
    const head = this.#smallestHeads[low]!;
    if (head < wanted) return low;
    if (head > wanted) return -1;
    const { smallestKey } = tables[low]!;
    const order = compareBytes(smallestKey, shared, smallestKey.length, key, shared, length);
    return order <= 0 ? low : -1;
  }
}

/** Returns the first 31 bits of key[start, end), zeros behind its end: never descends with the key. */
function headOf(key: Uint8Array, start: number, end: number): number {
  let head = 0;
  const limit = start + 4;
  for (let at = start; at < limit; at++) head = (head << 8) | (at < end ? key[at]! : 0);
  return head >>> 1;
}

/** Read orders of versions, that of the last one asked for at hand. */
export class ReadOrders {
  #version: Version | undefined;
  #runs: readonly RunFences[] = [];
  readonly #known = new WeakMap<Version, readonly RunFences[]>();

  /** Returns the runs of a version that have tables, in read order. */
  of(version: Version): readonly RunFences[] {
    if (version === this.#version) return this.#runs;
    let runs = this.#known.get(version);
    if (runs === undefined) {
      runs = version.levels.flatMap((level) =>
        level.runs
          .filter(({ tables }) => tables.length > 0)
          .map((run) => new RunFences(run.tables)),
      );
      this.#known.set(version, runs);
    }
    this.#version = version;
    this.#runs = runs;
    return runs;
  }
}
