import { describe, expect, test } from "vitest";
import { orderOf } from "../src/key-order.ts";
import { absentNames, composeNames, NAME_BYTES_MAX, parseNames } from "../src/names.ts";
import type { PackedBytes } from "../src/packed-bytes.ts";

const COUNT = 50_000;

function textsOf(names: PackedBytes): string[] {
  return Array.from({ length: names.count }, (_, i) => names.at(i).toString());
}

describe("composeNames", () => {
  const names = composeNames(COUNT, 1).build();
  const texts = textsOf(names);

  test("gives as many names as asked for, none twice", () => {
    expect(names.count).toBe(COUNT);
    expect(new Set(texts).size).toBe(COUNT);
  });

  test("gives the same names for the same seed, others for another", () => {
    expect(composeNames(COUNT, 1).build().bytes.equals(names.bytes)).toBe(true);
    const others = textsOf(composeNames(1000, 2).build());
    expect(others).not.toEqual(texts.slice(0, 1000));
  });

  test("begins alike for every count", () => {
    expect(textsOf(composeNames(1000, 1).build())).toEqual(texts.slice(0, 1000));
  });

  test("gives names in the shape of package names", () => {
    const shape = /^(@[a-z0-9]+(-[a-z0-9]+)*\/)?[a-z0-9]+(-[a-z0-9]+)*$/;
    expect(texts.filter((text) => !shape.test(text))).toEqual([]);
  });

  test("has the lengths and shared prefixes that its page states", () => {
    const mean = names.bytes.length / COUNT;
    expect(mean).toBeGreaterThan(21);
    expect(mean).toBeLessThan(25);
    const scoped = texts.filter((text) => text.startsWith("@")).length / COUNT;
    expect(scoped).toBeGreaterThan(0.38);
    expect(scoped).toBeLessThan(0.5);
    const order = orderOf(names);
    let shared = 0;
    for (let i = 1; i < COUNT; i++) {
      const a = names.at(order[i - 1]!);
      const b = names.at(order[i]!);
      let length = 0;
      while (length < a.length && a[length] === b[length]) length++;
      shared += length;
    }
    expect(shared / COUNT).toBeGreaterThan(6);
  });
});

describe("parseNames", () => {
  const parse = (text: string, countMax = 100) => textsOf(parseNames(text, countMax).build());

  test("takes a JSON array, or a name a line", () => {
    expect(parse('["b", "a", "ü/c"]')).toEqual(["b", "a", "ü/c"]);
    expect(parse("b\r\na\n\nü/c\n")).toEqual(["b", "a", "ü/c"]);
  });

  test("leaves doubles out and stops at the count", () => {
    expect(parse("a\nb\na\nc\nd\n", 3)).toEqual(["a", "b", "c"]);
  });

  test.each([
    ["[1]", /array of strings/],
    ["[", /JSON/],
    ["\n\n", /none found/],
    ["a\0b", /zero byte/],
    ["x".repeat(NAME_BYTES_MAX + 1), /more than 1024 bytes/],
  ])("refuses %j", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});

describe("absentNames", () => {
  test("gives keys that are not there, the same for the same seed", () => {
    const names = composeNames(5000, 1);
    const absent = absentNames(names, 2000, 1);
    expect(absent.count).toBe(2000);
    expect(textsOf(absent).filter((text) => names.has(Buffer.from(text)))).toEqual([]);
    expect(absentNames(names, 2000, 1).bytes.equals(absent.bytes)).toBe(true);
  });
});
