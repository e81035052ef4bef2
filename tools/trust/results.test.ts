/** What counts of results: those of the same sources by the same check. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, so that Node runs it without a build
import { addCounts, checkHash, sources } from "./results.mjs";

const folder = mkdtempSync(join(tmpdir(), "aura-results-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Returns the hash of a check whose files are these. */
function hashOf(name: string, files: Record<string, string>, simulation?: string): string {
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, name, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
  }
  return checkHash(join(folder, name, "check.mjs"), simulation);
}

test("a check is all that it leads to, but for the sources", () => {
  const files = {
    "check.mjs":
      'import "./one.mjs";\nimport { two } from "./more/two.mjs";\nimport "./src/not.mjs";\n' +
      'spawn(new URL("three.mjs", import.meta.url)); await import("./four.ts");\n',
    "one.mjs": "1",
    "more/two.mjs": 'export * from "../one.mjs";',
    "src/not.mjs": "source",
    "three.mjs": "3",
    "four.ts": "4",
    "other.mjs": "of something else",
  };
  const hash = hashOf("as-it-was", files);
  expect(hashOf("the-same", files)).toBe(hash);
  for (const path of ["check.mjs", "one.mjs", "more/two.mjs", "three.mjs", "four.ts"] as const) {
    const changed = { ...files, [path]: `${files[path]} // changed` };
    expect(hashOf(`changed-${path.replace("/", "-")}`, changed), path).not.toBe(hash);
  }
  const beside = { ...files, "src/not.mjs": "changed", "other.mjs": "changed" };
  expect(hashOf("beside", beside)).toBe(hash);
});

test("what simulates disks and clocks is a part of the checks that use it, and of nothing else", () => {
  const simulated = { "check.mjs": 'import { SimFs } from "@aura/base/testing";' };
  const real = { "check.mjs": 'import { AuraDB } from "@aura/engine";' };
  expect(hashOf("sim-a", simulated, "a")).not.toBe(hashOf("sim-b", simulated, "b"));
  expect(hashOf("real-a", real, "a")).toBe(hashOf("real-b", real, "b"));
  expect(sources(true)).toContain("packages/base/src/testing/sim-fs.ts");
  expect(sources(false)).toContain("packages/base/src/node-fs.ts");
  expect(sources(false).filter((path: string) => path.includes("testing"))).toEqual([]);
});

test("counts add up by name", () => {
  expect(addCounts([{ kills: 1 }, { kills: 2, cuts: 3 }, {}])).toEqual({ kills: 3, cuts: 3 });
});
