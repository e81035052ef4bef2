import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import { confidenceLess, Sample, studentBelow } from "../src/welch.ts";

test("Student's distribution has the values of tables", () => {
  expect(studentBelow(0, 5)).toBeCloseTo(0.5, 12);
  expect(studentBelow(2.015, 5)).toBeCloseTo(0.95, 4);
  expect(studentBelow(1.645, 1e6)).toBeCloseTo(0.95, 3);
  expect(studentBelow(-6.314, 1)).toBeCloseTo(0.05, 4);
  expect(studentBelow(12.706, 1)).toBeCloseTo(0.975, 4);
});

test("at a confidence of 0.95 equal means are told apart one time in twenty", () => {
  const random = new SeededRandom(5);
  let sure = 0;
  for (let i = 0; i < 2000; i++) {
    const [a, b] = [new Sample(), new Sample()];
    for (let j = 0; j < 12; j++) {
      a.note(random.below(1000) + random.below(1000));
      b.note(random.below(1000) + random.below(1000));
    }
    if (confidenceLess(a, b) > 0.95) sure++;
  }
  expect(sure / 2000).toBeGreaterThan(0.03);
  expect(sure / 2000).toBeLessThan(0.07);
});

test("says nothing about too little, and is sure of what does not scatter", () => {
  const [a, b] = [new Sample(), new Sample()];
  a.note(1);
  b.note(2);
  expect(confidenceLess(a, b)).toBe(0.5);
  a.note(1);
  b.note(2);
  expect(confidenceLess(a, b)).toBe(1);
  expect(confidenceLess(b, a)).toBe(0);
  expect(a.mean).toBe(1);
  expect(b.variance).toBe(0);
});
