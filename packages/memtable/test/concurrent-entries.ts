/** Entries that both threads of the concurrency test can compute from their number alone. */

export const VALUE_BYTES = 90;
const KEY_BYTES = 14;

/** What the main thread and a reading worker share beside the arena, as 32-bit words. */
export const Control = { ready: 0, stop: 1, walks: 2, finds: 3 } as const;

function mix(i: number): number {
  let x = Math.imul(i + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return (x ^ (x >>> 13)) >>> 0;
}

/**
 * Where the entries go. `front`: each before all others, so that a reader meets the newest one at
 * once; `spread`: all over the list, every eighth a new version of an older key.
 */
export type Order = "front" | "spread";

/** Writes the key of entry `i`: a shared prefix and ten digits. */
export function writeKey(target: Uint8Array, i: number, order: Order): void {
  target[0] = 117;
  target[1] = 115;
  target[2] = 114;
  target[3] = 58;
  let rest = order === "front" ? 4_000_000_000 - i : mix(i % 8 === 7 ? i - 7 : i);
  for (let at = KEY_BYTES - 1; at >= 4; at--) {
    target[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Writes the value of (key, seq): it depends on every byte of the key. */
export function writeValue(target: Uint8Array, key: Uint8Array, seq: number): void {
  for (let at = 0; at < VALUE_BYTES; at++) target[at] = key[at % KEY_BYTES]! + seq * (at + 1);
}

export function newKey(): Uint8Array {
  return new Uint8Array(KEY_BYTES);
}
