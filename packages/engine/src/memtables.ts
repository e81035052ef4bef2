/**
 * The memtables: one that takes writes, and sealed ones that wait for their flush, oldest first.
 *
 * Arenas come from the process-wide pool and go back to it when the flush is installed and the last
 * cursor over the memtable is closed: whoever reads a memtable across a turn holds it with `hold`.
 */
import { assert, Kind } from "@aura/base";
import type { Memtable, MemtableImplementation, MemtableShare } from "@aura/memtable";
import { ArenaPool, createMemtable } from "@aura/memtable";
import { encodePointer, POINTER_BYTES, recordBytes } from "@aura/vlog";
import type { DeletedValues } from "./deleted-values.ts";
import { OperationReader } from "./operations.ts";
import type { OverwrittenValues } from "./overwritten-values.ts";
import { MemtableRanges, rangeBytesMax } from "./range-tombstones.ts";

/** One memtable and what flushing it has to know. */
export class MemtableEntry {
  readonly table: Memtable;
  readonly #pool: ArenaPool;
  readonly #buffer: SharedArrayBuffer;
  /** Sequence numbers of its entries lie in (afterSeq, lastSeq]. */
  readonly afterSeq: number;
  lastSeq: number;
  /** Bytes of separated values that its pointers name. */
  valueBytes = 0;
  /** Of them, those of keys that were new (new-keys.ts). */
  newKeyBytes = 0;
  /** About what its deletes, and its range deletes, take away of values (deleted-values.ts). */
  deletedBytes = 0;
  coveredBytes = 0;
  /** About what its puts take away of values beyond what they bring, and what puts took away of its own (overwritten-values.ts). */
  takenBytes = 0;
  goneBytes = 0;
  /** Of `goneBytes`, those that puts took away after it was sealed. */
  goneLaterBytes = 0;
  /** Its range tombstones; undefined for none. */
  ranges: MemtableRanges | undefined;
  /** What they take of the memtable. */
  rangeBytes = 0;
  /** Sequence number of the newest entry: newer tombstones cover all that they reach. */
  lastEntrySeq = -1;
  /** A flush job reads it. */
  flushing = false;

  constructor(
    pool: ArenaPool,
    bytes: number,
    implementation: MemtableImplementation,
    seed: number,
    afterSeq: number,
  ) {
    this.#pool = pool;
    this.#buffer = pool.acquire(bytes);
    this.table = createMemtable(implementation, this.#buffer, { seed });
    this.afterSeq = afterSeq;
    this.lastSeq = afterSeq;
  }

  /** Whether it holds nothing. */
  get isEmpty(): boolean {
    return this.table.entryCount === 0 && this.ranges === undefined;
  }

  /** What a flush job needs. */
  share(): MemtableShare {
    return this.table.share();
  }

  /** Keeps the arena until `release` is called once more. */
  hold(): void {
    this.#pool.retain(this.#buffer);
  }

  release(): void {
    this.#pool.release(this.#buffer);
  }
}

/** What memtables are like. */
export interface MemtableLimits {
  readonly implementation: MemtableImplementation;
  readonly bytes: number;
  readonly countMax: number;
}

/** More than a memtable takes of an arena before its first entry. */
const ARENA_OVERHEAD = 16384;

const pointer = new Uint8Array(POINTER_BYTES);

/** The active and the sealed memtables. */
export class Memtables {
  readonly #pool = new ArenaPool();
  readonly #limits: MemtableLimits;
  readonly #drawSeed: () => number;
  readonly #operations = new OperationReader();
  #active: MemtableEntry;
  #sealed: MemtableEntry[] = [];
  /** Bytes of separated values that operations named, over all time. */
  valueBytesAdded = 0;
  /** Bytes of separated values that deletes and inline puts took away, about, over all time. */
  valueBytesTaken = 0;
  /** Whether a key is surely in no memtable and no table; until it is set, none is. */
  isNewKey: (bytes: Uint8Array, start: number, end: number) => boolean = () => false;
  /** What deletes take away; until it is set, nothing. */
  deleted: Pick<DeletedValues, "ofKey" | "ofRange"> | undefined;
  /** What inline puts take away; until it is set, nothing. */
  overwritten: Pick<OverwrittenValues, "ofPut" | "noteFlushed"> | undefined;
  /** Most bytes that one group may need: what an empty memtable has room for. */
  readonly groupBytesMax: number;

  constructor(limits: MemtableLimits, drawSeed: () => number, lastSeq: number) {
    this.#limits = limits;
    this.#drawSeed = drawSeed;
    this.#active = this.#make(lastSeq);
    this.groupBytesMax = this.#active.table.roomBytes;
  }

  get active(): MemtableEntry {
    return this.#active;
  }

  /** Sealed memtables, oldest first. */
  get sealed(): readonly MemtableEntry[] {
    return this.#sealed;
  }

  /** Bytes in use in all memtables. */
  get usedBytes(): number {
    let bytes = this.#active.table.usedBytes + this.#active.rangeBytes;
    for (const { table, rangeBytes } of this.#sealed) bytes += table.usedBytes + rangeBytes;
    return bytes;
  }

  hasRoom(bytes: number): boolean {
    return bytes + this.#active.rangeBytes <= this.#active.table.roomBytes;
  }

  /** Whether another memtable may be made within the limit. */
  get maySeal(): boolean {
    return this.#sealed.length + 1 < this.#limits.countMax;
  }

  /** Seals the active memtable and begins a new one. Precondition: it holds something. */
  seal(): MemtableEntry {
    const memtable = this.#active;
    assert(!memtable.isEmpty, "an empty memtable is not sealed");
    this.#active = this.#make(memtable.lastSeq);
    this.#sealed.push(memtable);
    return memtable;
  }

  /**
   * Makes room for a group whatever its size: recovery may meet one that was written with larger
   * memtables.
   */
  makeRoom(bytes: number): void {
    if (this.hasRoom(bytes)) return;
    const old = this.#active;
    const size = Math.max(this.#limits.bytes, Math.ceil((bytes + ARENA_OVERHEAD) / 4) * 4);
    this.#active = this.#make(old.lastSeq, size);
    if (!old.isEmpty) this.#sealed.push(old);
    else old.release();
  }

  /** Forgets the oldest sealed memtable, whose entries are in tables now. */
  dropOldest(memtable: MemtableEntry): void {
    assert(this.#sealed[0] === memtable, "memtables are flushed in order");
    this.#sealed.shift();
    memtable.release();
  }

  /**
   * Inserts the operations bytes[start, end) of a group, beginning with `firstSeq`. Their separated
   * values that are not far stand at `attachedOffset` of `file`. Precondition: there is room.
   */
  apply(
    bytes: Uint8Array,
    start: number,
    end: number,
    firstSeq: number,
    file: number,
    attachedOffset: number,
  ): number {
    const operations = this.#operations;
    const active = this.#active;
    operations.reset(bytes, start, end, "group", 0);
    let seq = firstSeq;
    while (operations.next()) {
      const { tag, keyStart, keyEnd } = operations;
      let fits: boolean;
      if (tag === Kind.rangeDelete) {
        const begin = new Uint8Array(bytes.subarray(keyStart, keyEnd));
        active.coveredBytes += this.deleted?.ofRange(begin, operations.rangeEnd) ?? 0;
        addRange(active, begin, operations.rangeEnd, seq++);
        continue;
      }
      if (tag === Kind.pointer) {
        encodePointer(
          pointer,
          0,
          operations.file === 0 ? file : operations.file,
          operations.file === 0 ? attachedOffset + operations.offset : operations.offset,
          operations.stored,
          operations.raw,
          operations.codec,
        );
        const valueBytes = recordBytes(keyEnd - keyStart, operations.stored);
        if (this.isNewKey(bytes, keyStart, keyEnd)) active.newKeyBytes += valueBytes;
        else this.#countTaken(bytes, keyStart, keyEnd, valueBytes);
        active.valueBytes += valueBytes;
        this.valueBytesAdded += valueBytes;
        fits = active.table.add(seq, tag, bytes, keyStart, keyEnd, pointer, 0, POINTER_BYTES);
      } else {
        if (tag === Kind.delete) {
          const deletedBytes = this.deleted?.ofKey(bytes, keyStart, keyEnd) ?? 0;
          active.deletedBytes += deletedBytes;
          this.valueBytesTaken += deletedBytes;
        } else this.#countTaken(bytes, keyStart, keyEnd, 0);
        const valueStart = tag === Kind.value ? operations.valueStart : 0;
        const valueEnd = tag === Kind.value ? operations.valueEnd : 0;
        fits = active.table.add(seq, tag, bytes, keyStart, keyEnd, bytes, valueStart, valueEnd);
      }
      assert(fits, "room for a group was checked before");
      active.lastEntrySeq = seq++;
    }
    active.lastSeq = seq - 1;
    return seq - firstSeq;
  }

  /** Counts what a put takes away; `newBytes`: of its own value, 0 if that is inline. */
  #countTaken(bytes: Uint8Array, keyStart: number, keyEnd: number, newBytes: number): void {
    const takenBytes = this.overwritten?.ofPut(bytes, keyStart, keyEnd, newBytes) ?? 0;
    this.#active.takenBytes += takenBytes;
    this.valueBytesTaken += takenBytes;
  }

  /** Gives all arenas back. */
  close(): void {
    for (const memtable of this.#sealed) memtable.release();
    this.#sealed = [];
    this.#active.release();
  }

  #make(lastSeq: number, bytes: number = this.#limits.bytes): MemtableEntry {
    const { implementation } = this.#limits;
    return new MemtableEntry(this.#pool, bytes, implementation, this.#drawSeed(), lastSeq);
  }
}

function addRange(memtable: MemtableEntry, begin: Uint8Array, end: Uint8Array, seq: number): void {
  memtable.ranges ??= new MemtableRanges();
  memtable.ranges.add({ begin, end, seq });
  memtable.rangeBytes += rangeBytesMax(begin.length, end.length);
}
