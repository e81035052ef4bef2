/**
 * What each tier runs. A part is a script, or tests with an environment; a slice of the release tier
 * has its number as seed, and a tenth of what `BAR` asks for.
 */

const engine = (name) => `packages/engine/test/${name}.test.ts`;
const script = (name, ...args) => ({ args: [`tools/trust/${name}.mjs`, ...args] });
const tests = (file, env = {}) => ({ tests: file, env });

const DISKS = "ext4,ext4-writeback,xfs,btrfs";

export const RELEASE_SLICES = 10;

/** What the slices of a release have to come to, all of the same sources. Names are those of counts. */
export const BAR = {
  kills: 10_000,
  calls: 2000,
  callsMet: 2000,
  cuts: 1200,
  images: 200_000,
  imagesInRecovery: 100_000,
  modelOperations: 20_000_000,
  /** Every bit of every file; the ten parts of it are 202,000. Tables and segments count once. */
  flips: 200_000,
  faults: 1000,
  metamorphicSteps: 300_000,
  writeRuns: 3000,
  /** Failures of system calls and of full volumes that a caller was told of. */
  callErrorsTold: 400,
  fullDisksTold: 100,
};

export const TIERS = {
  /** In minutes, without processes and disks: a part of `npm test`. */
  fast: () => ({
    metamorphic: tests(engine("metamorphic")),
    corruption: tests(engine("corruption")),
    repair: tests(engine("repair")),
    simulation: tests(engine("simulation")),
    depth: tests(engine("recovery-depth")),
    sweep: tests(engine("crash-sweep")),
    faults: tests(engine("faults")),
    lying: tests(engine("lying-disk")),
    model: tests(engine("model.property")),
    commands: tests(engine("model-commands.property")),
    fuzz: tests("tools/fuzz/fuzz.test.ts"),
    zoo: tests("tools/zoo/zoo.test.ts"),
  }),
  ci: (n) => ({
    metamorphic: tests(engine("metamorphic"), { AURA_META_SEED: n, AURA_META_STEPS: 300 }),
    simulation: tests(engine("simulation"), { AURA_DEPTH_IMAGES: 3000, AURA_DEPTH_SEED: n }),
    model: tests(engine("model.property"), { AURA_MODEL_FROM: n * 1000, AURA_MODEL_RUNS: 100 }),
    fuzz: tests("tools/fuzz/fuzz.test.ts", { AURA_FUZZ_RUNS: 3000, AURA_FUZZ_SEED: n }),
    kills: script("kills", "--count", 100, "--seed", n, "--jobs", 1),
    calls: script("syscall-kills", "--part", "1/10", "--seed", n, "--jobs", 1),
    errors: script("syscall-errors", "--count", 20, "--seed", n, "--jobs", 1),
    full: script("full-disk", "--count", 5, "--seed", n, "--jobs", 1),
    cuts: script("power-cuts", "--count", 20, "--seed", n),
    memory: script("memory-limit", "--count", 10, "--seed", n),
    kernel: script("kernel-check", "--count", 60, "--seed", n),
  }),
  release: (n) => ({
    metamorphic: tests(engine("metamorphic"), { AURA_META_SEED: n, AURA_META_STEPS: 1000 }),
    corruption: tests(engine("corruption"), {
      AURA_CORRUPTION: "every-bit",
      AURA_CORRUPTION_PART: `${n}/${RELEASE_SLICES}`,
    }),
    repair: tests(engine("repair"), { AURA_REPAIR_STRIDE: 40 + n }),
    simulation: tests(engine("simulation"), {
      AURA_SIM_SEEDS: 20,
      AURA_SIM_FROM: 20 * n - 19,
      AURA_DEPTH_IMAGES: 15_000,
      AURA_DEPTH_SEED: n,
    }),
    depth: tests(engine("recovery-depth"), { AURA_DEPTH_PART: `${n}/${RELEASE_SLICES}` }),
    sweep: tests(engine("crash-sweep"), { AURA_CRASH_POINTS: 1000, AURA_CRASH_SEED: n }),
    faults: tests(engine("faults"), {
      AURA_FAULT_STRIDE: RELEASE_SLICES,
      AURA_FAULT_OFFSET: n - 1,
    }),
    lying: tests(engine("lying-disk"), {
      AURA_LYING_STRIDE: RELEASE_SLICES,
      AURA_LYING_IMAGES: 2000,
      AURA_LYING_SEED: n,
    }),
    model: tests(engine("model.slow"), {
      AURA_SLOW: 1,
      AURA_MODEL_OPS: 2_000_000,
      AURA_MODEL_SEED: n * 1_000_000,
    }),
    commands: tests(engine("model-commands.property"), {
      AURA_COMMAND_RUNS: 150,
      AURA_COMMAND_SEED: n,
    }),
    writes: tests(engine("write-fuzz.property"), {
      AURA_WRITE_RUNS: 300,
      AURA_WRITE_SEED: 10_000 * n,
    }),
    fuzz: tests("tools/fuzz/fuzz.test.ts", { AURA_FUZZ_RUNS: 30_000, AURA_FUZZ_SEED: n }),
    "out-of-space": tests(engine("out-of-space")),
    "worker-death": tests(engine("worker-death")),
    kills: script("kills", "--count", 1000, "--seed", n, "--jobs", 2),
    calls: script("syscall-kills", "--seed", n, "--jobs", 2),
    errors: script("syscall-errors", "--count", 60, "--seed", n, "--jobs", 2),
    full: script("full-disk", "--count", 30, "--seed", n, "--jobs", 2),
    cuts: script("power-cuts", "--count", 30, "--seed", n, "--jobs", 2, "--file-systems", DISKS),
    memory: script("memory-limit", "--count", 30, "--seed", n),
    kernel: script("kernel-check", "--count", 100, "--seed", n, "--file-systems", DISKS),
    // One that is long enough for what grows slowly.
    soak: script("soak", "--minutes", n === 1 ? 30 : 3, "--seed", n),
  }),
};
