/**
 * The longest seek after any pattern of writes: entries are added in bursts of 1 to as many as there
 * are, with seeks between the bursts, in a process that was warmed up. Prints, per implementation
 * and size of burst, the median, the 99.9th percentile and the longest of the seeks, and of the adds.
 *
 *   node packages/memtable/bench/seek-after-writes.bench.mjs [entries] [implementations]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsup";
import { randomFrom } from "./key-families.mjs";

const ENTRIES = Number(process.argv[2] ?? 1_000_000);
const implementations = process.argv[3]?.split(",") ?? ["art", "hash-runs", "btree", "skiplist"];
const BURSTS = [1, 100, 4095, 20_000, ENTRIES];
const SEEKS_MAX = 20_000;
const WARM_UP = 100_000;

const directory = mkdtempSync(join(tmpdir(), "aura-bench-"));
await build({
  config: false,
  entry: { bundle: fileURLToPath(new URL("../src/index.ts", import.meta.url)) },
  outDir: directory,
  format: "esm",
  outExtension: () => ({ js: ".mjs" }),
  target: "node20",
  noExternal: [/./],
  esbuildOptions: (options) => {
    options.conditions = ["@aura/source"];
  },
  silent: true,
});
const { createMemtable } = await import(pathToFileURL(join(directory, "bundle.mjs")).href);
rmSync(directory, { recursive: true });

const random = randomFrom(3);
const keys = new Uint8Array(ENTRIES * 16).map(() => random() * 256);
const value = new Uint8Array(100);
const arena = new SharedArrayBuffer(Math.ceil((ENTRIES * 170) / 4) * 4 + 65536);

function run(implementation, entries, burst) {
  const memtable = createMemtable(implementation, arena, { seed: 1 });
  const cursor = memtable.cursor();
  const seeks = [];
  const adds = [];
  // At the end there are as many seeks as it takes to catch up with all the writes.
  const every = Math.max(1, Math.ceil(entries / burst / SEEKS_MAX));
  let bursts = 0;
  const seek = () => {
    const at = Math.floor(random() * entries) * 16;
    const start = process.hrtime.bigint();
    cursor.seek(keys, at, at + 16);
    seeks.push(Number(process.hrtime.bigint() - start) / 1000);
  };
  for (let i = 0; i < entries; i++) {
    const start = process.hrtime.bigint();
    memtable.add(i + 1, 1, keys, i * 16, i * 16 + 16, value, 0, 100);
    adds.push(Number(process.hrtime.bigint() - start) / 1000);
    if ((i + 1) % burst === 0 && bursts++ % every === 0) seek();
  }
  for (let i = 0; i < 2000; i++) seek();
  return { seeks, adds };
}

function shown(times) {
  const sorted = Float64Array.from(times).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return [0.5, 0.999, 1].map((share) => at(share).toFixed(1)).join(" / ");
}

console.log(`${ENTRIES} entries, 16 B random keys, values of 100 B, node ${process.version}`);
console.log("us: median / 99.9 % / longest\n");
console.log("| implementation | adds per seek | seek | add (a clock's reading included) |");
console.log("|---|---|---|---|");
for (const implementation of implementations) {
  for (const burst of BURSTS) run(implementation, Math.min(WARM_UP, ENTRIES), burst);
  for (const burst of BURSTS) {
    const { seeks, adds } = run(implementation, ENTRIES, burst);
    console.log(`| ${implementation} | ${burst} | ${shown(seeks)} | ${shown(adds)} |`);
  }
}
