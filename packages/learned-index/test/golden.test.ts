import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { learnedIndex } from "../src/index.ts";

/** The bytes of the worked example of a format page. */
function workedBytes(page: string): string {
  const url = new URL(`../../../docs/formats/${page}`, import.meta.url);
  const lines = readFileSync(url, "utf8").split("\n");
  return lines
    .map((line) => /^([0-9a-f]{3}) {2}((?:[0-9a-f]{2} )*[0-9a-f]{2})(?: {2,}.*)?$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => match[2])
    .join(" ");
}

test("the worked example of the format page is what is written, and reads", () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const builder = learnedIndex().builder();
  builder.add(text(""));
  for (let i = 3; i < 80; i += 2) builder.add(text(`k${String(i).padStart(2, "0")}`));
  const bytes = builder.finish()!;
  const written = Buffer.from(bytes)
    .toString("hex")
    .replace(/..(?=.)/g, "$& ");
  expect(written).toBe(workedBytes("learned-index.md"));
  const index = learnedIndex().decode(bytes, 40);
  const range = (key: string): [number, number] => {
    index.locate(text(key), 0, key.length);
    return [index.first, index.last];
  };
  expect(range("k42")).toEqual([20, 21]);
  expect(range("k44")).toEqual([21, 22]);
  expect(range("k435")).toEqual([21, 21]);
  expect(range("a")).toEqual([0, 0]);
  expect(range("z")).toEqual([39, 39]);
});
