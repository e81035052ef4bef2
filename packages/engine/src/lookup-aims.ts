/**
 * Look-ups of several keys side by side, as far as they are in memory.
 *
 * A look-up waits three times for memory that is in no cache of the processor: for the head of its block,
 * for the key, for the row. Of one key these waits come one after the other. Of several, the heads are
 * asked for first, then all keys and rows, so that the waits overlap; the answers are taken then.
 * What is found this way is the answer; what is not says nothing, and is looked up by itself.
 */
import { hashKey } from "@aura/base";
import { Lookup as Found, type Table, TableAim, type TableHit } from "@aura/sst";
import type { ReadOrders } from "./read-order.ts";
import type { TableStore } from "./table-store.ts";
import type { VersionSet } from "./version-set.ts";

/** Keys at one time: more would push each other out of the fastest cache. */
export const AIMS_MAX = 16;

const NO_BYTES = new Uint8Array(0);

interface AimParts {
  readonly versions: VersionSet;
  readonly tables: TableStore;
  readonly hashSeed: number;
}

/** Where up to `AIMS_MAX` keys of one call are likely to be. To be used within one turn of the loop. */
export class LookupAims {
  readonly #parts: AimParts;
  readonly #orders: ReadOrders;
  /** Of each key the first table in read order that may have it; undefined where that is not clear. */
  readonly #tables: (Table | undefined)[] = new Array(AIMS_MAX).fill(undefined);
  readonly #blocks = new Int32Array(AIMS_MAX);
  readonly #aims = Array.from({ length: AIMS_MAX }, () => new TableAim());
  /** Written so that reads that serve the processor's caches only are not left out. */
  touched = 0;
  readonly #hashes = new Int32Array(AIMS_MAX);

  constructor(parts: AimParts, orders: ReadOrders) {
    this.#parts = parts;
    this.#orders = orders;
  }

  /** Aims at keys[start, end), at most `AIMS_MAX` of them. */
  aim(keys: readonly Uint8Array[], start: number, end: number, seq: number): void {
    const tables = this.#tables;
    const blocks = this.#blocks;
    const count = end - start;
    for (let i = 0; i < count; i++) tables[i] = this.#aimAt(i, keys[start + i]!, seq);
    // Loops of few instructions: a processor looks ahead by some hundred.
    for (let i = 0; i < count; i++) tables[i]?.touch(blocks[i]!);
    for (let i = 0; i < count; i++) tables[i]?.aim(blocks[i]!, this.#hashes[i]!, this.#aims[i]!);
    let touched = 0;
    for (let i = 0; i < count; i++) {
      if (tables[i] === undefined) continue;
      const { bytes, keyAt, rowAt, rowEnd, place } = this.#aims[i]!;
      if (place >= 0) touched += bytes[keyAt]! + bytes[rowAt]! + bytes[rowEnd - 1]!;
    }
    this.touched = touched;
  }

  /** Puts what key `i` of those aimed at leads to into `hit`. False: look it up. */
  take(i: number, key: Uint8Array, seq: number, hit: TableHit): boolean {
    const table = this.#tables[i];
    if (table === undefined) return false;
    return table.getAt(this.#blocks[i]!, this.#aims[i]!.place, key, seq, hit) === Found.found;
  }

  /** Lets go of the tables. */
  clear(): void {
    this.#tables.fill(undefined);
    for (const aim of this.#aims) aim.bytes = NO_BYTES;
  }

  #aimAt(i: number, key: Uint8Array, seq: number): Table | undefined {
    const { versions, tables, hashSeed } = this.#parts;
    let hash = 0;
    let isHashed = false;
    for (const fences of this.#orders.of(versions.current)) {
      const index = fences.find(key);
      if (index < 0) continue;
      const meta = fences.tables[index]!;
      if (meta.smallestSeq > seq) continue;
      const table = meta.rangeDeleteCount > 0 ? undefined : tables.peek(meta);
      if (table === undefined) return undefined;
      if (!isHashed) {
        hash = hashKey(key, 0, key.length, hashSeed) | 0;
        isHashed = true;
      }
      const block = table.seek(key, hash);
      if (block < 0) continue;
      this.#blocks[i] = block;
      this.#hashes[i] = hash;
      return table;
    }
    return undefined;
  }
}
