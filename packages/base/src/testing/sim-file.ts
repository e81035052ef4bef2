/**
 * One simulated file: what a reader sees (the cache), what the disk has, and the writes between.
 *
 * A disk writes whole 512-byte sectors. Each unsynced write gives every sector that it touches a
 * new version, holding all earlier writes to that sector as well: a crash leaves each sector at
 * one of its versions. A sync brings every touched sector, and the size, to its last version.
 * Sectors whose writing failed while the cache kept them ("lost") reach the disk only when
 * something dirties them again.
 */
import type { SeededRandom } from "../runtime.ts";
import { Pages, SECTOR_BYTES } from "./sim-pages.ts";

/** Which unsynced writes a power loss leaves in a file. */
export type CrashData = "none" | "all" | "prefix" | "any";

/** What a failed sync does to the data that it could not write. See `SimFault.sync`. */
export type FailedSync = "drop" | "keep" | "revert";

/** How a crash image is chosen. */
export interface CrashChoice {
  readonly random: SeededRandom;
  /** The first write that is not chosen whole may have some of its sectors on the disk. */
  readonly torn: boolean;
  /** What sectors hold that are inside the size, yet were never written. */
  readonly gaps: "zeros" | "garbage";
}

interface PendingWrite {
  /** Where the write begins; for a truncation the new size. */
  readonly position: number;
  /** Undefined: a truncation. */
  readonly bytes: Uint8Array | undefined;
  readonly sizeBefore: number;
  readonly sizeAfter: number;
}

function firstSector(write: PendingWrite): number {
  return Math.floor(write.position / SECTOR_BYTES);
}

/** One behind the last sector whose content the write changed. */
function sectorEnd(write: PendingWrite): number {
  const end = write.bytes === undefined ? write.sizeBefore : write.position + write.bytes.length;
  return end <= write.position ? firstSector(write) : Math.ceil(end / SECTOR_BYTES);
}

/** A file of `SimFs`. Not counted, not failed: that is `SimFs`' part. */
export class SimFile {
  /** Names that lead here, as running programs see it. */
  links = 0;
  /** Open handles. */
  opens = 0;
  /** Syncs that failed. */
  failedSyncs = 0;

  #cache = new Pages();
  #size = 0;
  #disk = new Pages();
  #diskSize = 0;
  #pending: PendingWrite[] = [];
  #lost = new Map<number, Uint8Array>();

  get size(): number {
    return this.#size;
  }

  /** Pages that take room on the volume. */
  get pages(): number {
    return this.#cache.allocated;
  }

  /** Returns whether writing at `position` needs a new page. */
  needsPage(position: number): boolean {
    return !this.#cache.has(position);
  }

  read(target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, this.#size - position));
    this.#cache.read(target, 0, count, position);
    return count;
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    const copy = bytes.slice();
    const sizeBefore = this.#size;
    this.#cache.write(copy, 0, copy.length, position);
    this.#size = Math.max(sizeBefore, position + copy.length);
    this.#pending.push({ position, bytes: copy, sizeBefore, sizeAfter: this.#size });
  }

  truncate(bytes: number): void {
    const sizeBefore = this.#size;
    if (bytes === sizeBefore) return;
    this.#cache.cut(bytes);
    this.#size = bytes;
    this.#pending.push({ position: bytes, bytes: undefined, sizeBefore, sizeAfter: bytes });
  }

  sync(): void {
    if (this.#lost.size === 0) {
      if (this.#pending.length > 0) this.#disk = this.#cache.fork();
      else this.#disk.cut(this.#size);
    } else {
      for (const write of this.#pending) {
        const end = sectorEnd(write);
        for (let sector = firstSector(write); sector < end; sector++) {
          this.#disk.write(this.#cache.sector(sector), 0, SECTOR_BYTES, sector * SECTOR_BYTES);
          this.#lost.delete(sector);
        }
      }
      this.#disk.cut(this.#size);
    }
    this.#diskSize = this.#size;
    this.#pending = [];
  }

  /** A sync that failed; `reached` of its writes got to the disk all the same. */
  failSync(mode: FailedSync, reached: CrashData, choice: CrashChoice): void {
    this.failedSyncs++;
    const touched = new Set(this.#lost.keys());
    for (const write of this.#pending) {
      for (let s = firstSector(write); s < sectorEnd(write); s++) touched.add(s);
    }
    const image = this.crash(reached, choice);
    this.#disk = image.#disk;
    this.#diskSize = image.#diskSize;
    this.#pending = [];
    this.#lost.clear();
    if (mode === "keep") {
      for (const s of touched) this.#lost.set(s, this.#cache.sector(s));
      return;
    }
    if (mode === "revert") this.#size = this.#diskSize;
    this.#cache = this.#disk.fork();
    if (this.#size === this.#diskSize) return;
    // The size is still on its way to the disk, and what a shorter size cuts off with it.
    const size = this.#size;
    this.#size = this.#diskSize;
    this.truncate(size);
  }

  /** Forgets cached sectors that are clean, yet not on the disk (see `FailedSync` "keep"). */
  dropCache(): void {
    const dirty = new Set<number>();
    for (const write of this.#pending) {
      for (let s = firstSector(write); s < sectorEnd(write); s++) dirty.add(s);
    }
    for (const sector of this.#lost.keys()) {
      if (dirty.has(sector)) continue;
      this.#cache.write(this.#disk.sector(sector), 0, SECTOR_BYTES, sector * SECTOR_BYTES);
      this.#lost.delete(sector);
    }
    this.#cache.cut(this.#size);
  }

  /** Changes a byte on the disk and in the cache, as rot does. */
  damage(offset: number, mask: number): void {
    for (const pages of [this.#disk, this.#cache]) {
      const byte = new Uint8Array(1);
      pages.read(byte, 0, 1, offset);
      byte[0]! ^= mask;
      pages.write(byte, 0, 1, offset);
    }
  }

  /** Returns the file as another process would find it: everything, synced or not. */
  fork(): SimFile {
    const other = new SimFile();
    other.#cache = this.#cache.fork();
    other.#size = this.#size;
    other.#disk = this.#disk.fork();
    other.#diskSize = this.#diskSize;
    other.#pending = this.#pending.slice();
    other.#lost = new Map(this.#lost);
    return other;
  }

  /** Returns the file as it stands on the disk after a power loss now. */
  crash(data: CrashData, choice: CrashChoice): SimFile {
    let pages: Pages;
    let size: number;
    const unchanged = this.#pending.length === 0 && this.#size === this.#diskSize;
    if (unchanged || data === "none") {
      pages = this.#disk.fork();
      size = this.#diskSize;
    } else if (data === "all") {
      const synced = this.fork();
      synced.sync();
      pages = synced.#disk;
      size = synced.#diskSize;
    } else {
      const versions = new Map<number, number>();
      size = data === "prefix" ? this.#prefix(versions, choice) : this.#subset(versions, choice);
      pages = this.#apply(versions);
      if (choice.gaps === "garbage") this.#fillGaps(pages, versions, size, choice.random);
      pages.cut(size);
    }
    const image = new SimFile();
    image.#disk = pages;
    image.#cache = pages.fork();
    image.#diskSize = size;
    image.#size = size;
    return image;
  }

  /** Chooses the first writes, in order, the next one perhaps torn. Returns the size. */
  #prefix(versions: Map<number, number>, choice: CrashChoice): number {
    const { random, torn } = choice;
    const whole = random.below(this.#pending.length + 1);
    for (let i = 0; i < whole; i++) this.#chooseWhole(versions, i);
    const size = whole === 0 ? this.#diskSize : this.#pending[whole - 1]!.sizeAfter;
    const next = this.#pending[whole];
    // Without a write that says so, the size may still be on its way.
    if (next === undefined) return random.below(2) === 0 ? size : this.#size;
    if (!torn || random.below(2) === 0) return size;
    const reached = this.#chooseTorn(versions, whole, random);
    switch (random.below(3)) {
      case 0:
        return size;
      case 1:
        return next.sizeAfter;
      default:
        if (next.bytes === undefined) return size;
        return Math.max(size, Math.min(reached * SECTOR_BYTES, next.sizeAfter));
    }
  }

  /** Chooses any writes. Returns a size that the file had, or one between. */
  #subset(versions: Map<number, number>, choice: CrashChoice): number {
    const { random, torn } = choice;
    const odds = 1 + random.below(7);
    for (let i = 0; i < this.#pending.length; i++) {
      if (random.below(8) >= odds) continue;
      if (torn && random.below(4) === 0) this.#chooseTorn(versions, i, random);
      else this.#chooseWhole(versions, i);
    }
    const low = Math.min(this.#diskSize, this.#size);
    const high = Math.max(this.#diskSize, this.#size);
    switch (random.below(5)) {
      case 0:
        return this.#diskSize;
      case 1:
        return low + random.below(high - low + 1);
      case 2:
        if (this.#pending.length === 0) return this.#diskSize;
        return this.#pending[random.below(this.#pending.length)]!.sizeAfter;
      default:
        return this.#size;
    }
  }

  #chooseWhole(versions: Map<number, number>, index: number): void {
    const write = this.#pending[index]!;
    const end = sectorEnd(write);
    for (let sector = firstSector(write); sector < end; sector++) versions.set(sector, index);
  }

  /** Chooses some sectors of a write. Returns one behind the last of them. */
  #chooseTorn(versions: Map<number, number>, index: number, random: SeededRandom): number {
    const write = this.#pending[index]!;
    const first = firstSector(write);
    const end = sectorEnd(write);
    const inOrder = random.below(2) === 0;
    const cut = first + random.below(end - first + 1);
    let reached = first;
    for (let sector = first; sector < end; sector++) {
      if (inOrder ? sector >= cut : random.below(2) === 0) continue;
      versions.set(sector, index);
      reached = sector + 1;
    }
    return reached;
  }

  /** Returns the disk with each sector at its chosen version (the index of its last write). */
  #apply(versions: ReadonlyMap<number, number>): Pages {
    const pages = this.#disk.fork();
    for (const [sector, bytes] of this.#lost) {
      if (versions.has(sector)) pages.write(bytes, 0, SECTOR_BYTES, sector * SECTOR_BYTES);
    }
    for (let i = 0; i < this.#pending.length; i++) {
      const write = this.#pending[i]!;
      const end = sectorEnd(write);
      for (let sector = firstSector(write); sector < end; sector++) {
        const version = versions.get(sector);
        if (version === undefined || version < i) continue;
        const from = Math.max(sector * SECTOR_BYTES, write.position);
        const to = (sector + 1) * SECTOR_BYTES;
        if (write.bytes === undefined) {
          pages.zero(from, to);
        } else {
          const stop = Math.min(to, write.position + write.bytes.length);
          pages.write(write.bytes, from - write.position, stop - write.position, from);
        }
      }
    }
    return pages;
  }

  /** Blocks that were allotted but never written hold what stood there before. */
  #fillGaps(
    pages: Pages,
    versions: ReadonlyMap<number, number>,
    size: number,
    random: SeededRandom,
  ): void {
    const first = Math.ceil(this.#diskSize / SECTOR_BYTES);
    const end = Math.ceil(size / SECTOR_BYTES);
    const known = Math.max(1, Math.ceil(this.#size / SECTOR_BYTES));
    for (let sector = first; sector < end; sector++) {
      if (versions.has(sector)) continue;
      // A piece of this very file that stands in the wrong place, or bytes of no meaning.
      const bytes = this.#cache.sector(random.below(known));
      if (random.below(2) === 0) {
        for (let i = 0; i < SECTOR_BYTES; i++) bytes[i] = random.below(256);
      }
      pages.write(bytes, 0, SECTOR_BYTES, sector * SECTOR_BYTES);
    }
  }
}
