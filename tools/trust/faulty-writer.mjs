/**
 * The process whose system fails it: as the writer, but errors are expected. Each has to be an
 * AuraError; what it rejected is told, and has to be absent for ever; it goes on as far as the
 * database lets it, reads what it holds, and closes.
 *
 * It speaks as the writer does, and says of each few operations at once how they ended: `open N LIST`
 * before they are handed over, `settled N LIST` behind them, where LIST are those that were rejected;
 * `error CODE` for each error. An operation of unknown outcome is in neither list, and the last of its
 * life, unless `resume` gives it one.
 */
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AuraDB } from "@aura/engine";
import { prefixIn, settingsOf } from "./content.mjs";
import { Chance, History } from "./history.mjs";
import { oneThread } from "./one-thread.mjs";
import { maintain, write } from "./operations.mjs";

const SPEECH = 3;
/** Few at a time: whoever is killed may have been told of none of them. */
const WIDTH_MAX = 4;
const PROOF_TRIES = 600;
const PROOF_PAUSE_MS = 50;
const WAITING_MS = 3000;
/** Errors of a kind that says: refused, and nothing more will be taken. */
const ENDS = ["AURA_READ_ONLY", "AURA_CLOSED"];

const order = JSON.parse(process.argv[2]);
const { directory, seed, epochs, epoch, operations, settings } = order;
const { isCalm, world, pauseMs = 0, proves = false, isShort = false } = order;

let saidMs = 0;

function say(...lines) {
  saidMs = performance.now();
  writeSync(SPEECH, lines.map((line) => `${line}\n`).join(""));
}

/** Takes an error that the database may answer with; throws any other. */
function expect(error) {
  const code = String(error?.code);
  if (!code.startsWith("AURA_") || code === "AURA_CORRUPTION") throw error;
  say(`error ${code}`);
  return code;
}

/** Runs what may fail; resolves to the code of its error, or undefined. */
async function attempt(work) {
  try {
    await work();
    return undefined;
  } catch (error) {
    return expect(error);
  }
}

class FaultyLife {
  #db;
  #history;
  #chance;
  #from;
  #next;
  /** Answers at level `os` or `sync`. */
  #acknowledged = 0;
  /** Of unknown outcome, until the next process or `resume`. */
  #unknown = [];
  #voids;

  constructor(db, prefix, chance) {
    this.#db = db;
    this.#voids = prefix.voids;
    this.#from = this.#next = prefix.length;
    this.#history = new History(seed, [...epochs, { from: prefix.length, epoch }]);
    this.#chance = chance;
  }

  /** Hands operations over until there were enough, or no more are taken. */
  async go() {
    const end = this.#next + operations;
    while (this.#next < end) {
      const isTaken = await this.#writeSome(end);
      if (isTaken && this.#unknown.length === 0) {
        if (this.#chance.below(40) === 0) await this.#sync();
        await attempt(() => maintain(this.#db, this.#chance, isCalm ? 16 : 70));
        if (pauseMs > 0) await sleep(pauseMs);
        continue;
      }
      if (this.#chance.below(2) === 0 || !(await this.#resume())) return;
    }
  }

  /** There is room again, or will be: a write is taken in the end. */
  async prove() {
    for (let i = 0; i < PROOF_TRIES; i++) {
      const acknowledged = this.#acknowledged;
      const isTaken = await this.#writeSome(this.#next + 1);
      if (this.#acknowledged > acknowledged) return;
      await sleep(PROOF_PAUSE_MS);
      if (!isTaken || this.#unknown.length > 0) await this.#resume();
    }
    throw new Error("no write was taken though there is room");
  }

  /** Returns false when the database takes no more. */
  async #writeSome(end) {
    const isSync = this.#chance.below(3) === 0;
    const width = isSync ? 1 : 1 + this.#chance.below(WIDTH_MAX);
    const from = this.#next;
    this.#next = Math.min(end, from + width);
    const indexes = Array.from({ length: this.#next - from }, (_, at) => from + at);
    say(`open ${from} ${indexes}`, `intent ${this.#next}`);
    const told = [];
    let isTaken = true;
    const one = async (index) => {
      const operation = this.#history.operation(index);
      try {
        await write(this.#db, operation, isSync);
        if (operation.level === "buffered") return;
        this.#acknowledged++;
        told.push(`${operation.level} ${index + 1}`);
      } catch (error) {
        const code = expect(error);
        if (ENDS.includes(code)) isTaken = false;
        if (code === "AURA_UNKNOWN_OUTCOME") this.#unknown.push(index);
        else this.#voids.push(index);
      }
    };
    await Promise.all(indexes.map(one));
    this.#settle(indexes, told);
    return isTaken;
  }

  /** Tells in one breath what became of operations. */
  #settle(indexes, told) {
    const voids = indexes.filter((index) => this.#voids.includes(index));
    say(`settled ${this.#next} ${voids}`, ...told);
  }

  async #sync() {
    if ((await attempt(() => this.#db.sync())) === undefined) say(`sync ${this.#next}`);
  }

  /**
   * Returns whether writes are taken again. What was of unknown outcome has one from then on: it is
   * there for good if it is visible (its sync failed), or never (its append did).
   */
  async #resume() {
    if ((await attempt(() => this.#db.resume())) !== undefined) return false;
    const { voids } = this.check();
    const indexes = this.#unknown.splice(0);
    this.#voids = voids;
    this.#settle(indexes, []);
    return true;
  }

  /** Reads all that is there while the database lives: every answer was given. */
  check() {
    const all = [...epochs, { from: this.#from, epoch }];
    const [least, most] = [this.#next, this.#next];
    return prefixIn(this.#db, {
      ...{ seed, epochs: all, least, most },
      ...{ voids: this.#voids, open: this.#unknown },
    });
  }
}

/**
 * Flushes that find no descriptor, or no room in their file, are tried again each second, and who waits
 * for them waits: where that does not change, the process ends itself without a close.
 */
function endWaiting() {
  setInterval(() => {
    if (performance.now() - saidMs < WAITING_MS) return;
    say("error waiting", "done");
    process.exit(0);
  }, 100).unref();
}

async function live(db, chance) {
  const prefix = prefixIn(db, order);
  say(`prefix ${prefix.length} ${prefix.voids}`);
  const life = new FaultyLife(db, prefix, chance);
  await life.go();
  if (proves) await life.prove();
  life.check();
}

try {
  const chance = new Chance(seed, epoch, 7);
  const components = world === "one-thread" ? oneThread(seed) : {};
  let db;
  const refused = await attempt(async () => {
    db = await AuraDB.open(directory, settingsOf(chance, settings), components);
  });
  if (refused === undefined) {
    let background = 0;
    db.events.on("backgroundError", () => {
      if (background === 0 && isShort) endWaiting();
      background++;
    });
    // Reads may fail, too; a wrong answer is no error of the database.
    await attempt(() => live(db, chance));
    await attempt(() => db.close());
    if (background > 0) say("error background");
  }
  say("done");
} catch (error) {
  say(`failed ${String(error?.stack ?? error).replaceAll("\n", " | ")}`);
  process.exitCode = 1;
}
