import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import { Mlp, parameterCount } from "../src/mlp.ts";

const shape = { inputs: 5, hidden: 7, outputs: 2 };

test("gradients are those of finite differences", () => {
  const random = new SeededRandom(1);
  const mlp = new Mlp(shape);
  mlp.randomise(random, 1);
  const input = Float64Array.from({ length: 5 }, () => random.below(2001) / 1000 - 1);
  const weights = [0.7, -1.3];
  const value = (): number => {
    const output = mlp.run(input);
    return output[0]! * weights[0]! + output[1]! * weights[1]!;
  };
  const slope = (values: Float64Array, i: number): number => {
    const step = 1e-6;
    const kept = values[i]!;
    values[i] = kept + step;
    const above = value();
    values[i] = kept - step;
    const below = value();
    values[i] = kept;
    return (above - below) / (2 * step);
  };
  value();
  const byInput = Float64Array.from(mlp.back(weights));
  expect(mlp.gradient.length).toBe(parameterCount(shape));
  for (let i = 0; i < mlp.gradient.length; i++) {
    expect(mlp.gradient[i]!).toBeCloseTo(slope(mlp.parameters, i), 6);
  }
  for (let i = 0; i < 5; i++) expect(byInput[i]!).toBeCloseTo(slope(input, i), 6);
});

test("steps go downhill, and follow ends where it is led", () => {
  const mlp = new Mlp({ inputs: 1, hidden: 8, outputs: 1 });
  mlp.randomise(new SeededRandom(2), 1);
  const loss = (): number => {
    let sum = 0;
    for (let x = -1; x <= 1; x += 0.25) sum += (mlp.run([x])[0]! - x * x) ** 2;
    return sum;
  };
  const before = loss();
  for (let i = 0; i < 2000; i++) {
    for (let x = -1; x <= 1; x += 0.25) mlp.back([mlp.run([x])[0]! - x * x]);
    mlp.step(0.02);
  }
  expect(loss()).toBeLessThan(before / 20);
  const other = new Mlp({ inputs: 1, hidden: 8, outputs: 1 });
  other.follow(mlp, 1);
  expect([...other.parameters]).toEqual([...mlp.parameters]);
});
