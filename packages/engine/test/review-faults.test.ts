import { SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, WriteBatch, type Durability } from "../src/index.ts";
import { smallSettings } from "./support/names-run.ts";

interface Op { writes: [string, string | undefined][]; state: "acked" | "rejected" | "unknown" | "open"; code?: string }
const SEEDS = Number(process.env["SEEDS"] ?? "150");
const FIRST = Number(process.env["FIRST"] ?? "1");

function apply(ops: Op[], k: number, unknown: boolean): Map<string, string> {
  const m = new Map<string, string>();
  for (let i = 0; i < k; i++) {
    const op = ops[i]!;
    if (op.state === "rejected" || (op.state === "unknown" && !unknown)) continue;
    for (const [key, value] of op.writes) if (value === undefined) m.delete(key); else m.set(key, value);
  }
  return m;
}
function same(a: Map<string, string>, b: Map<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [k, v] of a) if (b.get(k) !== v) return false;
  return true;
}
async function contents(fs: SimFs): Promise<Map<string, string>> {
  const db = await AuraDB.open("/db", smallSettings, { fs, runtime: simRuntime(9, { autoAdvance: true }) });
  const m = new Map<string, string>();
  for (const [k, v] of db.scanSync()) m.set(k.toString(), v.toString());
  await db.close();
  const report = await AuraDB.verify("/db", { fs, runtime: simRuntime(1) });
  if (report.problems.length > 0) throw new Error(`verify: ${report.problems.join("; ").slice(0, 300)}`);
  return m;
}
function within<T>(p: Promise<T>, what: string): Promise<T> {
  return Promise.race([p, new Promise<T>((_, r) => setTimeout(() => r(new Error(`HANG ${what}`)), 4000))]);
}
async function run(seed: number): Promise<string | undefined> {
  const random = new SeededRandom(seed);
  const fs = new SimFs({ seed });
  const runtime = simRuntime(seed);
  const ticker = setInterval(() => runtime.advance(200), 1);
  try { return await body(seed, random, fs, runtime); } finally { clearInterval(ticker); }
}
async function body(seed: number, random: SeededRandom, fs: SimFs, runtime: ReturnType<typeof simRuntime>): Promise<string | undefined> {
  const db = await AuraDB.open("/db", smallSettings, { fs, runtime });
  const ops: Op[] = [];
  let durable = 0;
  const errors = ["EIO", "ENOSPC", "EMFILE"] as const;
  const sync = (["keep", "drop", "revert"] as const)[random.below(3)]!;
  const partial = random.below(3) === 0 ? 0 : random.below(3000);
  const happened = random.below(4) === 0;
  const N = 260;
  const faultStep = random.below(N - 30);
  const skip = random.below(40);
  let seen = 0;
  let fired = "";
  const error = errors[random.below(3)]!;
  const readsToo = random.below(4) === 0;
  const plan = () => fs.failAt({
    at: (kind, path) => {
      if (kind === "create" && /\.(wal|vlog)$/.test(path)) return false; // known
      if (!(["write", "sync", "create", "rename", "unlink", "syncDir", "truncate"].includes(kind) || (readsToo && (kind === "read" || kind === "open")))) return false;
      if (kind === "write" && /\.(wal|vlog)$/.test(path) && fs.readFile(path).length === 0) return false; // known
      if (seen++ < skip) return false;
      fired = `${kind} ${path} ${error} partial ${partial} happened ${happened} sync ${sync} at step ${ops.length}`;
      return true;
    }, error, partial, sync, ...(happened ? { happened: true } : {}),
  });
  const loose: Promise<unknown>[] = [];
  for (let i = 0; i < N; i++) {
    if (i === faultStep) plan();
    const writes: [string, string | undefined][] = [];
    const count = random.below(6) === 0 ? 40 : 1;
    for (let j = 0; j < count; j++) {
      const r = random.below(10);
      writes.push([`k${random.below(80)}`, r === 0 ? undefined : `${i}.${j}:${"z".repeat(r < 3 ? 3000 : 250)}`]);
    }
    const op: Op = { writes, state: "open" };
    ops.push(op);
    const level = (["os", "os", "sync", "buffered"] as const)[random.below(4)] as Durability;
    const how = random.below(3);
    const batch = new WriteBatch();
    for (const [k, v] of writes) if (v === undefined) batch.delete(k); else batch.put(k, v);
    const bad = (e: unknown) => { const code = (e as { code?: string }).code ?? String(e); op.code = code; op.state = code === "AURA_UNKNOWN_OUTCOME" ? "unknown" : "rejected"; };
    const call = (): Promise<void> => count === 1 ? (writes[0]![1] === undefined ? db.delete(writes[0]![0], { durability: level }) : db.put(writes[0]![0], writes[0]![1]!, { durability: level })) : db.write(batch, { durability: level });
    try {
      if (how === 0) {
        if (count > 1) db.writeSync(batch, { durability: level });
        else if (writes[0]![1] === undefined) db.deleteSync(writes[0]![0], { durability: level });
        else db.putSync(writes[0]![0], writes[0]![1]!, { durability: level });
        op.state = "acked";
        if (level === "sync") durable = Math.max(durable, ops.length);
      } else {
        const at = ops.length;
        const p = within(call().then(() => { op.state = "acked"; if (level === "sync") durable = Math.max(durable, at); }, bad), `write ${i}`);
        if (how === 1) await p; else loose.push(p);
      }
    } catch (e) { if (String(e).includes("HANG")) return `${fired}: ${String(e)}`; bad(e); }
    const r = random.below(60);
    try {
      if (r === 0) await within(db.flush(), "flush");
      if (r === 1) await within(db.compact(), "compact");
      if (r === 2) await within(db.sync(), "sync");
      if (r === 3) db.syncSync();
      if (r === 4) await new Promise((q) => setImmediate(q));
      if (r === 5) { const s = db.snapshot(); for (const _ of db.scanSync({ snapshot: s })); s.release(); }
    } catch (e) { if (String(e).includes("HANG")) return `${fired}: ${String(e)}`; }
  }
  try { await Promise.all(loose); } catch (e) { return `${fired}: ${String(e)}`; }
  // nothing to check when it never fired
  if (fired === "") { fs.clearFaults(); }
  fs.clearFaults();
  const failure = db.stats().failure;
  const odd = ops.find((o) => o.state === "rejected" && /assert|Error:/.test(o.code!));
  if (odd) return `${fired}: odd rejection ${odd.code}`;
  if (ops.some((o) => o.state === "open")) return `${fired}: unsettled`;
  const now = new Map<string, string>();
  const lossy = fired.startsWith("sync") && !fired.includes("sync keep");
  if (!lossy) try { for (const [k, v] of db.scanSync()) now.set(k.toString(), v.toString()); } catch (e) { return `${fired}: scan of the open db: ${String(e)}`; }
  if (!lossy && !same(now, apply(ops, ops.length, false)) && !same(now, apply(ops, ops.length, true))) return `${fired}: the open database shows other contents (failure: ${failure})`;
  const buffered = failure !== undefined;
  // a kill must keep everything acknowledged at os or above; flush the buffered ones first
  try { db.putSync("end", "end"); ops.push({ writes: [["end", "end"]], state: "acked" }); } catch { /* read-only */ }
  const images: [string, SimFs, boolean][] = [["kill", fs.processKill(), !buffered && !lossy]];
  for (let c = 0; c < 3; c++) images.push([`power ${c}`, fs.crash({ seed: seed * 7 + c, data: (["none", "any", "mixed"] as const)[c]! }), false]);
  const check = async (name: string, image: SimFs, whole: boolean): Promise<string | undefined> => {
    let found: Map<string, string>;
    try { found = await within(contents(image), "reopen"); } catch (e) { return `${fired}: ${name}: ${String(e)} (failure ${failure})`; }
    for (const unknown of [false, true]) {
      for (let k = whole ? ops.length : durable; k <= ops.length; k++) if (same(found, apply(ops, k, unknown))) return undefined;
    }
    return `${fired}: ${name}: not a prefix from ${whole ? ops.length : durable} of ${ops.length} (failure ${failure})`;
  };
  for (const [name, image, whole] of images) {
    const problem = await check(name, image, whole);
    if (problem !== undefined) return problem;
  }
  try { await within(db.close(), "close"); } catch (e) { if (failure === undefined || String(e).includes("HANG")) return `${fired}: close: ${String(e)} (failure ${failure})`; }
  if (fs.openHandles > 0) return `${fired}: ${fs.openHandles} handles left open: ${fs.openPaths()}`;
  return check("closed", fs, failure === undefined);
}

test("one fault, then kill, power loss, close", async () => {
  const problems: string[] = [];
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    let p: string | undefined;
    try { p = await run(seed); } catch (e) { p = `threw ${String((e as Error).stack).slice(0, 500)}`; }
    if (p !== undefined) problems.push(`seed ${seed}: ${p}`);
  }
  console.log(`${problems.length} of ${SEEDS}\n${problems.slice(0, 30).join("\n")}`);
  expect(problems).toEqual([]);
}, 400000);
