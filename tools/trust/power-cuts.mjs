/**
 * Power cuts on real file systems: `node tools/trust/power-cuts.mjs --count 60 --file-systems ext4`
 * cuts each of them so often; `--jobs` of them go side by side.
 *
 * The database lives on a disk image. While a process writes, the image's file is copied: the copy is
 * the disk after a power cut at that moment. Several copies are taken of one life of a process, each is
 * mounted, opened, and has to hold what was acknowledged at level `sync` before the copy began; the
 * history goes on in the last one. Needs root, the programs that make file systems, and the built
 * packages (`npm run build`).
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { DiskImage, FILE_SYSTEMS, whyNot } from "./disk-image.mjs";
import { Chance } from "./history.mjs";
import { inLanes } from "./lanes.mjs";
import { addSlice } from "./results.mjs";
import { Checker, Knowledge, runRound } from "./round.mjs";

const CUTS_PER_LIFE = 5;
const LIVES_PER_DISK = 5;
const OPERATIONS = 100_000;
/** One life in so many is first cut while its process starts and recovers. */
const EARLY_SHARE = 0.3;
const EARLY_MS_MAX = 400;
/** Operations between two cuts; and how long they are waited for. */
const OPERATIONS_BETWEEN_MAX = 250;
const BETWEEN_MS_MAX = 3000;
const LATE_MS_MAX = 20;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    "file-systems": { type: "string", default: "ext4" },
    results: { type: "string" },
    /** Negative control: demands what level `os` does not promise, and has to fail. */
    overclaim: { type: "boolean", default: false },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
const survives = values.overclaim ? "os" : "sync";

/**
 * A power cut ends a boot; this one does not. What tells one boot from the next is therefore covered,
 * for the writer alone, by a file that changes with each cut.
 */
function inBoot(folder, number) {
  const file = join(folder, "boot-id");
  const id = String(number).padStart(12, "0");
  writeFileSync(file, `00000000-0000-4000-8000-${id}\n`);
  const cover = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", cover, file];
}

/** One disk after the other of one kind. */
class CutDisk {
  sum;
  #folder;
  #kind;
  #image;
  #knowledge;
  #one;
  #chance;
  #checker = new Checker();
  #boot = 1;

  constructor(folder, kind) {
    this.#folder = folder;
    this.#kind = kind;
    this.#chance = new Chance(seed, 2, kind.length);
    this.sum = { kind, cuts: 0, operations: 0, violations: [] };
  }

  get #isRight() {
    return this.sum.violations.length === 0;
  }

  async cutAll() {
    for (let disk = 0; this.sum.cuts < count && this.#isRight; disk++) {
      this.#image = new DiskImage(
        join(this.#folder, "disk.img"),
        join(this.#folder, "disk"),
        this.#kind,
      );
      await this.#image.make();
      await this.#image.mount();
      this.#knowledge = new Knowledge();
      const directory = join(this.#image.mountPoint, "db");
      this.#one = { directory, seed: seed * 1000 + disk, survives };
      for (let life = 0; life < LIVES_PER_DISK && this.sum.cuts < count && this.#isRight; life++) {
        await this.#live(Math.min(CUTS_PER_LIFE, count - this.sum.cuts));
      }
      this.sum.operations += this.#knowledge.intent;
      await this.#image.unmount();
    }
    this.#checker.close();
    return this.sum;
  }

  #wrong(order, failure) {
    this.sum.violations.push({ kind: this.#kind, cut: this.sum.cuts, order, failure });
  }

  /** A process and the cuts of its life; then each cut disk is checked. */
  async #live(wanted) {
    const knowledge = this.#knowledge;
    const order = knowledge.order({ ...this.#one, operations: OPERATIONS, verify: false });
    const isEarly = this.#chance.unit() < EARLY_SHARE;
    let cuts;
    const begin = (child) => {
      cuts ??= this.#takeCuts(child, wanted, isEarly);
    };
    const when = isEarly ? { started: begin } : { opened: begin };
    const command = inBoot(this.#folder, this.#boot++);
    const { failure } = await runRound(order, knowledge, { ...when, command });
    const taken = (await cuts) ?? [];
    if (failure !== undefined) {
      this.#wrong(order, failure);
      return;
    }
    await this.#image.unmount();
    for (const [at, cut] of taken.entries()) {
      renameSync(cut.file, this.#image.file);
      this.#image = new DiskImage(this.#image.file, this.#image.mountPoint, this.#kind);
      await this.#image.mount();
      // Handed over, but not heard of before the copy: may be on the disk all the same.
      Object.assign(cut.known, { epochs: knowledge.epochs, nextEpoch: knowledge.nextEpoch });
      cut.known.intent = knowledge.intent;
      const check = cut.known.order({ ...this.#one, boot: this.#boot });
      const { length, voids, failure: found } = await this.#checker.ask(check);
      this.sum.cuts++;
      if (found !== undefined) {
        this.#wrong(check, found);
        return;
      }
      if (at < taken.length - 1) await this.#image.unmount();
      else {
        cut.known.hear(`prefix ${length} ${voids}`);
        this.#knowledge = cut.known;
      }
    }
    this.#boot++;
  }

  /** Copies the disk again and again while the process goes on; then ends it. */
  async #takeCuts(child, wanted, isEarly) {
    const cuts = [];
    let end = this.#knowledge.intent;
    if (isEarly) await sleep(this.#chance.unit() * EARLY_MS_MAX);
    while (cuts.length < wanted && child.exitCode === null) {
      if (cuts.length > 0 || !isEarly) {
        end += this.#chance.below(OPERATIONS_BETWEEN_MAX);
        const untilMs = performance.now() + BETWEEN_MS_MAX;
        while (this.#knowledge.intent < end && performance.now() < untilMs) await sleep(2);
        await sleep(this.#chance.unit() * LATE_MS_MAX);
      }
      // Known before the copy begins: what is acknowledged while it goes on may be in or not.
      const known = this.#knowledge.copy();
      child.kill("SIGSTOP");
      const file = join(this.#folder, `cut-${cuts.length}.img`);
      await this.#image.copyTo(file);
      cuts.push({ known, file });
      child.kill("SIGCONT");
    }
    child.kill("SIGKILL");
    return cuts;
  }
}

const folder = mkdtempSync(join(tmpdir(), "aura-cuts-"));
async function cutKind(kind) {
  if (!Object.hasOwn(FILE_SYSTEMS, kind)) throw new Error(`unknown file system ${kind}`);
  const own = mkdtempSync(join(folder, `${kind}-`));
  const reason = await whyNot(kind, own);
  if (reason !== undefined) {
    console.log(`SKIPPED ${kind}: ${reason}`);
    return true;
  }
  const startedMs = performance.now();
  const { cuts, operations, violations } = await new CutDisk(own, kind).cutAll();
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  for (const { failure, ...where } of violations) {
    console.log(JSON.stringify(where), "\n ", failure);
  }
  console.log(
    `${kind}: ${cuts} cuts, ${operations} operations, ${seconds} s, ${violations.length} violations`,
  );
  console.log(
    `COUNTS ${JSON.stringify({ cuts, [`cuts ${kind}`]: cuts, violations: violations.length })}`,
  );
  if (values.results !== undefined) {
    const slice = { kind, seed, cuts, operations, seconds, violations: violations.length };
    addSlice(values.results, slice);
  }
  return violations.length === 0;
}

const kinds = values["file-systems"].split(",");
const isRight = (await inLanes(kinds, Number(values.jobs), cutKind)).every((right) => right);
if (isRight) rmSync(folder, { recursive: true, force: true });
else console.log(`kept: ${folder}`);
process.exitCode = isRight ? 0 : 1;
