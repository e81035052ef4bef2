/**
 * The settings of a history's process, and what it must find when it opens the database: a prefix of
 * the history that is long enough, the same in every way of reading.
 */
import { applyChange, bytesOf, History, lengthOf } from "./history.mjs";

const KIB = 1024;

/** Small limits, so that logs rotate, memtables flush, levels merge and segments drain all the time. */
export function settingsOf(chance, settings) {
  return {
    memtable: {
      maxSize: 256 * KIB,
      maxCount: 2 + chance.below(3),
      implementation: chance.pick(["art", "art", "hash-runs", "btree", "skiplist"]),
    },
    wal: {
      maxFileSize: 64 * KIB * (1 + chance.below(4)),
      backgroundSyncBytes: chance.pick([0, 64 * KIB, 256 * KIB]),
      bufferedDelayMs: 1 + chance.below(10),
    },
    valueLog: {
      maxSegmentSize: 64 * KIB * (1 + chance.below(8)),
      separationThreshold: chance.pick([64, 1024, 1024, 8192]),
      compression: chance.pick(["none", "none", "lz4", "deflate"]),
      writeQueues: chance.pick([1, 1, 2, 4]),
    },
    table: {
      maxSize: 64 * KIB,
      blockSize: chance.pick([512, 4096]),
      compression: chance.pick(["none", "lz4", "deflate"]),
      filter: chance.pick(["bloom", "ribbon", "by-level", "none"]),
      prefixBytes: chance.pick([0, 0, 4]),
    },
    compaction: {
      mode: chance.pick(["leveled", "tiered", "lazy-leveled"]),
      baseLevelSize: 256 * KIB,
      fanout: 4,
      l0Trigger: 1 + chance.below(4),
    },
    learnedIndex: { modelType: chance.pick(["piecewise-linear", "radix-spline", "none"]) },
    cache: { capacity: chance.pick([0, 64 * KIB, 4096 * KIB]) },
    maxOpenFiles: chance.pick([16, 512]),
    ...settings,
  };
}

/** Returns the whole content, read forward, and proves that reading backward gives the same. */
function contentOf(db) {
  const state = new Map();
  const forward = [];
  for (const [key, value] of db.scanSync()) {
    const name = key.toString("latin1");
    forward.push(name);
    state.set(name, value);
  }
  const backward = [];
  for (const key of db.keysSync({ reverse: true })) backward.push(key.toString("latin1"));
  if (backward.reverse().join("\n") !== forward.join("\n")) {
    throw new Error("a scan backward found other keys than the scan forward");
  }
  for (const [name, value] of state) {
    if (db.getSync(Buffer.from(name, "latin1"))?.equals(value) !== true) {
      throw new Error(`get and scan disagree on ${JSON.stringify(name)}`);
    }
  }
  return state;
}

function describe(state, history, length) {
  const model = new Map();
  for (let i = 0; i < length; i++) {
    for (const change of history.operation(i).changes) applyChange(model, change);
  }
  const wrong = [];
  for (const [name, value] of model) {
    const found = state.get(name);
    const expected = value === undefined ? undefined : bytesOf(value);
    if (found === undefined ? expected === undefined : expected?.equals(found)) continue;
    const by = value === undefined ? "deleted" : `operation ${value.index}`;
    wrong.push(`${JSON.stringify(name.slice(0, 20))} (${found?.length} bytes, by ${by})`);
  }
  return `${wrong.length} keys differ at length ${length}: ${wrong.slice(0, 8).join("; ")}`;
}

/** Sets of operations that may all have been rejected, the empty one first. */
function* subsetsOf(indexes) {
  for (let bits = 0; bits < 2 ** indexes.length; bits++) {
    yield indexes.filter((_, at) => (bits >> at) & 1);
  }
}

/**
 * Reads the whole database; returns `{ length, voids }`: the length of the history that it holds,
 * between `least` and `most`, and the operations below it that change nothing. Throws when it holds
 * no such prefix. `voids` were rejected, `open` may have been: nobody was told.
 */
export function prefixIn(db, { seed, epochs, least, most, voids = [], open = [] }) {
  const state = contentOf(db);
  for (const more of subsetsOf(open)) {
    const all = [...voids, ...more];
    const length = lengthOf(new History(seed, epochs, all), state, least, most);
    if (length !== undefined) return { length, voids: all.filter((index) => index < length) };
  }
  const what = describe(state, new History(seed, epochs, voids), least);
  throw new Error(`the content is no prefix of ${least} to ${most} operations; ${what}`);
}
