/**
 * Reads a memtable while another thread writes it, and throws at the first thing that is wrong.
 * Bundled by the concurrency test.
 */
import { workerData } from "node:worker_threads";
import { compareBytes, type EntryCursor, SEQ_MAX } from "@aura/base";
import { attachMemtable, type MemtableReader, type MemtableShare } from "../src/index.ts";
import {
  Control,
  newKey,
  type Order,
  VALUE_BYTES,
  writeKey,
  writeValue,
} from "./concurrent-entries.ts";

interface Setup {
  readonly share: MemtableShare;
  readonly control: SharedArrayBuffer;
  readonly seed: number;
  readonly order: Order;
}

const { share, control, seed, order: keyOrder } = workerData as Setup;
const value = new Uint8Array(VALUE_BYTES);

function checkValue(bytes: Uint8Array, start: number, end: number, key: Uint8Array, seq: number) {
  writeValue(value, key, seq);
  if (compareBytes(bytes, start, end, value, 0, VALUE_BYTES) !== 0) {
    throw new Error(`entry ${seq} has a torn value`);
  }
}

function checkEntry(cursor: EntryCursor, key: Uint8Array): void {
  writeKey(key, cursor.seq - 1, keyOrder);
  if (compareBytes(cursor.keyBytes, cursor.keyStart, cursor.keyEnd, key, 0, key.length) !== 0) {
    throw new Error(`entry ${cursor.seq} has a torn key`);
  }
  checkValue(cursor.valueBytes, cursor.valueStart, cursor.valueEnd, key, cursor.seq);
}

/** Walks everything in order; sees at least what was complete before. */
function walk(view: MemtableReader): void {
  const key = newKey();
  const last = newKey();
  const counted = view.entryCount;
  let lastSeq = 0;
  let seen = 0;
  const cursor = view.cursor();
  for (cursor.first(); cursor.valid; cursor.next()) {
    checkEntry(cursor, key);
    const order = compareBytes(last, 0, last.length, key, 0, key.length);
    if (seen > 0 && (order > 0 || (order === 0 && cursor.seq >= lastSeq))) {
      throw new Error(`entry ${cursor.seq} stands behind ${lastSeq}`);
    }
    last.set(key);
    lastSeq = cursor.seq;
    if (cursor.seq <= counted) seen++;
  }
  if (seen !== counted) throw new Error(`a walk saw ${seen} of ${counted}`);
}

/** Looks at the front of the list and for the newest entry, where a write is most likely felt. */
function watch(view: MemtableReader): void {
  const key = newKey();
  const cursor = view.cursor();
  for (let round = 0; round < 5000; round++) {
    const counted = view.entryCount;
    cursor.first();
    for (let step = 0; step < 3 && cursor.valid; step++) {
      // Every other time the link of the newest node is followed at once.
      if (step > 0 || round % 2 === 0) checkEntry(cursor, key);
      if (keyOrder === "front" && step === 0 && cursor.seq < counted) {
        throw new Error(`the front is entry ${cursor.seq} of ${counted}`);
      }
      cursor.next();
    }
    if (!cursor.valid && counted > 3) throw new Error("the list ends early");
    if (counted === 0) continue;
    writeKey(key, counted - 1, keyOrder);
    if (!view.find(key, 0, key.length, counted) || view.hitSeq !== counted) {
      throw new Error(`entry ${counted} is complete and not found`);
    }
    checkValue(view.bytes, view.hitValueStart, view.hitValueEnd, key, counted);
  }
}

/** Finds entries that were complete before, the newest ones above all. */
function findSome(view: MemtableReader, random: () => number): void {
  const key = newKey();
  const cursor = view.cursor();
  for (let round = 0; round < 500; round++) {
    const counted = view.entryCount;
    if (counted === 0) return;
    const back = round % 2 === 0 ? random() % counted : random() % Math.min(counted, 8);
    const i = counted - 1 - back;
    writeKey(key, i, keyOrder);
    if (!view.find(key, 0, key.length, i + 1) || view.hitSeq !== i + 1) {
      throw new Error(`entry ${i + 1} of ${counted} is not found`);
    }
    checkValue(view.bytes, view.hitValueStart, view.hitValueEnd, key, i + 1);
    if (!view.find(key, 0, key.length, SEQ_MAX) || view.hitSeq < i + 1) {
      throw new Error(`no version of entry ${i + 1} is found`);
    }
    cursor.seekBefore(key, 0, key.length);
    if (cursor.valid) {
      checkEntry(cursor, newKey());
      cursor.prev();
      if (cursor.valid) checkEntry(cursor, newKey());
    }
  }
}

const words = new Int32Array(control);
const view = attachMemtable(share);
let state = seed | 1;
const random = (): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};
Atomics.add(words, Control.ready, 1);
Atomics.notify(words, Control.ready);
for (let last = false; ; ) {
  last = Atomics.load(words, Control.stop) === 1;
  watch(view);
  findSome(view, random);
  Atomics.add(words, Control.finds, 1);
  walk(view);
  Atomics.add(words, Control.walks, 1);
  if (last) break;
}
