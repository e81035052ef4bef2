/**
 * Random look-ups in tables with a model, present keys and absent ones, the model being whole, damaged
 * or of another table: never a wrong answer, and one block each while the model is whole.
 * AURA_INDEX_PROBES: how many (default 10^6); AURA_INDEX_SEED.
 */
import { compareKeys, hashKey, Kind, SEQ_MAX, SeededRandom } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { learnedIndex } from "@aura/learned-index";
import {
  BlockCache,
  type BlockIndexFormat,
  Lookup,
  Table,
  TableCounts,
  TableHit,
  TableWriter,
} from "@aura/sst";
import { describe, expect, test } from "vitest";

const PROBES = Number(process.env["AURA_INDEX_PROBES"] ?? 1_000_000);
const SEED = Number(process.env["AURA_INDEX_SEED"] ?? 1);
const KEYS = 12_000;
/** Look-ups in a table whose model is damaged, before another damage is tried. */
const PROBES_PER_DAMAGE = 1000;
const HASH_SEED = 7;
const uid = { lo: 1, hi: 2 };
const databaseUuid = new Uint8Array(16).fill(3);
const value = new Uint8Array(60);
const model = learnedIndex();

const text = (key: string): Uint8Array => new TextEncoder().encode(key);
const syllables = ["ba", "re", "co", "lo", "mi", "no", "pack", "kit", "ware", "-", "-", "."];

function name(random: SeededRandom): string {
  let result = "";
  for (let n = 2 + random.below(5); n > 0; n--) result += syllables[random.below(12)];
  return result;
}

function hex(random: SeededRandom): string {
  return random.uint32().toString(16).padStart(8, "0");
}

const families: Record<string, (random: SeededRandom, i: number) => string> = {
  "decimal, in sequence": (_, i) => `user${String(i * 3).padStart(16, "0")}`,
  "decimal, scattered": (random) => `user${String(random.uint32() * 1009).padStart(20, "0")}`,
  uuid: (random) => `${hex(random)}-${hex(random)}-${hex(random)}`,
  "time-prefixed": (random, i) =>
    `${1_700_000_000_000 + i * 250 + random.below(250)}/${random.below(100)}`,
  "package names": (random) => `${name(random)}${random.below(1000)}`,
  "e-mail addresses": (random) => `${name(random)}${random.below(10_000)}@${name(random)}.com`,
};

interface Subject {
  readonly fs: SimFs;
  readonly keys: readonly Uint8Array[];
  readonly present: ReadonlySet<string>;
}

/** Writes every other key of a family into a table. */
function subjectOf(family: string, seed: number): Subject {
  const random = new SeededRandom(seed);
  const texts = new Set<string>();
  for (let i = 0; i < KEYS; i++) texts.add(families[family]!(random, i));
  const keys = [...texts].map(text).sort(compareKeys);
  const fs = new SimFs();
  const file = fs.openSync("/1.sst", "create");
  const settings = { hashSeed: HASH_SEED, bloomBitsPerKey: 0, blockBytes: 1024, index: [model] };
  const writer = new TableWriter(file, { databaseUuid, uid, number: 1, keyspace: 0, settings });
  const present = new Set<string>();
  for (let i = 0; i < keys.length; i += 2) {
    const key = keys[i]!;
    present.add(Buffer.from(key).toString("latin1"));
    writer.add(key, 0, key.length, i + 1, Kind.value, value, 0, value.length);
  }
  writer.finishSync();
  file.closeSync();
  return { fs, keys, present };
}

function openTable(fs: SimFs, format: BlockIndexFormat, counts = new TableCounts()): Table {
  const cache = new BlockCache({ capacityBytes: 4 << 20 });
  const identity = { path: "/1.sst", number: 1, uid, databaseUuid, hashSeed: HASH_SEED };
  return Table.openSync(fs, { ...identity, indexFormats: [format], cache, counts });
}

/** A key of the family, a neighbour of one, or any bytes. */
function probeOf(keys: readonly Uint8Array[], random: SeededRandom): Uint8Array {
  const key = keys[random.below(keys.length)]!;
  const kind = random.below(8);
  if (kind < 5) return key;
  if (kind === 5) return key.subarray(0, random.below(key.length + 1));
  const changed = Buffer.from(
    kind === 6 ? key : Buffer.concat([key, Buffer.of(random.below(256))]),
  );
  changed[random.below(changed.length)] = random.below(256);
  return changed;
}

function probe(
  table: Table,
  { keys, present }: Subject,
  count: number,
  random: SeededRandom,
): number {
  const hit = new TableHit();
  let wrong = 0;
  for (let i = 0; i < count; i++) {
    const key = probeOf(keys, random);
    const hash = hashKey(key, 0, key.length, HASH_SEED);
    const state = table.get(key, 0, key.length, hash, SEQ_MAX, hit, true);
    const isPresent = present.has(Buffer.from(key).toString("latin1"));
    if ((state === Lookup.found) !== isPresent) wrong++;
  }
  return wrong;
}

/** The format, given other bytes than those that the table holds. */
function damaged(change: (bytes: Uint8Array) => Uint8Array): BlockIndexFormat {
  return { ...model, decode: (bytes, count) => model.decode(change(bytes.slice()), count) };
}

const names = Object.keys(families);

describe.each(names)("%s", (family) => {
  const subject = subjectOf(family, SEED);
  const share = Math.ceil(PROBES / names.length / 2);

  test("a whole model answers right, from one block each", () => {
    const counts = new TableCounts();
    const table = openTable(subject.fs, model, counts);
    expect(probe(table, subject, share, new SeededRandom(SEED))).toBe(0);
    expect(counts.blocks.hits + counts.blocks.misses).toBe(share);
    table.verifySync();
    table.closeSync();
  });

  test("a damaged model, and one of another table, answers right", () => {
    const random = new SeededRandom(SEED + 1);
    let other: Uint8Array | undefined;
    const fs = subjectOf(names[(names.indexOf(family) + 1) % 4]!, SEED + 2).fs;
    openTable(
      fs,
      damaged((bytes) => {
        other = bytes;
        return bytes;
      }),
    ).closeSync();
    let wrong = 0;
    for (let done = 0; done < share; done += PROBES_PER_DAMAGE) {
      const format = damaged((bytes) => {
        const kind = random.below(10);
        if (kind === 0) return bytes.subarray(0, random.below(bytes.length));
        // Of another table, as if it had as many blocks.
        if (kind === 1 && other !== undefined) {
          other.set(bytes.subarray(0, 4));
          return other;
        }
        for (let n = random.below(4); n >= 0; n--) {
          bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
        }
        return bytes;
      });
      const table = openTable(subject.fs, format);
      wrong += probe(table, subject, PROBES_PER_DAMAGE, random);
      table.closeSync();
    }
    expect(wrong).toBe(0);
  });
});
