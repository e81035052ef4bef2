import { test } from "vitest";
import { ModelWorld } from "./support/model-world.ts";
import { writeSync } from "node:fs";
test("x", { timeout: 60000 }, async () => {
  const tally = { steps: 0, flushes: 0, merges: 0, relocated: 0, segmentsRemoved: 0, kills: 0, powerLosses: 0, reopens: 0 };
  for (let seed = Number(process.env.FROM ?? 1); seed <= Number(process.env.TO ?? 20); seed++) {
    const w = new ModelWorld(seed, tally);
    const t = setInterval(() => writeSync(2, `seed ${seed} steps ${tally.steps}: ${JSON.stringify(w.debug?.())} ${w.trace.slice(-6).join(" | ")}\n`), 1500);
    const start = performance.now();
    try { await w.run(120); } catch (e) { writeSync(2, `seed ${seed} ${(e as Error).stack}\n${w.trace.slice(-Number(process.env.TAIL ?? 20)).join('\n')}\n`); throw e; } finally { clearInterval(t); }
    writeSync(2, `seed ${seed} ${Math.round(performance.now() - start)} ms ${JSON.stringify(tally)}\n`);
  }
});
