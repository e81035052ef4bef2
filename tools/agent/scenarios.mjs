/**
 * Workloads that change, as lists of windows, and the trees that they run on. Evaluation and training
 * take theirs from here, from different functions: what an agent was trained on is not in its table.
 */
const MIB = 1048576;
/** Work of a window: look-ups, writes, scans, and one more for every 8 entries of a scan. */
export const WINDOW_OPERATIONS = 20_000;
const SCAN_ENTRIES_PER_OPERATION = 8;
/** A phase turns the first level over so many times. */
const TURNOVERS = 10;
const MEMTABLE_BYTES = MIB;
const BASE_BYTES = 4 * MIB;

const mixes = {
  "write-heavy": { reads: 0.05, scans: 0, writes: 0.95, absent: 0.1, scanLength: 1 },
  "read-heavy": { reads: 0.9, scans: 0.01, writes: 0.09, absent: 0.1, scanLength: 20 },
  balanced: { reads: 0.48, scans: 0.02, writes: 0.5, absent: 0.1, scanLength: 20 },
  "scan-heavy": { reads: 0.05, scans: 0.7, writes: 0.25, absent: 0.1, scanLength: 30 },
  lull: { reads: 0.97, scans: 0.02, writes: 0.01, absent: 0.1, scanLength: 20 },
  burst: { reads: 0.01, scans: 0, writes: 0.99, absent: 0.1, scanLength: 1 },
};

/** Unit costs as the engine measured them on a machine with more work than cores, seconds. */
const BUSY_COSTS = {
  read: 1.5e-6,
  write: 1.5e-6,
  probe: 0.27e-6,
  blockRead: 1.9e-6,
  seek: 8e-6,
  scanEntry: 0.2e-6,
  flushedByte: 25e-9,
  mergedByte: 50e-9,
};

/** Unit costs of a quiet machine, seconds, for entries of this size. */
function unitCosts(entryBytes) {
  return {
    read: 0.8e-6,
    write: 1.5e-6,
    probe: 0.2e-6,
    blockRead: 0.7e-6,
    seek: 1.5e-6,
    scanEntry: 0.2e-6,
    flushedByte: 450e-9 / entryBytes,
    mergedByte: 450e-9 / entryBytes,
  };
}

/** Trees: inline values of 100 B, separated values of 4 KiB, and inline ones on a busy machine. */
export const trees = {
  "100 B inline": {
    entryBytes: 122,
    memtableEntryBytes: 140,
    separatedBytes: 0,
    keys: 1e6,
    value: 0,
  },
  "4 KiB separated": {
    entryBytes: 44,
    memtableEntryBytes: 60,
    separatedBytes: 4120,
    keys: 2.5e6,
    value: 2e-6,
  },
  "100 B on a busy machine": {
    entryBytes: 122,
    memtableEntryBytes: 140,
    separatedBytes: 0,
    keys: 1e6,
    value: 0,
    costs: BUSY_COSTS,
  },
};

/** A generator of numbers in [0, 1). */
export function numbersFrom(seed) {
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Returns the simulation of a tree. A seed moves sizes and costs by up to a fifth. */
export function simulationOf(agent, tree, seed, change = {}) {
  const next = numbersFrom(seed * 7919 + 13);
  const vary = (value) => value * (0.8 + 0.4 * next());
  const costs = { ...(tree.costs ?? unitCosts(tree.entryBytes)) };
  for (const name of Object.keys(costs)) costs[name] = vary(costs[name]);
  costs.valueRead = tree.value || 2e-6;
  costs.valueByte = tree.separatedBytes > 0 ? (2 * tree.value) / tree.separatedBytes : 0.5e-9;
  const geometry = agent.treeGeometry({ baseLevelBytes: BASE_BYTES });
  return {
    geometry,
    shape: agent.modeShape("leveled", geometry, 4),
    memtableBytes: MEMTABLE_BYTES,
    memtableEntryBytes: tree.memtableEntryBytes,
    entryBytes: tree.entryBytes,
    separatedBytes: tree.separatedBytes,
    classes: agent.uniformKeys(Math.round(vary(tree.keys))),
    loaded: 1,
    filters: { bits: 10, allocation: "monkey" },
    costs,
    mergeSpeed: 1,
    noise: 0.05,
    seed,
    ...change,
  };
}

/** Windows until a mix has turned the first level over often enough, or more. */
function windowsOf(mix, tree, turnovers) {
  const writes = (turnovers * BASE_BYTES) / tree.memtableEntryBytes;
  const perWindow =
    WINDOW_OPERATIONS / (1 + (mix.scans * mix.scanLength) / SCAN_ENTRIES_PER_OPERATION);
  return Math.max(PHASE_WINDOWS, Math.ceil(writes / (perWindow * mix.writes)));
}

/** All phases have so many windows or more: phases of about the same amount of work. */
const PHASE_WINDOWS = 120;
/** A lull writes next to nothing, and is short. */
const LULL_WINDOWS = 40;

function phasesOf(names, tree, turnovers = TURNOVERS) {
  return names.flatMap((name, phase) => {
    const windows = name === "lull" ? LULL_WINDOWS : windowsOf(mixes[name], tree, turnovers);
    return Array.from({ length: windows }, () => ({ phase, name, mix: mixes[name] }));
  });
}

function shuffled(list, next) {
  const all = [...list];
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all;
}

function between(a, b, share) {
  return Object.fromEntries(Object.keys(a).map((key) => [key, a[key] + (b[key] - a[key]) * share]));
}

/** The table's workloads. */
export const evaluation = {
  phases: (tree, seed) => {
    const order = ["write-heavy", "read-heavy", "balanced", "scan-heavy", "burst"];
    const names = shuffled(order, numbersFrom(seed)).flatMap((name) =>
      name === "burst" ? ["lull", "burst"] : [name],
    );
    return phasesOf(names, tree);
  },
  cyclic: (tree, seed) => {
    const names = shuffled(["write-heavy", "read-heavy", "scan-heavy"], numbersFrom(seed + 50));
    return phasesOf([...names, ...names, ...names], tree);
  },
  drifting: (tree, seed) => {
    const names = shuffled(
      ["write-heavy", "read-heavy", "scan-heavy", "balanced"],
      numbersFrom(seed + 90),
    );
    return [...names, names[0]].slice(1).flatMap((to, phase) => {
      const [a, b] = [mixes[names[phase]], mixes[to]];
      const windows = Math.round(
        (windowsOf(a, tree, TURNOVERS) + windowsOf(b, tree, TURNOVERS)) / 2,
      );
      return Array.from({ length: windows }, (_, i) => ({
        phase: phase * 2 + (i * 2 >= windows ? 1 : 0),
        name: `${names[phase]} to ${to}`,
        mix: between(a, b, i / windows),
      }));
    });
  },
};

/** One workload for ever. */
export const steady = Object.fromEntries(
  ["write-heavy", "read-heavy", "balanced", "scan-heavy"].map((name) => [
    name,
    (tree) => phasesOf([name], tree, 2 * TURNOVERS),
  ]),
);

/** Workloads that change as fast as an agent looks. */
export const adversarial = Object.fromEntries(
  [1, 2, 3, 5].map((length) => [
    `every ${length}`,
    () =>
      Array.from({ length: 240 }, (_, i) => {
        const name = Math.floor(i / length) % 2 === 0 ? "write-heavy" : "scan-heavy";
        return { phase: 0, name, mix: mixes[name] };
      }),
  ]),
);

/** Workloads and trees to train on, drawn by chance. `next` returns numbers in [0, 1). */
export const training = {
  tree: (next) => {
    const entryBytes = 40 + 400 * next() ** 2;
    const bytes = (40 + 160 * next()) * MIB;
    return {
      entryBytes,
      memtableEntryBytes: entryBytes + 17,
      separatedBytes: 0,
      keys: bytes / entryBytes,
      value: 0,
    };
  },
  windows: (next) => {
    const phases = 2 + Math.floor(next() * 4);
    return Array.from({ length: phases }).flatMap((_, phase) => {
      const writes = 0.03 + 0.94 * next();
      const scans = next() < 0.5 ? 0 : (1 - writes) * next() * 0.6;
      const reads = 1 - writes - scans;
      const mix = { reads, scans, writes, absent: next() * 0.6, scanLength: 5 + 60 * next() };
      const windows = 30 + Math.floor(next() * 120);
      return Array.from({ length: windows }, () => ({ phase, name: "drawn", mix }));
    });
  },
};
