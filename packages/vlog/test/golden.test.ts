import { readFileSync } from "node:fs";
import { FileType, Kind } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { expect, it } from "vitest";
import { encodePointer, POINTER_BYTES, SegmentWriter } from "../src/index.ts";
import { text } from "./support.ts";

const page = readFileSync(new URL("../../../docs/formats/vlog.md", import.meta.url), "utf8");

it("writes the record that the format's page shows", () => {
  const shown: number[] = [];
  for (const [, at, bytes] of page.matchAll(/^([0-9a-f]{2}) {2}((?:[0-9a-f]{2} ?)+)/gm)) {
    expect(Number.parseInt(at!, 16)).toBe(64 + shown.length);
    shown.push(...Buffer.from(bytes!.replaceAll(" ", ""), "hex"));
  }
  expect(shown.length).toBe(32 + 3 + 7);

  const fs = new SimFs();
  const header = {
    type: FileType.segment,
    databaseUuid: new Uint8Array(16),
    uid: { lo: 0x01234567, hi: 0x89abcdef },
    number: 42,
  };
  const segment = SegmentWriter.createSync(fs, "/segment", { header });
  segment.append(1, text("key"), 0, 3, 7, Kind.value, text("a value"), 7, 0);
  segment.finishSync();
  segment.closeSync();
  expect([...fs.readFile("/segment").subarray(64)]).toEqual(shown);
});

it("writes the pointer that the format's page shows", () => {
  const block = page.slice(page.indexOf("The pointer to it"));
  const shown = [...block.matchAll(/^((?:[0-9a-f]{2} )+) /gm)]
    .map(([, bytes]) => bytes!.replaceAll(" ", ""))
    .join("");
  const pointer = Buffer.alloc(POINTER_BYTES, 0xff);
  encodePointer(pointer, 0, 42, 64, 7, 7, 0);
  expect(pointer.toString("hex")).toBe(shown);
});
