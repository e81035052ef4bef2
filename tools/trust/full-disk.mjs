/**
 * Volumes that run full: `node tools/trust/full-disk.mjs --count 20 --seed 1 [--jobs 2]`.
 *
 * The database stands on a small tmpfs, on which a neighbour takes all the room but a drawn rest, and
 * gives it back later, again and again, while a process goes on with the history. It may be told
 * `AURA_OUT_OF_SPACE`, and has to take writes again when there is room; one in two is killed at a drawn moment
 * instead of coming to its end. The next process, on a volume that is full or not, finds what was
 * acknowledged at level `os`, and nothing that was rejected. Needs root and the built packages
 * (`npm run build`).
 */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Chance } from "./history.mjs";
import { inLanes } from "./lanes.mjs";
import { addSlice } from "./results.mjs";
import { Checker, FAULTY_WRITER, Knowledge, runRound } from "./round.mjs";

const MIB = 1024 * 1024;
const VOLUME_MIB = 24;
const LIVES_PER_DATABASE = 5;
const OPERATIONS = 600;
/** How often the volume is filled while a process lives. */
const FILLS = 3;
const CODES = ["AURA_OUT_OF_SPACE", "AURA_READ_ONLY", "AURA_UNKNOWN_OUTCOME", "AURA_BUSY"];
/** Of the system. */
const tools = { mount: "mount", unmount: "umount" };

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    results: { type: "string" },
    /** Negative control: what was handed over has to be there, rejected or not. */
    overclaim: { type: "boolean", default: false },
  },
});
const [count, seed, jobs] = [Number(values.count), Number(values.seed), Number(values.jobs)];

function mount(place) {
  const options = `size=${VOLUME_MIB}m`;
  execFileSync(tools.mount, ["-t", "tmpfs", "-o", options, "tmpfs", place], { stdio: "pipe" });
}

/** Returns why no volume may be mounted here, or undefined. */
function whyNoVolume() {
  const place = mkdtempSync(join(tmpdir(), "aura-full-"));
  try {
    mount(place);
    execFileSync(tools.unmount, [place], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `no tmpfs may be mounted: ${String(error.stderr || error.message).trim()}`;
  } finally {
    rmdirSync(place);
  }
}

/** A small volume, and a neighbour on it. */
class Volume {
  place = mkdtempSync(join(tmpdir(), "aura-full-"));
  #neighbour = join(this.place, "neighbour");

  constructor() {
    mount(this.place);
  }

  /** Takes all the room but `left` bytes. */
  fill(left) {
    this.free();
    const fd = openSync(this.#neighbour, "w");
    const { bavail, bsize } = statfsSync(this.place);
    const chunk = Buffer.alloc(65_536, 1);
    try {
      for (let rest = bavail * bsize - left; rest > 0; rest -= chunk.length) {
        writeSync(fd, chunk, 0, Math.min(rest, chunk.length));
      }
    } catch (error) {
      if (error.code !== "ENOSPC") throw error;
    } finally {
      closeSync(fd);
    }
  }

  free() {
    rmSync(this.#neighbour, { force: true });
  }

  remove() {
    execFileSync(tools.unmount, ["-l", this.place], { stdio: "pipe" });
    rmdirSync(this.place);
  }
}

/** Fills the volume again and again while a process lives; kills it if it is to be. */
async function disturb(child, volume, chance, isKilled) {
  for (let i = 0; i < FILLS && child.exitCode === null; i++) {
    await sleep(chance.unit() * 150);
    volume.fill(chance.below(3) === 0 ? 0 : chance.below(MIB));
    await sleep(chance.unit() * 600);
    if (isKilled && i === FILLS - 1) child.kill("SIGKILL");
    if (!isKilled || chance.below(2) === 0) volume.free();
  }
}

/** Lives of one database on one volume. */
async function fillAgain({ database, lives }) {
  const chance = new Chance(seed, 6, database);
  const volume = new Volume();
  const knowledge = new Knowledge();
  const directory = join(volume.place, "db");
  const one = { directory, seed: seed * 1000 + database, survives: "os", pauseMs: 2 };
  const sum = { lives: 0, full: 0, killed: 0, again: 0, codes: {}, violations: [] };
  const checker = new Checker();
  while (sum.lives < lives && sum.violations.length === 0) {
    const isKilled = chance.below(2) === 0;
    const order = knowledge.order({ ...one, operations: OPERATIONS, proves: !isKilled });
    let disturbed;
    const result = await runRound(order, knowledge, {
      opened: (child) => (disturbed = disturb(child, volume, chance, isKilled)),
      writer: FAULTY_WRITER,
    });
    await disturbed;
    sum.lives++;
    for (const code of new Set(result.codes)) sum.codes[code] = (sum.codes[code] ?? 0) + 1;
    const isFull = result.codes.includes("AURA_OUT_OF_SPACE");
    if (isFull) sum.full++;
    if (result.signal === "SIGKILL") sum.killed++;
    let { failure } = result;
    if (!result.done && result.signal !== "SIGKILL") failure ??= `ended by ${result.signal}`;
    const other = result.codes.find((code) => code !== "background" && !CODES.includes(code));
    if (other !== undefined) failure ??= `told ${other}`;
    // What ended by itself was given room at the end, and wrote in it.
    if (isFull && result.done) sum.again++;
    volume.free();
    const check = knowledge.order(one);
    if (values.overclaim) Object.assign(check, { least: check.most, voids: [], open: [] });
    const answer = failure === undefined ? await checker.ask(check) : { failure };
    if (answer.failure === undefined) knowledge.hear(`prefix ${answer.length} ${answer.voids}`);
    else sum.violations.push({ database, life: sum.lives, order, check, failure: answer.failure });
  }
  checker.close();
  if (sum.violations.length === 0) volume.remove();
  else console.log(`kept: ${volume.place}`);
  return sum;
}

const reason = existsSync("/proc/mounts") ? whyNoVolume() : "needs Linux";
if (reason !== undefined) {
  console.log(`SKIPPED: ${reason}`);
} else {
  const startedMs = performance.now();
  const databases = [];
  for (let left = count; left > 0; left -= LIVES_PER_DATABASE) {
    databases.push({ database: databases.length, lives: Math.min(left, LIVES_PER_DATABASE) });
  }
  const sums = await inLanes(databases, jobs, fillAgain, (sum) => sum.violations.length > 0);
  const total = (name) => sums.reduce((sum, one) => sum + one[name], 0);
  const violations = sums.flatMap((one) => one.violations);
  for (const { failure, ...where } of violations) {
    console.log(JSON.stringify(where), "\n ", failure);
  }
  const codes = {};
  for (const one of sums) {
    for (const [code, n] of Object.entries(one.codes)) codes[code] = (codes[code] ?? 0) + n;
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  console.log(
    `${total("lives")} processes on a full volume, ${total("full")} told so, ${total("killed")} killed, ` +
      `${total("again")} wrote again when there was room ${JSON.stringify(codes)}, ${seconds} s, ` +
      `${violations.length} violations`,
  );
  const counts = {
    fullDisks: total("lives"),
    fullDisksTold: total("full"),
    fullDisksKilled: total("killed"),
    fullDisksAgain: total("again"),
  };
  console.log(`COUNTS ${JSON.stringify({ ...counts, violations: violations.length })}`);
  if (values.results !== undefined) {
    addSlice(values.results, { seed, ...counts, codes, seconds, violations: violations.length });
  }
  process.exitCode = violations.length === 0 ? 0 : 1;
}
