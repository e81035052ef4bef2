/**
 * Five families of keys, ascending and without doubles, from a seed. Names are composed of syllables:
 * no list of real ones is needed to get their shape (few first letters, long shared beginnings,
 * lengths that differ, crowded and empty places).
 */

/** Returns numbers in [0, 1), the same for a seed. */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x100000000;
  };
}

const HEADS = [
  "ba",
  "re",
  "co",
  "lo",
  "mi",
  "no",
  "pa",
  "ta",
  "ex",
  "un",
  "de",
  "st",
  "ty",
  "we",
  "gra",
];
const TAILS = [
  "ct",
  "de",
  "ng",
  "ser",
  "ver",
  "lo",
  "na",
  "ry",
  "ck",
  "st",
  "x",
  "pack",
  "kit",
  "ware",
];
const AREAS = [
  "plugin",
  "preset",
  "loader",
  "types",
  "cli",
  "core",
  "utils",
  "react",
  "node",
  "config",
];

function word(random) {
  const head = HEADS[Math.floor(random() ** 2 * HEADS.length)];
  const tail = TAILS[Math.floor(random() ** 1.5 * TAILS.length)];
  return random() < 0.3 ? head + HEADS[Math.floor(random() * HEADS.length)] + tail : head + tail;
}

/** A tenth are scoped, and scopes have between one and thousands of names. */
function packageName(random) {
  const parts = [word(random)];
  while (random() < 0.55 && parts.length < 4) {
    parts.push(random() < 0.4 ? AREAS[Math.floor(random() ** 2 * AREAS.length)] : word(random));
  }
  if (random() < 0.1) parts.push(String(Math.floor(random() * 100)));
  const name = parts.join(random() < 0.9 ? "-" : ".");
  return random() < 0.1 ? `@${word(random)}/${name}` : name;
}

const DOMAINS = ["gmail.com", "example.com", "mail.org", "web.de", "corp.example.net"];

function mailAddress(random) {
  const first = word(random);
  const last = word(random);
  const kind = random();
  let local = `${first}.${last}`;
  if (kind < 0.5) local = `${first}${Math.floor(random() ** 2 * 10_000)}`;
  else if (kind < 0.7) local = `${first}.${last}${Math.floor(random() * 1000)}`;
  else if (kind < 0.85) local = `${first[0]}${last}${Math.floor(random() * 1000)}`;
  return `${local}@${DOMAINS[Math.floor(random() ** 2 * DOMAINS.length)]}`;
}

function hex(random, digits) {
  let text = "";
  while (text.length < digits) text += Math.floor(random() * 16).toString(16);
  return text;
}

function uuid(random) {
  const variant = "89ab"[Math.floor(random() * 4)];
  return `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-${variant}${hex(random, 3)}-${hex(random, 12)}`;
}

/** What makes one key of a family: from a random source and the key's number. */
export const families = {
  "decimal, in sequence": (_, i) => `user${String(i * 3).padStart(16, "0")}`,
  "decimal, scattered": (random) => `user${String(Math.floor(random() * 1e15)).padStart(20, "0")}`,
  uuid,
  "time-prefixed": (random, i) =>
    `${1_700_000_000_000 + i * 250 + Math.floor(random() * 250)}/sensor-${Math.floor(random() * 100)}`,
  "package names": packageName,
  "e-mail addresses": mailAddress,
};

/** Returns `count` keys (a few less where names run out), ascending, as one buffer and their ends. */
export function makeKeys(family, count, seed = 1) {
  const random = randomFrom(seed);
  const texts = new Set();
  for (let i = 0; texts.size < count && i < count * 4; i++) texts.add(families[family](random, i));
  const sorted = [...texts].sort(); // all ASCII: the order of strings is the order of bytes
  const ends = new Uint32Array(sorted.length);
  let end = 0;
  for (const [i, text] of sorted.entries()) ends[i] = end += text.length;
  return { bytes: Buffer.from(sorted.join(""), "latin1"), ends, count: sorted.length };
}
