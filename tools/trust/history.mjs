/**
 * A history of operations that seed and index alone decide, and the state it leads to.
 *
 * What a crash took is not written again: a process that goes on from operation n begins a new
 * epoch, whose operations differ from those that were lost. An operation of an old epoch that comes
 * back is therefore seen.
 */

/** A generator of 32-bit numbers (xoroshiro's little sister, splitmix32). */
export class Chance {
  #state;

  constructor(...seeds) {
    this.#state = 0x9e3779b9;
    for (const seed of seeds) {
      this.#state = (Math.imul(this.#state ^ seed, 0x85ebca6b) + 0xc2b2ae35) | 0;
      this.next();
    }
  }

  next() {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  below(n) {
    return this.next() % n;
  }

  unit() {
    return this.next() / 2 ** 32;
  }

  pick(list) {
    return list[this.below(list.length)];
  }
}

/** Keys that engines trip over, and plain ones that share prefixes. */
const KEYS = [
  Buffer.alloc(0),
  Buffer.from([0]),
  Buffer.from([0, 0]),
  Buffer.from([0xff]),
  Buffer.alloc(40, 0xff),
  Buffer.from("__proto__"),
  Buffer.from("constructor"),
  Buffer.from([0x7f]),
  Buffer.from([0x80]),
  Buffer.alloc(3000, 0x61),
  ...Array.from({ length: 40 }, (_, i) => Buffer.from("p".repeat(i))),
  ...Array.from({ length: 350 }, (_, i) => Buffer.from(`key-${String(i * 37).padStart(6, "0")}`)),
].filter((key, at, all) => all.findIndex((other) => other.equals(key)) === at);

const SORTED_KEYS = [...KEYS].sort(Buffer.compare);

/** Around the limits of blocks, chunks and separation; the large ones are rare. */
const SIZES = [0, 1, 8, 20, 100, 100, 100, 300, 1023, 1024, 1025, 4096];
const LARGE_SIZES = [16 * 1024, 64 * 1024, 256 * 1024 + 1, 300_000];
const LARGE_SHARE = 0.01;

const LEVELS = ["os", "os", "os", "os", "sync", "buffered"];

/** Returns the bytes of a value: they tell the operation that wrote them. */
export function bytesOf({ size, seed, epoch, index, part }) {
  const value = Buffer.alloc(size);
  const chance = new Chance(seed, epoch, index, part);
  let at = 0;
  for (; at + 4 <= Math.min(size, 4096); at += 4) value.writeUInt32LE(chance.next(), at);
  if (size > at) value.fill(chance.next() & 255, at);
  return value;
}

/** A range of a few keys mostly. */
function rangeFrom(key, chance) {
  const sorted = SORTED_KEYS;
  const at = sorted.findIndex((other) => other.equals(key));
  return { key, end: sorted[Math.min(sorted.length - 1, at + 1 + chance.below(12))] };
}

/** Applies a change to a state of values by name; `touched` is told each name that it changes. */
export function applyChange(state, { key, value, end }, touched = () => {}) {
  const name = key.toString("latin1");
  if (end === undefined) {
    state.set(name, value);
    touched(name, value);
    return;
  }
  for (const other of SORTED_KEYS) {
    if (other.compare(key) < 0 || other.compare(end) >= 0) continue;
    const covered = other.toString("latin1");
    state.set(covered, undefined);
    touched(covered, undefined);
  }
}

/**
 * Operations by index. `epochs`: `[{ from, epoch }]`, ascending; the first one is from 0. `voids`: those
 * that were rejected, and change nothing.
 */
export class History {
  #seed;
  #epochs;
  #voids;

  constructor(seed, epochs, voids = []) {
    this.#seed = seed;
    this.#epochs = epochs;
    this.#voids = new Set(voids);
  }

  #epochOf(index) {
    let at = this.#epochs.length - 1;
    while (this.#epochs[at].from > index) at--;
    return this.#epochs[at].epoch;
  }

  /**
   * Returns `{ level, isBatch, changes: [{ key, value, end }] }`; a change without value deletes its
   * key, one with an end all keys from its key on and below the end.
   */
  operation(index) {
    if (this.#voids.has(index)) return { level: "buffered", isBatch: false, changes: [] };
    const epoch = this.#epochOf(index);
    const chance = new Chance(this.#seed, epoch, index);
    const isBatch = chance.below(5) === 0;
    const count = isBatch ? 2 + chance.below(7) : 1;
    const changes = [];
    for (let part = 0; part < count; part++) {
      const key = chance.pick(KEYS);
      const kind = chance.below(120);
      if (kind === 0) changes.push(rangeFrom(key, chance));
      else if (kind < 20) changes.push({ key });
      else {
        const size = chance.unit() < LARGE_SHARE ? chance.pick(LARGE_SIZES) : chance.pick(SIZES);
        changes.push({ key, value: { size, seed: this.#seed, epoch, index, part } });
      }
    }
    return { level: chance.pick(LEVELS), isBatch, changes };
  }
}

/**
 * Finds the length of the history that leads to a state: tries every length from `least` to `most`.
 * `state`: values by key, keys in latin1. Returns undefined when no length does.
 */
export function lengthOf(history, state, least, most) {
  const model = new Map();
  const wrong = new Set(state.keys());
  const isRight = (key, value) => {
    const found = state.get(key);
    if (value === undefined || found === undefined) return value === found;
    return found.length === value.size && found.equals(bytesOf(value));
  };
  for (let length = 0; ; length++) {
    if (length === least) {
      // Up to here only the model was kept: now all is compared, then what changes.
      wrong.clear();
      for (const [key, value] of model) if (!isRight(key, value)) wrong.add(key);
      for (const key of state.keys()) if (!model.has(key)) wrong.add(key);
    }
    if (length >= least && wrong.size === 0) return length;
    if (length >= most) return undefined;
    for (const change of history.operation(length).changes) {
      applyChange(model, change, (name, value) => {
        if (length < least) return;
        if (isRight(name, value)) wrong.delete(name);
        else wrong.add(name);
      });
    }
  }
}
