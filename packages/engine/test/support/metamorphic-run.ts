/**
 * Carries out a history on one database, under one variant of settings and of the world around it,
 * and writes its transcript. What a variant adds (changes of mode, flushes, answers that are awaited
 * late, the way in which restarts go) must not show in it.
 */
import { SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type DeleteRange, type Snapshot, WriteBatch } from "../../src/index.ts";
import {
  type Bounds,
  type Change,
  lineOf,
  type Move,
  putBytes,
  type Step,
} from "./metamorphic-history.ts";
import type { Variant } from "./metamorphic-variants.ts";
import { bytesOf } from "./model-state.ts";
import { openReal } from "./open-real.ts";

type Answer = Buffer | string | boolean | undefined;

function codeOf(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === undefined) throw error;
  return code;
}

/** Bounds with bytes in place of strings. */
function rangeOf(bounds: Bounds): Record<string, Buffer> {
  const entries = Object.entries(bounds) as [string, string][];
  return Object.fromEntries(entries.map(([name, key]) => [name, bytesOf(key)]));
}

/** One database in its world. */
export class MetamorphicRun {
  /** Over all sessions: a run means nothing unless the tree was built and rebuilt. */
  readonly tally = { flushes: 0, merges: 0 };
  readonly #variant: Variant;
  readonly #random: SeededRandom;
  readonly #directory: string;
  readonly #runtime: SimRuntime | undefined;
  #fs: SimFs | undefined;
  #db!: AuraDB;
  #held = new Map<number, Snapshot>();
  #pending: Promise<unknown>[] = [];
  readonly #calls: string[] | undefined;

  /**
   * `directory`: a fresh one on the real disk, for variants with threads. `calls` gets every call of
   * a simulated disk.
   */
  constructor(variant: Variant, seed: number, directory: string, calls?: string[]) {
    this.#calls = calls;
    this.#variant = variant;
    this.#random = new SeededRandom(seed);
    this.#directory = variant.world.isReal ? directory : "/db";
    if (variant.world.isReal) return;
    const runtime = simRuntime(seed, { autoAdvance: true, order: variant.world.order });
    this.#runtime = runtime;
    this.#fs = new SimFs(
      variant.world.isSlow ? { schedule: (task) => runtime.scheduler.nextTurn(task) } : {},
    );
  }

  /** Returns the transcript. */
  async transcript(steps: readonly Step[]): Promise<string[]> {
    await this.#open();
    const lines: (string | Promise<string>)[] = [];
    for (const step of steps) {
      if (this.#variant.isRestless) await this.#disturb();
      const line = this.#step(step);
      // A read answers for the moment of its call, however late it is looked at.
      if (this.#variant.isLate && isRead(step)) {
        line.catch(() => undefined);
        lines.push(line);
        this.#pending.push(line);
      } else lines.push(await line);
    }
    await this.#settle();
    await this.#close();
    const components = this.#runtime === undefined ? {} : { fs: this.#fs!, runtime: this.#runtime };
    const report = await AuraDB.verify(this.#directory, components);
    expect(report.problems).toEqual([]);
    return Promise.all(lines);
  }

  /** Names and bytes of all files of a simulated disk. */
  contents(): string {
    const fs = this.#fs!;
    return fs
      .list("/")
      .map((path) => `${path}\0${fs.readFile(path).toString("latin1")}`)
      .join("\0");
  }

  async #open(): Promise<void> {
    const { settings } = this.#variant;
    const calls = this.#calls;
    if (calls !== undefined) {
      this.#fs!.failAt({
        at: (kind, path, nth) => {
          calls.push(`${kind} ${path} ${nth} ${this.#fs!.bytesWritten} ${this.#fs!.bytesRead}`);
          return false;
        },
      });
    }
    this.#db =
      this.#runtime === undefined
        ? await openReal(this.#directory, settings)
        : await AuraDB.open(this.#directory, settings, { fs: this.#fs!, runtime: this.#runtime });
    this.#db.events.on("backgroundError", ({ error }) => {
      throw error;
    });
  }

  async #close(): Promise<void> {
    const { flushes, compactions } = this.#db.stats();
    this.tally.flushes += flushes.count;
    this.tally.merges += compactions.merges;
    await this.#db.close();
    if (this.#fs !== undefined) expect(this.#fs.openPaths()).toEqual([]);
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await Promise.all(pending);
  }

  /** What nobody asked for, and nobody may notice. */
  async #disturb(): Promise<void> {
    const random = this.#random;
    const dice = random.below(12);
    if (dice === 0) await this.#db.flush();
    else if (dice === 1) {
      const levels = Array.from({ length: 1 + random.below(6) }, () => ({
        runs: [1, 1, 2, 3, 8][random.below(5)]!,
      }));
      const modes = ["leveled", "tiered", "lazy-leveled", { levels }] as const;
      this.#db.setCompactionMode(modes[random.below(modes.length)]!);
    } else if (dice === 2) await this.#settle();
  }

  async #step(step: Step): Promise<string> {
    switch (step.kind) {
      case "write":
        await this.#write(step);
        return "";
      case "text":
        return this.#text(step.key, step.value);
      case "hold":
        this.#held.set(step.view, this.#db.snapshot());
        return "";
      case "release":
        // Late answers still read it.
        await this.#settle();
        this.#held.get(step.view)!.release();
        this.#held.delete(step.view);
        return "";
      case "flush":
        await this.#db.flush();
        return "";
      case "compact":
        await this.#db.compact();
        return "";
      case "idle":
        await this.#db.idle();
        return "";
      case "sync":
        await this.#db.sync();
        return "";
      case "restart":
        await this.#restart();
        return "";
      default:
        return this.#read(step);
    }
  }

  async #restart(): Promise<void> {
    await this.#settle();
    const { restart } = this.#variant.world;
    if (restart === "close" || this.#fs === undefined) await this.#close();
    else {
      await this.#db.sync();
      const image =
        restart === "kill"
          ? this.#fs.processKill()
          : this.#fs.crash({ seed: this.#random.uint32() });
      await this.#close();
      this.#fs = image;
    }
    await this.#open();
  }

  async #write(step: Extract<Step, { kind: "write" }>): Promise<void> {
    const db = this.#db;
    const options = { durability: step.level };
    const isSync =
      this.#variant.calls === "sync" ||
      (this.#variant.calls === "mixed" && this.#random.below(2) === 0);
    if (step.isBatch) {
      const batch = new WriteBatch();
      for (const change of step.changes) {
        if (change.kind === "put")
          batch.put(bytesOf(change.key), putBytes(change.size, change.stamp));
        else if (change.kind === "delete") batch.delete(bytesOf(change.key));
        else batch.deleteRange(deletedBy(change));
      }
      if (isSync) db.writeSync(batch, options);
      else this.#pending.push(db.write(batch, options));
    } else {
      for (const change of step.changes) this.#one(change, options, isSync);
    }
    if (!this.#variant.isLate) await this.#settle();
  }

  #one(change: Change, options: { durability: "buffered" | "os" | "sync" }, isSync: boolean): void {
    const db = this.#db;
    if (change.kind === "range") {
      const range = deletedBy(change);
      if (isSync) db.deleteRangeSync(range, options);
      else this.#pending.push(db.deleteRange(range, options));
      return;
    }
    const key = bytesOf(change.key);
    if (change.kind === "delete") {
      if (isSync) db.deleteSync(key, options);
      else this.#pending.push(db.delete(key, options));
    } else {
      const value = putBytes(change.size, change.stamp);
      if (isSync) db.putSync(key, value, options);
      else this.#pending.push(db.put(key, value, options));
      // Both are the caller's again.
      value.fill(0x5a);
    }
    key.fill(0x5a);
  }

  async #text(key: string, value: string | undefined): Promise<string> {
    try {
      if (value === undefined) await this.#db.delete(key);
      else await this.#db.putString(key, value);
      return lineOf([await this.#db.getString(key)]);
    } catch (error) {
      return codeOf(error);
    }
  }

  // Reads.

  async #read(step: Exclude<Step, { kind: "write" | "text" }>): Promise<string> {
    const db = this.#db;
    const view = "view" in step && step.view !== undefined ? this.#held.get(step.view)! : undefined;
    const options = view === undefined ? {} : { snapshot: view };
    const isSync = this.#variant.calls === "sync";
    if (step.kind === "get") {
      const keys = step.keys.map(bytesOf);
      if (isSync) return lineOf(keys.map((key) => db.getSync(key, options)));
      return lineOf(await Promise.all(keys.map((key) => db.get(key, options))));
    }
    if (step.kind === "has") {
      const keys = step.keys.map(bytesOf);
      if (isSync) return lineOf(keys.map((key) => db.hasSync(key, options)));
      return lineOf(await Promise.all(keys.map((key) => db.has(key, options))));
    }
    if (step.kind === "getMany") return lineOf(await db.getMany(step.keys.map(bytesOf), options));
    if (step.kind === "cursor") return this.#walk(step.bounds, step.moves, options, isSync);
    if (step.kind === "scan" || step.kind === "keys" || step.kind === "values") {
      const { reverse, limit } = step;
      const range = { ...rangeOf(step.bounds), reverse, limit, ...options };
      const found: Answer[] = [];
      if (step.kind === "scan") {
        if (isSync) for (const entry of db.scanSync(range)) found.push(...entry);
        else for await (const entry of db.scan(range)) found.push(...entry);
      } else if (step.kind === "keys") {
        if (isSync) found.push(...db.keysSync(range));
        else for await (const key of db.keys(range)) found.push(key);
      } else if (isSync) found.push(...db.valuesSync(range));
      else for await (const value of db.values(range)) found.push(value);
      return lineOf(found);
    }
    throw new Error(`no read: ${step.kind}`);
  }

  async #walk(
    bounds: Bounds,
    moves: readonly Move[],
    options: { snapshot?: Snapshot },
    isSync: boolean,
  ): Promise<string> {
    const cursor = this.#db.cursor({ ...rangeOf(bounds), ...options });
    try {
      const seen: Answer[] = [];
      for (const move of moves) {
        // A cursor that stands nowhere has no neighbour.
        const isOff = !cursor.valid && (move === "next" || move === "prev");
        const stands = isOff ? false : await moveTo(cursor, move, isSync);
        if (!stands) seen.push(false);
        else seen.push(cursor.key, isSync ? cursor.value : await cursor.readValue());
      }
      return lineOf(seen);
    } finally {
      cursor.close();
    }
  }
}

function isRead(step: Step): boolean {
  return ["get", "has", "getMany", "scan", "keys", "values", "cursor"].includes(step.kind);
}

function deletedBy(change: Extract<Change, { kind: "range" }>): DeleteRange {
  const gte = bytesOf(change.from);
  return change.isClosed ? { gte, lte: bytesOf(change.to) } : { gte, lt: bytesOf(change.to) };
}

async function moveTo(
  cursor: ReturnType<AuraDB["cursor"]>,
  move: Move,
  isSync: boolean,
): Promise<boolean> {
  if (move === "first") return isSync ? cursor.firstSync() : cursor.first();
  if (move === "last") return isSync ? cursor.lastSync() : cursor.last();
  if (move === "next") return isSync ? cursor.nextSync() : cursor.next();
  if (move === "prev") return isSync ? cursor.prevSync() : cursor.prev();
  return isSync ? cursor.seekSync(bytesOf(move.seek)) : cursor.seek(bytesOf(move.seek));
}
