/**
 * Insert and get of a memtable against a Map with a sort at the end, and against a sorted array of
 * objects: fixed work, fixed seed, interleaved rounds; medians of nanoseconds per operation.
 *
 *   node packages/memtable/bench/insert-get.bench.mjs [entries] [rounds]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsup";

const ENTRIES = Number(process.argv[2] ?? 200_000);
const ROUNDS = Number(process.argv[3] ?? 5);
const VALUE_BYTES = 100;
const ARENA_BYTES = 256 * 1024 * 1024;

const { SkipListMemtable, ArenaPool } = await load("../src/index.ts");
const arena = new ArenaPool().acquire(ARENA_BYTES);

/** Bundles a source file, so that the figures are those of the sources as they stand. */
async function load(source) {
  const directory = mkdtempSync(join(tmpdir(), "aura-bench-"));
  await build({
    config: false,
    entry: { bundle: fileURLToPath(new URL(source, import.meta.url)) },
    outDir: directory,
    format: "esm",
    outExtension: () => ({ js: ".mjs" }),
    target: "node20",
    noExternal: [/^@aura\//],
    external: ["xxhash-wasm"],
    esbuildOptions: (options) => {
      options.conditions = ["@aura/source"];
    },
    silent: true,
  });
  const module = await import(pathToFileURL(join(directory, "bundle.mjs")).href);
  rmSync(directory, { recursive: true });
  return module;
}

function shuffled(count, seed) {
  const order = Array.from({ length: count }, (_, i) => i);
  let state = seed;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Key sets: zero-padded decimals (16 B), big-endian numbers (8 B), user names with a hash (20 B). */
const KEY_SETS = {
  decimal16: (i) => Buffer.from(String(i).padStart(16, "0")),
  binary8: (i) => {
    const key = Buffer.alloc(8);
    key.writeUInt32BE(Math.floor(i / 65536), 2);
    key.writeUInt16BE(i % 65536, 6);
    return key;
  },
  hashed20: (i) => Buffer.from(`user${String(Math.imul(i, 0x9e3779b1) >>> 0).padStart(16, "0")}`),
};

const value = Buffer.alloc(VALUE_BYTES, 7);

function now() {
  return Number(process.hrtime.bigint());
}

function compare(a, b) {
  return Buffer.compare(a.key, b.key);
}

const subjects = {
  skiplist(keys, insertOrder, getOrder) {
    const memtable = new SkipListMemtable(arena, { seed: 1 });
    const start = now();
    for (let i = 0; i < insertOrder.length; i++) {
      const key = keys[insertOrder[i]];
      memtable.add(i + 1, 1, key, 0, key.length, value, 0, VALUE_BYTES);
    }
    const inserted = now();
    let found = 0;
    for (let i = 0; i < getOrder.length; i++) {
      const key = keys[getOrder[i]];
      if (memtable.find(key, 0, key.length, Number.MAX_SAFE_INTEGER)) found++;
    }
    const got = now();
    let walked = 0;
    const cursor = memtable.cursor();
    for (cursor.first(); cursor.valid; cursor.next()) walked++;
    const end = now();
    if (found !== keys.length || walked !== keys.length) throw new Error("entries are missing");
    return [inserted - start, got - inserted, end - got];
  },
  map(keys, insertOrder, getOrder) {
    const map = new Map();
    const start = now();
    for (let i = 0; i < insertOrder.length; i++) {
      const key = keys[insertOrder[i]];
      map.set(key.latin1Slice(0, key.length), { key, seq: i, value: Buffer.from(value) });
    }
    const inserted = now();
    let found = 0;
    for (let i = 0; i < getOrder.length; i++) {
      const key = keys[getOrder[i]];
      if (map.get(key.latin1Slice(0, key.length)) !== undefined) found++;
    }
    const got = now();
    const sorted = [...map.values()].sort(compare);
    const end = now();
    if (found !== keys.length || sorted.length !== keys.length) throw new Error("missing");
    return [inserted - start, got - inserted, end - got];
  },
};

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

console.log(
  `${ENTRIES} entries, values of ${VALUE_BYTES} B, ${ROUNDS} rounds, node ${process.version}`,
);
console.log("ns per entry: insert / get / walk in order (the map sorts to walk)\n");
for (const [name, make] of Object.entries(KEY_SETS)) {
  const keys = Array.from({ length: ENTRIES }, (_, i) => make(i));
  const sortedKeys = keys.toSorted(Buffer.compare);
  const getOrder = shuffled(ENTRIES, 3);
  const orders = {
    random: [keys, shuffled(ENTRIES, 2)],
    ascending: [sortedKeys, Array.from({ length: ENTRIES }, (_, i) => i)],
  };
  for (const [orderName, [orderKeys, insertOrder]] of Object.entries(orders)) {
    const times = Object.fromEntries(Object.keys(subjects).map((subject) => [subject, []]));
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [subject, run] of Object.entries(subjects)) {
        const result = run(orderKeys, insertOrder, getOrder);
        // The first round warms up.
        if (round > 0) times[subject].push(result);
      }
    }
    for (const [subject, results] of Object.entries(times)) {
      const line = [0, 1, 2]
        .map((part) => (median(results.map((r) => r[part])) / ENTRIES).toFixed(0).padStart(6))
        .join(" /");
      console.log(`${name.padEnd(10)} ${orderName.padEnd(10)} ${subject.padEnd(9)} ${line}`);
    }
  }
}
