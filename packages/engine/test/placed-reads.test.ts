/** Values that are read together: what a disk that turns slow may keep this thread waiting for. */
import { encodePointer, POINTER_BYTES, PointerReader, recordBytes } from "@aura/vlog";
import { expect, test } from "vitest";
import { PlacedReads } from "../src/placed-reads.ts";
import type { ValueStore } from "../src/value-store.ts";

const VALUE_BYTES = 10_000;
const COUNT = 20;
const key = Uint8Array.of(7);

/** A store whose value at a place is that many bytes of what its place is in records. */
function fakeStore(): { store: ValueStore; sync: number[]; pooled: number[] } {
  const sync: number[] = [];
  const pooled: number[] = [];
  const pointer = new PointerReader();
  const fetched = (start: number, end: number): Buffer => Buffer.alloc(end - start, start);
  const store = {
    decode: (bytes: Uint8Array, start: number, end: number) => {
      pointer.read(bytes, start, end);
      return pointer;
    },
    cached: () => undefined,
    fetchSync: (_: number, start: number, end: number) => {
      sync.push(start);
      return fetched(start, end);
    },
    fetch: (_: number, start: number, end: number) => {
      pooled.push(start);
      return Promise.resolve(fetched(start, end));
    },
    takeFrom: (_: Buffer, start: number, pointers: Uint8Array, at: number) => {
      pointer.read(pointers, at, at + POINTER_BYTES);
      expect(pointer.offset).toBeGreaterThanOrEqual(start);
      return Buffer.from(String(pointer.offset));
    },
  };
  return { store: store as unknown as ValueStore, sync, pooled };
}

function reads(): { placed: PlacedReads; expected: string[] } {
  const placed = new PlacedReads("gets");
  const expected: string[] = [];
  for (let i = 0; i < COUNT; i++) {
    // The third value is wanted twice.
    const place = i === 3 ? 2 : i;
    const offset = place * recordBytes(key.length, VALUE_BYTES);
    const bytes = new Uint8Array(POINTER_BYTES);
    encodePointer(bytes, 0, 9, offset, VALUE_BYTES, VALUE_BYTES, 0);
    placed.add(key, bytes, 0, i);
    expected.push(String(offset));
  }
  return { placed, expected };
}

test.each([0, 1, 2, 3, 4, 19, 100])(
  "after %i reads on this thread the pool does the rest",
  async (most) => {
    const { placed, expected } = reads();
    const { store, sync, pooled } = fakeStore();
    let left = most;
    const timing = { maySync: () => left-- > 0, startMs: () => 0, note: () => undefined };
    const values: (Buffer | undefined)[] = [];
    await placed.resolve(store, timing, values);
    expect(values.map(String)).toEqual(expected);
    expect(sync.length).toBeLessThanOrEqual(Math.max(most, 0));
    expect(pooled.length).toBe(most < COUNT ? 1 : 0);
  },
);

test("on this thread each long value has a read and memory of its own", () => {
  const { placed, expected } = reads();
  const { store, sync } = fakeStore();
  const values: (Buffer | undefined)[] = [];
  placed.resolveSync(store, values);
  expect(values.map(String)).toEqual(expected);
  expect(sync.length).toBe(COUNT);
});
