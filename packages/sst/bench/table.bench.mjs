/**
 * Fixed work on one table: write, get (hit, miss), scan. CPU time of the process, least of three
 * rounds: it wobbles less than wall time on a busy machine.
 * Run against the built packages:
 * node packages/sst/bench/table.bench.mjs [entries]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashKey, hashReady, Kind, nodeFileSystem, SEQ_MAX } from "@aura/base";
import { BlockCache, Table, TableHit, TableWriter } from "@aura/sst";

const COUNT = Number(process.argv[2] ?? 1_000_000);
const KEY_BYTES = 16;
const VALUE_BYTES = 100;
const ROUNDS = 3;
const SEED = 7;
const uuid = new Uint8Array(16).fill(1);
const indexFormats = [];

/** Keys are decimal, scattered, ascending: key i is i * stride + noise, 16 digits. */
function makeKeys(count) {
  const keys = new Uint8Array(count * KEY_BYTES);
  let state = 12345;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    let rest = i * 1000 + (state % 1000);
    for (let at = i * KEY_BYTES + KEY_BYTES - 1; at >= i * KEY_BYTES; at--) {
      keys[at] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
  }
  return keys;
}

function report(name, ns, count) {
  const per = ns / count;
  console.log(`${name.padEnd(34)} ${per.toFixed(0).padStart(7)} ns  ${(1e3 / per).toFixed(2)} M/s`);
}

function best(name, count, work) {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    work();
    const used = process.cpuUsage(start);
    least = Math.min(least, (used.user + used.system) * 1000);
  }
  report(name, least, count);
}

await hashReady();
const directory = mkdtempSync(join(tmpdir(), "aura-table-"));
const keys = makeKeys(COUNT);
const value = new Uint8Array(VALUE_BYTES).map((_, i) => i * 7);
const uid = { lo: 1, hi: 2 };
let summary;

function write(path) {
  rmSync(path, { force: true });
  const file = nodeFileSystem.openSync(path, "create");
  const writer = new TableWriter(file, {
    databaseUuid: uuid,
    uid,
    number: 1,
    keyspace: 0,
    settings: { hashSeed: SEED, index: indexFormats },
  });
  for (let i = 0; i < COUNT; i++) {
    const at = i * KEY_BYTES;
    writer.add(keys, at, at + KEY_BYTES, i + 1, Kind.value, value, 0, VALUE_BYTES);
  }
  summary = writer.finishSync();
  file.closeSync();
}

const path = join(directory, "000001.sst");
best(`write ${KEY_BYTES}/${VALUE_BYTES} B`, COUNT, () => write(path));
console.log(
  `  ${summary.fileBytes} bytes, ${summary.blockCount} blocks, index ${summary.indexName}`,
);

function open(capacityBytes) {
  return Table.openSync(nodeFileSystem, {
    path,
    number: 1,
    uid,
    databaseUuid: uuid,
    hashSeed: SEED,
    indexFormats,
    cache: new BlockCache({ capacityBytes }),
  });
}

const table = open(COUNT * 160 + (8 << 20));
console.log(`  resident ${table.residentBytes} bytes`);
const order = new Uint32Array(COUNT);
let state = 99;
for (let i = 0; i < COUNT; i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  order[i] = Math.floor((state / 0x100000000) * COUNT);
}
const hit = new TableHit();

function gets(target, flip) {
  let found = 0;
  let sum = 0;
  const key = new Uint8Array(KEY_BYTES);
  for (let n = 0; n < COUNT; n++) {
    const at = order[n] * KEY_BYTES;
    for (let i = 0; i < KEY_BYTES; i++) key[i] = keys[at + i];
    key[KEY_BYTES - 1] ^= flip;
    const hash = hashKey(key, 0, KEY_BYTES, SEED);
    found += target.get(key, 0, KEY_BYTES, hash, SEQ_MAX, hit, true) === 1 ? 1 : 0;
    sum += hit.bytes[hit.valueStart];
  }
  if (sum < 0) throw new Error("never");
  return found;
}

gets(table, 0);
best("get hit, cached", COUNT, () => {
  if (gets(table, 0) !== COUNT) throw new Error("missing");
});
best("get miss (filter)", COUNT, () => gets(table, 64));

const scan = table.cursor({ mayRead: true });
best("scan forward, cached", COUNT, () => {
  let n = 0;
  for (scan.first(); scan.valid; scan.next()) n += scan.keyEnd > 0 ? 1 : 0;
  if (n !== COUNT) throw new Error(`scanned ${n}`);
});
best("scan backward, cached", COUNT, () => {
  let n = 0;
  for (scan.last(); scan.valid; scan.prev()) n += scan.keyEnd > 0 ? 1 : 0;
  if (n !== COUNT) throw new Error(`scanned ${n}`);
});
best("seek, cached", COUNT, () => {
  for (let n = 0; n < COUNT; n++) {
    const at = order[n] * KEY_BYTES;
    scan.seek(keys, at, at + KEY_BYTES);
    if (!scan.valid) throw new Error("seek");
  }
});
table.closeSync();

const cold = open(0);
best("get hit, page cache, no block cache", COUNT, () => gets(cold, 0));
best("scan forward, no block cache", COUNT, () => {
  const cursor = cold.cursor({ mayRead: true, fillCache: false });
  let n = 0;
  for (cursor.first(); cursor.valid; cursor.next()) n++;
  if (n !== COUNT) throw new Error(`scanned ${n}`);
});
best("verify", COUNT, () => cold.verifySync());
cold.closeSync();
rmSync(directory, { recursive: true });
