/**
 * A database on a simulated disk beside a model of it: a map, the writes since it was last known to
 * be durable, and the states that snapshots hold. Every action is carried out on both; every read is
 * compared. A crash leaves a prefix of the writes, at least as long as what was promised.
 */
import { SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import {
  AuraDB,
  type Components,
  type Durability,
  type ScanOptions,
  type Settings,
  type Snapshot,
  WriteBatch,
} from "../../src/index.ts";
import { drawAgent, steered } from "./agents.ts";
import {
  apply,
  bytesOf,
  type Change,
  describe,
  drawRange,
  drawSettings,
  expectEntries,
  expectSame,
  isRange,
  NASTY,
  noteLevels,
  PREFIX,
  type State,
  sameStates,
  select,
  shown,
  type Tally,
} from "./model-state.ts";
import { Recount } from "./recount.ts";
import { WatchedFs } from "./watched-fs.ts";

const directory = "/db";

interface Held {
  readonly snapshot: Snapshot;
  readonly state: State;
}

interface Image {
  readonly fs: SimFs;
  readonly start: State;
  readonly writes: readonly (readonly Change[])[];
  readonly least: number;
  readonly most: number;
  readonly what: string;
}

/** One database and its model. */
export class ModelWorld {
  readonly trace: string[] = [];
  readonly #random: SeededRandom;
  readonly #runtime: SimRuntime;
  readonly #settings: Settings;
  readonly #agent: Components["agent"] | undefined;
  readonly #threshold: number;
  readonly #tally: Tally;
  #fs: SimFs;
  #db!: AuraDB;
  /** What a crash cannot take away. */
  #base: State = new Map();
  /** Writes since then, in order of their calls. */
  #writes: (readonly Change[])[] = [];
  #acked = 0;
  #durable = 0;
  #now: State = new Map();
  #held: Held[] = [];
  #pending: Promise<void>[] = [];
  #valueCount = 0;
  #recount!: Recount;
  #image: Image | undefined;
  /** Operations of the disk until an image is taken; 0: none is. */
  #imageIn = 0;
  #imageKind: "power" | "kill" = "power";

  constructor(seed: number, tally: Tally) {
    this.#random = new SeededRandom(seed);
    const random = this.#random;
    this.#runtime = simRuntime(seed, {
      autoAdvance: true,
      order: random.below(2) === 0 ? "random" : "fifo",
    });
    const { scheduler } = this.#runtime;
    this.#fs = new SimFs(
      random.below(2) === 0 ? {} : { schedule: (task) => scheduler.nextTurn(task) },
    );
    this.#threshold = [64, 200, 1024][random.below(3)]!;
    this.#settings = drawSettings(random, this.#threshold);
    this.#agent = drawAgent(seed);
    if (this.#agent !== undefined) this.#settings = steered(this.#settings);
    this.#tally = tally;
  }

  /** Opens, takes `steps` steps, closes, and verifies the files. */
  async run(steps: number): Promise<void> {
    await this.#open();
    for (let i = 0; i < steps; i++) await this.#step();
    await this.#closeCleanly();
    await this.#open();
    await this.#compareAll();
    await this.#closeCleanly();
    await this.#verify();
  }

  async #open(): Promise<void> {
    const watched = new WatchedFs(this.#fs, () => this.#watch());
    this.#recount = new Recount(this.#fs, directory);
    this.#db = await AuraDB.open(directory, this.#settings, {
      fs: watched,
      runtime: this.#runtime,
      ...(this.#agent && { agent: this.#agent }),
    });
    this.#db.events.on("decision", () => this.#tally.decisions++);
    this.#db.events.on("segmentRemoved", () => this.#tally.segmentsRemoved++);
    this.#db.events.on("compaction", () => noteLevels(this.#tally, this.#db));
    this.#db.events.on("backgroundError", ({ error }) => {
      throw error;
    });
  }

  /** Takes an image when its operation has come. */
  #watch(): void {
    if (this.#imageIn === 0 || --this.#imageIn > 0) return;
    this.#takeImage();
  }

  #takeImage(): void {
    const kill = this.#imageKind === "kill";
    const seed = this.#random.uint32();
    this.#image = {
      fs: kill ? this.#fs.processKill() : this.#fs.crash({ seed }),
      start: this.#base,
      writes: this.#writes,
      least: kill ? this.#acked : this.#durable,
      most: this.#writes.length,
      what: `${this.#imageKind} seed ${seed}`,
    };
  }

  async #step(): Promise<void> {
    this.#tally.steps++;
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 34) await this.#write();
    else if (dice < 41) await this.#largeBatch();
    else if (dice < 60) await this.#read();
    else if (dice < 72) await this.#scan();
    else if (dice < 75) await this.#cursor();
    else if (dice < 80) this.#snapshot();
    else if (dice < 86) await this.#flush();
    else if (dice < 88) await this.#compact();
    else if (dice < 91) await this.#idle();
    else if (dice < 93) await this.#settle();
    else if (dice < 95) await this.#sync();
    else if (dice < 96) await this.#reopen();
    else if (dice < 98) this.#switchMode();
    else if (this.#imageIn === 0 && this.#image === undefined) this.#arm();
    if (this.#image !== undefined) await this.#crashed(this.#image);
    // All counts of a manifest anew: a fifth of the time, if done at each step.
    if (this.#tally.steps % 4 === 0) this.#recount.check();
  }

  // Writes.

  async #write(): Promise<void> {
    const random = this.#random;
    for (let count = 1 + random.below(8); count > 0; count--) {
      const level = this.#level();
      const changes: Change[] = [];
      const batch = random.below(3) === 0;
      const size = batch ? 1 + random.below(12) : 1;
      for (let i = 0; i < size; i++) {
        if (random.below(12) === 0) changes.push(this.#drawRange());
        else changes.push([this.#key(batch), this.#valueOrDelete()]);
      }
      this.#hand(changes, level, batch, random.below(2) === 0);
    }
    if (random.below(3) === 0) await this.#settle();
  }

  /** Much at a time: a group that leaves on the thread pool, or a memtable full of small ones. */
  async #largeBatch(): Promise<void> {
    const random = this.#random;
    const large = random.below(4) === 0;
    const changes: Change[] = [];
    for (let i = large ? 28 : 150 + random.below(150); i > 0; i--) {
      changes.push([this.#key(true), this.#value(large ? 40_000 : random.below(160))]);
    }
    this.#hand(changes, this.#level(), true, random.below(2) === 0);
    if (random.below(2) === 0) await this.#settle();
  }

  #hand(changes: readonly Change[], level: Durability, batch: boolean, sync: boolean): void {
    const db = this.#db;
    const options = { durability: level };
    const one = changes[0]!;
    const [key, value] = isRange(one) ? ["", undefined] : one;
    const keyOf = bytesOf(key);
    const all = new WriteBatch();
    if (batch) {
      for (const change of changes) {
        if (isRange(change)) {
          all.deleteRange(change.range);
          this.#tally.rangeDeletes++;
          continue;
        }
        const [k, v] = change;
        if (v === undefined) all.delete(bytesOf(k));
        else all.put(bytesOf(k), v);
      }
    }
    this.trace.push(
      `${sync ? "sync" : "async"} ${level} ${batch ? `batch ${changes.length}` : "one"} ` +
        (isRange(one) ? describe(one.range) : `${shown(key)} = ${value?.length ?? "delete"}`),
    );
    this.#tally.operations += changes.length;
    this.#writes.push(changes);
    apply(this.#now, changes);
    const index = this.#writes.length;
    const writes = this.#writes;
    const acknowledged = (): void => {
      if (writes !== this.#writes) return;
      // What is buffered is in the log only when a later write is.
      // An agent changes the threshold: then no value is sure to be apart.
      const separated = !this.#agent && value !== undefined && value.length >= this.#threshold;
      const isAppended = batch || separated || isRange(one);
      if (level === "os" || (level === "buffered" && isAppended)) this.#ack(index);
      if (level === "sync") this.#makeDurable(index);
    };
    if (sync) {
      if (batch) db.writeSync(all, options);
      else if (isRange(one)) db.deleteRangeSync(one.range, options);
      else if (value === undefined) db.deleteSync(keyOf, options);
      else db.putSync(keyOf, value, options);
      acknowledged();
      return;
    }
    // The bytes are the caller's again when the call returns.
    const mine = value === undefined ? undefined : Buffer.from(value);
    const promise = batch
      ? db.write(all, options)
      : isRange(one)
        ? db.deleteRange(one.range, options)
        : mine === undefined
          ? db.delete(keyOf, options)
          : db.put(keyOf, mine, options);
    keyOf.fill(0x5a);
    mine?.fill(0x5a);
    all.clear();
    this.#pending.push(promise.then(acknowledged));
  }

  #ack(index: number): void {
    this.#acked = Math.max(this.#acked, index);
  }

  #makeDurable(index: number): void {
    this.#ack(index);
    this.#durable = Math.max(this.#durable, index);
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await Promise.all(pending);
  }

  async #sync(): Promise<void> {
    this.trace.push("sync");
    const index = this.#writes.length;
    if (this.#random.below(2) === 0) this.#db.syncSync();
    else await this.#db.sync();
    this.#makeDurable(index);
  }

  async #flush(): Promise<void> {
    this.trace.push("flush");
    const index = this.#writes.length;
    await this.#db.flush();
    this.#makeDurable(index);
    this.#tally.flushes++;
  }

  async #compact(): Promise<void> {
    const random = this.#random;
    this.trace.push("compact");
    const keys = [this.#key(), this.#key()].sort();
    const range = random.below(2) === 0 ? {} : { gte: bytesOf(keys[0]!), lte: bytesOf(keys[1]!) };
    await this.#db.compact(range);
  }

  async #idle(): Promise<void> {
    this.trace.push("idle");
    await this.#db.idle();
  }

  #switchMode(): void {
    const random = this.#random;
    const levels = Array.from({ length: 1 + random.below(8) }, () => ({
      runs: 1 + random.below(4),
    }));
    const requests = ["leveled", "tiered", "lazy-leveled", { levels }] as const;
    const request = requests[random.below(requests.length)]!;
    this.trace.push(`mode ${JSON.stringify(request)}`);
    this.#db.setCompactionMode(request);
    this.#tally.modes++;
    // The agent goes on from there.
    if (this.#agent !== undefined) this.#db.setCompactionMode("adaptive");
  }

  // Reads.

  #snapshot(): void {
    const random = this.#random;
    if (this.#held.length >= 3 || (this.#held.length > 0 && random.below(2) === 0)) {
      const [gone] = this.#held.splice(random.below(this.#held.length), 1);
      this.trace.push("release");
      gone!.snapshot.release();
      expect(() => this.#db.getSync("a", { snapshot: gone!.snapshot })).toThrow(/released/);
      return;
    }
    this.trace.push("snapshot");
    this.#held.push({ snapshot: this.#db.snapshot(), state: new Map(this.#now) });
  }

  /** The present, or what a snapshot holds. */
  #view(): { state: State; options: { snapshot: Snapshot } | Record<never, never> } {
    const random = this.#random;
    if (this.#held.length === 0 || random.below(3) > 0) return { state: this.#now, options: {} };
    const { snapshot, state } = this.#held[random.below(this.#held.length)]!;
    return { state, options: { snapshot } };
  }

  async #read(): Promise<void> {
    const random = this.#random;
    const db = this.#db;
    const { state, options } = this.#view();
    const keys = Array.from({ length: 1 + random.below(8) }, () => this.#key());
    // What is expected is fixed before anything is awaited: nothing else writes meanwhile.
    const wanted = keys.map((key) => state.get(key));
    this.#tally.operations += keys.length;
    const manner = random.below(5);
    this.trace.push(`read ${manner} ${keys.map(shown).join(" ")}`);
    if (manner === 0) {
      keys.forEach((key, i) => {
        expectSame(db.getSync(bytesOf(key), options), wanted[i], key);
      });
    } else if (manner === 1) {
      for (const [i, key] of keys.entries()) {
        expectSame(await db.get(bytesOf(key), options), wanted[i], key);
      }
    } else if (manner === 2) {
      const asked = keys.map(bytesOf);
      const promise = db.getMany(asked, options);
      for (const key of asked) key.fill(1);
      const found = await promise;
      expect(found.length).toBe(keys.length);
      found.forEach((value, i) => {
        expectSame(value, wanted[i], keys[i]!);
      });
    } else if (manner === 3) {
      keys.forEach((key, i) => {
        expect(db.hasSync(bytesOf(key), options)).toBe(wanted[i] !== undefined);
      });
    } else {
      for (const [i, key] of keys.entries()) {
        expect(await db.has(bytesOf(key), options)).toBe(wanted[i] !== undefined);
      }
    }
  }

  #drawRange(): Change {
    this.#tally.rangeDeletes++;
    return drawRange(this.#random, this.#now, () => this.#key(true));
  }

  #range(): { range: ScanOptions; holds: (key: string) => boolean } {
    const random = this.#random;
    const range: Record<string, unknown> = {};
    const tests: ((key: string) => boolean)[] = [];
    const bound = (name: string, test: (key: string, limit: string) => boolean): void => {
      const limit = this.#key();
      range[name] = bytesOf(limit);
      tests.push((key) => test(key, limit));
    };
    if (random.below(3) === 0) bound("gte", (key, limit) => key >= limit);
    if (random.below(4) === 0) bound("gt", (key, limit) => key > limit);
    if (random.below(3) === 0) bound("lt", (key, limit) => key < limit);
    if (random.below(4) === 0) bound("lte", (key, limit) => key <= limit);
    if (random.below(4) === 0) {
      const prefix = ["", "\0", "\xff", "\xff\xff", "a", "k", "k1", PREFIX, "shared"][
        random.below(9)
      ]!;
      range["prefix"] = bytesOf(prefix);
      tests.push((key) => key.startsWith(prefix));
    }
    if (random.below(2) === 0) range["reverse"] = random.below(3) > 0;
    return { range, holds: (key) => tests.every((test) => test(key)) };
  }

  async #scan(): Promise<void> {
    const random = this.#random;
    const db = this.#db;
    const { state, options } = this.#view();
    const { range, holds } = this.#range();
    const limit = random.below(3) === 0 ? random.below(12) : Number.POSITIVE_INFINITY;
    const wanted = select(state, holds, range.reverse === true).slice(0, limit);
    const asked = { ...range, ...options, limit };
    this.#tally.operations++;
    const manner = random.below(6);
    this.trace.push(`scan ${manner} ${describe(asked)}`);
    if (manner < 2) {
      const found: [Buffer, Buffer][] = [];
      if (manner === 0) found.push(...db.scanSync(asked));
      else for await (const entry of db.scan(asked)) found.push(entry);
      expectEntries(found, wanted);
    } else if (manner < 4) {
      const found: Buffer[] = [];
      if (manner === 2) found.push(...db.keysSync(asked));
      else for await (const key of db.keys(asked)) found.push(key);
      expect(found.map((key) => shown(key.toString("latin1")))).toEqual(
        wanted.map(([key]) => shown(key)),
      );
    } else {
      const found: Buffer[] = [];
      if (manner === 4) found.push(...db.valuesSync(asked));
      else for await (const value of db.values(asked)) found.push(value);
      expect(found.length).toBe(wanted.length);
      found.forEach((value, i) => {
        expectSame(value, wanted[i]![1], wanted[i]![0]);
      });
    }
  }

  /** A cursor shows the state of its creation, whatever is written, flushed and compacted. */
  async #cursor(): Promise<void> {
    const random = this.#random;
    const { state, options } = this.#view();
    const { range, holds } = this.#range();
    this.trace.push(`cursor ${describe(range)}`);
    const wanted = select(state, holds, range.reverse === true);
    const cursor = this.#db.cursor({ ...range, ...options });
    try {
      const things = random.below(4);
      if (things === 0) await this.#write();
      else if (things === 1) await this.#flush();
      else if (things === 2) await this.#compact();
      const found: [Buffer, Buffer][] = [];
      for (;;) {
        const more = await cursor.nextMany(1 + random.below(20));
        if (more.length === 0) break;
        found.push(...more);
      }
      expectEntries(found, wanted);
      this.#tally.operations += 7;
      for (let i = 0; i < 6; i++) {
        const key = this.#key();
        const reverse = range.reverse === true;
        const at = wanted.findIndex(([other]) => (reverse ? other <= key : other >= key));
        const isThere =
          random.below(2) === 0 ? cursor.seekSync(bytesOf(key)) : await cursor.seek(bytesOf(key));
        expect(isThere).toBe(at >= 0);
        if (!isThere) continue;
        expect(shown(cursor.key.toString("latin1"))).toBe(shown(wanted[at]![0]));
        expectSame(cursor.value, wanted[at]![1], wanted[at]![0]);
        const back = random.below(2) === 0;
        const neighbour = wanted[back ? at - 1 : at + 1];
        const moved = back ? await cursor.prev() : cursor.nextSync();
        expect(moved).toBe(neighbour !== undefined);
        if (neighbour !== undefined)
          expectSame(await cursor.readValue(), neighbour[1], neighbour[0]);
      }
    } finally {
      cursor.close();
    }
  }

  async #compareAll(): Promise<void> {
    const wanted = select(this.#now, () => true, false);
    expectEntries([...this.#db.scanSync()], wanted);
    const backwards: [Buffer, Buffer][] = [];
    for await (const entry of this.#db.scan({ reverse: true })) backwards.push(entry);
    expectEntries(backwards, wanted.toReversed());
  }

  // Ends.

  /** Chooses a crash at one of the operations to come. */
  #arm(): void {
    const random = this.#random;
    this.#imageKind = random.below(3) === 0 ? "kill" : "power";
    this.trace.push(`armed ${this.#imageKind}`);
    this.#imageIn = 1 + random.below(40);
    if (random.below(4) === 0) {
      this.#imageIn = 0;
      this.#takeImage();
    }
  }

  async #crashed(image: Image): Promise<void> {
    this.trace.push(`crashed: ${image.what}, at least ${image.least} of ${image.most}`);
    if (image.what.startsWith("kill")) this.#tally.kills++;
    else this.#tally.powerLosses++;
    // The one that goes on is the image; the process that took it ends behind it.
    await this.#endDatabase();
    this.#image = undefined;
    this.#imageIn = 0;
    this.#fs = image.fs;
    const { start, writes } = image;
    await this.#open();
    const found: State = new Map();
    for (const [key, value] of this.#db.scanSync()) found.set(key.toString("latin1"), value);
    const state = new Map(start);
    for (const changes of writes.slice(0, image.least)) apply(state, changes);
    let count = image.least;
    while (!sameStates(found, state) && count < image.most) apply(state, writes[count++]!);
    expect(sameStates(found, state), `a prefix of at least ${image.least} writes`).toBe(true);
    this.#forgetWrites(state);
  }

  async #reopen(): Promise<void> {
    this.trace.push("reopen");
    await this.#closeCleanly();
    if (this.#random.below(4) === 0) await this.#verify();
    await this.#open();
    this.#tally.reopens++;
    await this.#compareAll();
  }

  async #closeCleanly(): Promise<void> {
    await this.#endDatabase();
    this.#forgetWrites(this.#now);
    expect(this.#fs.openPaths()).toEqual([]);
  }

  async #endDatabase(): Promise<void> {
    const { compactions } = this.#db.stats();
    this.#tally.merges += compactions.merges;
    this.#tally.relocated += compactions.bytesRelocated;
    const held = this.#held;
    this.#held = [];
    for (const { snapshot } of held) if (this.#random.below(2) === 0) snapshot.release();
    await this.#db.close();
    await this.#settle();
    expect(this.#fs.openPaths()).toEqual([]);
  }

  #forgetWrites(state: State): void {
    this.#base = new Map(state);
    this.#now = new Map(state);
    this.#writes = [];
    this.#acked = 0;
    this.#durable = 0;
  }

  async #verify(): Promise<void> {
    const report = await AuraDB.verify(directory, { fs: this.#fs, runtime: this.#runtime });
    expect(report.problems).toEqual([]);
    expect(this.#fs.openPaths()).toEqual([]);
  }

  // What is drawn.

  #level(): Durability {
    const dice = this.#random.below(10);
    return dice < 3 ? "buffered" : dice < 8 ? "os" : "sync";
  }

  /** A batch of the longest keys would be too large for these memtables. */
  #key(forBatch = false): string {
    const random = this.#random;
    const dice = random.below(10);
    if (dice < 4) return NASTY[random.below(NASTY.length - (forBatch ? 1 : 0))]!;
    if (dice < 8) return `k${random.below(60)}`;
    return `${PREFIX}${random.below(30)}`;
  }

  #valueOrDelete(): Buffer | undefined {
    const random = this.#random;
    if (random.below(5) === 0) return undefined;
    const t = this.#threshold;
    const sizes = [0, 1, 7, t - 1, t, t + 1, 3000, 9000];
    return this.#value(sizes[random.below(sizes.length)]!);
  }

  /** A value that no other write of this length has. Half of it repeats, so it can be compressed. */
  #value(length: number): Buffer {
    const value = Buffer.alloc(length, `${this.#valueCount++}.`);
    for (let i = 0; i < length / 2; i++) value[i] = this.#random.below(256);
    return value;
  }
}
