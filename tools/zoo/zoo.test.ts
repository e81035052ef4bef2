/** The zoo fits the sources, and no source holds any of it. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { expect, test } from "vitest";
import { checkPlanted } from "../pack/shipped.mjs";
import { BUGS } from "./bugs.mjs";
import { plant } from "./planting.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (file: string): string => readFileSync(root + file, "utf8");

test("28 bugs, each of its own name, each with tests that are there", () => {
  expect(new Set(BUGS.map(({ id }) => id)).size).toBe(28);
  for (const { id, tests } of BUGS) {
    expect(tests.length, id).toBeGreaterThan(0);
    for (const { file } of tests) expect(existsSync(root + file), `${id}: ${file}`).toBe(true);
  }
});

test.each(BUGS)("bug $id fits: $title", (bug) => {
  for (const file of new Set(bug.edits.map((edit) => edit.file))) {
    const text = read(file);
    const planted = plant(bug, file, text);
    expect(planted).not.toBe(text);
    const { code } = transformSync(planted, { loader: "ts" });
    expect(code).not.toBe(transformSync(text, { loader: "ts" }).code);
  }
});

test("an edit that does not fit is an error", () => {
  const [bug] = BUGS;
  expect(() => plant(bug!, bug!.edits[0]!.file, "other text")).toThrow(/does not fit/);
});

/** All files below a folder. */
function filesOf(folder: string): string[] {
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesOf(path) : [path];
  });
}

// What is packed, `dist` with it, is looked at where it is there: by tools/pack, behind the build.
test("the sources hold none of it: no planted text, and nothing asks for a bug", () => {
  expect(checkPlanted(`${root}packages`)).toBeGreaterThan(20);
  const packages = readdirSync(`${root}packages`).map((name) => `packages/${name}`);
  const sources = packages.flatMap((folder) => filesOf(`${folder}/src`));
  expect(sources.length).toBeGreaterThan(100);
  for (const file of sources) {
    expect(/AURA_ZOO|aura-zoo|tools\/zoo/.test(read(file)), file).toBe(false);
  }
  for (const folder of packages) {
    const { files } = JSON.parse(read(`${folder}/package.json`)) as { files: string[] };
    expect(files.toSorted(), folder).toEqual(["dist", "src"]);
  }
});

test("a bug that stands in the sources is found, also among other white space", () => {
  const folder = mkdtempSync(join(tmpdir(), "aura-planted-"));
  const copy = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  const files = new Set(BUGS.flatMap(({ edits }) => edits.map(({ file }) => file)));
  for (const file of files) copy(file.replace("packages/", ""), read(file));
  expect(checkPlanted(folder)).toBeGreaterThan(20);
  for (const bug of BUGS) {
    for (const { file } of bug.edits) {
      copy(file.replace("packages/", ""), plant(bug, file, read(file)).replaceAll("\n", "\n\n "));
      expect(() => checkPlanted(folder), bug.id).toThrow();
      copy(file.replace("packages/", ""), read(file));
    }
  }
  // As well where the original is left beside it.
  const [edit] = BUGS.find(({ id }) => id === "13")!.edits;
  const name = edit!.file.replace("packages/", "");
  copy(name, `${read(edit!.file)}\n${edit!.replace.replaceAll(" ", "\n\t")}`);
  expect(() => checkPlanted(folder)).toThrow(/bug 13 stands in/);
  rmSync(folder, { recursive: true });
});
