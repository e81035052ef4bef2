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
  for (let i = 2; i < 80; i += 2)
    builder.add(text(`k${i < 10 ? "0" : ""}${i % 10 === 0 ? i / 10 : i}`));
  const bytes = builder.finish()!;
  const written = Buffer.from(bytes)
    .toString("hex")
    .replace(/..(?=.)/g, "$& ");
  expect(written).toBe(workedBytes("learned-index.md"));
  const index = learnedIndex().decode(bytes, 40);
  const blockOf = (key: string): number => {
    index.locate(text(key), 0, key.length);
    expect(index.last).toBe(index.first);
    return index.first;
  };
  expect(blockOf("k42")).toBe(21);
  expect(blockOf("k41")).toBe(20);
  expect(blockOf("k4")).toBe(20);
  expect(blockOf("k3zz")).toBe(19);
  expect(blockOf("k43")).toBe(21);
  expect(blockOf("a")).toBe(0);
  expect(blockOf("z")).toBe(39);
});
