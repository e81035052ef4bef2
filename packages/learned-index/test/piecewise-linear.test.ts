import fc from "fast-check";
import { expect, test } from "vitest";
import { buildSegments, findSegment, predict, type Segments } from "../src/piecewise-linear.ts";

function positionOf(segments: Segments, code: number): number {
  return predict(segments, findSegment(segments, code), code);
}

const codes = fc
  .array(fc.oneof(fc.nat(300), fc.double({ min: 0, max: 2 ** 53, noNaN: true }).map(Math.floor)), {
    minLength: 1,
    maxLength: 200,
  })
  .map((list) => Float64Array.from(list).sort());

test("misses no position by more than the error, but for runs of equal codes", () => {
  fc.assert(
    fc.property(codes, fc.constantFrom(1, 2, 4, 16), (all, error) => {
      const segments = buildSegments(all, error);
      for (let i = 0; i < all.length; i++) {
        let equal = i;
        while (equal + 1 < all.length && all[equal + 1] === all[i]) equal++;
        let first = i;
        while (first > 0 && all[first - 1] === all[i]) first--;
        const missed = Math.abs(positionOf(segments, all[i]!) - (i + 1));
        expect(missed).toBeLessThanOrEqual(error + (equal - first) + 1e-6);
      }
    }),
    { numRuns: 300 },
  );
});

test("never descends", () => {
  fc.assert(
    fc.property(codes, fc.constantFrom(1, 4), (all, error) => {
      const segments = buildSegments(all, error);
      const probes = [...all, ...all.map((code) => code + 1), ...all.map((code) => code / 2)].sort(
        (a, b) => a - b,
      );
      let before = 0;
      for (const probe of probes) {
        const position = positionOf(segments, probe);
        expect(position).toBeGreaterThanOrEqual(before);
        expect(position).toBeLessThanOrEqual(all.length + 1);
        before = position;
      }
    }),
    { numRuns: 300 },
  );
});

test("a line takes one segment", () => {
  const line = Float64Array.from({ length: 10_000 }, (_, i) => i * 17);
  expect(buildSegments(line, 1).codes).toHaveLength(1);
});
