/**
 * Prints what the block index of a table is, or what a model of a list of keys would be: type, lines,
 * how far bounds lie from them, memory against separators, blocks per look-up.
 *
 *   node tools/index/inspect.mjs FILE.sst [...]
 *   node tools/index/inspect.mjs KEYS.txt [--value 100] [--block 4096] [--model TYPE] [--error 0.5] [--no-cut]
 *
 * A key list has a key per line, in any order; it is written into a table in memory, with values of
 * `--value` bytes. "Predicted" blocks per look-up are what the index says, "measured" what look-ups of
 * every key, and of every key with a byte more, asked for (tables without a filter only).
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    value: { type: "string", default: "100" },
    block: { type: "string", default: "4096" },
    model: { type: "string", default: "piecewise-linear" },
    error: { type: "string", default: "0.5" },
    "no-cut": { type: "boolean", default: false },
  },
});
if (positionals.length === 0 || !positionals.every((path) => existsSync(path))) {
  console.error("usage: node tools/index/inspect.mjs FILE.sst | KEYS.txt [options]");
  process.exit(2);
}

const packages = fileURLToPath(new URL("../../packages/", import.meta.url));
// Inside `@aura/base`, where the packages that are left outside of the bundle resolve.
const folder = join(packages, "base/node_modules/.cache/aura");
mkdirSync(folder, { recursive: true });
const bundle = join(folder, "inspect.mjs");
await build({
  stdin: {
    contents: `
      export * from "@aura/base";
      export * from "@aura/sst";
      export { learnedIndex } from "@aura/learned-index";
      export { decodeModel } from "${packages}learned-index/src/model-format.ts";
      export { separatorIndex } from "${packages}sst/src/separator-index.ts";
    `,
    resolveDir: join(packages, "engine"),
  },
  bundle: true,
  format: "esm",
  platform: "node",
  conditions: ["@aura/source"],
  external: ["xxhash-wasm", "lz4-napi", "snappy", "@bokuweb/zstd-wasm", "fs-native-extensions"],
  outfile: bundle,
});
const aura = await import(pathToFileURL(bundle).href);
const { BlockCache, decodeModel, hashKey, learnedIndex, nodeFileSystem, SEQ_MAX } = aura;
const { Table, TableCounts, TableHit, TableWriter, separatorIndex } = aura;
await aura.hashReady();

const model = learnedIndex({
  modelType: options.model,
  errorBlocks: Number(options.error),
  cutBlocks: !options["no-cut"],
});

/** Opens a table, whatever database it is of; `seen` gets the model's bytes. */
function openTable(path, seen) {
  const header = aura.decodeFileHeader(readFileSync(path).subarray(0, 64), path);
  const watched = {
    ...model,
    decode(bytes, blockCount) {
      seen.model = decodeModel(bytes, blockCount);
      seen.bytes = bytes.length;
      return model.decode(bytes, blockCount);
    },
  };
  const { uid, number, databaseUuid } = header;
  const counts = new TableCounts();
  const cache = new BlockCache({ capacityBytes: 8 << 20 });
  const identity = { path, number, uid, databaseUuid, indexFormats: [watched], counts, cache };
  try {
    seen.seed = 0;
    return Table.openSync(nodeFileSystem, { ...identity, hashSeed: 0 });
  } catch (error) {
    // The seed stands in the table; only its filter needs it.
    if (typeof error.actual !== "number") throw error;
    seen.seed = error.actual;
    return Table.openSync(nodeFileSystem, { ...identity, hashSeed: error.actual });
  }
}

/** Writes the keys of a list into a table; returns its path. */
function writeList(path, directory) {
  const keys = [...new Set(readFileSync(path, "latin1").split("\n").filter(Boolean))];
  const sorted = keys.map((key) => Buffer.from(key, "latin1")).sort(Buffer.compare);
  const target = join(directory, `${basename(path)}.sst`);
  const file = nodeFileSystem.openSync(target, "create");
  const settings = { blockBytes: Number(options.block), bloomBitsPerKey: 0, index: [model] };
  const uid = { lo: 1, hi: 1 };
  const databaseUuid = new Uint8Array(16);
  const writer = new TableWriter(file, { databaseUuid, uid, number: 1, keyspace: 0, settings });
  const value = new Uint8Array(Number(options.value));
  for (const key of sorted) writer.add(key, 0, key.length, 1, 1, value, 0, value.length);
  writer.finishSync();
  file.closeSync();
  return target;
}

/** Returns the keys of a table. */
function keysOf(table) {
  const keys = [];
  const cursor = table.cursor({ mayRead: true, fillCache: false });
  for (cursor.first(); cursor.valid; cursor.next()) {
    keys.push(Buffer.from(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd)));
  }
  cursor.close();
  return keys;
}

function measure(table, keys, seed) {
  const hit = new TableHit();
  const before = table.counts.blocks.hits + table.counts.blocks.misses;
  for (const key of keys) {
    table.get(key, 0, key.length, hashKey(key, 0, key.length, seed), SEQ_MAX, hit, true);
  }
  const after = table.counts.blocks.hits + table.counts.blocks.misses;
  return ((after - before) / keys.length).toFixed(4);
}

/** Returns the memory that separators of the same blocks would take. */
function separatorBytes(table, keys) {
  const builder = separatorIndex.builder();
  builder.add(Buffer.alloc(0));
  let block = 0;
  for (let i = 1; i < keys.length; i++) {
    const at = table.locate(keys[i]);
    if (at === block) continue;
    block = at;
    let common = 0;
    while (keys[i - 1][common] === keys[i][common] && common < keys[i].length) common++;
    builder.add(keys[i].subarray(0, common + 1));
  }
  return separatorIndex.decode(builder.finish(), block + 1).residentBytes;
}

function describe(path) {
  const seen = {};
  const table = openTable(path, seen);
  const { summary } = table;
  const keys = keysOf(table);
  const print = (what, text) => console.log(`  ${what.padEnd(26)} ${text}`);
  console.log(path);
  print("entries, blocks", `${summary.entryCount}, ${summary.blockCount}`);
  print("index in use", table.indexName);
  print("index and offsets, memory", `${table.indexBytes} bytes`);
  if (seen.model !== undefined) {
    const { alphabets, segments, words, deep } = seen.model;
    print("model, on disk", `${seen.bytes} bytes`);
    print("separators, memory", `${separatorBytes(table, keys)} bytes`);
    print("prefix, positions", `${alphabets.prefix.length} bytes, ${alphabets.positions}`);
    print(
      "segments",
      `${segments.length}, ${(summary.blockCount / segments.length).toFixed(1)} blocks each`,
    );
    print("residuals", `${words.length * 4} bytes`);
    print("bounds kept as bytes", `${deep.blocks.length}`);
    const widths = new Map();
    for (const [s, { start, width }] of segments.entries()) {
      const end = segments[s + 1]?.start ?? summary.blockCount - 1;
      widths.set(width, (widths.get(width) ?? 0) + end - start);
    }
    for (const [width, blocks] of [...widths].sort((a, b) => a[0] - b[0])) {
      print(`bounds within ${width} bits`, `${blocks}`);
    }
  }
  const absent = keys.map((key) => Buffer.concat([key, Buffer.of(0x7e)]));
  print(
    "blocks per look-up",
    `predicted 1, measured ${measure(table, keys, seen.seed)} of keys, ${measure(table, absent, seen.seed)} of keys behind them`,
  );
  table.closeSync();
}

const directory = mkdtempSync(join(tmpdir(), "aura-inspect-"));
try {
  for (const path of positionals)
    describe(path.endsWith(".sst") ? path : writeList(path, directory));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
