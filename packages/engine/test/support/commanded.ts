/**
 * A database and its model as commands of fast-check see them. Each command is carried out on both, one
 * after the other; what a failing history has too much is left out by the shrinker, so commands hold
 * their values themselves and draw nothing.
 */
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import {
  AuraDB,
  type Durability,
  type Settings,
  type Snapshot,
  WriteBatch,
} from "../../src/index.ts";
import {
  apply,
  bytesOf,
  type Change,
  expectEntries,
  expectSame,
  isRange,
  type State,
  sameStates,
  select,
} from "./model-state.ts";
import { WatchedFs } from "./watched-fs.ts";

const directory = "/db";

export type CrashKind = "power" | "kill";

/** What a crash leaves, and how much of the history has to be there. */
interface Image {
  readonly fs: SimFs;
  readonly least: number;
}

/** The model: states of a map, and how much of the history no crash takes away. */
export class CommandModel {
  /** What was durable when this database was opened, and the writes since. */
  base: State = new Map();
  writes: (readonly Change[])[] = [];
  now: State = new Map();
  acked = 0;
  durable = 0;
  readonly held: State[] = [];

  write(changes: readonly Change[], level: Durability): void {
    this.writes.push(changes);
    apply(this.now, changes);
    if (level === "os") this.acked = this.writes.length;
    if (level === "sync") this.makeDurable();
  }

  makeDurable(): void {
    this.acked = this.writes.length;
    this.durable = this.writes.length;
  }

  /** Goes on from a state: nothing of the past counts any more, and no snapshot outlives a process. */
  goOn(state: State): void {
    this.base = new Map(state);
    this.now = new Map(state);
    this.writes = [];
    this.acked = 0;
    this.durable = 0;
    this.held.length = 0;
  }
}

/** The real side. */
export class CommandedDb {
  readonly #runtime: SimRuntime;
  readonly #settings: Settings;
  readonly #held: Snapshot[] = [];
  #fs = new SimFs();
  #db!: AuraDB;
  /** Operations of the disk until an image is taken; 0: none will be. */
  #imageIn = 0;
  #takeImage: (() => Image) | undefined;
  #image: Image | undefined;

  constructor(settings: Settings, seed: number) {
    this.#settings = settings;
    this.#runtime = simRuntime(seed, { autoAdvance: true, order: "random" });
  }

  get db(): AuraDB {
    return this.#db;
  }

  async open(): Promise<void> {
    const fs = new WatchedFs(this.#fs, () => {
      if (this.#imageIn === 0 || --this.#imageIn > 0) return;
      this.#image = this.#takeImage!();
    });
    this.#db = await AuraDB.open(directory, this.#settings, { fs, runtime: this.#runtime });
    this.#db.events.on("backgroundError", ({ error }) => {
      throw error;
    });
  }

  async write(changes: readonly Change[], level: Durability, isSync: boolean): Promise<void> {
    const options = { durability: level };
    const [one] = changes;
    if (changes.length === 1 && !isRange(one!)) {
      const [key, value] = one!;
      if (value === undefined) {
        if (isSync) this.#db.deleteSync(bytesOf(key), options);
        else await this.#db.delete(bytesOf(key), options);
      } else if (isSync) this.#db.putSync(bytesOf(key), value, options);
      else await this.#db.put(bytesOf(key), value, options);
      return;
    }
    const batch = new WriteBatch();
    for (const change of changes) {
      if (isRange(change)) batch.deleteRange(change.range);
      else if (change[1] === undefined) batch.delete(bytesOf(change[0]));
      else batch.put(bytesOf(change[0]), change[1]);
    }
    if (isSync) this.#db.writeSync(batch, options);
    else await this.#db.write(batch, options);
  }

  hold(): void {
    this.#held.push(this.#db.snapshot());
  }

  heldAt(at: number): Snapshot {
    return this.#held[at]!;
  }

  release(at: number): void {
    const [snapshot] = this.#held.splice(at, 1);
    snapshot!.release();
  }

  /** Takes what a crash leaves: at once, or ahead of one of the operations of the disk to come. */
  arm(kind: CrashKind, after: number, seed: number, model: CommandModel): void {
    const fs = this.#fs;
    this.#takeImage = () => ({
      fs: kind === "kill" ? fs.processKill() : fs.crash({ seed, names: "any" }),
      least: kind === "kill" ? model.acked : model.durable,
    });
    this.#imageIn = after;
    if (after === 0) this.#image = this.#takeImage();
  }

  /** Goes on in what a crash left, if there was one: it has to be a prefix of the history. */
  async settle(model: CommandModel): Promise<void> {
    if (this.#image === undefined) return;
    const { fs, least } = this.#image;
    // The one that goes on is the image; the process that took it ends behind it.
    await this.#end();
    this.#fs = fs;
    await this.open();
    const found: State = new Map();
    for (const [key, value] of this.#db.scanSync()) found.set(key.toString("latin1"), value);
    const state = new Map(model.base);
    for (const changes of model.writes.slice(0, least)) apply(state, changes);
    const later = model.writes.slice(least);
    while (!sameStates(found, state) && later.length > 0) apply(state, later.shift()!);
    expect(sameStates(found, state), `a prefix of at least ${least} writes`).toBe(true);
    model.goOn(state);
  }

  async reopen(model: CommandModel): Promise<void> {
    await this.close();
    await this.open();
    model.goOn(model.now);
    await this.compare(model.now);
  }

  async compare(state: State, snapshot?: Snapshot): Promise<void> {
    const options = snapshot === undefined ? {} : { snapshot };
    const wanted = select(state, () => true, false);
    expectEntries([...this.#db.scanSync(options)], wanted);
    const backwards: [Buffer, Buffer][] = [];
    for await (const entry of this.#db.scan({ ...options, reverse: true })) backwards.push(entry);
    expectEntries(backwards, wanted.toReversed());
    for (const [key, value] of wanted) {
      expectSame(await this.#db.get(bytesOf(key), options), value, key);
    }
  }

  async close(): Promise<void> {
    await this.#end();
    const report = await AuraDB.verify(directory, { fs: this.#fs, runtime: this.#runtime });
    expect(report.problems).toEqual([]);
  }

  async #end(): Promise<void> {
    for (const snapshot of this.#held.splice(0)) snapshot.release();
    await this.#db.close();
    this.#image = undefined;
    this.#imageIn = 0;
    expect(this.#fs.openPaths()).toEqual([]);
  }
}
