/**
 * What the memtable costs the engine: `putSync` and `getSync` of 16 B random keys and 100 B values,
 * everything in one memtable (no flush), level os and level buffered, once per implementation in
 * turn; medians of nanoseconds per call, wall and processor.
 *
 *   node tools/experiments/memtable-put.mjs [--count 200000] [--rounds 5] [--dir DIR]
 *
 * Needs the built packages.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AuraDB } from "@aura/engine";

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "200000" },
    rounds: { type: "string", default: "5" },
    dir: { type: "string", default: tmpdir() },
  },
});
const count = Number(options.count);
const rounds = Number(options.rounds);
const implementations = ["skiplist", "art", "hash-runs", "btree"];

let state = 12345;
const keys = Buffer.alloc(count * 16);
for (let i = 0; i < keys.length; i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  keys[i] = state >>> 24;
}
const value = Buffer.alloc(100, 7);

function timed(run) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  run();
  const wall = Number(process.hrtime.bigint() - start) / count;
  const used = process.cpuUsage(cpu);
  return { wall, cpu: ((used.user + used.system) * 1000) / count };
}

async function round(implementation) {
  const directory = mkdtempSync(join(options.dir, "aura-put-"));
  const result = {};
  for (const level of ["os", "buffered"]) {
    const db = await AuraDB.open(join(directory, level), {
      memtable: { implementation, maxSize: 256 << 20 },
      wal: { maxFileSize: 1 << 30, syncPolicy: level },
    });
    result[`putSync ${level}`] = timed(() => {
      for (let i = 0; i < count; i++) db.putSync(keys.subarray(i * 16, i * 16 + 16), value);
    });
    if (level === "os") {
      result["getSync"] = timed(() => {
        for (let i = 0; i < count; i++) {
          const at = ((i * 7919) % count) * 16;
          if (db.getSync(keys.subarray(at, at + 16)) === undefined)
            throw new Error("a key is lost");
        }
      });
    }
    await db.close();
  }
  rmSync(directory, { recursive: true });
  return result;
}

const results = new Map(implementations.map((name) => [name, []]));
for (let i = 0; i <= rounds; i++) {
  for (const implementation of implementations) {
    const result = await round(implementation);
    // The first round warms up.
    if (i > 0) results.get(implementation).push(result);
  }
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

console.log(
  `${count} entries, ${rounds} rounds, node ${process.version}; ns per call: wall (processor)`,
);
console.log(`| | ${implementations.join(" | ")} |`);
console.log(`|---|${implementations.map(() => "---|").join("")}`);
for (const name of Object.keys(results.get(implementations[0])[0])) {
  const cells = implementations.map((implementation) => {
    const rows = results.get(implementation).map((result) => result[name]);
    return `${median(rows.map((r) => r.wall)).toFixed(0)} (${median(rows.map((r) => r.cpu)).toFixed(0)})`;
  });
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
