/** Numbers as people read them: three digits that count, and a unit. */

/** Returns operations per second: `182k/s`. */
export function formatRate(perSecond: number): string {
  return `${scaled(perSecond, 1000, ["", "k", "M", "G"])}/s`;
}

/** Returns bytes: `612 MiB`. */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

/** Returns a time, given in ms: `8.41 µs`, `12.3 ms`, `2.05 s`. */
export function formatMs(ms: number): string {
  if (ms < 1) return `${digits(ms * 1000)} µs`;
  return ms < 1000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`;
}

/** Returns a ratio: `1.84`. */
export function formatRatio(ratio: number): string {
  return digits(ratio);
}

/** Returns a count: `3,000,000`. */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let scale = 0;
  let rest = value;
  while (rest >= step && scale < units.length - 1) {
    rest /= step;
    scale++;
  }
  return `${digits(rest)}${units[scale]}`;
}

function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
