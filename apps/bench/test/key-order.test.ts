import fc from "fast-check";
import { expect, test } from "vitest";
import { orderOf } from "../src/key-order.ts";
import { KeySet } from "../src/key-set.ts";

const key = fc
  .array(
    fc.integer({ min: 1, max: 255 }).map((byte) => (byte % 3 === 0 ? byte : 97)),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  .map((bytes) => Buffer.from(bytes));

test("a set keeps what is new in order, and knows it", () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 200 }), (keys) => {
      const set = new KeySet(1);
      const expected = new Set<string>();
      for (const bytes of keys) {
        set.builder.append(bytes);
        expect(set.finishDistinct()).toBe(!expected.has(bytes.toString("hex")));
        expected.add(bytes.toString("hex"));
        expect(set.has(bytes)).toBe(true);
      }
      const list = set.build();
      const found = Array.from({ length: list.count }, (_, i) => list.at(i).toString("hex"));
      expect(found).toEqual([...expected]);
    }),
  );
});

test("the order is the one of Buffer.compare", () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 200 }), (keys) => {
      const set = new KeySet(keys.length);
      for (const bytes of keys) {
        set.builder.append(bytes);
        set.finishDistinct();
      }
      const list = set.build();
      const ordered = [...orderOf(list)].map((index) => list.at(index));
      const expected = Array.from({ length: list.count }, (_, i) => list.at(i));
      expect(ordered).toEqual(expected.sort(Buffer.compare));
    }),
  );
});
