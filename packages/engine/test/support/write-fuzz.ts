/**
 * A run of random writes of every kind, empty ones among them, with faults of the disk that overlap
 * (drawn-faults.ts), and the check of what any crash on the way leaves (promised-writes.ts).
 */

import { SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type Settings, WriteBatch } from "../../src/index.ts";
import { DrawnFaults } from "./drawn-faults.ts";
import { bounded } from "./fault-run.ts";
import { directory } from "./names-run.ts";
import {
  type Change,
  contentOf,
  type Image,
  markerOf,
  PromisedWrites,
  type Write,
} from "./promised-writes.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const LEVELS = ["buffered", "os", "os", "sync"] as const;

/** Codes of what a database answers that a failure has made read-only. */
const STUCK = new Set(["AURA_READ_ONLY", "AURA_UNKNOWN_OUTCOME"]);
/** What may end a feed; the last two, when a log cannot be opened to be read. */
const FEED_ENDS = new Set(["AURA_CLOSED", "AURA_HISTORY_GONE", "AURA_IO", "AURA_OUT_OF_SPACE"]);

/** One run: sessions on one directory, one after the other. */
export class WriteFuzz {
  readonly #random: SeededRandom;
  readonly #seed: number;
  #fs: SimFs;
  #runtime: SimRuntime;
  #db!: AuraDB;
  readonly #writes = new PromisedWrites();
  #pending: Promise<unknown>[] = [];
  #images: Image[] = [];
  #held: (() => void)[] = [];
  #isHolding = false;
  readonly #faults: DrawnFaults;
  /** Writes are refused, and nothing has resumed since. */
  #isStuck = false;
  #log: string[] = [];
  #streams: { end(): unknown }[] = [];

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed * 7919 + 13);
    this.#faults = new DrawnFaults(this.#random);
    this.#runtime = simRuntime(seed);
    this.#fs = this.#newFs();
  }

  /** What was done, for the message of a failure. */
  get log(): readonly string[] {
    return this.#log;
  }

  async run(): Promise<void> {
    const sessions = 1 + this.#random.below(3);
    for (let i = 0; i < sessions; i++) await this.#session();
  }

  #newFs(): SimFs {
    return new SimFs({ seed: this.#seed, schedule: (task) => this.#schedule(task) });
  }

  #schedule(task: () => void): void {
    if (this.#isHolding) this.#held.push(task);
    else queueMicrotask(task);
  }

  #drawSettings(): Settings {
    const random = this.#random;
    const pick = <T>(...of: readonly T[]): T => of[random.below(of.length)]!;
    return {
      seed: 1 + random.below(1000),
      wal: {
        maxFileSize: pick(64 * KIB, 256 * KIB, 64 * MIB),
        backgroundSyncBytes: pick(0, 64 * KIB, MIB),
        bufferedDelayMs: pick(5, 50),
        syncPolicy: pick("os", "os", "sync", "interval"),
        syncIntervalMs: 30,
      },
      valueLog: {
        separationThreshold: pick(64, 400, 4000),
        maxSegmentSize: pick(64 * KIB, MIB, 256 * MIB),
        writeQueues: pick(1, 1, 2, 4),
      },
      memtable: {
        maxSize: pick(256 * KIB, MIB),
        maxCount: pick(2, 3),
        implementation: pick("art", "hash-runs", "btree", "skiplist"),
      },
      compaction: { automatic: pick(true, false), l0Trigger: 2 },
      cache: { capacity: 0 },
    };
  }

  async #session(): Promise<void> {
    const settings = this.#drawSettings();
    this.#log.push(`open ${JSON.stringify(settings)}`);
    const opening = AuraDB.open(directory, settings, {
      fs: this.#fs,
      runtime: this.#runtime,
    });
    this.#db = await bounded("open", opening, this.#runtime);
    const steps = 20 + this.#random.below(60);
    const feed = this.#random.below(3) === 0 ? this.#follow() : undefined;
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#settle();
    const next = await this.#end();
    await feed?.ended;
    await this.#judge(next);
    feed?.check();
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const what = random.below(100);
    if (what < 70) this.#write();
    else if (what < 76) await this.#turns(1 + random.below(4));
    else if (what < 80) this.#read();
    else if (what < 84) this.#take(`step ${this.#log.length}`);
    else if (what < 88) this.#hold();
    else if (what < 92) this.#log.push(this.#faults.draw(this.#fs));
    else if (what < 94) this.#call("sync", () => this.#sync());
    else if (what < 95) this.#call("syncSync", async () => this.#syncSync());
    else if (what < 96) this.#call("flush", () => this.#db.flush());
    else if (what < 97) this.#stream();
    else if (what < 98) this.#resume();
    else if (what < 99) this.#runtime.advance(random.below(200));
    else this.#call("compact", () => this.#db.compact());
    if (random.below(4) === 0) this.#empty();
    if (this.#isStuck && random.below(6) === 0) this.#resume();
    for (const fired of this.#faults.age()) this.#log.push(`fault over, fired ${fired}`);
    if (this.#isHolding && random.below(4) === 0) this.#release();
    if (random.below(3) === 0) await this.#turns(1);
  }

  async #turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
    this.#faults.noteTurn();
  }

  #hold(): void {
    this.#isHolding = true;
    this.#log.push("hold");
  }

  /** Lets some of what the pool was given take effect, in any order. */
  #release(): void {
    const count = this.#random.below(this.#held.length + 1);
    for (let i = 0; i < count; i++) {
      const [task] = this.#held.splice(this.#random.below(this.#held.length), 1);
      task!();
    }
    if (this.#random.below(2) === 0) {
      this.#isHolding = false;
      for (const task of this.#held.splice(0)) task();
    }
    this.#log.push(`release ${count} ${this.#isHolding}`);
  }

  #ended(write: Write, error?: unknown): void {
    const { code } = (error ?? {}) as { code?: string };
    if (error === undefined) {
      write.outcome = "acknowledged";
    } else if (code === "AURA_UNKNOWN_OUTCOME") write.outcome = "unknown";
    else write.outcome = "rejected";
    write.code = code ?? String(error);
    this.#noteCode(code);
    this.#log.push(`#${write.index} ${write.outcome} ${error === undefined ? "" : code}`);
    if (error !== undefined && code === undefined) throw error as Error;
  }

  #noteCode(code: string | undefined): void {
    if (code !== undefined && STUCK.has(code)) this.#isStuck = true;
  }

  #resume(): void {
    this.#call("resume", async () => {
      await this.#db.resume();
      this.#isStuck = false;
    });
  }

  #bytes(): number {
    const sizes = [0, 5, 60, 63, 64, 399, 400, 401, 3000, 3999, 5000, 70_000];
    const random = this.#random;
    if (random.below(12) === 0) return 100_000 + random.below(1_500_000);
    return sizes[random.below(sizes.length)]!;
  }

  #write(): void {
    const random = this.#random;
    const level = LEVELS[random.below(LEVELS.length)]!;
    const isLow = random.below(12) === 0;
    const changes: Change[] = [];
    const isBatch = random.below(2) === 0;
    if (isBatch && !isLow) {
      for (let i = random.below(8); i > 0; i--) {
        const key = `k/${String(random.below(40)).padStart(2, "0")}`;
        const kind = random.below(10);
        if (kind === 0) changes.push({ key });
        else if (kind === 1) changes.push({ key, end: `k/${20 + random.below(30)}` });
        else changes.push({ key, bytes: Math.min(this.#bytes(), 30_000) });
      }
    } else if (isBatch)
      changes.push({ key: `low/${this.#writes.list.length}`, bytes: this.#bytes() });
    const valid = changes.filter(({ key, end }) => end === undefined || key < end);
    const how = random.below(10);
    const isSubmit = how === 9 && !isLow;
    const single = isBatch ? undefined : this.#bytes();
    const write = this.#writes.begin(valid, isSubmit ? "os" : level, !isLow, single);
    const abort = random.below(10) === 0 ? new AbortController() : undefined;
    const options = {
      durability: level,
      ...(isLow && { priority: "low" as const }),
      ...(abort && { signal: abort.signal }),
    };
    const isSync = how < 3;
    this.#log.push(
      `#${write.index} ${isSync ? "sync call" : "async"} ${level}${isLow ? " low" : ""} ${valid.length} ${single}`,
    );
    const batch = new WriteBatch();
    for (const { key, end, bytes } of write.changes) {
      if (end !== undefined) batch.deleteRange({ gte: key, lt: end });
      else if (bytes === undefined) batch.delete(key);
      else batch.put(key, contentOf(write.index, key, bytes));
    }
    const key = markerOf(write.index);
    if (isSync) {
      try {
        if (single === undefined) this.#db.writeSync(batch, options);
        else this.#db.putSync(key, contentOf(write.index, key, single), options);
        this.#ended(write);
      } catch (error) {
        this.#ended(write, error);
      }
      return;
    }
    let done: Promise<void>;
    if (isSubmit) {
      const receipt = this.#db.submit(batch, abort && { signal: abort.signal });
      done = receipt.committed;
      this.#pending.push(
        receipt.durable.then(
          () => this.#writes.carry([write], "sync"),
          () => undefined,
        ),
      );
    } else if (single === undefined) done = this.#db.write(batch, options);
    else done = this.#db.put(key, contentOf(write.index, key, single), options);
    batch.clear();
    this.#pending.push(
      done.then(
        () => this.#ended(write),
        (error) => this.#ended(write, error),
      ),
    );
    if (abort !== undefined) {
      if (random.below(2) === 0) abort.abort();
      else queueMicrotask(() => abort.abort());
    }
  }

  #stream(): void {
    const random = this.#random;
    const level = LEVELS[random.below(LEVELS.length)]!;
    const bytes = [100, 300_000, 4 * MIB + 10, 5 * MIB + random.below(MIB)][random.below(4)]!;
    const write = this.#writes.begin([], level, false, bytes);
    const stream = this.#db.createWriteStream(markerOf(write.index), { durability: level });
    this.#log.push(`#${write.index} stream ${level} ${bytes}`);
    const content = contentOf(write.index, markerOf(write.index), bytes);
    const destroyAt = random.below(3) === 0 ? random.below(bytes) : bytes;
    const isStalled = random.below(4) === 0;
    const done = new Promise<void>((resolve, reject) => {
      stream.on("finish", resolve);
      stream.on("error", reject);
      stream.on("close", () => reject(Object.assign(new Error("closed"), { code: "CLOSED" })));
      void (async () => {
        for (let at = 0; at < bytes && !stream.destroyed; at += MIB) {
          if (at > destroyAt) {
            stream.destroy();
            return;
          }
          stream.write(content.subarray(at, at + MIB));
          await this.#turns(1);
        }
        // Some are ended by the close of the database.
        if (!isStalled) stream.end();
        else this.#streams.push(stream);
      })();
    });
    this.#pending.push(
      done.then(
        () => this.#ended(write),
        (error) => this.#ended(write, error),
      ),
    );
  }

  #call(what: string, work: () => Promise<unknown>): void {
    this.#log.push(what);
    let done: Promise<unknown>;
    try {
      done = work();
    } catch (error) {
      done = Promise.reject(error as Error);
    }
    this.#pending.push(
      done.then(
        () => this.#log.push(`${what} done`),
        (error: { code?: string }) => {
          this.#log.push(`${what} failed ${error.code}`);
          this.#noteCode(error.code);
          if (error.code === undefined) throw error;
        },
      ),
    );
  }

  /** A write of nothing, which carries what was written before it to its level. */
  #empty(): void {
    const random = this.#random;
    const how = random.below(8);
    const level = LEVELS[random.below(LEVELS.length)]!;
    const isLow = random.below(8) === 0;
    const abort = random.below(5) === 0 ? new AbortController() : undefined;
    const signal = abort && { signal: abort.signal };
    const options = { durability: level, ...(isLow && { priority: "low" as const }), ...signal };
    const before = this.#writes.before();
    const nothing = { gte: "b", lt: "b" };
    const what = `empty ${how} ${level}${isLow ? " low" : ""}${abort ? " abort" : ""}`;
    const call = (work: () => unknown, reached = level): void => {
      this.#call(what, async () => {
        await work();
        this.#writes.carry(before, reached);
      });
    };
    if (how === 0) call(() => this.#db.writeSync(new WriteBatch(), options));
    else if (how === 1) call(() => this.#db.deleteRangeSync(nothing, options));
    else if (how === 2) {
      const receipt = this.#db.submit(new WriteBatch(), signal);
      call(() => receipt.committed, "os");
      call(() => receipt.durable, "sync");
    } else if (how < 5) call(() => this.#db.deleteRange(nothing, options));
    else call(() => this.#db.write(new WriteBatch(), options));
    const when = random.below(4);
    if (when < 2) abort?.abort();
    else if (when === 2) queueMicrotask(() => abort?.abort());
    // Several may go as one.
    if (random.below(3) === 0) this.#empty();
  }

  async #sync(): Promise<void> {
    const count = this.#writes.list.length;
    await this.#db.sync();
    this.#writes.carry(this.#writes.acknowledged(count), "sync");
  }

  #syncSync(): void {
    const count = this.#writes.list.length;
    this.#db.syncSync();
    this.#writes.carry(this.#writes.acknowledged(count), "sync");
  }

  /** What a read sees has no hole, and all that was acknowledged. */
  #read(): void {
    const present = this.#writes.list.map(({ index }) => this.#db.hasSync(markerOf(index)));
    this.#log.push(`read ${present.filter(Boolean).length}`);
    let missing: Write | undefined;
    for (const write of this.#writes.list) {
      const { index, outcome, isOrdered } = write;
      const isThere = present[index]!;
      if (outcome === "acknowledged") expect(isThere, `read #${index}`).toBe(true);
      if (outcome === "rejected") expect(isThere, `read #${index}`).toBe(false);
      if (!isOrdered) continue;
      if (isThere && missing?.outcome === "pending") this.#overtaken.push(missing);
      if (!isThere && outcome === "pending") missing = write;
    }
  }

  /** Writes that a read has seen a later one without: they must not be acknowledged. */
  readonly #overtaken: Write[] = [];

  #take(what: string): void {
    if (this.#images.length >= 10) return;
    const isKill = this.#random.below(2) === 0;
    const fs = isKill ? this.#fs.processKill() : this.#fs.crash({ seed: this.#random.below(1e6) });
    this.#images.push(this.#writes.image(fs, isKill, what, this.#faults.canBeSaid));
    this.#log.push(`image ${this.#images.length - 1} ${isKill ? "kill" : "crash"}`);
  }

  /** Everything that was asked ends. */
  async #settle(): Promise<void> {
    if (this.#random.below(2) === 0) this.#faults.clear();
    if (this.#random.below(3) === 0) return;
    this.#isHolding = false;
    for (const task of this.#held.splice(0)) task();
    await this.#turns(3);
  }

  /** Ends the session and returns what the next one begins with. */
  async #end(): Promise<Image> {
    this.#take("end");
    // A database that is closed knows of all that failed, and says so once more.
    this.#faults.noteClose();
    await this.#close();
    this.#faults.noteTurn();
    const isKnown = this.#faults.canBeSaid;
    const closed = this.#writes.image(this.#fs, true, "closed", isKnown);
    this.#images.push(closed);
    const random = this.#random;
    if (isKnown && random.below(2) === 0) return closed;
    // What a failed sync has lost stands in the page cache still: a process that nobody could tell of
    // it believes what it reads.
    const images = this.#images.filter(({ isKill, isKnown }) => !isKill || isKnown);
    if (images.length > 0) return images[random.below(images.length)]!;
    const lost = this.#writes.image(this.#fs.crash(), false, "lost", true);
    this.#images.push(lost);
    return lost;
  }

  async #close(): Promise<void> {
    const closing = this.#db.close().catch((error: { code?: string; message: string }) => {
      this.#log.push(`close failed ${error.code} ${error.message}`);
      if (error.code === undefined) throw error;
    });
    await this.#turns(2);
    this.#faults.clear();
    this.#isHolding = false;
    for (const task of this.#held.splice(0)) task();
    await bounded("close", closing, this.#runtime);
    // One that holds its value in memory is told when it goes on.
    for (const stream of this.#streams.splice(0)) stream.end();
    const waits = this.#writes.list.filter(({ outcome }) => outcome === "pending");
    const names = waits.map(({ index }) => `#${index}`).join();
    await bounded(`calls ${names}`, Promise.all(this.#pending), this.#runtime);
    this.#pending = [];
    expect(this.#writes.list.filter(({ outcome }) => outcome === "pending")).toEqual([]);
    expect(this.#fs.openPaths()).toEqual([]);
    for (const write of this.#overtaken) expect(write.outcome).not.toBe("acknowledged");
  }

  /** Checks all images and goes on with `next`. */
  async #judge(next: Image): Promise<void> {
    const random = this.#random;
    const images = this.#images;
    this.#images = [];
    let present: ReadonlySet<number> = new Set();
    for (const image of images) {
      const lossSeed = random.below(3) === 0 ? random.below(1e6) : undefined;
      const found = await this.#writes.check(image, this.#seed, lossSeed);
      if (image === next) present = found;
    }
    this.#writes.goOn(present);
    this.#faults.forget();
    this.#isStuck = false;
    this.#fs = next.fs;
    this.#log.push(`go on with ${present.size} of ${this.#writes.list.length}, ${next.what}`);
  }

  /** Follows the changes of the session from its begin on. */
  #follow(): { ended: Promise<void>; check: () => void } {
    const seen: number[] = [];
    const feed = this.#db.changes({ since: this.#db.stats().lastSeq ?? 0 });
    const ended = (async () => {
      try {
        for await (const { changes } of feed) {
          for (const change of changes) {
            if (change.type !== "put") continue;
            const key = change.key.toString();
            if (key.startsWith("m/")) seen.push(Number(key.slice(2)));
          }
        }
      } catch (error) {
        const { code } = error as { code?: string };
        this.#log.push(`feed ended ${code}`);
        if (!FEED_ENDS.has(code!)) throw error;
      }
    })();
    ended.catch(() => undefined);
    return {
      ended,
      check: () => {
        const ordered = seen.filter((index) => this.#writes.list[index]!.isOrdered);
        expect(ordered).toEqual([...ordered].sort((a, b) => a - b));
        expect(new Set(seen).size).toBe(seen.length);
      },
    };
  }
}
