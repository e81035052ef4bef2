/**
 * Is what a real kernel does among what the simulated file system allows? The same calls go to both;
 * then the real disk is cut by copying its image, and the copy is compared with what power losses of
 * the simulated one leave: `node tools/trust/kernel-check.mjs --count 200 --file-systems ext4,xfs`.
 *
 * Names must be there as in some simulated image, sizes must lie between theirs, and every sector,
 * zeros too, must hold what it holds in one of them. What was synced is the same in all of them, so it
 * has to be on the real disk. So that images differ, the real disk alone is told now and then to
 * write a file or all it has, and some images are copied seconds later, when the kernel wrote by
 * itself. Needs root, the programs that make file systems, and the built packages.
 */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { nodeFileSystem } from "@aura/base";
import { SECTOR_BYTES, SimFs } from "@aura/base/testing";
import { DiskImage, FILE_SYSTEMS, whyNot } from "./disk-image.mjs";
import { Chance } from "./history.mjs";
import { addSlice } from "./results.mjs";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    "file-systems": { type: "string", default: "ext4" },
    results: { type: "string" },
    /** Negative control: the simulated disk is told of syncs that the real one never got. */
    overclaim: { type: "boolean", default: false },
    /** Negative control: the first sector of each file on the real disk reads as zeros. */
    blank: { type: "boolean", default: false },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
const DIRECTORIES = ["x", "y"];
const NAMES = ["a", "b", "c", "x/a", "x/b", "y/a"];
/** Images that what is allowed is gathered from: as many more, up to the most, if something is not among them. */
const IMAGES = 400;
const IMAGES_MAX = 40_000;
/** Sequences side by side on one disk: alone, a sync brings no other names along. */
const WIDTHS = [1, 1, 4, 12];
/** One cut in so many comes later: the kernel looks for what to write every five seconds. */
const LATE_CUTS = 10;
const LATE_MS_MAX = 7000;
/** Of the system. */
const tools = { sync: "sync" };

/** Draws calls; each is a function of a file system, a directory and the files it has open. */
function draw(chance) {
  const calls = [
    { kind: "create", name: "a" },
    { kind: "create", name: "b" },
  ];
  const isWrittenBack = chance.below(2) === 0;
  if (chance.below(3) > 0) calls.push({ kind: "makeDirectory", name: "x" });
  for (let i = 4 + chance.below(16); i > 0; i--) {
    const [name, other] = [chance.pick(NAMES), chance.pick(NAMES)];
    const kind = chance.below(18);
    if (kind < 3) calls.push({ kind: "create", name });
    else if (kind < 9) {
      const bytes = Buffer.alloc(1 + chance.below(chance.below(4) === 0 ? 9000 : 700));
      for (let at = 0; at < bytes.length; at++) bytes[at] = chance.next();
      const at = chance.below(3) === 0 ? chance.below(6000) : -1;
      calls.push({ kind: "write", name, bytes, at });
    } else if (kind < 11) calls.push({ kind: "sync", name });
    else if (kind < 12) calls.push({ kind: "truncate", name, length: chance.below(3000) });
    else if (kind < 13) calls.push({ kind: "rename", name, other });
    else if (kind < 14) calls.push({ kind: "unlink", name });
    else if (kind < 15) calls.push({ kind: "link", name, other });
    else if (kind < 16) {
      const isMade = chance.below(3) > 0;
      calls.push({
        kind: isMade ? "makeDirectory" : "removeDirectory",
        name: chance.pick(DIRECTORIES),
      });
    } else calls.push({ kind: "syncDir", name: chance.pick([".", ".", ...DIRECTORIES]) });
    if (isWrittenBack && chance.below(4) === 0) {
      calls.push({ kind: "writeBack", name: chance.pick([".", ...NAMES]) });
    }
  }
  return calls;
}

/** What the kernel may do at any time: writes a file, or all that it has, to the disk. */
function writeBack(path) {
  if (!existsSync(path)) return;
  if (path.endsWith("/.")) {
    execFileSync(tools.sync, ["-f", path]);
    return;
  }
  const fd = openSync(path, "r+");
  fdatasyncSync(fd);
  closeSync(fd);
}

/** Carries calls out; those that fail (a name is taken, or missing) have to fail on both. */
function carryOut(fs, directory, calls, isReal) {
  const open = new Map();
  const outcomes = [];
  for (const call of calls) {
    const path = `${directory}/${call.name}`;
    const skipped = values.overclaim && isReal && call.kind.startsWith("sync");
    if (call.kind === "writeBack") {
      if (isReal && !values.overclaim) writeBack(path);
      continue;
    }
    try {
      const file = open.get(call.name);
      if (call.kind === "create") {
        const made = fs.openSync(path, "create");
        file?.closeSync();
        open.set(call.name, made);
      } else if (call.kind === "syncDir") {
        if (!fs.existsSync(path)) throw new Error("no such directory");
        if (!skipped) fs.syncDirSync(path);
      } else if (call.kind === "makeDirectory") fs.makeDirectorySync(path);
      else if (call.kind === "removeDirectory") fs.removeDirectorySync(path);
      else if (call.kind === "rename") {
        fs.renameSync(path, `${directory}/${call.other}`);
        if (call.name !== call.other) {
          open.get(call.other)?.closeSync();
          open.delete(call.other);
          if (file !== undefined) open.set(call.other, file);
          open.delete(call.name);
        }
      } else if (call.kind === "unlink") fs.unlinkSync(path);
      else if (call.kind === "link") fs.linkSync(path, `${directory}/${call.other}`);
      else if (file === undefined) throw new Error("not open");
      else if (call.kind === "write")
        file.writeSync(call.bytes, call.at < 0 ? file.sizeSync() : call.at);
      else if (call.kind === "truncate") file.truncateSync(call.length);
      else if (!skipped) file.syncSync();
      outcomes.push("done");
    } catch (error) {
      outcomes.push("failed");
      if (error.code === "AURA_CLOSED") throw error;
    }
  }
  const close = () => {
    for (const file of open.values()) file.closeSync();
  };
  return { outcomes: outcomes.join(), close };
}

/** Paths of the files below a directory, and of directories with a slash behind; sorted. */
function pathsBelow(directory, list) {
  const paths = [];
  for (const name of list(directory)) {
    if (!DIRECTORIES.includes(name)) paths.push(name);
    else paths.push(`${name}/`, ...list(`${directory}/${name}`).map((one) => `${name}/${one}`));
  }
  return paths.sort();
}

/** What is allowed: sets of names, and of each name the sizes and the contents of its sectors. */
class Allowed {
  names = new Set();
  files = new Map();
  #sim;
  #directory;
  #images = 0;

  constructor(sim, directory) {
    this.#sim = sim;
    this.#directory = directory;
  }

  /** Gathers it from more images; returns whether there are any. */
  gather() {
    if (this.#images >= IMAGES_MAX) return false;
    const end = Math.max(IMAGES, 2 * this.#images);
    for (; this.#images < end; this.#images++) this.#take(this.#images);
    return true;
  }

  #take(image) {
    const data = ["none", "all", "prefix", "any", "any"][image % 5];
    const names = ["any", "any", "prefix", "any", "all", "none", "any"][image % 7];
    const crashed = this.#sim.crash({ seed: image, names, torn: true, data });
    const directory = this.#directory;
    const there = crashed.existsSync(directory)
      ? pathsBelow(directory, (one) => crashed.listSync(one))
      : [];
    this.names.add(there.join());
    for (const name of there) {
      if (!name.endsWith("/")) this.#takeFile(name, crashed.readFile(`${directory}/${name}`));
    }
  }

  #takeFile(name, bytes) {
    const file = this.files.get(name) ?? { least: Infinity, most: 0, sectors: new Map() };
    this.files.set(name, file);
    file.least = Math.min(file.least, bytes.length);
    file.most = Math.max(file.most, bytes.length);
    for (let at = 0; at * SECTOR_BYTES < bytes.length; at++) {
      const sector = Buffer.alloc(SECTOR_BYTES);
      bytes.copy(sector, 0, at * SECTOR_BYTES);
      const seen = file.sectors.get(at) ?? [];
      if (!seen.some((one) => one.equals(sector))) seen.push(sector);
      file.sectors.set(at, seen);
    }
  }
}

/** What is in a directory of the real disk; undefined when it is gone. */
function contentOf(directory) {
  if (!existsSync(directory)) return undefined;
  const files = new Map();
  for (const name of pathsBelow(directory, readdirSync)) {
    const bytes = name.endsWith("/") ? undefined : readFileSync(join(directory, name));
    if (values.blank) bytes?.fill(0, 0, Math.min(bytes.length, SECTOR_BYTES));
    files.set(name, bytes);
  }
  return files;
}

/** Returns what of a real directory is not allowed, or undefined. */
function excessOf(content, { names, files }) {
  if (content === undefined) return names.has("") ? undefined : "the directory is gone";
  const there = [...content.keys()].join();
  if (!names.has(there)) return `names ${there}; allowed: ${[...names].slice(0, 40).join(" | ")}`;
  for (const [name, bytes] of content) {
    if (bytes === undefined) continue;
    const { least, most, sectors } = files.get(name);
    if (bytes.length < least || bytes.length > most) {
      return `${name} has ${bytes.length} bytes; allowed: ${least} to ${most}`;
    }
    for (let at = 0; at * SECTOR_BYTES < bytes.length; at++) {
      const sector = bytes.subarray(at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES);
      const isSeen = (sectors.get(at) ?? []).some((one) =>
        // The sector that the size cuts may have been longer in the simulated image.
        one.subarray(0, sector.length).equals(sector),
      );
      const what = sector.every((byte) => byte === 0) ? "zeros" : "other bytes";
      if (!isSeen) return `${name}: sector ${at} holds ${what}`;
    }
  }
  return undefined;
}

/** As above, of as many simulated images as it takes. */
function excessOfAny(content, allowed) {
  let excess = "nothing was gathered";
  while (excess !== undefined && allowed.gather()) excess = excessOf(content, allowed);
  return excess;
}

async function checkAll(kind, folder) {
  const chance = new Chance(seed, 3, kind.length);
  const sum = { kind, sequences: 0, cuts: 0, violations: [] };
  const image = new DiskImage(join(folder, "disk.img"), join(folder, "disk"), kind);
  await image.make();
  while (sum.sequences < count && sum.violations.length === 0) {
    await image.mount();
    const width = chance.pick(WIDTHS);
    const checks = [];
    const ends = [];
    for (let i = 0; i < width && sum.sequences < count; i++) {
      const name = `s${sum.sequences++}`;
      const calls = draw(chance);
      const sim = new SimFs();
      for (const [fs, parent] of [
        [nodeFileSystem, image.mountPoint],
        [sim, "/disk"],
      ]) {
        fs.makeDirectorySync(parent);
        fs.makeDirectorySync(`${parent}/${name}`);
        fs.syncDirSync(parent);
      }
      sim.syncDirSync("/");
      const real = carryOut(nodeFileSystem, `${image.mountPoint}/${name}`, calls, true);
      const simulated = carryOut(sim, `/disk/${name}`, calls, false);
      if (real.outcomes !== simulated.outcomes) {
        sum.violations.push({
          name,
          excess: `calls end otherwise: ${real.outcomes} / ${simulated.outcomes}`,
        });
      }
      checks.push({ name, calls, sim });
      ends.push(real.close);
    }
    const cut = new DiskImage(join(folder, "cut.img"), join(folder, "cut"), kind);
    if (chance.below(LATE_CUTS) === 0) await sleep(chance.unit() * LATE_MS_MAX);
    await image.copyTo(cut.file);
    sum.cuts++;
    for (const end of ends) end();
    await image.unmount();
    await cut.mount();
    for (const { name, calls, sim } of checks) {
      const content = contentOf(join(cut.mountPoint, name));
      const excess = excessOfAny(content, new Allowed(sim, `/disk/${name}`));
      if (excess === undefined) continue;
      const shown = calls.map(({ bytes, ...call }) => ({ ...call, bytes: bytes?.length }));
      sum.violations.push({ name, excess, calls: shown });
    }
    await cut.unmount();
    if (sum.cuts % 20 === 0) await image.make();
  }
  return sum;
}

const folder = mkdtempSync(join(tmpdir(), "aura-kernel-"));
let failed = false;
for (const kind of values["file-systems"].split(",")) {
  if (!Object.hasOwn(FILE_SYSTEMS, kind)) throw new Error(`unknown file system ${kind}`);
  const reason = await whyNot(kind, folder);
  if (reason !== undefined) {
    console.log(`SKIPPED ${kind}: ${reason}`);
    continue;
  }
  const startedMs = performance.now();
  const { sequences, cuts, violations } = await checkAll(kind, folder);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  for (const violation of violations) console.log(JSON.stringify(violation));
  console.log(
    `${kind}: ${sequences} sequences, ${cuts} cuts, ${seconds} s, ${violations.length} not allowed`,
  );
  console.log(`COUNTS ${JSON.stringify({ sequences, kernelCuts: cuts })}`);
  failed ||= violations.length > 0;
  if (values.results !== undefined) {
    addSlice(values.results, {
      kind,
      seed,
      sequences,
      cuts,
      seconds,
      violations: violations.length,
    });
  }
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
