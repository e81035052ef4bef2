import { readFileSync } from "node:fs";
import { hashReady, Kind } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { beforeAll, expect, test } from "vitest";
import { RangeFragments, Table, TableWriter } from "../src/index.ts";
import { text } from "./support.ts";

beforeAll(() => hashReady());

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

const uid = { lo: 0x01234567, hi: 0x89abcdef };
const databaseUuid = new Uint8Array(16).map((_, i) => 0xa0 + i);

test("the worked example of the format page is what is written, and reads", () => {
  const fs = new SimFs();
  const file = fs.openSync("/42.sst", "create");
  const settings = { hashSeed: 1 };
  const writer = new TableWriter(file, { databaseUuid, uid, number: 42, keyspace: 0, settings });
  const add = (key: string, seq: number, tag: number, value: string): void => {
    writer.add(text(key), 0, key.length, seq, tag, text(value), 0, value.length);
  };
  add("apple", 7, Kind.value, "red");
  add("apple", 5, Kind.delete, "");
  add("apricot", 6, Kind.value, "dry");
  writer.noteReference(3, 100);
  const ranges = new RangeFragments();
  ranges.push(text("ap"), text("b"), [4]);
  writer.setRanges(ranges);
  writer.finishSync();
  file.closeSync();
  const written = fs
    .readFile("/42.sst")
    .toString("hex")
    .replace(/..(?=.)/g, "$& ");
  expect(written).toBe(workedBytes("sst.md"));
  const table = Table.openSync(fs, { path: "/42.sst", number: 42, uid, databaseUuid, hashSeed: 1 });
  table.verifySync();
  table.closeSync();
});
