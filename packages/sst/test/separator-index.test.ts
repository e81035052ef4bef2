import { compareKeys } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { separatorIndex } from "../src/index.ts";
import { BOUND_SETS, blockIndexContract, blockOf } from "./block-index.contract.ts";
import { errorOf } from "./support.ts";

describe("contract", () => {
  blockIndexContract(separatorIndex, BOUND_SETS, { mustBuild: true, widthMax: 1 });
});

const key = fc.array(fc.constantFrom(0, 1, 0x61, 0x62, 0xfe, 0xff), { maxLength: 8 });

test("leads to the last bound that is not behind the key", () => {
  fc.assert(
    fc.property(
      fc.array(key, { maxLength: 60 }),
      fc.array(fc.oneof(key, fc.array(fc.nat(255), { maxLength: 8 })), { maxLength: 40 }),
      fc.array(fc.nat(255), { maxLength: 6 }),
      (raw, probes, prefix) => {
        const bounds = [
          new Uint8Array(0),
          ...raw.map((bytes) => Uint8Array.from([...prefix, ...bytes])).sort(compareKeys),
        ];
        const builder = separatorIndex.builder();
        for (const bound of bounds) builder.add(bound);
        const index = separatorIndex.decode(builder.finish()!, bounds.length);
        for (const probe of [...probes, ...probes.map((bytes) => [...prefix, ...bytes]), ...raw]) {
          const bytes = Uint8Array.from(probe);
          index.locate(bytes, 0, bytes.length);
          expect(index.first).toBe(blockOf(bounds, bytes));
          expect(index.last).toBe(index.first);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("damaged bytes throw a typed error or decode, and allocate no forged length", () => {
  const { bounds } = BOUND_SETS.find(({ name }) => name === "hex")!;
  const builder = separatorIndex.builder();
  for (const bound of bounds.slice(0, 60)) builder.add(bound);
  const bytes = builder.finish()!;
  const attempt = (damaged: Uint8Array): void => {
    try {
      const index = separatorIndex.decode(damaged, 60);
      index.locate(bounds[30]!, 0, bounds[30]!.length);
      expect(index.first).toBeLessThan(60);
    } catch (error) {
      expect((error as { code?: string }).code).toBe("AURA_CORRUPTION");
    }
  };
  for (let length = 0; length < bytes.length; length++) {
    expect(errorOf(() => separatorIndex.decode(bytes.slice(0, length), 60)).code).toBe(
      "AURA_CORRUPTION",
    );
  }
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const damaged = bytes.slice();
      damaged[at]! ^= mask;
      attempt(damaged);
    }
  }
  expect(errorOf(() => separatorIndex.decode(bytes, 61)).code).toBe("AURA_CORRUPTION");
});
