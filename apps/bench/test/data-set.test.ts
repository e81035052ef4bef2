import { expect, test } from "vitest";
import { BLOB_BYTES, createDataSet, readDataSet, saveDataSet } from "../src/data-set.ts";
import { composeNames } from "../src/names.ts";
import { temporaryFolder } from "./support/folder.ts";

const data = createDataSet(composeNames(1000, 1), 1);

test("values are JSON records, another one at each revision", () => {
  const record = JSON.parse(data.value(3, 0).toString()) as Record<string, unknown>;
  expect(record).toHaveProperty("name");
  expect(record).toHaveProperty("population");
  expect(data.value(3, 1).equals(data.value(3, 0))).toBe(false);
  expect(data.value(3 + data.records.count, 0).equals(data.value(3, 0))).toBe(true);
});

test("blobs are 64 KiB of records, each another piece", () => {
  for (const index of [0, 1, 399]) expect(data.blob(index)).toHaveLength(BLOB_BYTES);
  expect(data.blob(0).equals(data.blob(1))).toBe(false);
  expect(data.records.bytes.includes(data.blob(7).subarray(0, 500))).toBe(true);
});

test("files give the same data back", async () => {
  const folder = temporaryFolder();
  await saveDataSet(data, folder);
  const read = await readDataSet(folder);
  expect(read.seed).toBe(data.seed);
  expect([...read.order]).toEqual([...data.order]);
  for (const name of ["names", "records", "absent"] as const) {
    expect(read[name].bytes.equals(data[name].bytes)).toBe(true);
    expect(read[name].count).toBe(data[name].count);
  }
  expect(read.blob(5).equals(data.blob(5))).toBe(true);
});
