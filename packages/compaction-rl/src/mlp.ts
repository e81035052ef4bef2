/**
 * A small network: one hidden layer of tanh, a linear output, in Float64Array. Parameters lie in one
 * array (hidden weights by row, hidden biases, output weights by row, output biases), so that copying,
 * mixing and exporting them are loops. Gradients are held against finite differences in test/mlp.test.ts.
 */
import type { Random } from "@aura/base";

/** Sizes of a network. */
export interface MlpShape {
  readonly inputs: number;
  readonly hidden: number;
  readonly outputs: number;
}

/** Returns how many parameters a network has. */
export function parameterCount({ inputs, hidden, outputs }: MlpShape): number {
  return hidden * (inputs + 1) + outputs * (hidden + 1);
}

/** What a step leaves of the means of gradients, and of their squares. */
const MEAN_KEPT = 0.9;
const SQUARE_KEPT = 0.99;

/** A network, its gradient, and what the last `run` left for `back`. */
export class Mlp {
  readonly shape: MlpShape;
  readonly parameters: Float64Array;
  readonly gradient: Float64Array;
  readonly #input: Float64Array;
  readonly #hidden: Float64Array;
  readonly #output: Float64Array;
  readonly #inputGradient: Float64Array;
  /** Fading means of gradients and of their squares. */
  readonly #means: Float64Array;
  readonly #squares: Float64Array;
  #steps = 0;

  constructor(shape: MlpShape) {
    this.shape = shape;
    const count = parameterCount(shape);
    this.parameters = new Float64Array(count);
    this.gradient = new Float64Array(count);
    this.#means = new Float64Array(count);
    this.#squares = new Float64Array(count);
    this.#input = new Float64Array(shape.inputs);
    this.#hidden = new Float64Array(shape.hidden);
    this.#output = new Float64Array(shape.outputs);
    this.#inputGradient = new Float64Array(shape.inputs);
  }

  /** Sets parameters by chance: even in +-1 / sqrt(inputs) of each layer, the output `outputScale` of it. */
  randomise(random: Random, outputScale: number): void {
    const { inputs, hidden } = this.shape;
    const first = hidden * (inputs + 1);
    for (let i = 0; i < this.parameters.length; i++) {
      const even = (random.uint32() / 0x100000000) * 2 - 1;
      const scale = i < first ? 1 / Math.sqrt(inputs) : outputScale / Math.sqrt(hidden);
      this.parameters[i] = even * scale;
    }
  }

  /** Returns the outputs; the array is used again by the next run. */
  run(input: ArrayLike<number>): Float64Array {
    const { inputs, hidden, outputs } = this.shape;
    const p = this.parameters;
    for (let i = 0; i < inputs; i++) this.#input[i] = input[i]!;
    const biases = hidden * inputs;
    for (let h = 0; h < hidden; h++) {
      let sum = p[biases + h]!;
      for (let i = 0; i < inputs; i++) sum += p[h * inputs + i]! * this.#input[i]!;
      this.#hidden[h] = Math.tanh(sum);
    }
    const second = hidden * (inputs + 1);
    for (let o = 0; o < outputs; o++) {
      let sum = p[second + outputs * hidden + o]!;
      for (let h = 0; h < hidden; h++) sum += p[second + o * hidden + h]! * this.#hidden[h]!;
      this.#output[o] = sum;
    }
    return this.#output;
  }

  /**
   * Adds the gradient of the last run to `gradient`, given that of the outputs; returns that of the
   * inputs, in an array that is used again.
   */
  back(outputGradient: ArrayLike<number>): Float64Array {
    const { inputs, hidden, outputs } = this.shape;
    const p = this.parameters;
    const g = this.gradient;
    const biases = hidden * inputs;
    const second = hidden * (inputs + 1);
    this.#inputGradient.fill(0);
    for (let o = 0; o < outputs; o++) g[second + outputs * hidden + o]! += outputGradient[o]!;
    for (let h = 0; h < hidden; h++) {
      const value = this.#hidden[h]!;
      let sum = 0;
      for (let o = 0; o < outputs; o++) {
        g[second + o * hidden + h]! += outputGradient[o]! * value;
        sum += outputGradient[o]! * p[second + o * hidden + h]!;
      }
      const inner = sum * (1 - value * value);
      g[biases + h]! += inner;
      for (let i = 0; i < inputs; i++) {
        g[h * inputs + i]! += inner * this.#input[i]!;
        this.#inputGradient[i]! += inner * p[h * inputs + i]!;
      }
    }
    return this.#inputGradient;
  }

  /**
   * Steps against the gradient, and clears it. Every parameter moves by about `rate`, however large its gradients
   * are (Adam: Kingma, Ba, ICLR 2015): those of an actor are a thousandth of those of its critic.
   */
  step(rate: number): void {
    this.#steps++;
    const meanLeft = 1 - MEAN_KEPT ** this.#steps;
    const squareLeft = 1 - SQUARE_KEPT ** this.#steps;
    for (let i = 0; i < this.parameters.length; i++) {
      const change = this.gradient[i]!;
      const mean = this.#means[i]! + (change - this.#means[i]!) * (1 - MEAN_KEPT);
      const square = this.#squares[i]! + (change ** 2 - this.#squares[i]!) * (1 - SQUARE_KEPT);
      this.#means[i] = mean;
      this.#squares[i] = square;
      this.parameters[i]! -= (rate * (mean / meanLeft)) / (Math.sqrt(square / squareLeft) + 1e-8);
    }
    this.gradient.fill(0);
  }

  /** Moves the parameters by `share` towards those of another network of the same shape. */
  follow(other: Mlp, share: number): void {
    for (let i = 0; i < this.parameters.length; i++) {
      this.parameters[i]! += (other.parameters[i]! - this.parameters[i]!) * share;
    }
  }
}
