/**
 * Power cuts on real file systems: `node tools/trust/power-cuts.mjs --count 60 --file-systems ext4`.
 *
 * The database lives on a disk image. While a process writes, the image's file is copied: the copy is
 * the disk after a power cut at that moment. The next process opens the copy, has to find what was
 * acknowledged at level `sync` before the copy began, and goes on there. Needs root, the programs
 * that make file systems, and the built packages (`npm run build`).
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DiskImage, FILE_SYSTEMS, whyNot } from "./disk-image.mjs";
import { Chance } from "./history.mjs";
import { addSlice } from "./results.mjs";
import { Knowledge, runRound } from "./round.mjs";

const CUTS_PER_DATABASE = 25;
const OPERATIONS = 100_000;
const EARLY_SHARE = 0.3;
const EARLY_MS_MAX = 400;
const LIFE_MS_MAX = 1000;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    "file-systems": { type: "string", default: "ext4" },
    results: { type: "string" },
    /** Negative control: demands what level `os` does not promise, and has to fail. */
    overclaim: { type: "boolean", default: false },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];

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

/** Cuts the power of one file system `count` times; returns what happened. */
async function cutAll(kind, folder) {
  const chance = new Chance(seed, 2, kind.length);
  const sum = { kind, cuts: 0, operations: 0, violations: [] };
  for (let database = 0; sum.cuts < count && sum.violations.length === 0; database++) {
    let image = new DiskImage(join(folder, "disk.img"), join(folder, "disk"), kind);
    image.make();
    image.mount();
    const knowledge = new Knowledge();
    const directory = join(image.mountPoint, "db");
    const survives = values.overclaim ? "os" : "sync";
    const one = { directory, seed: seed * 1000 + database, survives };
    for (let i = 0; i < CUTS_PER_DATABASE && sum.cuts < count; i++) {
      const isEarly = chance.unit() < EARLY_SHARE;
      const lifeMs = chance.unit() * (isEarly ? EARLY_MS_MAX : LIFE_MS_MAX);
      const cut = join(folder, "cut.img");
      const order = knowledge.order({ ...one, operations: OPERATIONS, verify: false });
      let known;
      const cutLater = (child) => {
        setTimeout(() => {
          // Known before the copy begins: what is acknowledged while it goes on may be in or not.
          known = structuredClone({ ...knowledge });
          child.kill("SIGSTOP");
          image.copyTo(cut);
          known.intent = knowledge.intent;
          child.kill("SIGKILL");
        }, lifeMs);
      };
      const when = isEarly ? { started: cutLater } : { opened: cutLater };
      const command = inBoot(folder, sum.cuts);
      const result = await runRound(order, knowledge, { ...when, command });
      if (result.failure !== undefined) {
        sum.violations.push({ kind, database, round: i, order, failure: result.failure });
        break;
      }
      // Handed over, but not heard of before the copy: may be on the disk all the same.
      const { intent } = knowledge;
      Object.assign(knowledge, known, { intent });
      sum.cuts++;
      image.unmount();
      renameSync(cut, image.file);
      image = new DiskImage(image.file, image.mountPoint, kind);
      image.mount();
    }
    if (sum.violations.length === 0) {
      const order = knowledge.order({ ...one, operations: 0, verify: true });
      const command = inBoot(folder, sum.cuts);
      const { failure } = await runRound(order, knowledge, { command });
      if (failure !== undefined) sum.violations.push({ kind, database, order, failure });
    }
    sum.operations += knowledge.intent;
    image.unmount();
  }
  return sum;
}

const folder = mkdtempSync(join(tmpdir(), "aura-cuts-"));
let failed = false;
for (const kind of values["file-systems"].split(",")) {
  if (!Object.hasOwn(FILE_SYSTEMS, kind)) throw new Error(`unknown file system ${kind}`);
  const reason = whyNot(kind, folder);
  if (reason !== undefined) {
    console.log(`SKIPPED ${kind}: ${reason}`);
    continue;
  }
  const startedMs = performance.now();
  const { cuts, operations, violations } = await cutAll(kind, folder);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  for (const { failure, ...where } of violations)
    console.log(JSON.stringify(where), "\n ", failure);
  console.log(
    `${kind}: ${cuts} cuts, ${operations} operations, ${seconds} s, ${violations.length} violations`,
  );
  failed ||= violations.length > 0;
  if (values.results !== undefined) {
    const slice = { kind, seed, cuts, operations, seconds, violations: violations.length };
    addSlice(values.results, slice);
  }
}
if (failed) console.log(`kept: ${folder}`);
else rmSync(folder, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
