import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FileHandle } from "../src/fs.ts";
import { SECTOR_BYTES, SimFs } from "../src/testing/index.ts";

/**
 * The naive description. A file is the list of all contents that it had since the last one that a
 * sync made durable. Names are the fold of all changes ever made, in order; each is durable or not.
 */
interface ModelFile {
  readonly id: number;
  contents: Buffer[];
}

interface Change {
  readonly assignments: readonly (readonly [path: string, file: number])[];
  durable: boolean;
}

const ABSENT = -1;

class Model {
  readonly files: ModelFile[] = [];
  readonly changes: Change[] = [];

  names(use: (change: Change) => boolean): Map<string, number> {
    const names = new Map<string, number>();
    for (const change of this.changes) {
      if (!use(change)) continue;
      for (const [path, file] of change.assignments) {
        if (file === ABSENT) names.delete(path);
        else names.set(path, file);
      }
    }
    return names;
  }

  change(...assignments: (readonly [string, number])[]): void {
    this.changes.push({ assignments, durable: false });
  }

  /**
   * A change is durable if it touches the directory, or a name that a durable change touched. Of a rename
   * that does so by its new name only, the old one may stay: that is a change of its own from then on.
   */
  syncDir(directory: string): void {
    const needed = new Set<string>();
    for (const change of [...this.changes].reverse()) {
      if (change.durable) continue;
      const { assignments } = change;
      const isTouched = ([at]: readonly [string, number]): boolean =>
        at.startsWith(`${directory}/`) || needed.has(at);
      const touched = assignments.filter(isTouched);
      if (touched.length === 0) continue;
      const isSplit = touched.length < assignments.length && touched[0]![1] !== ABSENT;
      const durable = isSplit ? touched : assignments;
      for (const [at] of durable) needed.add(at);
      const parts = [{ assignments: durable, durable: true }];
      const rest = assignments.filter((one) => !durable.includes(one));
      if (isSplit) parts.push({ assignments: rest, durable: false });
      this.changes.splice(this.changes.indexOf(change), 1, ...parts);
    }
  }
}

const PATHS = ["/d/a", "/d/b", "/e/a", "/e/b"];
const path = fc.constantFrom(...PATHS);
const length = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 400, max: 5000 }));
const position = fc.oneof(
  fc.constantFrom(0, 511, 512, 513, 4095, 4096),
  fc.integer({ min: 0, max: 9000 }),
);

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("create" as const), path }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      path,
      position,
      length,
      value: fc.integer({ min: 1, max: 255 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("truncate" as const), path, position }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("sync" as const), path }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename" as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("link" as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unlink" as const), path }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("syncDir" as const),
      path: fc.constantFrom("/d", "/e"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("kill" as const) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The file system under test, its model, and an open handle to each file (by its number). */
class Pair {
  fs = new SimFs();
  readonly model = new Model();
  #handles = new Map<number, FileHandle>();

  readonly #marked: boolean;

  /** `marked`: each file holds its number, synced, from the start. */
  constructor(marked = false) {
    this.#marked = marked;
    this.fs.makeDirectorySync("/d");
    this.fs.makeDirectorySync("/e");
    this.fs.syncDirSync("/");
  }

  run(step: Step): void {
    const { fs, model } = this;
    if (step.kind === "kill") {
      // Handles do not survive a kill: write only to what is created after it.
      this.fs = fs.processKill();
      this.#handles.clear();
      return;
    }
    if (step.kind === "syncDir") {
      fs.syncDirSync(step.path);
      model.syncDir(step.path);
      return;
    }
    const names = model.names(() => true);
    const id = names.get(step.path);
    if (step.kind === "create") {
      if (id !== undefined) return;
      const file = { id: model.files.length, contents: [Buffer.alloc(0)] };
      model.files.push(file);
      const handle = fs.openSync(step.path, "create");
      this.#handles.set(file.id, handle);
      if (this.#marked) {
        handle.writeSync(Buffer.from(String(file.id)), 0);
        handle.syncSync();
      }
      model.change([step.path, file.id]);
      return;
    }
    if (id === undefined) {
      expect(fs.existsSync(step.path)).toBe(false);
      return;
    }
    const file = model.files[id]!;
    const content = file.contents.at(-1)!;
    const handle = this.#handles.get(id);
    switch (step.kind) {
      case "write": {
        if (handle === undefined) return;
        const bytes = Buffer.alloc(step.length, step.value);
        handle.writeSync(bytes, step.position);
        if (step.length === 0) return;
        const next = Buffer.alloc(Math.max(content.length, step.position + step.length));
        content.copy(next);
        bytes.copy(next, step.position);
        file.contents.push(next);
        return;
      }
      case "truncate": {
        if (handle === undefined) return;
        handle.truncateSync(step.position);
        const next = Buffer.alloc(step.position);
        content.copy(next);
        file.contents.push(next);
        return;
      }
      case "sync":
        if (handle === undefined) return;
        handle.syncSync();
        file.contents = [content];
        return;
      case "rename":
        fs.renameSync(step.path, step.to);
        if (names.get(step.to) !== id) model.change([step.path, ABSENT], [step.to, id]);
        return;
      case "link":
        if (names.has(step.to)) return;
        fs.linkSync(step.path, step.to);
        model.change([step.to, id]);
        return;
      case "unlink":
        fs.unlinkSync(step.path);
        model.change([step.path, ABSENT]);
        return;
    }
  }
}

function sector(content: Buffer, index: number, size: number): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES);
  bytes.set(content.subarray(index * SECTOR_BYTES, Math.min(size, (index + 1) * SECTOR_BYTES)));
  return bytes;
}

/** Every sector is as one of the contents had it, as far as the size goes. */
function isMixOf(found: Buffer, contents: readonly Buffer[]): boolean {
  for (let index = 0; index * SECTOR_BYTES < found.length; index++) {
    const bytes = sector(found, index, found.length);
    if (!contents.some((content) => sector(content, index, found.length).equals(bytes)))
      return false;
  }
  return true;
}

function check(
  fs: SimFs,
  names: ReadonlyMap<string, number>,
  isAllowed: (found: Buffer, contents: readonly Buffer[]) => boolean,
  model: Model,
): void {
  expect(fs.list()).toEqual([...names.keys()].sort());
  for (const [at, id] of names) {
    if (!isAllowed(fs.readFile(at), model.files[id]!.contents)) expect.fail(`${at} is impossible`);
  }
}

function asText(names: ReadonlyMap<string, number>): string {
  return JSON.stringify([...names].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** No change is kept while an earlier one of the same name is not. */
function isOrdered(pending: readonly Change[], kept: ReadonlySet<Change>): boolean {
  const missing = new Set<string>();
  for (const change of pending) {
    const paths = change.assignments.map(([at]) => at);
    if (!kept.has(change)) for (const at of paths) missing.add(at);
    else if (paths.some((at) => missing.has(at))) return false;
  }
  return true;
}

const last = (found: Buffer, contents: readonly Buffer[]): boolean =>
  found.equals(contents.at(-1)!);
const first = (found: Buffer, contents: readonly Buffer[]): boolean => found.equals(contents[0]!);

describe("against the naive description", () => {
  it("shows running programs every change, and each crash an allowed outcome", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(1000), (steps, seed) => {
        const pair = new Pair();
        for (const one of steps) pair.run(one);
        const { fs, model } = pair;
        const all = model.names(() => true);
        const durable = model.names((change) => change.durable);
        check(fs, all, last, model);
        check(fs.processKill(), all, last, model);
        check(fs.crash({ seed, data: "all", names: "all" }), all, last, model);
        check(fs.crash({ seed, data: "none", names: "none" }), durable, first, model);
        check(fs.crash({ seed, data: "any", names: "all" }), all, isMixOf, model);
        check(fs.crash({ seed, data: "mixed", names: "none" }), durable, isMixOf, model);
        // In order: the contents before some point, with the next one perhaps torn.
        const inOrder = (found: Buffer, contents: readonly Buffer[]) =>
          contents.some((_, at) => isMixOf(found, contents.slice(at, at + 2)));
        check(fs.crash({ seed, data: "prefix", names: "all" }), all, inOrder, model);
        const whole = (found: Buffer, contents: readonly Buffer[]) =>
          contents.some((content) => isMixOf(found, [content]));
        check(fs.crash({ seed, data: "prefix", names: "all", torn: false }), all, whole, model);
        check(fs.processKill().crash({ seed, data: "prefix", names: "all" }), all, inOrder, model);
      }),
      { numRuns: 400 },
    );
  });

  it("keeps a prefix of the pending changes of names, or any part in each name's order", () => {
    const nameStep = step.filter(({ kind }) => !["write", "truncate", "sync"].includes(kind));
    fc.assert(
      fc.property(fc.array(nameStep, { maxLength: 25 }), fc.nat(1000), (steps, seed) => {
        const pair = new Pair(true);
        for (const one of steps) pair.run(one);
        const { fs, model } = pair;
        const found = (image: SimFs): string =>
          asText(new Map(image.list().map((at) => [at, Number(image.readFile(at).toString())])));
        const outcome = (kept: ReadonlySet<Change>): string =>
          asText(model.names((change) => change.durable || kept.has(change)));

        const pending = model.changes.filter((change) => !change.durable);
        const prefixes = new Set<string>();
        for (let count = 0; count <= pending.length; count++) {
          prefixes.add(outcome(new Set(pending.slice(0, count))));
        }
        expect(prefixes).toContain(found(fs.crash({ seed, names: "prefix" })));

        if (pending.length > 10) return;
        const parts = new Set<string>();
        for (let mask = 0; mask < 2 ** pending.length; mask++) {
          const kept = new Set(pending.filter((_, i) => (mask & (1 << i)) !== 0));
          if (isOrdered(pending, kept)) parts.add(outcome(kept));
        }
        expect(parts).toContain(found(fs.crash({ seed, names: "any" })));
      }),
      { numRuns: 400 },
    );
  });
});
