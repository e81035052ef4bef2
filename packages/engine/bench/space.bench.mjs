/**
 * Space under overwrites. Loads N bytes of values, overwrites 3 N bytes of them, uniformly or with zipfian
 * (0.99, scattered) keys, and looks at the directory every so many puts: the most bytes of value files (and of
 * all files) over bytes of live keys and values, bytes written over bytes put, and how long puts took. Then the
 * same after `flush()`, `idle()` and `compact()`. Fixed work, one put after the other, level os; memory does not
 * grow with N.
 *
 *   node packages/engine/bench/space.bench.mjs [--mib 256] [--value 16384] [--pattern uniform,zipfian]
 *        [--overwrites 3] [--bound 1.3] [--rate MIB_PER_SECOND] [--sync] [--compact] [--dir DIR] [--settings JSON] [--verbose]
 *
 * Full size: --mib 4096 for values of 16 KiB, --mib 2048 --value 100 for inline ones.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    mib: { type: "string", default: "256" },
    value: { type: "string", default: "16384" },
    pattern: { type: "string", default: "uniform,zipfian" },
    overwrites: { type: "string", default: "3" },
    bound: { type: "string", default: "1.3" },
    rate: { type: "string", default: "0" },
    sync: { type: "boolean", default: false },
    compact: { type: "boolean", default: false },
    dir: { type: "string", default: tmpdir() },
    settings: { type: "string", default: "{}" },
    verbose: { type: "boolean", default: false },
  },
});
const MIB = 1048576;
const KEY_BYTES = 16;
const VALUE_BYTES = Number(options.value);
const ENTRY_BYTES = KEY_BYTES + VALUE_BYTES;
const COUNT = Math.floor((Number(options.mib) * MIB) / ENTRY_BYTES);
const OVERWRITES = Math.floor(COUNT * Number(options.overwrites));
/** Puts between two looks at the directory: about a thousandth of the live bytes. */
const SAMPLE = Math.max(16, Math.floor(COUNT / 1000));
const RATE = Number(options.rate) * MIB;

const { load } = await bundleEngine("space");
const { AuraDB } = await load("index");

let state = 1;
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}
const unit = () => (random() * 2097152 + (random() >>> 11)) / 9007199254740992;

/** Ranks by the method of Gray et al.; scattered over the keys by `placeOf`. */
function zipfian(n) {
  const theta = 0.99;
  let zeta = 0;
  for (let i = 1; i <= n; i++) zeta += 1 / i ** theta;
  const two = 1 + 0.5 ** theta;
  const alpha = 1 / (1 - theta);
  const eta = (1 - (2 / n) ** (1 - theta)) / (1 - two / zeta);
  return () => {
    const u = unit();
    const z = u * zeta;
    if (z < 1) return 0;
    if (z < two) return 1;
    return Math.min(n - 1, Math.floor(n * (eta * u - eta + 1) ** alpha));
  };
}

/** A permutation of [0, COUNT): a walk with a step that has no divisor in common with COUNT. */
const gcd = (a, b) => (b === 0 ? a : gcd(b, a % b));
let stride = Math.floor(COUNT * 0.6180339887) | 1;
while (gcd(stride, COUNT) > 1) stride += 2;
const placeOf = (rank) => Number((BigInt(rank) * BigInt(stride)) % BigInt(COUNT));

/** Times of puts in buckets that grow by 2 %: memory does not depend on their number. */
class Times {
  #buckets = new Uint32Array(1200);
  count = 0;
  longest = 0;
  note(us) {
    this.#buckets[Math.min(1199, Math.floor(Math.log(us + 1) / Math.log(1.02)))]++;
    this.count++;
    if (us > this.longest) this.longest = us;
  }
  at(share) {
    let left = this.count * (1 - share);
    for (let i = 1199; i >= 0; i--) {
      left -= this.#buckets[i];
      if (left < 0) return 1.02 ** i - 1;
    }
    return 0;
  }
}

function sizes(directory) {
  const sum = { values: 0, tables: 0, all: 0, files: 0 };
  for (const name of readdirSync(directory)) {
    let bytes;
    try {
      bytes = statSync(join(directory, name)).size;
    } catch {
      continue; // gone since
    }
    sum.all += bytes;
    sum.files++;
    if (/\.(vlog|seg)$/.test(name)) sum.values += bytes;
    if (/\.sst$/.test(name)) sum.tables += bytes;
  }
  return sum;
}

/** Bytes that this process handed to the operating system, all threads. */
function bytesWritten() {
  try {
    return Number(/^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "latin1"))[1]);
  } catch {
    return Number.NaN;
  }
}

async function run(pattern) {
  const directory = mkdtempSync(join(options.dir, "aura-space-"));
  const given = JSON.parse(options.settings);
  const db = await AuraDB.open(directory, {
    ...given,
    valueLog: { spaceAmplificationMax: Number(options.bound), ...given.valueLog },
    table: { compression: "none", ...given.table },
  });
  try {
    state = 12345;
    const key = Buffer.alloc(KEY_BYTES);
    const value = Buffer.alloc(VALUE_BYTES);
    for (let i = 0; i < VALUE_BYTES; i++) value[i] = random();
    const times = new Times();
    const live = COUNT * ENTRY_BYTES;
    const peak = { values: 0, all: 0, at: 0, rss: 0, files: 0, parts: "" };
    const writtenAtStart = bytesWritten();
    let puts = 0;
    const put = async (index) => {
      key.write(String(index).padStart(KEY_BYTES, "0"), 0, "latin1");
      value.writeUInt32LE(random(), 0);
      const start = performance.now();
      await db.put(key, value, { sync: options.sync });
      times.note((performance.now() - start) * 1000);
      puts++;
    };
    const sample = () => {
      const sum = sizes(directory);
      const { values, all, files } = sum;
      const now = Math.min(puts, COUNT) * ENTRY_BYTES;
      if (values / now > peak.values && puts >= COUNT) {
        peak.values = values / now;
        peak.at = puts / COUNT - 1;
      }
      if (puts >= COUNT && all / now > peak.all) {
        peak.all = all / now;
        peak.parts = partsOf(db.stats(), sum, now);
      }
      peak.rss = Math.max(peak.rss, process.memoryUsage.rss());
      peak.files = Math.max(peak.files, files);
    };
    const began = performance.now();
    const cpu = process.cpuUsage();
    const pace = async () => {
      if (RATE === 0) return;
      const due = began + (puts * ENTRY_BYTES * 1000) / RATE;
      const wait = due - performance.now();
      if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
    };
    for (let i = 0; i < COUNT; i++) {
      await put(placeOf(i));
      if (puts % SAMPLE === 0) {
        sample();
        await pace();
      }
    }
    const loadMs = performance.now() - began;
    const draw = pattern === "zipfian" ? zipfian(COUNT) : () => Math.floor(unit() * COUNT);
    let shown = 0;
    for (let i = 0; i < OVERWRITES; i++) {
      await put(pattern === "zipfian" ? placeOf(draw()) : draw());
      if (puts % SAMPLE !== 0) continue;
      sample();
      await pace();
      if (options.verbose && Math.floor((8 * i) / OVERWRITES) > shown) {
        shown = Math.floor((8 * i) / OVERWRITES);
        console.log(`    ${shown}/8: ${line(db.stats(), sizes(directory), live)}`);
      }
    }
    const putMs = performance.now() - began;
    const overwritten = (bytesWritten() - writtenAtStart) / (puts * ENTRY_BYTES);
    await db.flush();
    await db.idle();
    const idle = sizes(directory);
    const used = process.cpuUsage(cpu);
    const stats = db.stats();
    const { log, flushes, compactions } = stats;
    const counted = log.bytesAppended + flushes.bytesWritten + compactions.bytesWritten;
    const ratio = (bytes) => (bytes / (puts * ENTRY_BYTES)).toFixed(2);
    console.log(
      `${pattern}, ${COUNT} values of ${VALUE_BYTES} B (${(live / MIB).toFixed(0)} MiB), bound ${options.bound}:`,
      `peak ${peak.values.toFixed(3)} of value files (at ${peak.at.toFixed(2)} overwrites), ${peak.all.toFixed(3)} of all files`,
      peak.parts,
    );
    console.log(
      `  after idle: values ${(idle.values / live).toFixed(3)}, all ${(idle.all / live).toFixed(3)};`,
      `write amplification ${overwritten.toFixed(2)} (counted, with idle: ${ratio(counted)} =`,
      `log ${ratio(log.bytesAppended)} + flush ${ratio(flushes.bytesWritten)} + tables ${ratio(compactions.bytesWritten - compactions.bytesRelocated)}`,
      `+ relocated ${ratio(compactions.bytesRelocated)})`,
    );
    console.log(
      `  load ${loadMs.toFixed(0)} ms, all puts ${putMs.toFixed(0)} ms (${((puts * ENTRY_BYTES) / MIB / (putMs / 1000)).toFixed(0)} MiB/s),`,
      `CPU ${((used.user + used.system) / 1000).toFixed(0)} ms; put p50 ${times.at(0.5).toFixed(0)} us, p99 ${times.at(0.99).toFixed(0)} us,`,
      `p99.9 ${times.at(0.999).toFixed(0)} us, longest ${(times.longest / 1000).toFixed(1)} ms; stalls ${stats.stalls};`,
      `merges ${compactions.merges}, flushes ${flushes.count}, files ${peak.files}, RSS ${(peak.rss / MIB).toFixed(0)} MiB`,
    );
    if (options.compact) {
      await db.compact();
      await db.idle();
      const compacted = sizes(directory);
      console.log(
        `  after compact: values ${(compacted.values / live).toFixed(3)}, all ${(compacted.all / live).toFixed(3)}`,
      );
    }
  } finally {
    await db.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What the files of a moment are: tables by level, those of running merges or on their way out, the rest. */
function partsOf({ levels }, { all, tables, values }, live) {
  const share = (bytes) => (bytes / live).toFixed(3);
  const listed = levels.reduce((sum, { bytes }) => sum + bytes, 0);
  return (
    `(levels ${levels.map(({ bytes, runs }) => `${share(bytes)} in ${runs}`).join(", ")}; tables in no level ${share(tables - listed)}, ` +
    `values ${share(values)}, logs and others ${share(all - tables - values)})`
  );
}

function line(stats, { values, tables, files }, live) {
  const { compactions, levels } = stats;
  const runs = levels.map((level) => `${level.runs}:${level.tables}`).join(" ");
  return (
    `on disk ${(values / live).toFixed(3)}, tables ${(tables / live).toFixed(3)}, ${files} files, ` +
    `relocated ${(compactions.bytesRelocated / live).toFixed(2)}, merges ${compactions.merges}, levels ${runs}, ` +
    JSON.stringify(stats.valueLog ?? stats.values)
  );
}

for (const pattern of options.pattern.split(",")) await run(pattern);
