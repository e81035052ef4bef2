/**
 * What a run of random writes was promised, and the check of what a crash left. Every write has a marker
 * key of its own, so that an image tells which writes it holds: the acknowledged ones of its level,
 * none that was rejected, no hole, each one whole.
 */
import { type SimFs, simRuntime } from "@aura/base/testing";
import { expect } from "vitest";
import { AuraDB, type Durability } from "../../src/index.ts";
import { bounded } from "./fault-run.ts";
import { directory } from "./names-run.ts";

const RANK: Readonly<Record<Durability, number>> = { buffered: 0, os: 1, sync: 2 };

/** One change of a write. */
export interface Change {
  readonly key: string;
  /** Exclusive end of a range delete. */
  readonly end?: string;
  /** Length of a put's value; undefined: a delete. */
  readonly bytes?: number;
}

/** A write, and what became of it. */
export interface Write {
  readonly index: number;
  readonly changes: Change[];
  /** What it survives once it is acknowledged; later calls may carry it further. */
  level: Durability;
  /** Its place among the others is that of its call. */
  readonly isOrdered: boolean;
  outcome: "pending" | "acknowledged" | "rejected" | "unknown";
  code?: string;
}

/** What a crash left, and what has to be in it. */
export interface Image {
  readonly fs: SimFs;
  readonly isKill: boolean;
  readonly what: string;
  /** A process that was killed here can have left word of what failed. */
  readonly isKnown: boolean;
  /** Writes that have to be there. */
  readonly wanted: readonly number[];
  /** Writes that were begun by then. */
  readonly count: number;
}

/** Returns the value of a key that a write puts. */
export function contentOf(index: number, key: string, bytes: number): Buffer {
  return Buffer.alloc(bytes, `${index}:${key};`);
}

/** Returns the key that is a write's own. */
export function markerOf(index: number): string {
  return `m/${String(index).padStart(5, "0")}`;
}

/** Writes in the order of their calls. */
export class PromisedWrites {
  readonly list: Write[] = [];

  /** Notes a call, with its marker in front. */
  begin(changes: readonly Change[], level: Durability, isOrdered: boolean, bytes?: number): Write {
    const index = this.list.length;
    const marker = { key: markerOf(index), bytes: bytes ?? (changes.length % 7) + 1 };
    const write: Write = {
      index,
      changes: [marker, ...changes],
      level,
      isOrdered,
      outcome: "pending",
    };
    this.list.push(write);
    return write;
  }

  /** Those that a call made now carries to its level, if they are acknowledged. */
  before(): readonly Write[] {
    return this.list.filter((write) => write.isOrdered || write.outcome === "acknowledged");
  }

  /** Those that are acknowledged among the first `count`. */
  acknowledged(count: number): readonly Write[] {
    return this.list.slice(0, count).filter(({ outcome }) => outcome === "acknowledged");
  }

  /** Notes that `writes` survive what `level` says. */
  carry(writes: readonly Write[], level: Durability): void {
    for (const write of writes) if (RANK[write.level] < RANK[level]) write.level = level;
  }

  /** Takes an image: what a kill or a power loss leaves of `fs` now. */
  image(fs: SimFs, isKill: boolean, what: string, isKnown: boolean): Image {
    const least = isKill ? RANK.os : RANK.sync;
    const wanted = this.list.filter(
      ({ outcome, level }) => outcome === "acknowledged" && RANK[level] >= least,
    );
    return {
      fs,
      isKill,
      what,
      isKnown,
      wanted: wanted.map(({ index }) => index),
      count: this.list.length,
    };
  }

  /** The next session begins with these, and knows nothing of the others. */
  goOn(present: ReadonlySet<number>): void {
    for (const write of this.list) {
      const isThere = present.has(write.index);
      write.outcome = isThere ? "acknowledged" : "rejected";
      if (isThere) write.level = "sync";
    }
  }

  /**
   * Opens an image, checks all that it holds, and returns the writes that are there. `lossSeed`: power
   * is lost behind the open, which has made all of them durable.
   */
  async check(image: Image, seed: number, lossSeed?: number): Promise<ReadonlySet<number>> {
    const { fs, isKill, what } = image;
    const runtime = simRuntime(seed);
    const opening = AuraDB.open(directory, {}, { fs, runtime });
    const db = await bounded(`open ${what}`, opening, runtime);
    const present = new Set<number>();
    let lost: SimFs | undefined;
    try {
      for (const { index } of this.list) if (db.hasSync(markerOf(index))) present.add(index);
      const expected = this.#expect(image, present);
      const found = new Map([...db.scanSync()].map(([key, value]) => [key.toString(), value]));
      expect([...found.keys()], what).toEqual([...expected.keys()].sort());
      for (const [key, value] of expected) {
        expect(found.get(key)!.equals(value), `${what}: ${key}`).toBe(true);
      }
      if (lossSeed !== undefined && (!isKill || image.isKnown)) {
        lost = fs.crash({ seed: lossSeed });
      }
    } finally {
      await bounded("close", db.close(), runtime);
    }
    const report = await AuraDB.verify(directory, { fs, runtime });
    expect(report.problems, what).toEqual([]);
    if (lost !== undefined) {
      const wanted = [...present];
      const again = { ...image, fs: lost, isKill: false, what: `${what}, then a loss`, wanted };
      await this.check(again, seed);
    }
    return present;
  }

  /** Checks which writes are there; returns what they have written, by key. */
  #expect({ isKill, what, wanted, count }: Image, present: Set<number>): Map<string, Buffer> {
    for (const index of wanted) expect(present.has(index), `${what}: #${index}`).toBe(true);
    const expected = new Map<string, Buffer>();
    let missing: Write | undefined;
    for (const write of this.list) {
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
    return expected;
  }
}
