/**
 * How long `setTimeout(0)` takes while the program does nothing but await the database.
 *
 *     npm run build && node tools/experiments/timer-fairness.mjs [--timers 2000] [--dir DIR] [--idle]
 *
 * Endless `await db.put` and endless `await db.get` against a control: a loop that awaits resolved
 * promises for one millisecond and then lets the event loop turn, which is all that a store could do
 * without any work of its own. Interleaved, in rounds; the first tenth of the timers, in which code
 * is compiled, is reported apart. With `--idle` no background work of the puts is left when another
 * load begins: what threads and processor cores do to each other is then left out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AuraDB } from "@aura/engine";

const { values: options } = parseArgs({
  options: {
    timers: { type: "string", default: "2000" },
    dir: { type: "string" },
    idle: { type: "boolean", default: false },
  },
});
const timers = Number(options.timers);
const ROUNDS = 4;
const KEYS = 200_000;

const folder = mkdtempSync(join(options.dir ?? tmpdir(), "aura-timers-"));
const db = await AuraDB.open(folder, { table: { compression: "none" } });
const value = Buffer.alloc(100, 7);
const keyOf = (i) => `key ${String((i * 7919) % KEYS).padStart(12, "0")}`;
for (let i = 0; i < KEYS; i++) db.putSync(keyOf(i), value);

let turnMs = performance.now();
const loads = {
  control: async () => {
    await Promise.resolve();
    const nowMs = performance.now();
    if (nowMs - turnMs < 1) return;
    await new Promise((resolve) => setImmediate(resolve));
    turnMs = performance.now();
  },
  put: (i) => db.put(keyOf(i), value),
  get: (i) => db.get(keyOf(i)),
};

/** Delays of `count` timers, one after the other, while `load` runs without an end. */
async function measure(load, count) {
  const delays = [];
  const { promise, resolve } = withResolvers();
  const next = () => {
    const startMs = performance.now();
    setTimeout(() => {
      delays.push(performance.now() - startMs);
      if (delays.length < count) next();
      else resolve();
    }, 0);
  };
  next();
  let ended = false;
  promise.then(() => {
    ended = true;
  });
  for (let i = 0; !ended; i++) await load(i);
  return delays;
}

function withResolvers() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const warm = {};
const all = {};
for (const [name, load] of Object.entries(loads)) {
  warm[name] = await measure(load, timers / 10);
  all[name] = [];
}
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, load] of Object.entries(loads)) {
    if (options.idle) await db.idle();
    all[name].push(...(await measure(load, Math.ceil(timers / ROUNDS))));
  }
}
const show = (delays) => {
  const sorted = [...delays].sort((a, b) => a - b);
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(2);
  const late = sorted.filter((ms) => ms > 5).length;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1), "over 5 ms": late };
};
for (const name of Object.keys(loads)) warm[name] = show(warm[name]);
for (const name of Object.keys(loads)) all[name] = show(all[name]);
console.log(`setTimeout(0), ms, ${timers} timers each`);
console.table(all);
console.log(`the first ${timers / 10} of each, code not compiled yet`);
console.table(warm);
await db.close();
rmSync(folder, { recursive: true });
