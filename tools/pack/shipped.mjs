/**
 * Proves that what is packed is what the repository says, and holds no bug of the zoo.
 *
 * `src`: the same files with the same bytes as here, nothing of tools/zoo among the files, and for
 * each edit of each planted bug the original stands there and the planted text does not. `dist` is
 * built once more out of the packed `src`, with the configuration that the build has, and has to come
 * out the same byte by byte: so it holds what `src` holds, and no other proof about it is needed. (The
 * age of files would prove nothing: clones and caches set it anew; nor would a search for planted text
 * in code that a bundler wrote anew.) Declarations are left out: nothing of them runs.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { BUGS } from "../zoo/bugs.mjs";
import { plant } from "../zoo/planting.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Returns the paths of all files below a folder, as `/` writes them, sorted. */
function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort();
}

function hashOf(file) {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

/** Fails on the first difference between two folders, by the names of files in them. */
function assertSame(made, wanted, what) {
  const names = filesOf(made).filter((name) => !/\.d\.ts$/.test(name) || what === "src");
  const expected = filesOf(wanted).filter((name) => !/\.d\.ts$/.test(name) || what === "src");
  if (names.join() !== expected.join()) {
    throw new Error(`${what} has the files ${names.join(" ")}\nand not ${expected.join(" ")}`);
  }
  if (names.length === 0) throw new Error(`${what} is empty`);
  const other = names.find((name) => hashOf(join(made, name)) !== hashOf(join(wanted, name)));
  if (other !== undefined) throw new Error(`${what}/${other} is another one`);
}

/** Fails unless the packed sources are those of `folder`, and no file is one of the zoo. */
export function checkSources(packed, folder) {
  assertSame(join(packed, "src"), join(folder, "src"), "src");
  const zoo = join(root, "tools/zoo");
  const hashes = new Map(filesOf(zoo).map((name) => [hashOf(join(zoo, name)), name]));
  for (const name of filesOf(packed)) {
    const found = hashes.get(hashOf(join(packed, name)));
    if (found !== undefined) throw new Error(`${name} is tools/zoo/${found}`);
    // Source maps hold sources as well.
    if (/AURA_ZOO|aura-zoo|tools\/zoo/.test(readFileSync(join(packed, name), "latin1"))) {
      throw new Error(`${name} speaks of the zoo`);
    }
  }
}

const plain = (text) => text.replace(/\s+/g, " ").trim();

/**
 * Fails where a bug of the zoo stands in the packed sources. `packages`: the folder that holds what
 * `packages` holds here. Returns the number of planted texts that were searched for.
 */
export function checkPlanted(packages) {
  const texts = filesOf(packages)
    .filter((name) => /^[^/]+\/src\//.test(name))
    .map((name) => [name, plain(readFileSync(join(packages, name), "utf8"))]);
  let searched = 0;
  for (const bug of BUGS) {
    for (const { file, find, replace } of bug.edits) {
      const packed = join(packages, file.replace(/^packages\//, ""));
      // Throws unless the original stands there, as often as it has to: that is the proof where what
      // is planted is nothing, or a part of the original.
      plant(bug, file, readFileSync(packed, "utf8"));
      if (plain(find).includes(plain(replace))) continue;
      searched++;
      const found = texts.find(([, text]) => text.includes(plain(replace)));
      if (found !== undefined) throw new Error(`bug ${bug.id} stands in ${found[0]}: ${replace}`);
    }
  }
  return searched;
}

/**
 * Fails unless building the packed `src` gives the packed `dist`. `work`: an empty folder, in which
 * the package gets the place that it has here, so that paths in maps are the same.
 */
export function checkBuild(packed, folder, work) {
  const name = relative(root, folder);
  const copy = join(work, name);
  for (const file of filesOf(join(packed, "src"))) {
    mkdirSync(dirname(join(copy, "src", file)), { recursive: true });
    copyFileSync(join(packed, "src", file), join(copy, "src", file));
  }
  for (const file of ["tsconfig.base.json", "tsup.config.ts", "package.json"]) {
    copyFileSync(join(root, file), join(work, file));
  }
  copyFileSync(join(folder, "package.json"), join(copy, "package.json"));
  symlinkSync(join(root, "node_modules"), join(work, "node_modules"), "junction");
  symlinkSync(join(folder, "node_modules"), join(copy, "node_modules"), "junction");
  const tsup = join(root, "node_modules/tsup/dist/cli-default.js");
  const args = [tsup, "--config", "../../tsup.config.ts", "--no-dts"];
  const built = spawnSync(process.execPath, args, { cwd: copy, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`tsup: ${built.stdout}${built.stderr}`);
  assertSame(join(packed, "dist"), join(copy, "dist"), "dist");
}
