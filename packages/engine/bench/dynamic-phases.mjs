/**
 * Workloads whose demands change, and what one run of them draws: the same operations in the same order for
 * each store and each configuration of one seed. Operations come in rounds of 64: the writes of a round are
 * one batch, its look-ups and scans follow one by one.
 */
const MIB = 1048576;
export const ROUND = 64;
export const KEY_BYTES = 16;
/** Entries of a scan; look-ups of keys that are not there, of all look-ups. */
export const SCAN_ENTRIES = 50;
const ABSENT_SHARE = 0.2;

/**
 * The trees. Ten turnovers of level 1 are ten times its size in memtable bytes; `treeEntryBytes` is
 * about what an entry takes there. With values of 4 KiB both sizes are a quarter, so that a run
 * stays within a minute: ten turnovers of 4 MiB of pointers are 3 GiB of values. `full` has the sizes that settings
 * have by default, and windows, too: the same workload at 64 times the size.
 */
export const TREES = {
  inline: {
    valueBytes: 100,
    keys: 200_000,
    memtableBytes: MIB,
    baseBytes: 4 * MIB,
    treeEntryBytes: 120,
    cacheBytes: 32 * MIB,
    rocksMemtableBytes: MIB,
  },
  full: {
    valueBytes: 100,
    keys: 12_800_000,
    memtableBytes: 64 * MIB,
    baseBytes: 256 * MIB,
    treeEntryBytes: 120,
    cacheBytes: 2048 * MIB,
    windowOperations: 50_000,
    rocksMemtableBytes: 64 * MIB,
  },
  separated: {
    valueBytes: 4096,
    keys: 60_000,
    memtableBytes: MIB / 4,
    baseBytes: MIB,
    treeEntryBytes: 52,
    cacheBytes: 32 * MIB,
    // About what RocksDB's files take at the end, which collects nothing here.
    spaceAmplificationMax: 1.65,
    // Its memtables hold the values, too: as many entries as the other's.
    rocksMemtableBytes: 16 * MIB,
  },
};

/** Shares of writes and scans; look-ups are the rest. */
const MIXES = {
  write: { writes: 0.95, scans: 0 },
  read: { writes: 0.15, scans: 0 },
  balanced: { writes: 0.5, scans: 0 },
  scan: { writes: 0.88, scans: 0.12 },
  lull: { writes: 0, scans: 0 },
  burst: { writes: 1, scans: 0 },
};

/** A phase of a constant mix that writes `turnovers` times level 1. */
function steady(tree, name, turnovers) {
  const mix = MIXES[name];
  const writes = (turnovers * tree.baseBytes) / tree.treeEntryBytes;
  return { name, ops: Math.round(writes / mix.writes), mixAt: () => mix };
}

/** A phase whose share of writes is a function of how far it is, 0 to 1. */
function varying(tree, name, turnovers, writesAt, meanWrites) {
  const writes = (turnovers * tree.baseBytes) / tree.treeEntryBytes;
  return {
    name,
    ops: Math.round(writes / meanWrites),
    mixAt: (at) => ({ writes: writesAt(at), scans: 0 }),
  };
}

/** Operations that the adversary keeps to one kind: those of a window of the agent. */
export const WINDOW_OPERATIONS = 20_000;

/** Phases by the name of a workload; each of `turnovers` turnovers of level 1, or as many in all. */
export const WORKLOADS = {
  phases: (tree, turnovers) => [
    steady(tree, "write", turnovers),
    steady(tree, "read", turnovers),
    steady(tree, "balanced", turnovers),
    steady(tree, "scan", turnovers),
    { name: "lull", ops: 100_000, mixAt: () => MIXES.lull },
    steady(tree, "burst", turnovers),
  ],
  drift: (tree, turnovers) => [varying(tree, "drift", 3 * turnovers, (at) => 0.9 - 0.8 * at, 0.5)],
  cycle: (tree, turnovers) => [
    varying(tree, "cycle", 3 * turnovers, (at) => 0.5 + 0.45 * Math.sin(2 * Math.PI * 3 * at), 0.5),
  ],
  "steady-write": (tree, turnovers) => [steady(tree, "write", 3 * turnovers)],
  "steady-read": (tree, turnovers) => [steady(tree, "read", 2 * turnovers)],
  "steady-balanced": (tree, turnovers) => [steady(tree, "balanced", 3 * turnovers)],
  "steady-scan": (tree, turnovers) => [steady(tree, "scan", 2 * turnovers)],
  adversarial: (tree, turnovers) => {
    const ops = Math.round((2 * 3 * turnovers * tree.baseBytes) / tree.treeEntryBytes);
    const mixAt = (at) =>
      Math.floor((at * ops) / WINDOW_OPERATIONS) % 2 === 0
        ? { writes: 1, scans: 0 }
        : { writes: 0, scans: 0.1 };
    return [{ name: "adversarial", ops, mixAt }];
  },
};

/** Seeded numbers (mulberry32). */
export class Draw {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  below(bound) {
    return Math.floor(this.unit() * bound);
  }

  unit() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x100000000;
  }
}

function mix32(value) {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The key of an index, in hashed order; an absent one has a neighbour's bytes and another end. */
export function keyOf(index, isAbsent = false) {
  const key = Buffer.allocUnsafeSlow(KEY_BYTES);
  key.writeUInt32BE(mix32(index), 0);
  key.writeUInt32BE(index, 4);
  key.writeUInt32BE(mix32(index + 0x9e3779b9), 8);
  key.writeUInt32BE(isAbsent ? 1 : 0, 12);
  return key;
}

/** Values are slices of one block of noise, and begin with the number of the write. */
export class Values {
  #noise = Buffer.allocUnsafeSlow(2 * MIB);
  #bytes;
  #written = 0;

  constructor(bytes) {
    this.#bytes = bytes;
    const draw = new Draw(7);
    for (let at = 0; at < this.#noise.length; at += 4) {
      this.#noise.writeUInt32LE(draw.below(0x100000000), at);
    }
  }

  next() {
    this.#written++;
    const at = (mix32(this.#written) % (this.#noise.length - this.#bytes)) & ~3;
    return this.#noise.subarray(at, at + this.#bytes);
  }
}

/** Draws the operations of one round; `at` is how far the phase is. */
export function drawRound(draw, phase, at, count, keys, values) {
  const { writes, scans } = phase.mixAt(at);
  const round = { put: { keys: [], values: [] }, gets: [], scans: [] };
  for (let i = 0; i < count; i++) {
    const kind = draw.unit();
    if (kind < writes) {
      round.put.keys.push(keyOf(draw.below(keys)));
      round.put.values.push(values.next());
    } else if (kind < writes + scans) round.scans.push(keyOf(draw.below(keys)));
    else round.gets.push(keyOf(draw.below(keys), draw.unit() < ABSENT_SHARE));
  }
  return round;
}
