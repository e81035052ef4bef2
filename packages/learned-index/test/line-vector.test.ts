import { SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type FitMethod, fitSegments, WIDTH_MAX } from "../src/line-fit.ts";
import { LineVector, packResiduals, residualWords } from "../src/line-vector.ts";

const METHODS: readonly FitMethod[] = ["optimal", "cone", "spline"];

function vectorOf(values: Float64Array, error: number, method: FitMethod): LineVector {
  const segments = fitSegments(values, error, method);
  return new LineVector(values.length, segments, packResiduals(values, segments));
}

/** Number of the last value <= wanted, by looking at all. */
function lastUpTo(values: Float64Array, wanted: number): number {
  return values.findLastIndex((value) => value <= wanted);
}

const steps = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 7), { maxLength: 300 }),
  fc.array(fc.nat(1000), { maxLength: 300 }),
  fc.array(fc.oneof(fc.constant(96), fc.constant(96), fc.nat(2 ** 30)), { maxLength: 300 }),
  fc.array(fc.constantFrom(0, 2 ** 44), { maxLength: 300 }),
);

describe.each(METHODS)("lines of the method %s", (method) => {
  test("find what a search through all values finds", () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 20),
        steps,
        fc.constantFrom(0, 1, 50, 2 ** 20),
        (from, run, error) => {
          let value = from;
          const values = Float64Array.from(run, (step) => (value += step));
          const segments = fitSegments(values, error, method);
          if (residualWords(values.length, segments) === Number.POSITIVE_INFINITY) return;
          const vector = vectorOf(values, error, method);
          for (const wanted of [0, from, value, value + 1, ...values]) {
            for (const probe of [wanted - 1, wanted, wanted + 1]) {
              const found = vector.search(probe);
              expect(found).toBe(lastUpTo(values, probe));
              if (found >= 0) expect(vector.value).toBe(values[found]);
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test("of equal distances are one line without residuals", () => {
    const values = Float64Array.from({ length: 5000 }, (_, i) => 1_000_003 + i * 97);
    const segments = fitSegments(values, 50, method);
    expect(segments.map(({ start, width }) => [start, width])).toEqual([[0, 0]]);
  });
});

test("optimal lines are no more than a cone's, and a walk needs few bits", () => {
  const random = new SeededRandom(5);
  let value = 0;
  // Sums of 32 steps: the codes of bounds of scattered keys.
  const values = Float64Array.from({ length: 4000 }, () => {
    for (let i = 0; i < 32; i++) value += random.below(200);
    return value;
  });
  const optimal = fitSegments(values, 1600, "optimal");
  const cone = fitSegments(values, 1600, "cone");
  expect(optimal.length).toBeLessThanOrEqual(cone.length);
  expect(residualWords(values.length, optimal) * 32).toBeLessThan(values.length * 12.5);
  for (const { width } of optimal) expect(width).toBeLessThanOrEqual(12);
});

test("values that no width holds are told", () => {
  const values = Float64Array.of(0, 1, 2 ** 52, 2 ** 52 + 1, 2 ** 53);
  for (const method of METHODS) {
    const segments = fitSegments(values, 2 ** 51, method);
    const words = residualWords(values.length, segments);
    const isWide = segments.some(({ width }) => width > WIDTH_MAX);
    expect(words === Number.POSITIVE_INFINITY).toBe(isWide);
  }
  expect(fitSegments(new Float64Array(0), 1, "optimal")).toEqual([]);
});
