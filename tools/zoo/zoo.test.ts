/** The zoo fits the sources, and no source or built package holds any of it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { expect, test } from "vitest";
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
  if (!existsSync(root + folder)) return [];
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesOf(path) : [path];
  });
}

test("what is shipped holds none of it: sources are as they run, and nothing asks for a bug", () => {
  const packages = readdirSync(`${root}packages`).map((name) => `packages/${name}`);
  const shipped = packages.flatMap((folder) => [
    ...filesOf(`${folder}/src`),
    ...filesOf(`${folder}/dist`),
  ]);
  expect(shipped.length).toBeGreaterThan(100);
  for (const file of shipped) {
    const text = read(file);
    expect(/AURA_ZOO|aura-zoo|tools\/zoo/.test(text), file).toBe(false);
  }
  for (const folder of packages) {
    const { files } = JSON.parse(read(`${folder}/package.json`)) as { files: string[] };
    expect(files.toSorted(), folder).toEqual(["dist", "src"]);
  }
});
