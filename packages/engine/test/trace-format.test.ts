/** The bytes of a trace: the worked example, damage at every byte, and the codec over drawn calls. */
import { encodeFileHeader, FileType, SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { LogWriter } from "@aura/wal";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WriteBatch } from "../src/index.ts";
import { behind } from "../src/range.ts";
import { readTrace } from "../src/trace.ts";
import {
  BLOCK_BYTES_MAX,
  decodeTracePreamble,
  encodeBlockHead,
  encodeTracePreamble,
  TraceKind,
} from "../src/trace-format.ts";
import { TraceRecorder } from "../src/trace-recorder.ts";
import { TraceWriter } from "../src/trace-writer.ts";
import { readBack } from "./support/trace-records.ts";

const uid = { lo: 0x01234567, hi: 0x89abcdef };
const header = {
  type: FileType.trace,
  databaseUuid: Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i),
  uid,
  number: 0,
};
const preamble = { startedAtMs: 1_577_836_800_000, sampling: 1, keys: "plain" as const };
const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");
const corruption = expect.objectContaining({ code: "AURA_CORRUPTION" });
const unsupported = expect.objectContaining({ code: "AURA_UNSUPPORTED" });

/** A recorder over a simulated disk, whose clock a test moves. */
function recording(fs: SimFs, path = "/trace") {
  const runtime = simRuntime(1);
  const log = LogWriter.createSync(fs, path, { header, preamble: encodeTracePreamble(preamble) });
  const { clock, scheduler } = runtime;
  const writer = new TraceWriter({
    log,
    scheduler,
    bufferBytes: 2 ** 30,
    bytesMax: 2 ** 40,
    onEnd: () => undefined,
  });
  const recorder = new TraceRecorder({ clock, writer, sampling: 1, mask: undefined });
  return { recorder, writer, clock };
}

/** The file of the worked example. */
async function example(): Promise<{ fs: SimFs; bytes: Buffer; blocks: number[] }> {
  const fs = new SimFs();
  const { recorder, writer, clock } = recording(fs);
  recorder.put(bytesOf("user:1"), 300, "os", false);
  clock.moveTo(0.25);
  recorder.read(TraceKind.get, bytesOf("user:2"), true, false);
  const batch = new WriteBatch().delete("user:1").put("v", "abc");
  recorder.batch(batch.encoded, "sync", false);
  const first = fs.fileBytesSync("/trace");
  recorder.flush();
  while (!writer.idle) await new Promise(setImmediate);
  const second = fs.fileBytesSync("/trace");
  clock.moveTo(2);
  const range = { lower: bytesOf("a"), upper: undefined, reverse: false, limit: 10 };
  const rest = { empty: false, snapshot: undefined, signal: undefined };
  recorder.scan({ ...range, ...rest }, "keys", false)?.end(7);
  await writer.finish(recorder.finish());
  return { fs, bytes: fs.readFile("/trace"), blocks: [first, second] };
}

/** As on the page. */
const EXAMPLE = `
  41555241 07 01 4000 00000000 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 67452301efcdab89
  000000000000 00 00 00000000 000000000000000000000000 61c554b2
  431bcc3f 7e4f4791 09000000 00000000 00000000 00000000000000 02 00000000000000 00
  00e8665e6f0100 00 01
  fccc8132 c07c95b5 23000000 00000000 04000000 01000000000000 00 00000000000000 00
  00 00 20
  03 00 00 00 06 757365723a31 ac02
  00 01 fa01 05 01 32
  04 24 00 05 01 31
  03 2c 00 01 76 03
  78b2ba49 46fd5741 12000000 00000000 02000000 05000000000000 00 00000000000000 00
  00 d00f 0e
  05 00 00 00 25 00 01 61 0a
  07 00 00 00 07
  d00f1c94 055dcc02 00000000 00000000 00000000 07000000000000 01 00000000000000 00
`;

describe("worked bytes (docs/formats/trace.md)", () => {
  test("are what is written", async () => {
    const { bytes } = await example();
    expect(bytes.toString("hex")).toBe(EXAMPLE.replaceAll(/\s/g, ""));
  });

  test("are what is read", () => {
    const fs = new SimFs();
    fs.writeFile("/golden", Buffer.from(EXAMPLE.replaceAll(/\s/g, ""), "hex"));
    const { records, times, ending } = readBack("/golden", fs);
    expect(ending).toBe("complete");
    expect(times).toEqual([0, 250, 250, 250, 2000, 2000]);
    expect(records).toEqual([
      { kind: "put", key: "user:1", valueLength: 300, sync: false, durability: "os", group: -1 },
      { kind: "get", key: "user:2", sync: true, snapshot: false, group: -1 },
      { kind: "delete", key: "user:1", sync: false, durability: "sync", group: 0 },
      { kind: "put", key: "v", valueLength: 3, sync: false, durability: "sync", group: 0 },
      {
        ...{ kind: "scan", scan: 0, shape: "keys", lower: "a", upper: undefined, reverse: false },
        ...{ limit: 10, sync: false, snapshot: false },
      },
      { kind: "scanEnd", scan: 0, taken: 7 },
    ]);
  });
});

describe("damage", () => {
  /** Reads a damaged file: what it gives without complaint, and what it says when asked strictly. */
  function inspect(bytes: Uint8Array): { count: number; ending: string; code: string } {
    const fs = new SimFs();
    fs.writeFile("/t", bytes);
    let count = -1;
    let ending = "none";
    let code = "none";
    try {
      ({
        ending,
        numbers: { length: count },
      } = readBack("/t", fs));
    } catch (error) {
      code = (error as { code: string }).code;
    }
    let strict = 0;
    try {
      const trace = readTrace("/t", { fs });
      while (trace.next()) strict++;
    } catch (error) {
      code = (error as { code: string }).code;
      expect((error as { file: string }).file).toBe("/t");
    }
    if (count >= 0) expect(strict).toBe(count);
    return { count, ending, code };
  }

  test("every flipped bit is found; whole blocks in front of it are given", async () => {
    const { bytes, blocks } = await example();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const found = inspect(damaged);
      const at = bit >> 3;
      const whole = at < blocks[0]! ? -1 : at < blocks[1]! ? 0 : at < bytes.length - 36 ? 4 : 6;
      expect({ bit, ...found }).toEqual({
        bit,
        count: whole,
        ending: whole < 0 ? "none" : "damaged",
        code: "AURA_CORRUPTION",
      });
    }
  });

  test("every cut is found; whole blocks in front of it are given", async () => {
    const { bytes, blocks } = await example();
    for (let length = 0; length < bytes.length; length++) {
      const found = inspect(bytes.subarray(0, length));
      const whole =
        length < blocks[0]! ? -1 : length < blocks[1]! ? 0 : length < bytes.length - 36 ? 4 : 6;
      expect({ length, ...found }).toEqual({
        length,
        count: whole,
        ending: whole < 0 ? "none" : "cut",
        code: "AURA_CORRUPTION",
      });
    }
    expect(inspect(bytes).code).toBe("none");
  });

  test("bytes behind the end mark, and a file of another type", async () => {
    const { bytes } = await example();
    expect(inspect(Buffer.concat([bytes, Buffer.from("x")])).ending).toBe("cut");
    expect(inspect(Buffer.concat([bytes, Buffer.alloc(40, 1)])).ending).toBe("damaged");
    const other = Buffer.from(bytes);
    other.set(encodeFileHeader({ ...header, type: FileType.wal }));
    expect(inspect(other).code).toBe("AURA_CORRUPTION");
  });
});

describe("blocks that verify and are wrong all the same", () => {
  /** A trace of one block with these bytes of records. */
  function written(payload: readonly Uint8Array[], count: number): SimFs {
    const fs = new SimFs();
    const settings = { header, preamble: encodeTracePreamble(preamble) };
    const log = LogWriter.createSync(fs, "/t", settings);
    log.appendSync(payload, [], 1, count, 0);
    log.appendSync([], [], 1 + count, 0, 0);
    log.closeSync();
    return fs;
  }
  const block = (hex: string, count = 1): SimFs => {
    const records = Buffer.from(hex.replaceAll(" ", ""), "hex");
    return written([encodeBlockHead(0, 0, records.length), records], count);
  };
  const readAll = (fs: SimFs): number => readBack("/t", fs).records.length;

  test("a good one, for comparison", () => {
    expect(readAll(block("00 00 00 00 01 6b"))).toBe(1);
  });

  test.each([
    ["a kind of a later build", "09 00 00 00 01 6b", unsupported],
    ["a flag of a later build", "00 40 00 00 01 6b", unsupported],
    ["a continued record of no call", "00 08 00 01 6b", corruption],
    ["a key that shares what is not there", "00 00 00 01 01 6b", corruption],
    ["a key that is longer than the block", "00 00 00 00 7f 6b", corruption],
    ["a key that is longer than a key", "00 00 00 00 818004 6b", corruption],
    ["a record that is cut off", "03 00 00 00 01 6b", corruption],
    ["an endless number", "03 00 00 00 01 6b ffffffffffffffffff", corruption],
    ["a seek to nowhere", "06 00 00 00 00 03", corruption],
    ["a scan of unknown form", "05 00 00 00 40", corruption],
    ["bytes behind the last record", "00 00 00 00 01 6b 00", corruption],
    ["nothing", "", corruption],
  ])("%s", (_, hex, error) => {
    expect(() => readAll(block(hex))).toThrow(error);
  });

  test("a wrong count, a length that lies, an unknown codec, a head that is cut off", () => {
    expect(() => readAll(block("00 00 00 00 01 6b", 2))).toThrow(corruption);
    const record = Buffer.from("00000000016b", "hex");
    expect(() => readAll(written([encodeBlockHead(0, 0, 7), record], 1))).toThrow(corruption);
    expect(() => readAll(written([encodeBlockHead(1, 0, 200_000), record], 1))).toThrow(corruption);
    expect(() => readAll(written([encodeBlockHead(0, 0, 2 ** 40), record], 1))).toThrow(corruption);
    expect(() => readAll(written([encodeBlockHead(9, 0, 6), record], 1))).toThrow(unsupported);
    expect(() => readAll(written([Buffer.from([0])], 1))).toThrow(corruption);
    const long = new Uint8Array(BLOCK_BYTES_MAX + 100);
    expect(() => readAll(written([long], 1))).toThrow(corruption);
    expect(() => readAll(written([encodeBlockHead(0, 0, 6), record], 0))).toThrow(corruption);
  });

  test("drawn bytes end in records or in a typed error", () => {
    const random = new SeededRandom(7);
    for (let i = 0; i < 3000; i++) {
      const length = random.below(40);
      const records = Uint8Array.from({ length }, () =>
        random.below(random.below(2) === 0 ? 8 : 256),
      );
      try {
        readAll(written([encodeBlockHead(0, 0, length), records], 1 + random.below(4)));
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^AURA_(CORRUPTION|UNSUPPORTED)$/);
      }
    }
  });

  test("a preamble of a wrong form", () => {
    const bytes = encodeTracePreamble({ ...preamble, sampling: 300, keys: "hashed" });
    expect(decodeTracePreamble(bytes, "t", 0)).toEqual({
      ...preamble,
      sampling: 300,
      keys: "hashed",
    });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeTracePreamble(bytes.subarray(0, length), "t", 0)).toThrow(corruption);
    }
    expect(() => decodeTracePreamble(Buffer.concat([bytes, bytes]), "t", 0)).toThrow(corruption);
    const changed = (at: number, byte: number): Uint8Array =>
      bytes.map((b, i) => (i === at ? byte : b));
    expect(() => decodeTracePreamble(changed(7, 2), "t", 0)).toThrow(unsupported);
    expect(() => decodeTracePreamble(changed(6, 255), "t", 0)).toThrow(corruption);
    const none = new Uint8Array(9);
    expect(() => decodeTracePreamble(none, "t", 0)).toThrow(corruption);
  });
});

describe("the codec", () => {
  const key = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.string({ maxLength: 6 }).map((text) => Buffer.from(`user/${text}`)),
    fc.integer({ min: 60, max: 65535 }).map((length) => new Uint8Array(length).fill(length)),
  );
  const level = fc.constantFrom("os" as const, "buffered" as const, "sync" as const);
  const length = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
  const call = fc.oneof(
    fc.record({
      call: fc.constant("read" as const),
      key,
      sync: fc.boolean(),
      snapshot: fc.boolean(),
    }),
    fc.record({ call: fc.constant("put" as const), key, length, level, sync: fc.boolean() }),
    fc.record({ call: fc.constant("delete" as const), key, level, sync: fc.boolean() }),
    fc.record({ call: fc.constant("many" as const), keys: fc.array(key, { maxLength: 5 }) }),
    fc.record({
      call: fc.constant("scan" as const),
      lower: fc.option(key, { nil: undefined }),
      upper: fc.option(key.map(behind), { nil: undefined }),
      reverse: fc.boolean(),
      limit: fc.oneof(fc.nat(), fc.constant(Number.POSITIVE_INFINITY)),
      taken: fc.maxSafeNat(),
    }),
  );
  const latin = (bytes: Uint8Array | undefined): string | undefined =>
    bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1");

  test("gives back what was recorded", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(call, fc.nat(5000)), { maxLength: 60 }), async (calls) => {
        const fs = new SimFs();
        const { recorder, writer, clock } = recording(fs);
        const expected: object[] = [];
        const times: number[] = [];
        let atUs = 0;
        let groups = 0;
        let scans = 0;
        const note = (record: object): void => {
          expected.push(record);
          times.push(atUs);
        };
        for (const [drawn, delayUs] of calls) {
          atUs += delayUs * 8;
          clock.moveTo(atUs / 1000);
          switch (drawn.call) {
            case "read": {
              const { sync, snapshot } = drawn;
              recorder.read(TraceKind.has, drawn.key, sync, snapshot);
              note({ kind: "has", key: latin(drawn.key), sync, snapshot, group: -1 });
              break;
            }
            case "put": {
              const { sync, level: durability, length: valueLength } = drawn;
              recorder.put(drawn.key, valueLength, durability, sync);
              const place = { key: latin(drawn.key), valueLength, sync, durability, group: -1 };
              note({ kind: "put", ...place });
              break;
            }
            case "delete": {
              const { sync, level: durability } = drawn;
              recorder.delete(drawn.key, durability, sync);
              note({ kind: "delete", key: latin(drawn.key), sync, durability, group: -1 });
              break;
            }
            case "many": {
              recorder.getMany(drawn.keys, true);
              const rest = { sync: false, snapshot: true, group: groups };
              for (const one of drawn.keys) note({ kind: "getMany", key: latin(one), ...rest });
              if (drawn.keys.length > 0) groups++;
              break;
            }
            default: {
              const { lower, upper, reverse, limit, taken } = drawn;
              const range = { lower, upper, reverse, limit };
              const rest = { empty: false, snapshot: undefined, signal: undefined };
              recorder.scan({ ...range, ...rest }, "values", true)!.end(taken);
              note({
                ...{ kind: "scan", scan: scans, shape: "values", sync: true, snapshot: false },
                ...{ lower: latin(lower), upper: latin(upper), reverse, limit },
              });
              note({ kind: "scanEnd", scan: scans++, taken });
            }
          }
        }
        await writer.finish(recorder.finish());
        const read = readBack("/trace", fs);
        expect(read.records).toEqual(expected);
        // Milliseconds as doubles: the last digit of a microsecond may go.
        for (const [i, time] of read.times.entries()) {
          expect(Math.abs(time - times[i]!)).toBeLessThanOrEqual(1);
        }
        expect(read.ending).toBe("complete");
      }),
      { numRuns: 150 },
    );
  });
});
