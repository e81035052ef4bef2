/** The list of rules in docs/durability.md: every test that it names is there. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const root = new URL("../../../", import.meta.url);

test("every rule of durability names a test that exists", () => {
  const page = readFileSync(new URL("docs/durability.md", root), "utf8");
  const rows = page.split("\n").filter((line) => line.includes(".test.ts |"));
  expect(rows.length).toBeGreaterThan(35);
  const missing = rows.flatMap((row) => {
    const [file, name] = row
      .split("|")
      .slice(2, 4)
      .map((cell) => cell.trim());
    const source = readFileSync(new URL(`packages/${file}`, root), "utf8");
    return source.includes(`"${name}"`) ? [] : [`${file}: ${name}`];
  });
  expect(missing).toEqual([]);
});
