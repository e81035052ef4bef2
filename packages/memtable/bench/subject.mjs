/**
 * One subject over one family of keys, in a process of its own (`memtables.bench.mjs` starts it, so
 * that one structure does not spoil the compiled code of the next). Prints one line of JSON: wall and
 * processor nanoseconds per operation of each phase, and bytes in use after the inserts.
 *
 *   node packages/memtable/bench/subject.mjs BUNDLE SUBJECT FAMILY ENTRIES SEED
 */
import { keyFamilies, randomFrom, VALUE_BYTES } from "./key-families.mjs";
import { PlainSkipList } from "./plain-skip-list.mjs";

const [bundle, subject, family, entriesText, seedText] = process.argv.slice(2);
const ENTRIES = Number(entriesText);
const SEED = Number(seedText);
const SCANS = Math.ceil(ENTRIES / 10);
const HOT_KEYS = 100;
const { createMemtable, attachMemtable } = await import(bundle);

const keyOf = keyFamilies[family];
const present = Array.from({ length: ENTRIES }, (_, i) => keyOf(2 * i));
const absent = Array.from({ length: ENTRIES }, (_, i) => keyOf(2 * i + 1));
const value = Buffer.alloc(VALUE_BYTES, 7);
const longest = present.reduce((most, key) => Math.max(most, key.length), 0);
const arena = new SharedArrayBuffer(
  Math.ceil((ENTRIES * (longest + VALUE_BYTES + 40) * 1.15 + 65536) / 4) * 4,
);

function make() {
  if (subject === "plain") return new PlainSkipList(arena, { seed: SEED });
  return createMemtable(subject, arena, { seed: SEED });
}

function shuffle(keys, seed) {
  const random = randomFrom(seed);
  const copy = [...keys];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

/** Keys one behind the other, as an encoded batch holds them: the harness misses no cache itself. */
function packed(keys) {
  const ends = new Uint32Array(keys.length + 1);
  for (let i = 0; i < keys.length; i++) ends[i + 1] = ends[i] + keys[i].length;
  return { bytes: new Uint8Array(Buffer.concat(keys)), ends, count: keys.length };
}

const SEQ_MAX = Number.MAX_SAFE_INTEGER;

function insert(memtable, { bytes, ends, count }, seq) {
  for (let i = 0; i < count; i++) {
    if (!memtable.add(seq + i, 1, bytes, ends[i], ends[i + 1], value, 0, VALUE_BYTES)) {
      throw new Error("the arena is full");
    }
  }
}

function get(memtable, { bytes, ends, count }) {
  let found = 0;
  for (let i = 0; i < count; i++) {
    if (memtable.find(bytes, ends[i], ends[i + 1], SEQ_MAX)) found++;
  }
  return found;
}

/** Nineteen short scans to one insert, as YCSB's workload E. */
function scans(memtable, starts, fresh, seq) {
  const random = randomFrom(SEED);
  const cursor = memtable.cursor();
  let walked = 0;
  let next = 0;
  for (let i = 0; i < starts.count; i++) {
    if (i % 20 === 19) {
      const { bytes, ends } = fresh;
      memtable.add(seq + next, 1, bytes, ends[next], ends[next + 1], value, 0, VALUE_BYTES);
      next++;
      continue;
    }
    const length = 1 + Math.floor(random() * 100);
    cursor.seek(starts.bytes, starts.ends[i], starts.ends[i + 1]);
    for (let step = 0; step < length && cursor.valid; step++) {
      walked += cursor.keyEnd - cursor.keyStart;
      cursor.next();
    }
  }
  return walked;
}

/** What a flush does for order: a fresh view, and every entry once. */
function flush(memtable) {
  const view = subject === "plain" ? memtable : attachMemtable(memtable.share());
  const cursor = view.cursor();
  let walked = 0;
  let bytes = 0;
  for (cursor.first(); cursor.valid; cursor.next()) {
    walked++;
    bytes += cursor.keyBytes[cursor.keyStart] + cursor.seq;
  }
  return bytes > 0 ? walked : 0;
}

const result = { ns: {}, cpuNs: {}, bytes: 0 };

function phase(name, operations, run) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const answer = run();
  const took = Number(process.hrtime.bigint() - start);
  const used = process.cpuUsage(cpu);
  result.ns[name] = took / operations;
  result.cpuNs[name] = ((used.user + used.system) * 1000) / operations;
  return answer;
}

function expectCount(actual, expected, what) {
  if (actual !== expected) throw new Error(`${subject}, ${what}: ${actual}, not ${expected}`);
}

const orders = [1, 2].map((seed) => packed(shuffle(present, seed + SEED * 7)));
const misses = packed(shuffle(absent, 3));
const starts = packed(shuffle(present, 4).slice(0, SCANS));
const sorted = packed(present.toSorted(Buffer.compare));
const hot = packed(Array.from({ length: ENTRIES }, (_, i) => present[(i * 7919) % HOT_KEYS]));
// The first pass warms up; the second one counts.
for (let pass = 0; pass < 2; pass++) {
  let memtable = make();
  phase("insert random", ENTRIES, () => insert(memtable, orders[0], 1));
  result.bytes = memtable.usedBytes / ENTRIES;
  expectCount(
    phase("get hit", ENTRIES, () => get(memtable, orders[1])),
    ENTRIES,
    "hits",
  );
  expectCount(
    phase("get miss", ENTRIES, () => get(memtable, misses)),
    0,
    "misses",
  );
  expectCount(
    phase("flush scan", ENTRIES, () => flush(memtable)),
    ENTRIES,
    "flush",
  );
  phase("seek and scan", SCANS, () => scans(memtable, starts, misses, ENTRIES + 1));
  memtable = make();
  phase("insert ascending", ENTRIES, () => insert(memtable, sorted, 1));
  memtable = make();
  phase("overwrite hot", ENTRIES, () => insert(memtable, hot, 1));
  expectCount(
    phase("get hot", ENTRIES, () => get(memtable, hot)),
    ENTRIES,
    "hot",
  );
}
console.log(JSON.stringify(result));
