import { AuraDB, WriteBatch } from "@aura/engine";
import { rmSync, mkdtempSync } from "node:fs";
const seed = Number(process.argv[2] ?? 1), path = mkdtempSync("/tmp/aura-stress-");
let s = seed | 0; const rnd = (n) => { s = (s + 0x6d2b79f5) | 0; let t = Math.imul(s ^ (s >>> 15), 1 | s); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) % n; };
const settings = { memtable: { maxSize: 512 * 1024, maxCount: 3 }, cache: { capacity: rnd(2) ? 0 : 1 << 20 }, wal: { maxFileSize: 1 << 20 }, table: { maxSize: 256 * 1024, compression: rnd(2) ? "lz4" : "none" }, compaction: { baseLevelSize: 1 << 20 }, valueLog: { maxSegmentSize: 1 << 20, separationThreshold: 1024 } };
const model = new Map(); let db = await AuraDB.open(path, settings); let ops = 0, fail = 0;
const val = (k, v) => { const n = rnd(20) === 0 ? 1024 + rnd(20000) : rnd(300); return Buffer.alloc(n, `${k}:${v};`); };
const key = () => { const r = rnd(3); return r === 0 ? `hot-${rnd(200)}` : r === 1 ? `user/${rnd(5000)}/name` : `z${rnd(40000)}`; };
const check = (what, k, got, want) => { const a = got && Buffer.from(got), ok = want === undefined ? a === undefined || a === null : a !== undefined && a.equals(want); if (!ok) { fail++; if (fail < 10) console.log("MISMATCH", what, k, a?.length, want?.length, a?.subarray(0, 20).toString(), want?.subarray(0, 20).toString()); } };
const full = (what, m, opt = {}) => { const ks = [...m.keys()].sort(); let i = 0; for (const [k, v] of db.scanSync(opt)) { if (k.toString() !== ks[i]) { fail++; console.log("SCAN", what, i, k.toString(), ks[i]); return; } check("scan " + what, ks[i], v, m.get(ks[i])); i++; } if (i !== ks.length) { fail++; console.log("SCAN short", what, i, ks.length); } };
const end = Date.now() + Number(process.argv[3] ?? 60) * 1000; const snaps = [];
while (Date.now() < end && !fail) {
  const c = rnd(1000);
  if (c < 500) { const k = key(), v = val(k, ops); model.set(k, v); if (rnd(2)) db.putSync(k, v); else { const p = db.put(k, v, rnd(500) === 0 ? { sync: true } : undefined); if (rnd(4)) await p; else p.catch((e) => { fail++; console.log("PUT", e); }); } }
  else if (c < 600) { const k = key(); model.delete(k); rnd(2) ? db.deleteSync(k) : await db.delete(k); }
  else if (c < 650) { const b = new WriteBatch(); for (let i = rnd(50); i >= 0; i--) { const k = key(); if (rnd(5)) { const v = val(k, ops + i); b.put(k, v); model.set(k, v); } else { b.delete(k); model.delete(k); } } rnd(2) ? db.writeSync(b) : await db.write(b); }
  else if (c < 800) { const k = key(); check("get", k, rnd(2) ? db.getSync(k) : await db.get(k), model.get(k)); }
  else if (c < 840) { const ks = Array.from({ length: 30 }, key); const r = await db.getMany(ks); ks.forEach((k, i) => check("many", k, r[i], model.get(k))); }
  else if (c < 880) { const k = key(); const it = []; const rev = rnd(2) === 1; for (const [a, v] of db.scanSync(rev ? { lte: k, reverse: true, limit: 20 } : { gte: k, limit: 20 })) it.push([a.toString(), v]); for (const [a, v] of it) check("range", a, v, model.get(a)); }
  else if (c < 882 && snaps.length < 3) snaps.push([db.snapshot(), new Map(model)]);
  else if (c < 884 && snaps.length) { const [sn, m] = snaps.splice(rnd(snaps.length), 1)[0]; full("snapshot", m, { snapshot: sn }); sn.release(); }
  else if (c === 884) full("now", model);
  else if (c === 885 && rnd(10) === 0) await db.flush();
  else if (c === 886 && rnd(50) === 0) await db.compact();
  else if (c === 887 && rnd(30) === 0) { for (const [sn] of snaps.splice(0)) sn.release(); await db.close(); const r = await AuraDB.verify(path); if (r.ok === false || r.problems?.length || r.errors?.length) { fail++; console.log("VERIFY", JSON.stringify(r).slice(0, 2000)); } db = await AuraDB.open(path, settings); full("reopen", model); }
  else if (c < 900) await new Promise(setImmediate);
  ops++;
}
full("end", model); const st = db.stats();
console.log("seed", seed, "ops", ops, "keys", model.size, "fail", fail, JSON.stringify(st).slice(0, 700));
for (const [sn] of snaps) sn.release(); await db.idle(); console.log("after idle", JSON.stringify(db.stats().values), settings.table.compression); await db.close(); const rep = await AuraDB.verify(path); console.log(JSON.stringify(rep).slice(0, 500)); rmSync(path, { recursive: true });
process.exitCode = fail ? 1 : 0;
