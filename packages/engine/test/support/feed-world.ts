/**
 * A database on a simulated disk, what was committed to it by sequence number, and readers that
 * follow it at their own pace. Every operation that a reader gets is compared with what was
 * committed; nothing may be missing between two.
 */
import { SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { type LogReader, readLog } from "@aura/wal";
import { expect } from "vitest";
import {
  AuraDB,
  type ChangeFeed,
  type ChangeGroup,
  type DeleteRange,
  type Durability,
  type Settings,
  WriteBatch,
} from "../../src/index.ts";
import { drawSettings } from "./model-state.ts";

const directory = "/db";

/** One operation, in the order of the calls; its number is known in advance. */
interface Operation {
  readonly seq: number;
  readonly key: string;
  readonly value: Buffer | undefined;
  /** Of a range delete: the first key behind it, "" for none. `key` is where it begins. */
  readonly end?: string | undefined;
  /** Sequence numbers of the first and last operation of its call: they come in one group. */
  readonly first: number;
  readonly last: number;
  outcome: "pending" | "committed" | "failed";
}

/** What the runs went through: for the test that everything was met. */
export interface FeedTally {
  groups: number;
  gone: number;
  failed: number;
  flushes: number;
  merges: number;
  pinnedBytes: number;
  kills: number;
  powerLosses: number;
  separated: number;
  ranges: number;
}

/** Follows the database from one sequence number on, over restarts. */
class Follower {
  readonly #world: FeedWorld;
  #feed: ChangeFeed | undefined;
  seq = 0;

  constructor(world: FeedWorld) {
    this.#world = world;
  }

  /** Opens the feed where it was left. What is gone by then is skipped, and has to be. */
  open(): void {
    if (this.#feed !== undefined) return;
    const { db, tally } = this.#world;
    try {
      this.#feed = db.changes({ since: this.seq });
    } catch (error) {
      const { code, expected, actual } = error as {
        code: string;
        expected: number;
        actual: number;
      };
      expect([code, actual]).toEqual(["AURA_HISTORY_GONE", this.seq]);
      expect(expected - 1).toBeGreaterThan(this.seq);
      expect(expected - 1).toBeLessThanOrEqual(db.stats().flushedSeq);
      tally.gone++;
      this.seq = expected - 1;
      this.#feed = db.changes({ since: this.seq });
    }
  }

  /** Takes up to `count` groups, as long as there are some. */
  async take(count: number): Promise<void> {
    this.open();
    for (let i = 0; i < count && this.#world.hasAbove(this.seq); i++) {
      const { value } = await this.#feed!.next();
      this.#world.check(this.seq, value!);
      this.seq = value!.lastSeq;
      expect(this.#feed!.seq).toBe(this.seq);
    }
  }

  async close(): Promise<void> {
    await this.#feed?.return();
    this.#feed = undefined;
  }

  /** The process is gone, and with it the feed. */
  forget(): void {
    this.#feed = undefined;
  }
}

/** One database, its committed history, and its followers. */
export class FeedWorld {
  readonly tally: FeedTally;
  readonly #random: SeededRandom;
  readonly #runtime: SimRuntime;
  readonly #settings: Settings;
  readonly #threshold: number;
  readonly #operations: Operation[] = [];
  #fs: SimFs;
  db!: AuraDB;
  #pending: Promise<unknown>[] = [];
  readonly #pinned: Follower;
  readonly #restless: Follower;
  #valueCount = 0;
  /** A write to a log is going to fail. */
  #faulty = false;

  constructor(seed: number, tally: FeedTally) {
    this.#random = new SeededRandom(seed);
    const random = this.#random;
    this.tally = tally;
    this.#runtime = simRuntime(seed, {
      autoAdvance: true,
      order: random.below(2) === 0 ? "random" : "fifo",
    });
    const { scheduler } = this.#runtime;
    this.#fs = new SimFs(
      random.below(2) === 0 ? {} : { schedule: (task) => scheduler.nextTurn(task) },
    );
    this.#threshold = [64, 200, 1024][random.below(3)]!;
    const drawn = drawSettings(random, this.#threshold);
    const maxFileSize = random.below(2) === 0 ? 65536 : 1024 * 1024;
    this.#settings = { ...drawn, wal: { ...drawn.wal, maxFileSize } };
    this.#pinned = new Follower(this);
    this.#restless = new Follower(this);
  }

  async run(steps: number): Promise<void> {
    await this.#open();
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#settle();
    for (const follower of [this.#pinned, this.#restless]) {
      await follower.take(Number.MAX_SAFE_INTEGER);
      await follower.close();
    }
    await this.#expectNoLeaks();
    await this.db.close();
    expect(this.#fs.openPaths()).toEqual([]);
  }

  /** Whether something above `seq` was committed. Precondition: nothing is under way. */
  hasAbove(seq: number): boolean {
    const last = this.#operations.findLast((each) => each.outcome === "committed");
    return last !== undefined && last.seq > seq;
  }

  /** The next group above `after` has to be `group`. */
  check(after: number, group: ChangeGroup): void {
    const { firstSeq, lastSeq, changes } = group;
    expect(firstSeq).toBe(changes[0]!.seq);
    expect(lastSeq).toBe(changes.at(-1)!.seq);
    let seq = after;
    for (const change of changes) {
      let wanted: Operation;
      do wanted = this.#operations[seq++]!;
      while (wanted.outcome === "failed");
      const value = change.type === "put" ? change.value : undefined;
      const end = change.type === "deleteRange" ? (change.end?.toString() ?? "") : undefined;
      const isSame =
        wanted.seq === change.seq &&
        wanted.key === change.key.toString() &&
        wanted.end === end &&
        (value === undefined ? wanted.value === undefined : wanted.value?.equals(value) === true);
      if (isSame && end !== undefined) this.tally.ranges++;
      if (!isSame)
        expect.fail(`${change.type} ${change.seq} of ${String(change.key)} after ${after}`);
      if (wanted.outcome === "pending") expect.fail(`${change.seq} is handed out too early`);
      // A batch comes whole, unless the reader began within it.
      expect(wanted.last).toBeLessThanOrEqual(lastSeq);
      expect(Math.max(wanted.first, after + 1)).toBeGreaterThanOrEqual(firstSeq);
      if ((value?.length ?? 0) >= this.#threshold) this.tally.separated++;
    }
    this.tally.groups++;
  }

  async #open(): Promise<void> {
    this.db = await AuraDB.open(directory, this.#settings, {
      fs: this.#fs,
      runtime: this.#runtime,
    });
    expect(this.db.stats().lastSeq).toBe(this.#operations.length);
    // At once, so that no flush comes first.
    this.#pinned.open();
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const choice = random.below(100);
    if (choice < 62) this.#write();
    else if (choice < 72) await this.#follow(this.#pinned, 1 + random.below(6));
    else if (choice < 82) await this.#follow(this.#restless, 1 + random.below(30));
    else if (choice < 85) await this.#restless.close();
    else if (choice < 88) await this.#planFault();
    else if (choice < 91) await this.#settle();
    else if (choice < 93) await this.#flush();
    else if (choice < 94) await this.db.compact();
    else if (choice < 96) await this.db.sync();
    else if (choice < 97) await this.#reopen();
    else await new Promise((resolve) => setImmediate(resolve));
    const { pinnedBytes } = this.db.stats().changeFeeds;
    this.tally.pinnedBytes = Math.max(this.tally.pinnedBytes, pinnedBytes);
  }

  async #follow(follower: Follower, count: number): Promise<void> {
    await this.#settle();
    await follower.take(count);
  }

  #write(): void {
    const random = this.#random;
    const changes: [key: string, value: Buffer | undefined, end?: string][] = [];
    const count = random.below(3) > 0 ? 1 : 1 + random.below(12);
    for (let i = 0; i < count; i++) {
      const key = `key ${random.below(200)}`;
      if (random.below(25) === 0) {
        changes.push([key, undefined, random.below(4) === 0 ? "" : `${key}~`]);
      } else changes.push([key, random.below(5) === 0 ? undefined : this.#value()]);
    }
    // A write that fails while its log is being synced would end writing altogether.
    const levels = ["os", "os", "buffered", this.#faulty ? "os" : "sync"] as const;
    const level: Durability = levels[random.below(4)]!;
    const first = this.#operations.length + 1;
    const last = first + changes.length - 1;
    const operations = changes.map(([key, value, end], i) => {
      return { seq: first + i, key, value, end, first, last, outcome: "pending" } as Operation;
    });
    this.#operations.push(...operations);
    const settle = (outcome: Operation["outcome"]): void => {
      if (outcome === "failed") this.tally.failed++;
      for (const operation of operations) operation.outcome = outcome;
    };
    const options = { durability: level };
    const batch = new WriteBatch();
    for (const [key, value, end] of changes) {
      if (end !== undefined) batch.deleteRange(rangeOf(key, end));
      else if (value === undefined) batch.delete(key);
      else batch.put(key, value);
    }
    const [key, value, end] = changes[0]!;
    const failed = (error: unknown): void => {
      expect((error as { code: string }).code).toBe("AURA_IO");
      settle("failed");
    };
    if (random.below(2) === 0) {
      const promise =
        count > 1
          ? this.db.write(batch, options)
          : end !== undefined
            ? this.db.deleteRange(rangeOf(key, end), options)
            : value === undefined
              ? this.db.delete(key, options)
              : this.db.put(key, value, options);
      this.#pending.push(promise.then(() => settle("committed"), failed));
      return;
    }
    try {
      if (count > 1) this.db.writeSync(batch, options);
      else if (end !== undefined) this.db.deleteRangeSync(rangeOf(key, end), options);
      else if (value === undefined) this.db.deleteSync(key, options);
      else this.db.putSync(key, value, options);
      settle("committed");
    } catch (error) {
      failed(error);
    }
  }

  #value(): Buffer {
    const random = this.#random;
    const length = [0, 5, 40, 300, 3000, 30_000][random.below(random.below(4) === 0 ? 6 : 5)]!;
    const value = Buffer.alloc(length, `${++this.#valueCount} `);
    if (random.below(2) === 0) for (let i = 0; i < length; i++) value[i] = random.below(256);
    return value;
  }

  /**
   * One of the next writes to a log fails: nothing, a part or all of it reaches the disk. Not that
   * which begins a log: its operations take no numbers, and here each has one.
   */
  async #planFault(): Promise<void> {
    const random = this.#random;
    let left = 1 + random.below(6);
    await this.#settle();
    this.#faulty = true;
    this.#fs.failAt({
      at: (kind, path) =>
        kind === "write" &&
        /\.(wal|vlog)$/.test(path) &&
        this.#fs.fileBytesSync(path) > 0 &&
        --left === 0,
      error: "EIO",
      ...(random.below(2) === 0 ? { happened: true } : { partial: random.below(200) }),
    });
  }

  /** Everything that was called is committed or failed, and in a log. */
  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await Promise.all(pending);
    // Buffered writes leave with it.
    this.#fs.clearFaults();
    this.#faulty = false;
    await this.db.sync();
    expect(this.db.stats().lastSeq).toBe(this.#operations.length);
  }

  async #flush(): Promise<void> {
    await this.#settle();
    await this.db.flush();
    await this.db.idle();
  }

  async #reopen(): Promise<void> {
    await this.#settle();
    const { flushes, compactions } = this.db.stats();
    this.tally.flushes += flushes.count;
    this.tally.merges += compactions.merges;
    const kind = this.#random.below(3);
    if (kind === 0) {
      await this.#restless.close();
      const waiting = this.db.changes();
      const end = waiting.next().catch((error: unknown) => error);
      await this.db.close();
      expect(await end).toMatchObject({ code: "AURA_CLOSED" });
      expect(this.#fs.openPaths()).toEqual([]);
    } else {
      const seed = this.#random.uint32();
      const image = kind === 1 ? this.#fs.processKill() : this.#fs.crash({ seed });
      await this.db.close();
      this.#fs = image;
      if (kind === 1) this.tally.kills++;
      else this.tally.powerLosses++;
    }
    this.#pinned.forget();
    this.#restless.forget();
    await this.#open();
  }

  /** Without feeds, the directory holds what the database needs and nothing else. */
  async #expectNoLeaks(): Promise<void> {
    await this.db.flush();
    await this.db.idle();
    const { levels, values, changeFeeds } = this.db.stats();
    expect(changeFeeds).toEqual({
      open: 0,
      gone: 0,
      oldestSeq: undefined,
      pinBytesMax: undefined,
      pinnedFiles: 0,
      pinnedBytes: 0,
    });
    const paths = this.#fs.list(directory);
    // A log whose creation failed is left to the next open.
    const logs = paths.filter((path) => /log$|wal$/.test(path) && this.#holdsGroups(path));
    const moved = paths.filter((path) => path.endsWith(".seg"));
    expect(logs.filter((path) => path.endsWith(".wal"))).toEqual([]);
    expect(logs.length + moved.length).toBe(values.segments);
    const tables = paths.filter((path) => path.endsWith(".sst"));
    expect(tables.length).toBe(levels.reduce((sum, level) => sum + level.tables, 0));
  }

  #holdsGroups(path: string): boolean {
    let reader: LogReader;
    try {
      reader = readLog(this.#fs, path);
    } catch {
      return false;
    }
    const holds = reader.next();
    reader.closeSync();
    return holds;
  }
}

function rangeOf(key: string, end: string): DeleteRange {
  return end === "" ? { gte: key } : { gte: key, lt: end };
}
