/**
 * A run of random writes of every kind, with faults of the disk that overlap, and the check of what any
 * crash on the way leaves. Every write has a marker key of its own, so that an image tells which writes
 * it holds: the acknowledged ones of its level, none that was rejected, no hole, each one whole.
 */

import { SeededRandom } from "@aura/base";
import { type PlannedFault, SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type Durability, type Settings, WriteBatch } from "../../src/index.ts";
import { bounded } from "./fault-run.ts";
import { directory } from "./names-run.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const LEVELS = ["buffered", "os", "os", "sync"] as const;

interface Change {
  readonly key: string;
  /** Exclusive end of a range delete. */
  readonly end?: string;
  /** Length of a put's value; undefined: a delete. */
  readonly bytes?: number;
}

/** `order`: whether its place among the others is that of its call. */
interface Write {
  readonly index: number;
  readonly changes: readonly Change[];
  readonly level: Durability;
  readonly isOrdered: boolean;
  outcome: "pending" | "acknowledged" | "rejected" | "unknown";
  /** It is known to be on the disk. */
  isDurable: boolean;
  code?: string;
}

interface Image {
  readonly fs: SimFs;
  readonly isKill: boolean;
  readonly what: string;
  /** Writes that have to be there. */
  readonly wanted: readonly number[];
  /** Writes that were rejected by then, or not begun. */
  readonly count: number;
}

const contentOf = (index: number, key: string, bytes: number): Buffer =>
  Buffer.alloc(bytes, `${index}:${key};`);
const markerOf = (index: number): string => `m/${String(index).padStart(5, "0")}`;

/** One run: sessions on one directory, one after the other. */
export class WriteFuzz {
  readonly #random: SeededRandom;
  readonly #seed: number;
  #fs: SimFs;
  #runtime: SimRuntime;
  #db!: AuraDB;
  readonly #writes: Write[] = [];
  #pending: Promise<unknown>[] = [];
  #images: Image[] = [];
  #held: (() => void)[] = [];
  #isHolding = false;
  #faults: { fault: PlannedFault; left: number }[] = [];
  /** Faults that the manifest may have met, and those of syncs. */
  #manifestFaults: PlannedFault[] = [];
  #syncFaults: PlannedFault[] = [];
  #log: string[] = [];
  #streams: { end(): unknown }[] = [];

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed * 7919 + 13);
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
    const start = this.#writes.length;
    const steps = 20 + this.#random.below(60);
    const feed = this.#random.below(3) === 0 ? this.#follow() : undefined;
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#settle();
    const next = await this.#end();
    await feed?.ended;
    await this.#judge(next);
    feed?.check(start);
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const what = random.below(100);
    if (what < 70) this.#write();
    else if (what < 76) await this.#turns(1 + random.below(4));
    else if (what < 80) this.#read();
    else if (what < 84) this.#take(`step ${this.#log.length}`);
    else if (what < 88) this.#hold();
    else if (what < 92) this.#fail();
    else if (what < 94) this.#call("sync", () => this.#sync());
    else if (what < 95) this.#call("syncSync", async () => this.#syncSync());
    else if (what < 96) this.#call("flush", () => this.#db.flush());
    else if (what < 97) this.#stream();
    else if (what < 98) this.#call("resume", () => this.#db.resume());
    else if (what < 99) this.#runtime.advance(random.below(200));
    else this.#call("compact", () => this.#db.compact());
    for (const each of this.#faults) each.left--;
    for (const each of this.#faults.filter(({ left }) => left <= 0)) {
      each.fault.remove();
      this.#log.push(`fault over, fired ${each.fault.fired}`);
    }
    this.#faults = this.#faults.filter(({ left }) => left > 0);
    if (this.#isHolding && random.below(4) === 0) this.#release();
    if (random.below(3) === 0) await this.#turns(1);
  }

  async #turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
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

  #fail(): void {
    const random = this.#random;
    const kinds = [
      ["write"],
      ["sync"],
      ["create"],
      ["truncate"],
      ["syncDir"],
      ["write", "create"],
      ["write", "sync", "create", "truncate", "syncDir"],
      ["rename"],
      ["unlink"],
    ] as const;
    const of: readonly string[] = kinds[random.below(kinds.length)]!;
    const pattern = [/\.(wal|vlog)$|\/db$/, /./, /\.wal$/, /manifest|CURRENT/][random.below(4)]!;
    const happened = random.below(4) === 0 && !of.includes("sync") && !of.includes("create");
    const fault = this.#fs.failAt({
      error: random.below(3) === 0 ? "ENOSPC" : "EIO",
      sticky: random.below(2) === 0,
      partial: [0, 0, 20, 5000][random.below(4)]!,
      ...(happened && { happened }),
      at: (kind, path) => of.includes(kind) && pattern.test(path),
    });
    if (of.includes("sync")) this.#syncFaults.push(fault);
    if (pattern.test("manifest") && !of.includes("syncDir")) this.#manifestFaults.push(fault);
    this.#faults.push({ fault, left: 1 + random.below(6) });
    this.#log.push(`fault ${of.join()} ${pattern} ${happened}`);
  }

  #begin(changes: Change[], level: Durability, isOrdered: boolean): Write {
    const index = this.#writes.length;
    const marked = [{ key: markerOf(index), bytes: changes.length % 7 }, ...changes];
    const write: Write = {
      index,
      changes: marked,
      level,
      isOrdered,
      outcome: "pending",
      isDurable: false,
    };
    this.#writes.push(write);
    return write;
  }

  #ended(write: Write, error?: unknown): void {
    const { code } = (error ?? {}) as { code?: string };
    if (error === undefined) {
      write.outcome = "acknowledged";
      if (write.level === "sync") write.isDurable = true;
    } else if (code === "AURA_UNKNOWN_OUTCOME") write.outcome = "unknown";
    else write.outcome = "rejected";
    write.code = code ?? String(error);
    this.#log.push(`#${write.index} ${write.outcome} ${error === undefined ? "" : code}`);
    if (error !== undefined && code === undefined) throw error as Error;
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
    } else if (isBatch) changes.push({ key: `low/${this.#writes.length}`, bytes: this.#bytes() });
    const valid = changes.filter(({ key, end }) => end === undefined || key < end);
    const how = random.below(10);
    const isSubmit = how === 9 && !isLow;
    const write = this.#begin(valid, isSubmit ? "os" : level, !isLow);
    const single = isBatch ? undefined : this.#bytes();
    if (single !== undefined)
      (write.changes as Change[])[0] = { key: markerOf(write.index), bytes: single };
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
          () => {
            write.isDurable = true;
          },
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
    const write = this.#begin([], level, false);
    (write.changes as Change[])[0] = { key: markerOf(write.index), bytes };
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
          if (error.code === undefined) throw error;
        },
      ),
    );
  }

  async #sync(): Promise<void> {
    const count = this.#writes.length;
    await this.#db.sync();
    this.#noteSynced(count);
  }

  #syncSync(): void {
    const count = this.#writes.length;
    this.#db.syncSync();
    this.#noteSynced(count);
  }

  #noteSynced(count: number): void {
    for (const write of this.#writes.slice(0, count)) {
      if (write.outcome === "acknowledged") write.isDurable = true;
    }
  }

  /** What a read sees has no hole, and all that was acknowledged. */
  #read(): void {
    const present = this.#writes.map(({ index }) => this.#db.hasSync(markerOf(index)));
    this.#log.push(`read ${present.filter(Boolean).length}`);
    let missing: Write | undefined;
    for (const write of this.#writes) {
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
    const wanted = this.#writes.filter(({ outcome, level, isDurable }) => {
      if (isDurable) return true;
      return isKill && outcome === "acknowledged" && level !== "buffered";
    });
    this.#images.push({
      fs,
      isKill,
      what,
      wanted: wanted.map(({ index }) => index),
      count: this.#writes.length,
    });
    this.#log.push(`image ${this.#images.length - 1} ${isKill ? "kill" : "crash"}`);
  }

  /** Everything that was asked ends. */
  async #settle(): Promise<void> {
    if (this.#random.below(2) === 0) {
      for (const { fault } of this.#faults) fault.remove();
      this.#faults = [];
    }
    if (this.#random.below(3) === 0) return;
    this.#isHolding = false;
    for (const task of this.#held.splice(0)) task();
    await this.#turns(3);
  }

  /** Ends the session and returns what the next one begins with. */
  async #end(): Promise<SimFs> {
    this.#take("end");
    const isClosed = await this.#close();
    const random = this.#random;
    if (isClosed && random.below(3) > 0) return this.#fs;
    const hasFired = (faults: PlannedFault[]): boolean => faults.some(({ fired }) => fired > 0);
    // A failed sync that nobody could note: the page cache shows what the disk has lost.
    const isUnknown = hasFired(this.#syncFaults) && hasFired(this.#manifestFaults);
    const images = this.#images.filter(({ isKill }) => !(isKill && isUnknown));
    return images[random.below(images.length)]?.fs ?? this.#fs.crash();
  }

  async #close(): Promise<boolean> {
    const closing = this.#db.close().then(
      () => true,
      (error: { code?: string; message: string }) => {
        this.#log.push(`close failed ${error.code} ${error.message}`);
        if (error.code === undefined) throw error;
        return false;
      },
    );
    await this.#turns(2);
    for (const { fault } of this.#faults) fault.remove();
    this.#faults = [];
    this.#isHolding = false;
    for (const task of this.#held.splice(0)) task();
    const isClosed = await bounded("close", closing, this.#runtime);
    // One that holds its value in memory is told when it goes on.
    for (const stream of this.#streams.splice(0)) stream.end();
    const waits = this.#writes.filter(({ outcome }) => outcome === "pending");
    const names = waits.map(({ index }) => `#${index}`).join();
    await bounded(`calls ${names}`, Promise.all(this.#pending), this.#runtime);
    this.#pending = [];
    expect(this.#writes.filter(({ outcome }) => outcome === "pending")).toEqual([]);
    expect(this.#fs.openPaths()).toEqual([]);
    for (const write of this.#overtaken) expect(write.outcome).not.toBe("acknowledged");
    return isClosed;
  }

  /** Checks all images and goes on with `next`. */
  async #judge(next: SimFs): Promise<void> {
    const images = this.#images;
    this.#images = [];
    let present: Set<number> | undefined;
    for (const image of images) {
      const found = await this.#check(image);
      if (image.fs === next) present = found;
    }
    if (present === undefined) {
      // What the close left: what was durable is there, whatever failed before.
      const wanted = this.#writes.filter(({ isDurable }) => isDurable);
      const image = {
        fs: next,
        isKill: true,
        what: "closed",
        wanted: wanted.map(({ index }) => index),
        count: this.#writes.length,
      };
      present = await this.#check(image);
    }
    for (const write of this.#writes) {
      const isThere = present.has(write.index);
      write.outcome = isThere ? "acknowledged" : "rejected";
      write.isDurable = isThere;
    }
    this.#manifestFaults = [];
    this.#syncFaults = [];
    this.#fs = next;
    this.#log.push(`go on with ${present.size} of ${this.#writes.length}`);
  }

  async #check({ fs, isKill, what, wanted, count }: Image): Promise<Set<number>> {
    const runtime = simRuntime(this.#seed);
    const opening = AuraDB.open(directory, {}, { fs, runtime });
    const db = await bounded(`open ${what}`, opening, runtime);
    const present = new Set<number>();
    try {
      const expected = new Map<string, Buffer>();
      for (const { index } of this.#writes) if (db.hasSync(markerOf(index))) present.add(index);
      for (const index of wanted) expect(present.has(index), `${what}: #${index}`).toBe(true);
      let missing: Write | undefined;
      for (const write of this.#writes) {
        const { index, outcome, changes, isOrdered } = write;
        if (!present.has(index)) {
          if (isOrdered && outcome === "acknowledged") missing ??= write;
          continue;
        }
        expect(index, what).toBeLessThan(count);
        expect(outcome, `${what}: #${index} ${write.code}`).not.toBe("rejected");
        if (isOrdered) {
          expect(missing?.index, `${what}: #${index} behind a hole, ${isKill}`).toBe(undefined);
        }
        for (const { key, end, bytes } of changes) {
          if (end !== undefined) {
            for (const other of expected.keys())
              if (other >= key && other < end) expected.delete(other);
          } else if (bytes === undefined) expected.delete(key);
          else expected.set(key, contentOf(index, key, bytes));
        }
      }
      const found = new Map([...db.scanSync()].map(([key, value]) => [key.toString(), value]));
      expect([...found.keys()], what).toEqual([...expected.keys()].sort());
      for (const [key, value] of expected) {
        expect(found.get(key)!.equals(value), `${what}: ${key}`).toBe(true);
      }
    } finally {
      await bounded("close", db.close(), runtime);
    }
    const report = await AuraDB.verify(directory, { fs, runtime });
    expect(report.problems, what).toEqual([]);
    return present;
  }

  /** Follows the changes of the session from its begin on. */
  #follow(): { ended: Promise<void>; check: (start: number) => void } {
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
        if (code !== "AURA_CLOSED" && code !== "AURA_HISTORY_GONE") throw error;
      }
    })();
    ended.catch(() => undefined);
    return {
      ended,
      check: () => {
        const ordered = seen.filter((index) => this.#writes[index]!.isOrdered);
        expect(ordered).toEqual([...ordered].sort((a, b) => a - b));
        expect(new Set(seen).size).toBe(seen.length);
      },
    };
  }
}
