/**
 * Windows of work on a simulated tree, observed as an engine observes its own.
 *
 * Foreground work takes the seconds that its counts and unit costs say. Merges run beside it, one at a
 * time and two when level 0 is far beyond its trigger, at a speed that is given; writes are held back
 * as level 0 grows beyond four times its trigger, as the engine's admission does. What happens is the
 * expectation of what would happen, so a seed is needed only for how windows differ from each other.
 */
import { SeededRandom } from "@aura/base";
import type { LevelObservation, WindowObservation } from "../agent.ts";
import type { FilterPlan } from "../cost-model.ts";
import { flexiblePolicy } from "../flexible.ts";
import { filledRuns } from "../overlap.ts";
import type { CompactionPolicy } from "../policy.ts";
import type { TreeGeometry } from "../settings.ts";
import type { TreeShape } from "../shape.ts";
import { levelBytes, levelTargets, tableBytesFor } from "../targets.ts";
import { bucketOf } from "../value-model.ts";
import type { KnownCosts } from "../window-seconds.ts";
import type { KeyClass } from "./key-popularity.ts";
import {
  type EntryLikeness,
  type SimulatedJob,
  type SimulatedTable,
  SimulatedTree,
} from "./simulated-tree.ts";

/** What a simulation is made with. */
export interface SimulationSettings {
  readonly geometry: TreeGeometry;
  readonly shape: TreeShape;
  readonly memtableBytes: number;
  /** Bytes of an entry in a memtable, and in tables; and of a separated value beside it. */
  readonly memtableEntryBytes: number;
  readonly entryBytes: number;
  readonly separatedBytes: number;
  readonly classes: readonly KeyClass[];
  /** Sizes of values, where they matter: what is in the tree then follows the threshold of separation. */
  readonly values?: ValueSizes;
  /** Share of the keys that lie in the last level to begin with. */
  readonly loaded: number;
  readonly filters: FilterPlan;
  readonly costs: KnownCosts;
  /** Seconds of merging for one second of wall clock; Infinity: merges end where they begin. */
  readonly mergeSpeed: number;
  /** How much counts and costs of a window scatter around what they should be, 0 to 1. */
  readonly noise: number;
  readonly seed: number;
}

/** Values by size. The entry bytes of the settings are then those of an entry without its value. */
export interface ValueSizes {
  readonly sizes: readonly { readonly bytes: number; readonly share: number }[];
  /** Bytes from which on values are apart where the shape does not say. */
  readonly threshold: number;
}

/** What entries take as they are written. */
interface Written {
  readonly entry: EntryLikeness;
  readonly memtableBytes: number;
  readonly separatedBytes: number;
}

/** What the operations of a window are, as shares that add up to 1. */
export interface WorkMix {
  readonly reads: number;
  readonly scans: number;
  readonly writes: number;
  /** Share of the reads whose key is nowhere. */
  readonly absent: number;
  /** Entries of a scan. */
  readonly scanLength: number;
}

/** Bytes that a separated value leaves in the tree. */
const POINTER_BYTES = 20;
/** A scan counts as one operation of a window, and one more for so many entries. */
const SCAN_ENTRIES_PER_OPERATION = 8;

/** Runs of level 0, in triggers, from which on writes are held back, and where they stop growing. */
const L0_SOFT = 4;
const L0_HARD = 9;
/** Triggers from which on a second merge runs beside the first. */
const L0_URGENT = 3;
const LN2_SQUARED = Math.LN2 ** 2;

interface RunFigures {
  readonly coverage: number;
  readonly falseRate: number;
  /** Share of the keys of each class that it holds. */
  readonly densities: Float64Array;
  /** Share of its entries whose value is apart. */
  readonly apart: number;
}

interface LevelReads {
  probes: number;
  falsePositives: number;
  hits: number;
}

/** A tree and the work that it does. */
export class Simulator {
  readonly tree: SimulatedTree;
  readonly policy: CompactionPolicy;
  readonly #settings: SimulationSettings;
  readonly #random: SeededRandom;
  readonly #figures = new WeakMap<readonly SimulatedTable[], RunFigures>();
  readonly #remaining = new Map<SimulatedJob, number>();
  #memtableOperations = 0;
  #entry: EntryLikeness | undefined;
  #sized: { readonly threshold: number; readonly written: Written } | undefined;
  #window = 0;
  /** Seconds that draining level 0 took lately, per memtable. */
  #drainSeconds = 0;
  /** Seconds since the start: of the caller's thread, waits included. */
  wallSeconds = 0;

  constructor(settings: SimulationSettings) {
    this.#settings = settings;
    this.#random = new SeededRandom(settings.seed);
    const { geometry, shape, classes, entryBytes, filters } = settings;
    this.policy = flexiblePolicy(geometry);
    this.policy.reshape(shape);
    const { levelCount } = geometry;
    const { policy } = this;
    this.tree = new SimulatedTree({ classes, entryBytes, filters, levelCount, policy });
    if (settings.loaded > 0) {
      let bytes = 0;
      const { entry } = this.#written();
      for (const { keys } of classes) bytes += keys * settings.loaded * entry.bytes;
      this.tree.load(levelCount - 1, settings.loaded, tableBytesFor(bytes, geometry), entry);
    }
  }

  /** Puts a shape in force. */
  reshape(shape: TreeShape): void {
    this.policy.reshape(shape);
    this.#start();
  }

  /** Runs one window of about so many operations. */
  window(mix: WorkMix, operations: number): WindowObservation {
    const { costs, memtableBytes, mergeSpeed } = this.#settings;
    const written = this.#written();
    const { tree } = this;
    const before = { ...counters(tree), moved: tree.moved.map((one) => ({ ...one })) };
    const perOperation = 1 + (mix.scans * mix.scanLength) / SCAN_ENTRIES_PER_OPERATION;
    const total = this.#scattered(operations) / perOperation;
    const perMemtable = memtableBytes / written.memtableBytes;
    const levels: LevelReads[] = tree.levels.map(() => ({ probes: 0, falsePositives: 0, hits: 0 }));
    let rest = total;
    let seeks = 0;
    let blockReads = 0;
    let valueReads = 0;
    let delaySeconds = 0;
    while (rest > 1e-6) {
      let step = rest;
      if (mix.writes > 0)
        step = Math.min(step, (perMemtable - this.#memtableOperations) / mix.writes);
      const reads = this.#readsNow(mix);
      const seconds =
        mix.reads * (costs.read + reads.probes * costs.probe + reads.blocks * costs.blockRead) +
        mix.scans * (reads.runs * costs.seek + mix.scanLength * costs.scanEntry) +
        (mix.reads * reads.values + mix.scans * mix.scanLength * reads.apart) * costs.valueRead +
        mix.writes * (costs.write + written.separatedBytes * costs.valueByte);
      const jobEnd = this.#nextEnd(mergeSpeed);
      if (jobEnd < step * seconds) step = jobEnd / seconds;
      for (const [i, level] of levels.entries()) {
        level.probes += step * mix.reads * reads.levels[i]!.probes;
        level.falsePositives += step * mix.reads * reads.levels[i]!.falsePositives;
        level.hits += step * mix.reads * reads.levels[i]!.hits;
      }
      blockReads += step * mix.reads * reads.blocks;
      valueReads += step * (mix.reads * reads.values + mix.scans * mix.scanLength * reads.apart);
      seeks += step * mix.scans * reads.runs;
      this.#memtableOperations += step * mix.writes;
      rest -= step;
      this.#pass(step * seconds);
      if (mix.writes > 0 && this.#memtableOperations >= perMemtable - 1e-6) {
        delaySeconds += this.#flush();
      }
    }
    const after = counters(tree);
    const observation: WindowObservation = {
      window: this.#window++,
      reads: total * mix.reads,
      absentReads: total * mix.reads * mix.absent,
      blockReads,
      scans: total * mix.scans,
      scanEntries: total * mix.scans * mix.scanLength,
      seeks,
      writes: total * mix.writes,
      writtenBytes: total * mix.writes * written.memtableBytes,
      separatedBytes: total * mix.writes * written.separatedBytes,
      valueReads,
      valueSizes: this.#valueSizes(total * mix.writes),
      levels: this.#levels(levels, before.moved),
      flushes: after.flushes - before.flushes,
      flushedBytes: after.flushedBytes - before.flushedBytes,
      mergedBytesRead: after.mergedBytesRead - before.mergedBytesRead,
      mergedBytesWritten: after.mergedBytesWritten - before.mergedBytesWritten,
      relocatedBytes: 0,
      delaySeconds,
      stalls: 0,
      debtBytes: this.policy.debtBytes(tree.view),
      spaceBytes: tree.levels.reduce((sum, level) => sum + levelBytes(level), 0),
      liveBytes: this.#liveBytes(),
      costs: this.#costs(),
      isUnsettled: this.#window <= 1,
    };
    return observation;
  }

  /** Flushes, begins merges; returns the seconds that writes were held back. */
  #flush(): number {
    const written = this.#written();
    this.tree.flush(this.#settings.memtableBytes / written.memtableBytes, written.entry);
    this.#memtableOperations = 0;
    this.#start();
    const { l0Trigger } = this.policy.shape;
    const runs = filledRuns(this.tree.levels[0]).length;
    const share = (runs / l0Trigger - L0_SOFT) / (L0_HARD - L0_SOFT);
    if (share <= 0) return 0;
    const seconds = 2 * share * this.#drainSeconds;
    this.#pass(seconds);
    return seconds;
  }

  /** What is written now: values from the threshold on are apart. */
  #written(): Written {
    const { values, entryBytes, memtableEntryBytes, separatedBytes } = this.#settings;
    if (values === undefined) {
      const apart = separatedBytes > 0 ? 1 : 0;
      this.#entry ??= { bytes: entryBytes, apart };
      return { entry: this.#entry, memtableBytes: memtableEntryBytes, separatedBytes };
    }
    const threshold = this.policy.shape.separationThreshold ?? values.threshold;
    if (this.#sized?.threshold === threshold) return this.#sized.written;
    let inline = 0;
    let apart = 0;
    let apartBytes = 0;
    for (const { bytes, share } of values.sizes) {
      if (bytes >= threshold) {
        inline += share * POINTER_BYTES;
        apart += share;
        apartBytes += share * bytes;
      } else inline += share * bytes;
    }
    const entry = { bytes: entryBytes + inline, apart };
    const memtableBytes = memtableEntryBytes + inline;
    this.#sized = { threshold, written: { entry, memtableBytes, separatedBytes: apartBytes } };
    return this.#sized.written;
  }

  /** Values written, by powers of two. */
  #valueSizes(writes: number): number[] {
    const counts: number[] = [];
    for (const { bytes, share } of this.#settings.values?.sizes ?? []) {
      const bucket = bucketOf(bytes);
      while (counts.length <= bucket) counts.push(0);
      counts[bucket]! += writes * share;
    }
    return counts;
  }

  #start(): void {
    const { mergeSpeed, costs } = this.#settings;
    if (mergeSpeed === Number.POSITIVE_INFINITY) {
      this.tree.settle();
      return;
    }
    for (;;) {
      const runs = filledRuns(this.tree.levels[0]).length;
      const lanes = runs >= L0_URGENT * this.policy.shape.l0Trigger ? 2 : 1;
      if (this.#remaining.size >= lanes) return;
      const job = this.tree.begin();
      if (job === undefined) return;
      const seconds = job.inputBytes * costs.mergedByte;
      this.#remaining.set(job, seconds);
      const zero = job.choice.inputs.find(({ level }) => level === 0);
      if (zero !== undefined && job.choice.outputLevel > 0) {
        this.#drainSeconds = seconds / mergeSpeed / zero.tables.length;
      }
    }
  }

  #nextEnd(speed: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (const seconds of this.#remaining.values()) least = Math.min(least, seconds);
    return least / speed;
  }

  /** Lets time pass: jobs that are done end, others begin. */
  #pass(seconds: number): void {
    const speed = this.#settings.mergeSpeed;
    this.wallSeconds += seconds;
    let rest = seconds;
    while (this.#remaining.size > 0) {
      const step = Math.min(rest, this.#nextEnd(speed));
      rest -= step;
      for (const [job, left] of this.#remaining) this.#remaining.set(job, left - step * speed);
      let ended = false;
      for (const [job, left] of this.#remaining) {
        if (left > 1e-12) continue;
        this.#remaining.delete(job);
        this.tree.end(job);
        ended = true;
      }
      if (ended) this.#start();
      if (rest <= 0) return;
    }
  }

  /** What one read and one scan meet now. */
  #readsNow(mix: WorkMix): {
    levels: LevelReads[];
    probes: number;
    blocks: number;
    runs: number;
    values: number;
    apart: number;
  } {
    const { classes } = this.tree;
    const found = 1 - mix.absent;
    const memtable = this.#memtableOperations / 2;
    let missing = 0;
    const left = Float64Array.from(classes, ({ keys, share }) => {
      const rest = share * Math.exp((-memtable * share) / keys);
      missing += rest;
      return rest;
    });
    const levels: LevelReads[] = [];
    let probes = 0;
    let blocks = 0;
    let runs = 0;
    // Answers whose value is apart; those in memory are as what is written now.
    const now = this.#written().entry.apart;
    let values = found * (1 - missing) * now;
    for (const level of this.tree.levels) {
      const reads = { probes: 0, falsePositives: 0, hits: 0 };
      for (const run of level.runs) {
        if (run.tables.length === 0) continue;
        const { coverage, falseRate, densities, apart } = this.#figuresOf(run.tables);
        runs += coverage;
        const asked = (found * missing + mix.absent) * coverage;
        let hits = 0;
        for (let c = 0; c < left.length; c++) {
          const hit = left[c]! * densities[c]!;
          left[c]! -= hit;
          hits += hit;
        }
        missing -= hits;
        hits *= found;
        reads.probes += asked;
        reads.hits += hits;
        values += hits * apart;
        reads.falsePositives += (asked - hits) * falseRate;
      }
      probes += reads.probes;
      blocks += reads.hits + reads.falsePositives;
      levels.push(reads);
    }
    return { levels, probes, blocks, runs, values, apart: found > 0 ? values / found : now };
  }

  #figuresOf(tables: readonly SimulatedTable[]): RunFigures {
    const known = this.#figures.get(tables);
    if (known !== undefined) return known;
    const { classes } = this.tree;
    const densities = new Float64Array(classes.length);
    let width = 0;
    let falseWidth = 0;
    let entries = 0;
    let entriesApart = 0;
    for (const { low, high, counts, filterBits, entry, entryCount } of tables) {
      entries += entryCount;
      entriesApart += entryCount * entry.apart;
      width += high - low + 1;
      falseWidth += (high - low + 1) * Math.exp(-filterBits * LN2_SQUARED);
      for (let c = 0; c < densities.length; c++) densities[c]! += counts[c]! / classes[c]!.keys;
    }
    const apart = entries > 0 ? entriesApart / entries : 0;
    const figures = { coverage: width / 2 ** 32, falseRate: falseWidth / width, densities, apart };
    this.#figures.set(tables, figures);
    return figures;
  }

  #liveBytes(): number {
    const { classes, levels } = this.tree;
    const absent = new Float64Array(classes.length).fill(1);
    for (const { runs } of levels) {
      for (const { tables } of runs) {
        if (tables.length === 0) continue;
        const { densities } = this.#figuresOf(tables);
        for (let c = 0; c < absent.length; c++) absent[c]! *= 1 - densities[c]!;
      }
    }
    let entries = 0;
    for (let c = 0; c < absent.length; c++) entries += classes[c]!.keys * (1 - absent[c]!);
    return entries * this.#written().entry.bytes;
  }

  #levels(
    reads: readonly LevelReads[],
    before: readonly { read: number; written: number }[],
  ): LevelObservation[] {
    const { tree, policy } = this;
    const targets = levelTargets(tree.view, this.#settings.geometry);
    return tree.levels.map((level, i) => {
      let entries = 0;
      let bits = 0;
      let bytes = 0;
      for (const { tables } of level.runs) {
        for (const { entryCount, filterBits, bytes: size } of tables) {
          entries += entryCount;
          bytes += size;
          bits += entryCount * filterBits;
        }
      }
      const { shape } = policy;
      return {
        bytes,
        targetBytes: targets.bytes[i]!,
        entries,
        runs: filledRuns(level).length,
        runsMax:
          i === 0 ? shape.l0Trigger : shape.levels[Math.min(i, shape.levels.length) - 1]!.runs,
        filterBits: entries > 0 ? bits / entries : 0,
        ...reads[i]!,
        bytesRead: tree.moved[i]!.read - before[i]!.read,
        bytesWritten: tree.moved[i]!.written - before[i]!.written,
      };
    });
  }

  #costs(): KnownCosts {
    const { costs } = this.#settings;
    const scattered: Record<string, number> = {};
    for (const [name, value] of Object.entries(costs)) scattered[name] = this.#scattered(value);
    return { ...costs, ...scattered };
  }

  #scattered(value: number): number {
    const { noise } = this.#settings;
    return value * (1 + noise * (this.#random.below(2001) / 1000 - 1));
  }
}

function counters(tree: SimulatedTree): {
  flushes: number;
  flushedBytes: number;
  mergedBytesRead: number;
  mergedBytesWritten: number;
} {
  const { flushes, flushedBytes, mergedBytesRead, mergedBytesWritten } = tree;
  return { flushes, flushedBytes, mergedBytesRead, mergedBytesWritten };
}
