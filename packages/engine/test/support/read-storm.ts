/**
 * Reads of all kinds amid writes, flushes and merges, beside a model: cursors that are moved at random
 * in both directions and stay open for long, scans left early, look-ups under way while the key
 * changes, snapshots, all on settings that make reads hard (tiny blocks and caches, versions of one
 * key over many blocks, range tombstones, filters of prefixes, a disk that is slow at times).
 */
import { SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import type { DbCursor } from "../../src/db-cursor.ts";
import {
  AuraDB,
  createCache,
  type RangeOptions,
  type Settings,
  type SharedCache,
  type Snapshot,
  WriteBatch,
} from "../../src/index.ts";
import { codecHere } from "./codecs-here.ts";

/** Keys and values as latin1 strings: they compare as their bytes do. */
type State = ReadonlyMap<string, string>;
type Entry = readonly [key: string, value: string];

interface Held {
  readonly snapshot: Snapshot;
  readonly state: State;
}

interface OpenCursor {
  readonly cursor: DbCursor;
  readonly entries: readonly Entry[];
  readonly reverse: boolean;
  /** -1: in front of the range; the count of entries: behind it. */
  at: number;
}

const CURSORS_MAX = 4;
const SNAPSHOTS_MAX = 3;
const PARTS = ["a", "b", "\0", "\xff", "ab", "user:", "zz"];

function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function text(value: Buffer | undefined): string | undefined {
  return value?.toString("latin1");
}

/** Draws settings that make reads hard. */
function drawSettings(random: SeededRandom, cache: SharedCache | undefined): Settings {
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)]!;
  const compression = pick("none", "none", "lz4", "zstd", "deflate", "snappy");
  return {
    seed: random.below(1000) + 1,
    maxOpenFiles: pick(16, 512),
    valueLog: { separationThreshold: pick(64, 200, 4096), maxSegmentSize: 65536 },
    memtable: { maxSize: 262144, implementation: pick("art", "hash-runs", "btree", "skiplist") },
    table: {
      blockSize: pick(512, 512, 1024, 4096),
      compression: codecHere(compression),
      filter: pick("bloom", "ribbon", "by-level", "none"),
      bloomBitsPerKey: pick(1, 4, 10),
      prefixBytes: pick(0, 1, 3),
      dictionaryBytes: compression === "zstd" ? pick(0, 4096) : 0,
      paranoid: random.below(4) === 0,
      maxSize: pick(16384, 65536, 1048576),
    },
    learnedIndex: {
      modelType: pick("piecewise-linear", "radix-spline", "none"),
      onlineTuning: random.below(2) === 0,
    },
    compaction: {
      mode: pick("leveled", "tiered", "lazy-leveled"),
      l0Trigger: pick(2, 4),
      baseLevelSize: 65536,
      fanout: pick(2, 4),
    },
    cache: cache ?? { capacity: pick(0, 1000, 131072, 200000, 1048576) },
  };
}

/** One database, its model, and what reads it. */
class ReadStorm {
  readonly trace: string[] = [];
  readonly #random: SeededRandom;
  readonly #runtime: SimRuntime;
  readonly #fs: SimFs;
  readonly #settings: Settings;
  readonly #keys: string[] = [];
  #db!: AuraDB;
  #now = new Map<string, string>();
  #held: Held[] = [];
  #cursors: OpenCursor[] = [];
  #background: Promise<unknown>[] = [];
  #valueCount = 0;

  constructor(seed: number, cache?: SharedCache) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#runtime = simRuntime(seed, {
      autoAdvance: true,
      order: random.below(2) === 0 ? "random" : "fifo",
      // Each look at the clock takes time: reads seem slow, and go to the pool.
      tickMs: [0, 0.05, 0.3, 2][random.below(4)]!,
    });
    const { scheduler } = this.#runtime;
    this.#fs = new SimFs(
      random.below(2) === 0 ? {} : { schedule: (task) => scheduler.nextTurn(task) },
    );
    this.#settings = drawSettings(random, cache);
    const keyCount = 20 + random.below(400);
    for (let i = 0; i < keyCount; i++) this.#keys.push(this.#drawKey());
  }

  async open(): Promise<void> {
    const parts = { fs: this.#fs, runtime: this.#runtime };
    this.#db = await AuraDB.open("/db", this.#settings, parts);
    this.#db.events.on("backgroundError", ({ error }) => {
      throw error;
    });
  }

  /** Closes everything; nothing may be left open. */
  async close(): Promise<void> {
    await Promise.all(this.#background);
    for (const { cursor } of this.#cursors) cursor.close();
    for (const { snapshot } of this.#held) snapshot.release();
    const { openCursors, openSnapshots } = this.#db.stats();
    expect([openCursors, openSnapshots]).toEqual([0, 0]);
    await this.#db.close();
  }

  async step(): Promise<void> {
    const draw = this.#random.below(100);
    if (draw < 22) this.#write();
    else if (draw < 27) await this.#maintain();
    else if (draw < 32) this.#snap();
    else if (draw < 45) await this.#get();
    else if (draw < 53) await this.#getMany();
    else if (draw < 61) await this.#scan();
    else await this.#cursor();
  }

  #drawKey(): string {
    const random = this.#random;
    let key = "";
    for (let i = random.below(4); i > 0; i--) key += PARTS[random.below(PARTS.length)];
    if (random.below(3) > 0) key += String(random.below(1000)).padStart(random.below(2) * 5, "0");
    if (random.below(40) === 0) key += "\xff".repeat(random.below(300));
    return key;
  }

  /** A key that is there now and then, or near one. */
  #key(): string {
    const random = this.#random;
    const draw = random.below(10);
    // Few keys get most of the versions.
    if (draw < 3) return this.#keys[random.below(3)]!;
    if (draw < 8) return this.#keys[random.below(this.#keys.length)]!;
    const key = this.#keys[random.below(this.#keys.length)]!;
    return draw === 8 ? `${key}\0` : key.slice(0, -1);
  }

  #value(): string {
    const length = [0, 3, 30, 90, 300, 900, 6000][this.#random.below(7)]!;
    return `${this.#valueCount++}:`.padEnd(length, "abcdefgh");
  }

  #write(): void {
    const random = this.#random;
    const db = this.#db;
    const draw = random.below(10);
    if (draw < 5) {
      const [key, value] = [this.#key(), this.#value()];
      this.trace.push(`put ${JSON.stringify(key)} ${value.length}`);
      db.putSync(bytes(key), bytes(value));
      this.#now.set(key, value);
    } else if (draw < 7) {
      const key = this.#key();
      this.trace.push(`delete ${JSON.stringify(key)}`);
      db.deleteSync(bytes(key));
      this.#now.delete(key);
    } else if (draw < 9) {
      const batch = new WriteBatch();
      const count = random.below(60);
      for (let i = 0; i < count; i++) {
        const [key, value] = [this.#key(), this.#value()];
        batch.put(bytes(key), bytes(value));
        this.#now.set(key, value);
      }
      this.trace.push(`batch of ${count}`);
      db.writeSync(batch);
    } else {
      const [a, b] = [this.#key(), this.#key()].sort() as [string, string];
      const [gte, lt] = [
        random.below(8) === 0 ? undefined : a,
        random.below(8) === 0 ? undefined : b,
      ];
      this.trace.push(`delete range ${JSON.stringify([gte, lt])}`);
      db.deleteRangeSync({
        ...(gte !== undefined && { gte: bytes(gte) }),
        ...(lt !== undefined && { lt: bytes(lt) }),
      });
      for (const key of [...this.#now.keys()]) {
        if ((gte === undefined || key >= gte) && (lt === undefined || key < lt)) {
          this.#now.delete(key);
        }
      }
    }
  }

  async #maintain(): Promise<void> {
    const db = this.#db;
    const draw = this.#random.below(8);
    this.trace.push(`maintain ${draw}`);
    if (draw < 3) await db.flush();
    else if (draw < 5) this.#background.push(db.flush());
    else if (draw === 5) await db.compact();
    else if (draw === 6) this.#background.push(db.compact());
    else {
      await Promise.all(this.#background);
      this.#background = [];
      await db.idle();
    }
  }

  #snap(): void {
    const random = this.#random;
    if (this.#held.length < SNAPSHOTS_MAX && random.below(2) === 0) {
      this.trace.push("snapshot");
      this.#held.push({ snapshot: this.#db.snapshot(), state: new Map(this.#now) });
    } else if (this.#held.length > 0) {
      this.trace.push("release");
      const [held] = this.#held.splice(random.below(this.#held.length), 1);
      held!.snapshot.release();
    }
  }

  /** A state to read: a snapshot, or the present one. */
  #view(): { readonly snapshot?: Snapshot; readonly state: State } {
    const { length } = this.#held;
    if (length > 0 && this.#random.below(3) === 0) return this.#held[this.#random.below(length)]!;
    return { state: new Map(this.#now) };
  }

  async #get(): Promise<void> {
    const random = this.#random;
    const db = this.#db;
    const { state, snapshot } = this.#view();
    const options = snapshot === undefined ? {} : { snapshot };
    const key = this.#key();
    const wanted = state.get(key);
    this.trace.push(`get ${JSON.stringify(key)} ${snapshot === undefined ? "" : "snapshot"}`);
    switch (random.below(4)) {
      case 0:
        expect(text(db.getSync(bytes(key), options))).toBe(wanted);
        break;
      case 1:
        expect(db.hasSync(bytes(key), options)).toBe(wanted !== undefined);
        break;
      case 2: {
        const given = bytes(key);
        const got = db.get(given, options);
        given.fill(7);
        for (let i = random.below(3); i > 0; i--) this.#write();
        const value = await got;
        expect(text(value)).toBe(wanted);
        // The caller's own.
        value?.fill(0x55);
        break;
      }
      default: {
        const has = db.has(bytes(key), options);
        for (let i = random.below(3); i > 0; i--) this.#write();
        expect(await has).toBe(wanted !== undefined);
      }
    }
  }

  async #getMany(): Promise<void> {
    const random = this.#random;
    const { state, snapshot } = this.#view();
    const keys = Array.from({ length: random.below(60) }, () => this.#key());
    for (let i = random.below(3); i > 0 && keys.length > 0; i--) keys.push(keys[0]!);
    this.trace.push(`getMany ${JSON.stringify(keys)}`);
    const given = keys.map(bytes);
    const got = this.#db.getMany(given, snapshot === undefined ? {} : { snapshot });
    for (const key of given) key.fill(9);
    for (let i = random.below(4); i > 0; i--) this.#write();
    const values = await got;
    expect(values.map(text)).toEqual(keys.map((key) => state.get(key)));
    // No two share memory.
    for (const value of values) value?.fill(0x55);
    expect(values.every((value) => value?.every((byte) => byte === 0x55) ?? true)).toBe(true);
  }

  #range(): RangeOptions & { readonly shows: (key: string) => boolean; readonly reverse: boolean } {
    const random = this.#random;
    const bound = (): string | undefined => (random.below(2) === 0 ? undefined : this.#key());
    const [gt, gte, lt, lte] = [bound(), bound(), bound(), bound()].map((key) =>
      random.below(2) === 0 ? undefined : key,
    );
    const prefix = random.below(4) === 0 ? this.#key().slice(0, 1 + random.below(4)) : undefined;
    const reverse = random.below(2) === 0;
    const options = Object.entries({ gt, gte, lt, lte, prefix })
      .filter(([, key]) => key !== undefined)
      .map(([name, key]) => [name, bytes(key!)]);
    this.trace.push(`range ${JSON.stringify({ gt, gte, lt, lte, prefix, reverse })}`);
    return {
      ...(Object.fromEntries(options) as RangeOptions),
      reverse,
      shows: (key) =>
        (gt === undefined || key > gt) &&
        (gte === undefined || key >= gte) &&
        (lt === undefined || key < lt) &&
        (lte === undefined || key <= lte) &&
        (prefix === undefined || key.startsWith(prefix)),
    };
  }

  #entries(state: State, shows: (key: string) => boolean, reverse: boolean): Entry[] {
    const entries = [...state].filter(([key]) => shows(key));
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return reverse ? entries.reverse() : entries;
  }

  async #scan(): Promise<void> {
    const random = this.#random;
    const db = this.#db;
    const { shows, ...range } = this.#range();
    const { state, snapshot } = this.#view();
    const limit = random.below(3) === 0 ? random.below(40) : Number.POSITIVE_INFINITY;
    const leaveAt = random.below(3) === 0 ? random.below(20) : Number.POSITIVE_INFINITY;
    const wanted = this.#entries(state, shows, range.reverse).slice(0, Math.min(limit, leaveAt));
    const options = { ...range, limit, ...(snapshot !== undefined && { snapshot }) };
    const shape = random.below(6);
    this.trace.push(`scan ${shape} limit ${limit} leave at ${leaveAt}`);
    const got: unknown[] = [];
    const take = (entry: unknown): boolean => {
      if (got.length >= leaveAt) return false;
      got.push(entry);
      // The state is that of the first step.
      if (random.below(8) === 0) this.#write();
      return got.length < leaveAt;
    };
    const pair = ([key, value]: [Buffer, Buffer]): unknown => [text(key), text(value)];
    if (shape === 0) {
      for (const entry of db.scanSync(options)) if (!take(pair(entry))) break;
    } else if (shape === 1) {
      for (const key of db.keysSync(options)) if (!take(text(key))) break;
    } else if (shape === 2) {
      for (const value of db.valuesSync(options)) if (!take(text(value))) break;
    } else if (shape === 3) {
      for await (const entry of db.scan(options)) if (!take(pair(entry))) break;
    } else if (shape === 4) {
      for await (const key of db.keys(options)) if (!take(text(key))) break;
    } else {
      for await (const value of db.values(options)) if (!take(text(value))) break;
    }
    const kind = shape % 3;
    expect(got).toEqual(wanted.map((entry) => (kind === 0 ? entry : entry[kind === 1 ? 0 : 1])));
  }

  async #cursor(): Promise<void> {
    const random = this.#random;
    const count = this.#cursors.length;
    const draw = random.below(12);
    if (count === 0 || (count < CURSORS_MAX && draw === 0)) {
      const { shows, ...range } = this.#range();
      const { state, snapshot } = this.#view();
      const options = { ...range, ...(snapshot !== undefined && { snapshot }) };
      const entries = this.#entries(state, shows, range.reverse);
      const cursor = this.#db.cursor(options);
      this.#cursors.push({ cursor, entries, reverse: range.reverse, at: -1 });
      return;
    }
    const index = random.below(count);
    if (draw === 1) {
      this.trace.push(`cursor ${index} closed`);
      const [open] = this.#cursors.splice(index, 1);
      open!.cursor.close();
      return;
    }
    for (let i = 1 + random.below(6); i > 0; i--) await this.#move(this.#cursors[index]!, index);
  }

  async #move(open: OpenCursor, index: number): Promise<void> {
    const random = this.#random;
    const { cursor, entries, reverse } = open;
    const isSync = random.below(2) === 0;
    const move = random.below(8);
    this.trace.push(`cursor ${index} at ${open.at} of ${entries.length}: ${move} ${isSync}`);
    if (move === 3) {
      const count = 1 + random.below(30);
      const start = Math.max(0, open.at);
      const under = isSync ? cursor.nextManySync(count) : cursor.nextMany(count);
      if (!isSync) for (let i = random.below(3); i > 0; i--) this.#write();
      const got = await under;
      const wanted = entries.slice(start, start + count);
      expect(got.map(([key, value]) => [text(key), text(value)])).toEqual(wanted);
      open.at = start + wanted.length;
      expect(cursor.valid).toBe(open.at < entries.length);
      for (const [key, value] of got) {
        key.fill(1);
        value.fill(2);
      }
      return;
    }
    let to: number;
    let under: boolean | Promise<boolean>;
    if (move === 0) {
      to = 0;
      under = isSync ? cursor.firstSync() : cursor.first();
    } else if (move === 1) {
      to = entries.length - 1;
      under = isSync ? cursor.lastSync() : cursor.last();
    } else if (move === 2) {
      const key = this.#key();
      this.trace.push(`  ${JSON.stringify(key)}`);
      const found = entries.findIndex(([other]) => (reverse ? other <= key : other >= key));
      to = found < 0 ? entries.length : found;
      under = isSync ? cursor.seekSync(bytes(key)) : cursor.seek(bytes(key));
    } else if (move < 6) {
      to = open.at + 1;
      under = isSync ? cursor.nextSync() : cursor.next();
    } else {
      to = open.at - 1;
      under = isSync ? cursor.prevSync() : cursor.prev();
    }
    if (!isSync) for (let i = random.below(3); i > 0; i--) this.#write();
    const valid = await under;
    open.at = Math.max(-1, Math.min(to, entries.length));
    const wanted = entries[open.at];
    expect([valid, cursor.valid]).toEqual([wanted !== undefined, wanted !== undefined]);
    if (wanted === undefined) return;
    if (random.below(2) === 0) this.#write();
    const value = random.below(2) === 0 ? cursor.value : await cursor.readValue();
    expect([text(cursor.key), text(value)]).toEqual(wanted);
    value.fill(3);
  }
}

/** Runs storms on one or two databases, which then share a cache. A failure names seed and last steps. */
export async function runStorm(seed: number, steps: number): Promise<void> {
  const random = new SeededRandom(seed);
  const isShared = random.below(3) === 0;
  const capacities = [0, 131072, 300000, 1048576];
  const cache = isShared ? createCache({ capacity: capacities[random.below(4)]! }) : undefined;
  const storms = [new ReadStorm(seed, cache)];
  if (isShared) storms.push(new ReadStorm(seed + 1_000_000, cache));
  let last = storms[0]!;
  try {
    for (const storm of storms) await storm.open();
    for (let i = 0; i < steps; i++) {
      last = storms[random.below(storms.length)]!;
      await last.step();
      if (cache === undefined) continue;
      const { usedBytes, pinnedBytes } = cache.stats();
      expect(usedBytes).toBeLessThanOrEqual(Math.max(cache.capacity, pinnedBytes));
    }
    for (const storm of storms) {
      last = storm;
      await storm.close();
    }
    // Nothing is left of them: what they pinned is given back.
    if (cache !== undefined) expect(cache.stats().pinnedBytes).toBe(0);
  } catch (cause) {
    const tail = last.trace.slice(-25).join("\n  ");
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`seed ${seed}, step ${last.trace.length}: ${message}\n  ${tail}`, { cause });
  }
}
