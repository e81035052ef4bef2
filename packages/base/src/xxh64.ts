/**
 * XXH64 (seed 0) in plain JavaScript, low 32 bits only: what long input is hashed with until the
 * WebAssembly instance is ready, and for good where WebAssembly is switched off. 64-bit numbers
 * are pairs of 32-bit halves; no BigInt, no allocation.
 */

// The five primes, high and low halves.
const P1_HI = 0x9e3779b1 | 0;
const P1_LO = 0x85ebca87 | 0;
const P2_HI = 0xc2b2ae3d | 0;
const P2_LO = 0x27d4eb4f | 0;
const P3_HI = 0x165667b1 | 0;
const P3_LO = 0x9e3779f9 | 0;
const P4_HI = 0x85ebca77 | 0;
const P4_LO = 0xc2b2ae63 | 0;
const P5_HI = 0x27d4eb2f | 0;
const P5_LO = 0x165667c5 | 0;

// The accumulator: the functions below work on it in place and return nothing.
let hi = 0;
let lo = 0;

function read32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function set(high: number, low: number): void {
  hi = high;
  lo = low;
}

function add(high: number, low: number): void {
  const sum = (lo >>> 0) + (low >>> 0);
  hi = (hi + high + (sum > 0xffffffff ? 1 : 0)) | 0;
  lo = sum | 0;
}

function multiply(high: number, low: number): void {
  // The low halves in 16-bit digits, for the upper 32 bits of their product.
  const a0 = lo & 0xffff;
  const a1 = lo >>> 16;
  const b0 = low & 0xffff;
  const b1 = low >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const carry = a0 * b1 + (middle & 0xffff);
  const upper = a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000);
  hi = ((upper | 0) + Math.imul(lo, high) + Math.imul(hi, low)) | 0;
  lo = Math.imul(lo, low);
}

/** Rotates left by 0 < `bits` < 32. */
function rotate(bits: number): void {
  const high = hi;
  hi = (hi << bits) | (lo >>> (32 - bits));
  lo = (lo << bits) | (high >>> (32 - bits));
}

/** One step of a lane that holds (high, low); leaves the lane's new state in the accumulator. */
function round(high: number, low: number, inputHi: number, inputLo: number): void {
  set(inputHi, inputLo);
  multiply(P2_HI, P2_LO);
  add(high, low);
  rotate(31);
  multiply(P1_HI, P1_LO);
}

/** Folds a lane into the hash that the accumulator holds. */
function mergeLane(laneHi: number, laneLo: number): void {
  const high = hi;
  const low = lo;
  round(0, 0, laneHi, laneLo);
  set(hi ^ high, lo ^ low);
  multiply(P1_HI, P1_LO);
  add(P4_HI, P4_LO);
}

/** Hashes whole stripes of 32 bytes into the accumulator; returns the offset behind them. */
function stripes(bytes: Uint8Array, start: number, end: number): number {
  set(P1_HI, P1_LO);
  add(P2_HI, P2_LO);
  let aHi = hi;
  let aLo = lo;
  let bHi = P2_HI;
  let bLo = P2_LO;
  let cHi = 0;
  let cLo = 0;
  set(~P1_HI, ~P1_LO);
  add(0, 1);
  let dHi = hi;
  let dLo = lo;
  let at = start;
  for (; at + 32 <= end; at += 32) {
    round(aHi, aLo, read32(bytes, at + 4), read32(bytes, at));
    aHi = hi;
    aLo = lo;
    round(bHi, bLo, read32(bytes, at + 12), read32(bytes, at + 8));
    bHi = hi;
    bLo = lo;
    round(cHi, cLo, read32(bytes, at + 20), read32(bytes, at + 16));
    cHi = hi;
    cLo = lo;
    round(dHi, dLo, read32(bytes, at + 28), read32(bytes, at + 24));
    dHi = hi;
    dLo = lo;
  }
  set(dHi, dLo);
  rotate(18);
  const d18Hi = hi;
  const d18Lo = lo;
  set(cHi, cLo);
  rotate(12);
  const c12Hi = hi;
  const c12Lo = lo;
  set(bHi, bLo);
  rotate(7);
  const b7Hi = hi;
  const b7Lo = lo;
  set(aHi, aLo);
  rotate(1);
  add(b7Hi, b7Lo);
  add(c12Hi, c12Lo);
  add(d18Hi, d18Lo);
  mergeLane(aHi, aLo);
  mergeLane(bHi, bLo);
  mergeLane(cHi, cLo);
  mergeLane(dHi, dLo);
  return at;
}

/** Returns the low 32 bits of XXH64 (seed 0) of `bytes[start, end)`, unsigned. */
export function xxh64Low(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  let at = start;
  if (length >= 32) at = stripes(bytes, start, end);
  else set(P5_HI, P5_LO);
  add(Math.floor(length / 0x100000000), length | 0);
  for (; at + 8 <= end; at += 8) {
    const high = hi;
    const low = lo;
    round(0, 0, read32(bytes, at + 4), read32(bytes, at));
    set(hi ^ high, lo ^ low);
    rotate(27);
    multiply(P1_HI, P1_LO);
    add(P4_HI, P4_LO);
  }
  if (at + 4 <= end) {
    const high = hi;
    const low = lo;
    set(0, read32(bytes, at));
    multiply(P1_HI, P1_LO);
    set(hi ^ high, lo ^ low);
    rotate(23);
    multiply(P2_HI, P2_LO);
    add(P3_HI, P3_LO);
    at += 4;
  }
  for (; at < end; at++) {
    const high = hi;
    const low = lo;
    set(0, bytes[at]!);
    multiply(P5_HI, P5_LO);
    set(hi ^ high, lo ^ low);
    rotate(11);
    multiply(P1_HI, P1_LO);
  }
  lo ^= hi >>> 1; // >>> 33
  multiply(P2_HI, P2_LO);
  set(hi ^ (hi >>> 29), lo ^ ((lo >>> 29) | (hi << 3))); // >>> 29
  multiply(P3_HI, P3_LO);
  return (lo ^ hi) >>> 0; // >>> 32
}
