/** Keys of the benchmarks: number `i` of a family, always the same bytes. */

export const VALUE_BYTES = 100;

/** Returns a source of numbers in [0, 1). */
export function randomFrom(seed) {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x6c078965) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function mixed(i, salt) {
  let x = Math.imul(i + 1, 0x9e3779b1) ^ salt;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function random16(i) {
  const key = Buffer.alloc(16);
  for (let at = 0; at < 16; at += 4) key.writeUInt32BE(mixed(i, at), at);
  return key;
}

export const keyFamilies = {
  random16,
  decimal: (i) => Buffer.from(String(i).padStart(16, "0")),
  uuid: (i) => {
    const hex = random16(i).toString("hex");
    return Buffer.from(
      `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`,
    );
  },
  prefix: (i) =>
    Buffer.from(`tenant/production/eu-central/user/${i % 16}/session/${mixed(i, 5)}-${i}`),
};
