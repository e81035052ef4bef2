/**
 * Settings: plain data, checked by an allow-list. An unknown field or a value out of range is an
 * AURA_INVALID_ARGUMENT that names the field. Every field has a default; sizes are bytes.
 */
import { AuraError, Codec, type CodecName, canCompress } from "@aura/base";
import type { AgentWeights } from "@aura/compaction-rl";
import { MemoryBudget, type SharedCache } from "./shared-cache.ts";
import { shown } from "./shown-value.ts";
import { LEVEL_COUNT_MAX } from "./version.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** What an acknowledged write survives; see ARCHITECTURE.md, durability. */
export type Durability = "buffered" | "os" | "sync";

/** All settings with their values. */
export interface ResolvedSettings {
  readonly createIfMissing: boolean;
  readonly errorIfExists: boolean;
  /** Seed of everything that is drawn by chance; 0 draws it from the system. */
  readonly seed: number;
  /** Tables and segments held open at once, 16 to 1,000,000. */
  readonly maxOpenFiles: number;
  readonly wal: {
    /** A log is followed by the next one from this size on, 64 KiB to 4 GiB. */
    readonly maxFileSize: number;
    /**
     * Level of a write that names none. `interval`: level `os`, and what was written is synced
     * `syncIntervalMs` later at the latest.
     */
    readonly syncPolicy: Durability | "interval";
    /** For the policy `interval`, 1 to 3,600,000 ms. */
    readonly syncIntervalMs: number;
    /**
     * A log is synced away from the caller's thread when it grew by so many bytes, 64 KiB to 4 GiB,
     * so that a later sync is short; 0: never.
     */
    readonly backgroundSyncBytes: number;
    /** Longest time a `buffered` write stays in memory only, 1 to 60,000 ms. */
    readonly bufferedDelayMs: number;
    /**
     * What a bad frame means at open. `point-in-time` cuts a torn tail, also a long one, and refuses
     * damage to what is known to have been durable. `tolerate-tail` cuts a torn last frame of a log
     * only: whatever else is missing is refused. `absolute` refuses any of it; `salvage` keeps what
     * lies before the damage, and renames logs that cannot be read at all (`.damaged`).
     */
    readonly recovery: "point-in-time" | "tolerate-tail" | "absolute" | "salvage";
  };
  readonly valueLog: {
    /** Values from this size on are stored apart from the tree, 64 B to 4 GiB - 1. */
    readonly separationThreshold: number;
    /** A segment is followed by the next one from this size on, 64 KiB to 4 GiB. */
    readonly maxSegmentSize: number;
    /**
     * Files that the values of a group of 1 MiB and more are spread over, each written on its own, 1
     * to 16; 1: they stand in one file with their group (docs/rfcs/0006-commit-path.md).
     */
    readonly writeQueues: number;
    /** How values are compressed when they are flushed or relocated, where that saves an eighth. */
    readonly compression: CodecName;
    /** Bytes on disk over bytes of live values that garbage collection keeps, 1.05 to 100. */
    readonly spaceAmplificationMax: number;
    /**
     * Values that scans find scattered are written again in the order of their keys when the reads that
     * were needless are worth it: at most so many bytes for each byte of values put, or alive, 0 to 10;
     * 0: never (docs/rfcs/0010-value-gc.md).
     */
    readonly localityBudget: number;
  };
  readonly memtable: {
    /** What keeps memtables in order (docs/rfcs/0003-memtables.md). */
    readonly implementation: "art" | "hash-runs" | "btree" | "skiplist";
    /** Bytes of one memtable, 256 KiB to 1 GiB. */
    readonly maxSize: number;
    /** Memtables that may exist at once, the sealed ones included, 2 to 16. */
    readonly maxCount: number;
  };
  readonly table: {
    /**
     * Target size of a block before compression, 512 B to 1 MiB: one for all, or one per level from
     * level 0 on (at most 8), the last one for all deeper levels.
     */
    readonly blockSize: number | readonly number[];
    /** Default: lz4 where it can be loaded. A codec that cannot is refused at open. */
    readonly compression: CodecName;
    /**
     * Kind of the filters. `ribbon` takes 28 % less memory than `bloom` at the same rate of false
     * positives, and more time to build and to ask; `by-level`: Ribbon in the deepest level that
     * holds anything, Bloom above.
     */
    readonly filter: "bloom" | "ribbon" | "by-level" | "none";
    /**
     * Bits per key of filters, those of a Bloom filter (a Ribbon filter of the same rate takes
     * fewer); 0: none; at most 32.
     */
    readonly bloomBitsPerKey: number;
    /**
     * `monkey`: smaller levels get more bits than the average, so that a look-up of an absent key
     * reads the fewest blocks. `uniform`: all levels get the same.
     */
    readonly filterAllocation: "monkey" | "uniform";
    /**
     * Filters know the first so many bytes of keys too, so that a scan of a prefix as long or longer
     * passes over open tables without it; 0: none; at most 255.
     */
    readonly prefixBytes: number;
    /**
     * Longest dictionary that the blocks of a table share, made of samples of its first blocks and
     * stored once, where that saves 4 %; 0: none; at most 64 KiB. Only with `zstd`.
     */
    readonly dictionaryBytes: number;
    /**
     * Reads every table again when it was written, and compares all of it, before the tree knows it.
     */
    readonly paranoid: boolean;
    /** Target size of a table, 16 KiB to 1 GiB. */
    readonly maxSize: number;
  };
  readonly learnedIndex: {
    /** What tables below level 0 have in place of separators in memory, where it pays. */
    readonly modelType: "piecewise-linear" | "radix-spline" | "none";
    /**
     * Chooses model, error and size of blocks of the next tables from what look-ups were seen to cost,
     * level by level; decisions are in `stats().indexTuning`.
     */
    readonly onlineTuning: boolean;
  };
  readonly compaction: {
    /**
     * Shape of the tree to begin with; `setCompactionMode` changes it, until the next open. `adaptive`
     * begins as `leveled` does, and has an agent change it with the workload (`rlAgent`).
     */
    readonly mode: "leveled" | "tiered" | "lazy-leveled" | "adaptive";
    /** Runs in level 0 that start a compaction, 1 to 64. */
    readonly l0Trigger: number;
    /** Size ratio of neighbouring levels, 2 to 100. */
    readonly fanout: number;
    /** Target size of the first level below 0, 64 KiB to 64 GiB. */
    readonly baseLevelSize: number;
    /** False: only `compact()` compacts. */
    readonly automatic: boolean;
    /** Tables above the last level that are older go down, 0 (off) to 10^12 ms. */
    readonly ttlMs: number;
    /** Tables that are older are rewritten, 0 (off) to 10^12 ms. */
    readonly periodicMs: number;
  };
  readonly rlAgent: {
    /** How the agent decides (docs/rfcs/0014-agent.md). */
    readonly algorithm: "bandit" | "closed-form" | "actor-critic" | "search";
    /** Step size of what it learns, 0 to 1. */
    readonly learningRate: number;
    /** How often it tries what it does not think best, 0 to 1. */
    readonly explorationRate: number;
    /** It learns and tries nothing, only decides. */
    readonly frozen: boolean;
    /** What `exportAgent` gave, to go on from; it is not kept in the database. Default: what is shipped. */
    readonly weights: AgentWeights | undefined;
    /**
     * It decides after so many operations, 100 to 10^9, or so many bytes written to memtables, 16 KiB to
     * 64 GiB (0: `memtable.maxSize`), whichever comes first. Of a scan, eight entries are an operation.
     */
    readonly windowOperations: number;
    readonly windowBytes: number;
    /** Decisions that `decisions` has, 2 to 100,000. */
    readonly decisionsKept: number;
  };
  readonly admission: {
    /** Writes are slowed down by debt before they would have to stop; false: they only stop. */
    readonly delay: boolean;
  };
  readonly io: {
    /**
     * Most bytes that background jobs write per second, 64 KiB to 1 TiB: flushes count and never
     * wait. `"auto"`: what debt and the writes of late ask for (io-budget.ts).
     */
    readonly bytesPerSecond: number | "auto";
  };
  readonly cache: {
    /**
     * Bytes of blocks, values, filters and indexes held in memory, 0 to 16 GiB. Filters and indexes of
     * open tables take up to three quarters of it, and 8 MiB with any capacity.
     */
    readonly capacity: number;
    /** What `createCache` made, where that was given instead of a capacity. */
    readonly shared?: MemoryBudget;
  };
}

/**
 * Settings as a caller gives them: any part may be left out. `cache` may be one that several
 * databases share.
 */
export type Settings = {
  readonly [K in Exclude<keyof ResolvedSettings, "cache">]?: ResolvedSettings[K] extends object
    ? Partial<ResolvedSettings[K]>
    : ResolvedSettings[K];
} & { readonly cache?: { readonly capacity?: number } | SharedCache };

type Rule =
  | {
      /** `per-level`: one number, or an array of them. `bytes-or-0`: 0 is within the range, too. */
      readonly kind: "number" | "per-level" | "bytes-or-0";
      readonly min: number;
      readonly max: number;
      readonly initial: number;
      /** Need not be whole, though its default is. */
      readonly isFraction?: true;
    }
  | { readonly kind: "choice"; readonly values: readonly string[]; readonly initial: string }
  | { readonly kind: "boolean"; readonly initial: boolean }
  | {
      readonly kind: "rate";
      readonly min: number;
      readonly max: number;
      readonly initial: "auto";
    }
  | { readonly kind: "codec"; readonly initial: CodecName }
  /** An object that whoever uses it checks. */
  | { readonly kind: "weights"; readonly initial: undefined };
type Rules = { readonly [name: string]: Rule | Rules };

function bytes(initial: number, min: number, max: number): Rule {
  return { kind: "number", initial, min, max };
}
function choice(...values: readonly [string, ...string[]]): Rule {
  return { kind: "choice", values, initial: values[0] };
}

const RULES: Rules = {
  createIfMissing: { kind: "boolean", initial: true },
  errorIfExists: { kind: "boolean", initial: false },
  seed: { kind: "number", min: 0, max: Number.MAX_SAFE_INTEGER, initial: 0 },
  maxOpenFiles: { kind: "number", min: 16, max: 1_000_000, initial: 512 },
  wal: {
    maxFileSize: bytes(64 * MIB, 64 * KIB, 4 * GIB),
    syncPolicy: choice("os", "buffered", "sync", "interval"),
    syncIntervalMs: { kind: "number", min: 1, max: 3_600_000, initial: 1000 },
    backgroundSyncBytes: bytes(8 * MIB, 0, 4 * GIB),
    bufferedDelayMs: { kind: "number", min: 1, max: 60_000, initial: 10 },
    recovery: choice("point-in-time", "tolerate-tail", "absolute", "salvage"),
  },
  valueLog: {
    separationThreshold: bytes(KIB, 64, 4 * GIB - 1),
    maxSegmentSize: bytes(256 * MIB, 64 * KIB, 4 * GIB),
    writeQueues: { kind: "number", min: 1, max: 16, initial: 1 },
    compression: { kind: "codec", initial: "none" },
    spaceAmplificationMax: { kind: "number", min: 1.05, max: 100, initial: 1.3 },
    localityBudget: { kind: "number", min: 0, max: 10, initial: 0, isFraction: true },
  },
  memtable: {
    implementation: choice("art", "hash-runs", "btree", "skiplist"),
    maxSize: bytes(64 * MIB, 256 * KIB, GIB),
    maxCount: { kind: "number", min: 2, max: 16, initial: 3 },
  },
  table: {
    blockSize: { kind: "per-level", min: 512, max: MIB, initial: 4 * KIB },
    compression: { kind: "codec", initial: "lz4" },
    filter: choice("bloom", "ribbon", "by-level", "none"),
    bloomBitsPerKey: { kind: "number", min: 0, max: 32, initial: 10 },
    filterAllocation: choice("monkey", "uniform"),
    prefixBytes: { kind: "number", min: 0, max: 255, initial: 0 },
    dictionaryBytes: bytes(0, 0, 64 * KIB),
    paranoid: { kind: "boolean", initial: false },
    maxSize: bytes(64 * MIB, 16 * KIB, GIB),
  },
  learnedIndex: {
    modelType: choice("piecewise-linear", "radix-spline", "none"),
    onlineTuning: { kind: "boolean", initial: false },
  },
  compaction: {
    mode: choice("leveled", "tiered", "lazy-leveled", "adaptive"),
    l0Trigger: { kind: "number", min: 1, max: 64, initial: 4 },
    fanout: { kind: "number", min: 2, max: 100, initial: 10 },
    baseLevelSize: bytes(256 * MIB, 64 * KIB, 64 * GIB),
    automatic: { kind: "boolean", initial: true },
    ttlMs: { kind: "number", min: 0, max: 1e12, initial: 0 },
    periodicMs: { kind: "number", min: 0, max: 1e12, initial: 0 },
  },
  rlAgent: {
    algorithm: choice("closed-form", "bandit", "actor-critic", "search"),
    learningRate: { kind: "number", min: 0, max: 1, initial: 0.05 },
    explorationRate: { kind: "number", min: 0, max: 1, initial: 0.02 },
    frozen: { kind: "boolean", initial: false },
    weights: { kind: "weights", initial: undefined },
    windowOperations: { kind: "number", min: 100, max: 1e9, initial: 50_000 },
    windowBytes: { kind: "bytes-or-0", min: 16 * KIB, max: 64 * GIB, initial: 0 },
    decisionsKept: { kind: "number", min: 2, max: 100_000, initial: 256 },
  },
  admission: { delay: { kind: "boolean", initial: true } },
  io: { bytesPerSecond: { kind: "rate", min: 64 * KIB, max: 1024 * GIB, initial: "auto" } },
  cache: { capacity: bytes(64 * MIB, 0, 16 * GIB) },
};

/** The package that compresses, of the codecs that need one. */
const PACKAGES: Partial<Record<CodecName, string>> = {
  lz4: "lz4-napi",
  snappy: "snappy",
  zstd: "@bokuweb/zstd-wasm (or Node 22.15)",
};

/**
 * Returns complete settings. Throws AURA_INVALID_ARGUMENT, naming the field; AURA_UNSUPPORTED for a
 * codec whose optional module cannot be loaded here.
 */
export function resolveSettings(settings: Settings = {}): ResolvedSettings {
  const shared = settings?.cache;
  if (!(shared instanceof MemoryBudget)) {
    return resolveGroup(RULES, settings, "settings") as unknown as ResolvedSettings;
  }
  const { capacity } = shared;
  const plain = resolveGroup(RULES, { ...settings, cache: { capacity } }, "settings");
  return Object.freeze({ ...plain, cache: { capacity, shared } }) as unknown as ResolvedSettings;
}

function resolveGroup(rules: Rules, given: unknown, path: string): Record<string, unknown> {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw invalid(path, "an object", given);
  }
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(rules, name)) {
      const known = Object.keys(rules).join(", ");
      throw new AuraError("AURA_INVALID_ARGUMENT", `${path}.${name}: unknown; known: ${known}`);
    }
  }
  const result: Record<string, unknown> = {};
  for (const [name, rule] of Object.entries(rules)) {
    const value = Object.hasOwn(given, name) ? (given as Record<string, unknown>)[name] : undefined;
    result[name] = isRule(rule)
      ? resolveValue(rule, value, `${path}.${name}`)
      : resolveGroup(rule, value === undefined ? {} : value, `${path}.${name}`);
  }
  return Object.freeze(result);
}

function isRule(rule: Rule | Rules): rule is Rule {
  return typeof rule["kind"] === "string";
}

function resolveValue(rule: Rule, value: unknown, path: string): unknown {
  if (value === undefined) return rule.kind === "codec" ? defaultCodec(rule.initial) : rule.initial;
  switch (rule.kind) {
    case "codec":
      return checkedCodec(value, path);
    case "boolean":
      if (typeof value !== "boolean") throw invalid(path, "true or false", value);
      return value;
    case "choice":
      if (typeof value !== "string" || !rule.values.includes(value)) {
        throw invalid(path, `one of ${rule.values.join(", ")}`, value);
      }
      return value;
    case "rate":
      return value === "auto" ? value : resolveNumber(rule, value, path, '"auto" or ');
    case "per-level":
      return resolvePerLevel(rule, value, path);
    case "weights":
      if (typeof value !== "object" || value === null) throw invalid(path, "an object", value);
      return value;
    case "bytes-or-0":
      return value === 0 ? value : resolveNumber(rule, value, path, "0 or ");
    case "number":
      return resolveNumber(rule, value, path);
    default:
      return rule satisfies never;
  }
}

type NumberRule = Extract<Rule, { readonly min: number }>;

function resolveNumber(rule: NumberRule, value: unknown, path: string, other = ""): number {
  if (typeof value !== "number" || !(value >= rule.min && value <= rule.max)) {
    throw invalid(path, `${other}a number from ${rule.min} to ${rule.max}`, value);
  }
  if (!Number.isInteger(value) && Number.isInteger(rule.initial) && !("isFraction" in rule)) {
    throw invalid(path, "a whole number", value);
  }
  return value;
}

function resolvePerLevel(rule: NumberRule, value: unknown, path: string): number | number[] {
  if (!Array.isArray(value)) return resolveNumber(rule, value, path);
  if (value.length === 0 || value.length > LEVEL_COUNT_MAX) {
    throw invalid(path, `1 to ${LEVEL_COUNT_MAX} numbers`, value);
  }
  return value.map((one, level) => resolveNumber(rule, one, `${path}[${level}]`));
}

function defaultCodec(name: CodecName): CodecName {
  return canCompress(Codec[name]) ? name : "none";
}

function checkedCodec(value: unknown, path: string): CodecName {
  if (typeof value !== "string" || !Object.hasOwn(Codec, value)) {
    throw invalid(path, `one of ${Object.keys(Codec).join(", ")}`, value);
  }
  const name = value as CodecName;
  if (canCompress(Codec[name])) return name;
  throw new AuraError(
    "AURA_UNSUPPORTED",
    `${path}: ${name} cannot compress here without the package ${PACKAGES[name]}; ` +
      "what it compressed before is read without it",
    { expected: PACKAGES[name] ?? name },
  );
}

function invalid(path: string, expected: string, actual: unknown): AuraError {
  const message = `${path}: expected ${expected}, got ${shown(actual)}`;
  return new AuraError("AURA_INVALID_ARGUMENT", message);
}
