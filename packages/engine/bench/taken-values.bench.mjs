/**
 * Values that are taken away while others are put: loads N MiB of separated values, then goes on with half
 * puts and half deletes (or inline puts, or both) of random keys, one awaited after the other, level os.
 * Prints the most bytes of value files over bytes of values that live, how often they were above the bound,
 * and how long puts and deletes took.
 *
 *   node packages/engine/bench/taken-values.bench.mjs [--mib 128] [--value 16384] [--ways deletes,inline]
 *        [--writes 3] [--roots OTHER_CLONE,.] [--dir DIR]
 *
 * `--writes`: operations for each key. `--roots`: clones to compare, one after the other.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    mib: { type: "string", default: "128" },
    value: { type: "string", default: "16384" },
    ways: { type: "string", default: "deletes,inline" },
    writes: { type: "string", default: "3" },
    roots: { type: "string", default: "." },
    dir: { type: "string", default: tmpdir() },
  },
});
const MIB = 1048576;
const BOUND = 1.3;
/** Of a small value log, four segments of 8 MiB may be garbage. */
const SPARE = 32 * MIB;
const VALUE = Number(options.value);
const COUNT = Math.floor((Number(options.mib) * MIB) / VALUE);

function valueBytes(directory) {
  let bytes = 0;
  for (const name of readdirSync(directory)) {
    if (!/\.(vlog|seg)$/.test(name)) continue;
    bytes += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

let state = 1;
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

async function run(root, way) {
  const { load } = await bundleEngine("taken-values", {}, resolve(root));
  const { AuraDB } = await load("index");
  const directory = mkdtempSync(join(options.dir, "aura-taken-"));
  const db = await AuraDB.open(directory, { valueLog: { spaceAmplificationMax: BOUND } });
  try {
    state = 12345;
    const value = Buffer.alloc(VALUE);
    for (let i = 0; i < VALUE; i++) value[i] = random();
    const isApart = new Uint8Array(COUNT);
    let live = 0;
    const keyOf = (i) => String(i).padStart(16, "0");
    for (let i = 0; i < COUNT; i++) await db.put(keyOf(i), value);
    isApart.fill(1);
    live = COUNT;
    const times = { put: [], take: [] };
    let peak = 0;
    let over = 0;
    let samples = 0;
    const begun = performance.now();
    const writes = COUNT * Number(options.writes);
    for (let n = 0; n < writes; n++) {
      const i = random() % COUNT;
      // At first more is taken away than put, until a third is left, then as much.
      const isPut = random() % 100 < (n < COUNT ? 25 : 50);
      const start = performance.now();
      if (isPut) await db.put(keyOf(i), value);
      else if (way === "deletes") await db.delete(keyOf(i));
      else await db.put(keyOf(i), "inline");
      (isPut ? times.put : times.take).push(performance.now() - start);
      live += (isPut ? 1 : 0) - isApart[i];
      isApart[i] = isPut ? 1 : 0;
      if (n % 32 > 0) continue;
      const bytes = live * (VALUE + 64);
      const files = valueBytes(directory);
      peak = Math.max(peak, files / bytes);
      samples++;
      if (files > Math.max(BOUND * bytes, bytes + SPARE)) over++;
    }
    const ms = performance.now() - begun;
    const said = Object.entries(times).map(([name, list]) => {
      list.sort((a, b) => a - b);
      const at = (share) => list[Math.floor(list.length * share)].toFixed(2);
      return `${name}: p50 ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}, longest ${list.at(-1).toFixed(0)} ms`;
    });
    await db.idle();
    console.log(
      `${root} ${way}: peak ${peak.toFixed(2)}, over the bound ${((100 * over) / samples).toFixed(1)} % of looks, after idle`,
      `${(valueBytes(directory) / (live * (VALUE + 64))).toFixed(2)}; ${ms.toFixed(0)} ms; ${said.join("; ")}; stalls ${db.stats().stalls}`,
    );
  } finally {
    await db.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

for (const way of options.ways.split(",")) {
  for (const root of options.roots.split(",")) await run(root, way);
}
