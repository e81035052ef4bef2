import { readFileSync } from "node:fs";
import { FileType } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { expect, it } from "vitest";
import { LogWriter } from "../src/index.ts";
import { hex, text } from "./support.ts";

it("writes the bytes that the format's page shows", () => {
  const page = readFileSync(new URL("../../../docs/formats/wal.md", import.meta.url), "utf8");
  const shown: number[] = [];
  for (const [, at, bytes] of page.matchAll(/^([0-9a-f]{2}) {2}((?:[0-9a-f]{2} ?)+)/gm)) {
    expect(Number.parseInt(at!, 16)).toBe(64 + shown.length);
    shown.push(...Buffer.from(bytes!.replaceAll(" ", ""), "hex"));
  }
  expect(shown.length).toBe(36 + 1 + 36 + 6 + 36);

  const fs = new SimFs();
  const header = {
    type: FileType.wal,
    databaseUuid: new Uint8Array(16),
    uid: { lo: 0x01234567, hi: 0x89abcdef },
    number: 42,
  };
  const log = LogWriter.createSync(fs, "/log", { header, preamble: text("P") });
  log.appendSync([text("ops")], [text("abc")], 7, 2, 6);
  log.appendSync([], [], 9, 0, 8);
  log.closeSync();
  expect(hex(fs.readFile("/log").subarray(64))).toBe(hex(Uint8Array.from(shown)));
});
