/**
 * Which keys a workload writes, in expectation: classes of keys, each spread evenly over the key space
 * and evenly likely within. What a run holds of a class is then one number, and what a merge of runs
 * holds follows from theirs, without a key.
 */

/** Keys of one popularity. */
export interface KeyClass {
  /** Keys of it that exist. */
  readonly keys: number;
  /** Share of all operations that go to one of them; all shares add up to 1. */
  readonly share: number;
}

/** Returns one class: all keys are equally likely. */
export function uniformKeys(keys: number): readonly KeyClass[] {
  return [{ keys, share: 1 }];
}

/**
 * Returns the classes of a zipf distribution over so many keys (the i-th most popular is drawn in
 * proportion to i^-theta, theta not 1), scattered over the key space: each class has `ratio` times the
 * keys of the one before.
 */
export function zipfKeys(keys: number, theta: number, ratio = 10): readonly KeyClass[] {
  const mass = (rank: number): number => rank ** (1 - theta) / (1 - theta);
  const classes: KeyClass[] = [];
  const all = mass(keys + 1) - mass(1);
  let from = 1;
  let size = Math.max(1, Math.round(keys / ratio ** 4));
  while (from <= keys) {
    const count = from - 1 + size * ratio > keys ? keys - from + 1 : size;
    classes.push({ keys: count, share: (mass(from + count) - mass(from)) / all });
    from += count;
    size *= ratio;
  }
  return classes;
}

/** Returns how many different keys of a class so many operations on all keys write. */
export function distinctKeys({ keys, share }: KeyClass, operations: number): number {
  return -keys * Math.expm1((-operations * share) / keys);
}
