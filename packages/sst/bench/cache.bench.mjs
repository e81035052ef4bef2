/**
 * Hit rates of the block cache on traces, beside simulations of other policies that hold as many
 * blocks of 4 KiB as the capacity has room for; and nanoseconds of a hit, of a miss, of an insertion.
 * The traces: Zipf's law (0.99, as YCSB) over 40000 blocks; the same with long scans between; with
 * the popular blocks moving on; a loop a little longer than the cache; and what the workloads of YCSB
 * ask a table for, with records of 1000 B, four to a block, in the order of their hashed names (A, B, C
 * and F draw alike; what they write goes to a memtable). CPU time, least of three. Run against the
 * built packages: node packages/sst/bench/cache.bench.mjs [accesses [traces that begin with]]
 */
import { BlockCache } from "@aura/sst";
import { Clock, Lru, S3Fifo, TinyLfu } from "./policies.mjs";

const ACCESSES = Number(process.argv[2] ?? 1_000_000);
const ONLY = process.argv[3] ?? "";
const BLOCKS = 40_000;
const BLOCK_BYTES = 4076;

let state = 12345;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return ((bits ^ (bits >>> 15)) >>> 0) / 0x100000000;
}

/** Ranks by Zipf's law, scattered over the blocks. */
function zipf(count, theta = 0.99) {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) sums[i] = sum += 1 / (i + 1) ** theta;
  return () => {
    const wanted = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
const scattered = (rank, shift = 0) => (Math.imul(rank + shift, 7919) >>> 0) % BLOCKS;

const draw = zipf(BLOCKS);
const RECORDS_PER_BLOCK = 4;
const RECORDS = BLOCKS * RECORDS_PER_BLOCK;
const drawRecord = zipf(RECORDS);
/** The block of a record, by the hash of its name. */
function homeOf(record) {
  let bits = Math.imul(record ^ (record >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return ((bits ^ (bits >>> 15)) >>> 0) % BLOCKS;
}
const TRACES = {
  zipf: () => Int32Array.from({ length: ACCESSES }, () => scattered(draw())),
  "zipf and scans": () => {
    const trace = new Int32Array(ACCESSES);
    let scan = 0;
    let left = 0;
    for (let i = 0; i < ACCESSES; i++) {
      if (left === 0 && random() < 0.0004) {
        left = 2500;
        scan = Math.floor(random() * BLOCKS);
      }
      // While a scan runs it takes every other access.
      if (left > 0 && (i & 1) === 0) {
        trace[i] = scan++ % BLOCKS;
        left--;
      } else trace[i] = scattered(draw());
    }
    return trace;
  },
  "zipf that moves": () =>
    Int32Array.from({ length: ACCESSES }, (_, i) =>
      scattered(draw(), Math.floor(i / (ACCESSES / 20)) * 1000),
    ),
  loop: () => Int32Array.from({ length: ACCESSES }, (_, i) => i % 5000),
  "ycsb a, b, c, f": () => Int32Array.from({ length: ACCESSES }, () => homeOf(drawRecord())),
  // The newest are the popular ones; one in twenty operations adds one.
  "ycsb d": () => {
    let newest = RECORDS;
    return Int32Array.from({ length: ACCESSES }, (_, i) => {
      if (i % 20 === 0) newest++;
      return homeOf(newest - drawRecord());
    });
  },
  // Scans of 1 to 100 records.
  "ycsb e": () => {
    const trace = new Int32Array(ACCESSES);
    for (let i = 0; i < ACCESSES; ) {
      const first = homeOf(drawRecord());
      const blocks = 1 + Math.floor(random() * 100) / RECORDS_PER_BLOCK;
      for (let b = 0; b < blocks && i < ACCESSES; b++) trace[i++] = (first + b) % BLOCKS;
    }
    return trace;
  },
};

const block = new Uint8Array(BLOCK_BYTES).fill(7);
function hitsOfCache(trace, capacityBytes) {
  const cache = new BlockCache({ capacityBytes });
  const space = cache.openSpace();
  let hits = 0;
  for (const at of trace) {
    if (cache.find(space, at)) hits++;
    else cache.insert(space, at, block, 0, BLOCK_BYTES);
  }
  return hits;
}

const percent = (hits) => `${((hits / ACCESSES) * 100).toFixed(1)} %`.padStart(9);
console.log(`${ACCESSES} accesses to ${BLOCKS} blocks of 4 KiB; hit rates`);
console.log(
  "trace, capacity".padEnd(28),
  "  s3-fifo by slab (BlockCache) | LRU | CLOCK | S3-FIFO | W-TinyLFU",
);
for (const [name, make] of Object.entries(TRACES)) {
  if (!name.startsWith(ONLY)) continue;
  const trace = make();
  for (const mib of [4, 16, 64]) {
    const blocks = (mib * 1024 * 1024) / 4096;
    const rates = [hitsOfCache(trace, mib * 1024 * 1024)];
    for (const policy of [
      new Lru(blocks),
      new Clock(blocks),
      new S3Fifo(blocks),
      new TinyLfu(blocks),
    ]) {
      let hits = 0;
      for (const at of trace) if (policy.access(at)) hits++;
      rates.push(hits);
    }
    console.log(`${name}, ${mib} MiB`.padEnd(28), rates.map(percent).join(" "));
  }
}
if (ONLY !== "") process.exit();

function least(name, count, work) {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, ((user + system) * 1000) / count);
  }
  console.log(`${name.padEnd(34)} ${best.toFixed(0).padStart(5)} ns`);
}

const big = new BlockCache({ capacityBytes: 256 * 1024 * 1024 });
const space = big.openSpace();
for (let i = 0; i < BLOCKS; i++) big.insert(space, i, block, 0, BLOCK_BYTES);
const order = Int32Array.from({ length: ACCESSES }, () => Math.floor(random() * BLOCKS));
least("hit, 160 MiB of blocks, at random", ACCESSES, () => {
  let found = 0;
  for (const at of order) if (big.find(space, at)) found++;
  if (found !== ACCESSES) throw new Error(`${found} hits`);
});
least("hit, the same 1000 blocks", ACCESSES, () => {
  for (const at of order) if (!big.find(space, at % 1000)) throw new Error("missing");
});
const other = big.openSpace();
least("miss", ACCESSES, () => {
  for (const at of order) if (big.find(other, at)) throw new Error("found");
});
const small = new BlockCache({ capacityBytes: 8 * 1024 * 1024 });
const passing = small.openSpace();
let next = 0;
least("insertion that evicts, 4 KiB", 200_000, () => {
  for (let i = 0; i < 200_000; i++) small.insert(passing, next++, block, 0, BLOCK_BYTES);
});
