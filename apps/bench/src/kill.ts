/**
 * Kills a loading process at random, again and again, and checks what is left each time:
 * `npm run kill -- --count 3000000 --kills 10`. The names and the count of acknowledged writes are
 * kept outside of the store, by this process.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AuraDB } from "@aura/engine";
import { Command } from "commander";
import { createDataSet, saveDataSet } from "./data-set.ts";
import type { KillOrder } from "./kill-child.ts";
import { composeNames } from "./names.ts";
import { Random } from "./random.ts";

/** One in so many kills comes soon after the start, to meet recovery. */
const EARLY_SHARE = 0.3;
const EARLY_MS_MAX = 3000;

/** What one process did until it ended. */
interface Round {
  readonly killed: boolean;
  readonly recovered: number | undefined;
  readonly acked: number;
  readonly failure: string | undefined;
}

const program = new Command("kill")
  .option("--count <n>", "number of names", "3000000")
  .option("--kills <n>", "number of kills", "10")
  .option("--seed <n>", "seed of all chance", "1")
  .option("--dir <folder>", "folder for the database (default: temporary)")
  .parse();
const options = program.opts<{ count: string; kills: string; seed: string; dir?: string }>();
const count = Number(options.count);
const kills = Number(options.kills);
const seed = Number(options.seed);
const random = new Random(seed, 77);

/** Runs the child until it ends by itself, or is killed at `killAt` names or after `killMs`. */
function runChild(
  order: KillOrder,
  killAt: number | undefined,
  killMs: number | undefined,
): Promise<Round> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("./kill-child.js", import.meta.url)), JSON.stringify(order)],
    { stdio: ["ignore", "inherit", "inherit", "pipe"] },
  );
  let { acked } = order;
  let recovered: number | undefined;
  let failure: string | undefined;
  let killed = false;
  const kill = (): void => {
    killed = true;
    child.kill("SIGKILL");
  };
  const timer = killMs === undefined ? undefined : setTimeout(kill, killMs);
  const lines = createInterface({ input: child.stdio[3] as NodeJS.ReadableStream });
  lines.on("line", (line) => {
    const [kind, ...rest] = line.split(" ");
    if (kind === "failed") failure = rest.join(" ");
    else if (kind === "recovered") recovered = Number(rest[0]);
    else if (kind === "acked") {
      acked = Number(rest[0]);
      if (killAt !== undefined && acked >= killAt && !killed) kill();
    }
  });
  return new Promise((resolve) => {
    child.on("close", (code) => {
      clearTimeout(timer);
      if (!killed && code !== 0) failure ??= `ended with code ${code}`;
      resolve({ killed, recovered, acked: Math.max(acked, recovered ?? 0), failure });
    });
  });
}

const folder = options.dir ?? (await mkdtemp(join(tmpdir(), "aura-kill-")));
const path = join(folder, "db");
let failed = false;
try {
  console.log(`composing ${count} names`);
  const data = createDataSet(composeNames(count, seed), seed);
  await saveDataSet(data, folder);
  let acked = 0;
  let done = 0;
  for (let round = 1; !failed; round++) {
    const more = done < kills;
    const early = more && random.unit() < EARLY_SHARE;
    // Kills are spread over the names that are left.
    const step = ((count - acked) / (kills - done + 1)) * 2 * random.unit();
    const killAt = more && !early ? Math.ceil(acked + step) : undefined;
    const killMs = early ? random.unit() * EARLY_MS_MAX : undefined;
    const result = await runChild(
      { dataFolder: folder, path, audit: false, acked },
      killAt,
      killMs,
    );
    if (result.failure !== undefined || result.acked < acked) failed = true;
    if (result.killed) done++;
    acked = result.acked;
    const how = result.killed ? (early ? "killed early" : "killed") : "ended";
    console.log(
      `round ${round}: recovered ${result.recovered ?? "-"}, ${how} at ${acked} of ${count}` +
        `${result.failure === undefined ? "" : `: FAILED ${result.failure}`}`,
    );
    if (!result.killed && acked >= count) break;
  }
  if (!failed) {
    const audit = await runChild(
      { dataFolder: folder, path, audit: true, acked },
      undefined,
      undefined,
    );
    if (audit.failure !== undefined) {
      failed = true;
      console.log(`audit: FAILED ${audit.failure}`);
    } else console.log(`audit: all ${count} names are there and equal, in order`);
    const report = await AuraDB.verify(path);
    console.log(
      `verify: ${report.tables} tables, ${report.entries} entries, ${report.values} values, ` +
        `${report.problems.length} problems`,
    );
    for (const problem of report.problems) console.log(`  ${problem}`);
    failed ||= report.problems.length > 0;
  }
  console.log(`${done} kills, ${failed ? "FAILED" : "nothing lost"}`);
} finally {
  if (options.dir === undefined) await rm(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
