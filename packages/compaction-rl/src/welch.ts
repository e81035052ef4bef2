/**
 * Means of measurements, and how sure it is that two of them differ: Welch's test (Biometrika 34, 1947),
 * which takes neither equal spreads nor equal counts for granted.
 */

/** Mean and spread of measurements, in one pass (Welford). */
export class Sample {
  count = 0;
  mean = 0;
  #squares = 0;

  note(value: number): void {
    this.count++;
    const away = value - this.mean;
    this.mean += away / this.count;
    this.#squares += away * (value - this.mean);
  }

  /** Unbiased; 0 with fewer than two measurements. */
  get variance(): number {
    return this.count < 2 ? 0 : this.#squares / (this.count - 1);
  }
}

/**
 * Returns how sure it is that the mean behind `a` is smaller than that behind `b`, 0 to 1; 0.5 says
 * nothing. With fewer than two measurements of either: 0.5.
 */
export function confidenceLess(a: Sample, b: Sample): number {
  if (a.count < 2 || b.count < 2) return 0.5;
  const varA = a.variance / a.count;
  const varB = b.variance / b.count;
  const error = varA + varB;
  const difference = b.mean - a.mean;
  if (error === 0) return difference > 0 ? 1 : difference < 0 ? 0 : 0.5;
  const freedom = error ** 2 / (varA ** 2 / (a.count - 1) + varB ** 2 / (b.count - 1));
  return studentBelow(difference / Math.sqrt(error), freedom);
}

/** Returns the share of Student's distribution that lies below t. */
export function studentBelow(t: number, freedom: number): number {
  const tail = incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2;
  return t >= 0 ? 1 - tail : tail;
}

/** The regularised incomplete beta function, by its continued fraction (Lentz). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
  );
  let c = 1;
  let d = 1 / Math.max(1e-300, 1 - ((a + b) * x) / (a + 1));
  let value = d;
  for (let m = 1; m <= 200; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d);
    c = nonZero(1 + even / c);
    value *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d);
    c = nonZero(1 + odd / c);
    value *= d * c;
    if (Math.abs(d * c - 1) < 1e-12) break;
  }
  return (front * value) / a;
}

function nonZero(value: number): number {
  return Math.abs(value) < 1e-300 ? 1e-300 : value;
}

const LANCZOS: readonly number[] = [
  676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
  -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
];

function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - logGamma(1 - x);
  let sum = 0.9999999999998099;
  for (let i = 0; i < LANCZOS.length; i++) sum += LANCZOS[i]! / (x + i);
  const t = x + LANCZOS.length - 1.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}
