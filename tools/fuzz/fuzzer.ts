/**
 * Changes seeds at random, runs a target on them, and keeps as further seeds what reaches new code.
 * The same seed gives the same inputs, as long as coverage says the same.
 */
import { SeededRandom } from "@aura/base";
import { allocatedBytes, withAllocationLimit } from "./allocation.ts";
import { Coverage } from "./coverage.ts";
import { isTyped, type Target } from "./target.ts";
import type { Watchdog } from "./watchdog.mjs";

/** What a run found. */
export interface FuzzResult {
  readonly runs: number;
  /** Inputs kept, the seeds included. */
  readonly corpus: number;
  /** Pieces of code reached. */
  readonly reached: number;
  /** Runs that came to an end without an error: inputs that are sound. */
  readonly sound: number;
  /** The most that one run asked for in sum. */
  readonly allocatedBytesMax: number;
  /** What was called: see `Coverage`. */
  readonly called: ReadonlySet<string>;
}

/** Coverage costs more than most runs: it is looked at once for so many. */
const RUNS_PER_LOOK = 24;
const CORPUS_MAX = 400;
const INPUT_BYTES_MAX = 1 << 20;
/** What decoders may ask for at once: windows, and a multiple of their input. */
const ALLOCATION_BYTES = 8 << 20;
const ALLOCATION_FACTOR = 64;
/** What they may ask for in sum, by default, over what their input accounts for. */
const SUM_BYTES = 16 << 20;

const NASTY = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff];

/**
 * Runs a target; throws, with the input, what is no typed error. What never ends is ended by the
 * watchdog, with the process.
 */
export async function fuzz(
  target: Target,
  seed: number,
  runs: number,
  watchdog: Watchdog,
): Promise<FuzzResult> {
  const random = new SeededRandom(seed);
  const corpus: Uint8Array[] = target.seeds.map((bytes) => Uint8Array.from(bytes));
  const coverage = new Coverage();
  let sound = 0;
  let allocatedBytesMax = 0;
  const runOne = async (bytes: Uint8Array): Promise<void> => {
    const more = ALLOCATION_FACTOR * bytes.length;
    const limits = {
      oneBytesMax: (target.oneBytesMax ?? ALLOCATION_BYTES) + more,
      sumBytesMax: (target.sumBytesMax ?? SUM_BYTES) + more,
    };
    watchdog.begin(target.name, seed, bytes);
    try {
      const ran = withAllocationLimit(limits, () => target.run(bytes));
      if (ran !== undefined) await ran;
      sound++;
    } catch (error) {
      if (!isTyped(error)) throw failure(target, seed, bytes, error);
    } finally {
      watchdog.end();
      allocatedBytesMax = Math.max(allocatedBytesMax, allocatedBytes());
    }
  };
  try {
    for (const bytes of corpus) await runOne(bytes);
    if (sound < corpus.length) throw new Error(`${target.name}: a seed is not sound`);
    coverage.hasNew();
    for (let run = 0; run < runs; run += RUNS_PER_LOOK) {
      const inputs: Uint8Array[] = [];
      for (let i = 0; i < RUNS_PER_LOOK; i++) {
        const bytes = mutate(random, corpus);
        // Most are mended: what stands behind a checksum is where bugs are.
        if (random.below(8) > 0) target.mend(bytes);
        await runOne(bytes);
        inputs.push(bytes);
      }
      if (!coverage.hasNew() || corpus.length >= CORPUS_MAX) continue;
      // Which of them it was is not known: two of them stand for all.
      corpus.push(inputs[random.below(inputs.length)]!, inputs[random.below(inputs.length)]!);
    }
    const { count: reached, called } = coverage;
    return { runs, corpus: corpus.length, reached, sound, allocatedBytesMax, called };
  } finally {
    coverage.close();
  }
}

function failure(target: Target, seed: number, bytes: Uint8Array, cause: unknown): Error {
  const hex = Buffer.from(bytes).toString("hex");
  const shown = hex.length > 4000 ? `${hex.slice(0, 4000)}... ${bytes.length} bytes` : hex;
  const what = String((cause as Error).stack);
  return new Error(`${target.name}, seed ${seed}: ${what}\n${shown}`, { cause });
}

function mutate(random: SeededRandom, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(corpus[random.below(corpus.length)]!);
  for (let count = 1 + random.below(4); count > 0; count--)
    bytes = mutateOnce(random, bytes, corpus);
  return bytes.length > INPUT_BYTES_MAX ? bytes.slice(0, INPUT_BYTES_MAX) : bytes;
}

function mutateOnce(
  random: SeededRandom,
  bytes: Uint8Array,
  corpus: readonly Uint8Array[],
): Uint8Array {
  const { length } = bytes;
  const at = random.below(length + 1);
  switch (random.below(9)) {
    case 0:
      if (at < length) bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      if (at < length) bytes[at] = random.below(256);
      return bytes;
    case 2:
      if (at < length) bytes[at] = NASTY[random.below(NASTY.length)]!;
      return bytes;
    case 3: {
      // A field of four bytes: a length, an offset, a count.
      const value = [0, 1, length, length - at, 0x7fffffff, 0xffffffff, 1 << random.below(31)];
      const field = value[random.below(value.length)]! >>> 0;
      for (let i = 0; i < 4 && at + i < length; i++) bytes[at + i] = (field >>> (8 * i)) & 255;
      return bytes;
    }
    case 4:
      return bytes.slice(0, at);
    case 5: {
      const end = Math.min(length, at + 1 + random.below(40));
      return joined(bytes.subarray(0, at), bytes.subarray(end));
    }
    case 6: {
      const from = random.below(length + 1);
      const piece = bytes.slice(from, from + 1 + random.below(80));
      return joined(bytes.subarray(0, at), piece, bytes.subarray(at));
    }
    case 7: {
      const other = corpus[random.below(corpus.length)]!;
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)));
    }
    default: {
      // A varint at its longest.
      const piece = new Uint8Array(1 + random.below(9)).fill(0xff);
      return joined(
        bytes.subarray(0, at),
        piece,
        bytes.subarray(Math.min(length, at + piece.length)),
      );
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
