/**
 * Compresses the blocks of one table, with a dictionary of the table's own where that pays.
 *
 * The first blocks are compressed alone, and a piece of each is kept: together the pieces are the
 * dictionary, content like what follows. The next blocks are compressed both ways. If the dictionary
 * saves enough, all later blocks use it, and the table stores it once; else it is forgotten. Which
 * blocks use it their trailers say, one by one.
 */
import { Codec, compress } from "@aura/base";

/** Set in a trailer's codec: the block needs the table's dictionary. On disk. Never change. */
export const DICTIONARY_FLAG = 0x80;
/** Longest dictionary. */
export const DICTIONARY_BYTES_MAX = 0x10000;
/** Shorter ones are none. */
export const DICTIONARY_BYTES_MIN = 256;

/** Blocks that give a piece each. */
const SAMPLED_BLOCKS = 64;
/** Blocks that are compressed both ways. */
const TRIED_BLOCKS = 16;
/** What the dictionary may leave of what the blocks take without it. */
const SHARE_MAX = 0.96;

const Stage = { sampling: 0, trying: 1, decided: 2 } as const;

/** Compresses blocks one behind the other. */
export class BlockPacker {
  /** Codec of the block that `pack` returned last, flag included. */
  codec: number;
  /** The dictionary that blocks use, empty before and without one. */
  dictionary: Uint8Array = new Uint8Array(0);
  readonly #codec: Codec;
  readonly #sample: Uint8Array;
  #stage: number;
  #blocks = 0;
  #sampleBytes = 0;
  #alone = 0;
  #together = 0;

  /** `dictionaryBytes`: length of a dictionary, 0 for none; only zstd has them. */
  constructor(codec: Codec, dictionaryBytes: number) {
    const length =
      codec === Codec.zstd && dictionaryBytes >= DICTIONARY_BYTES_MIN ? dictionaryBytes : 0;
    this.codec = codec;
    this.#codec = codec;
    this.#sample = new Uint8Array(length);
    this.#stage = length === 0 ? Stage.decided : Stage.sampling;
  }

  /** Returns the block compressed, fresh, or undefined where that does not pay. Sets `codec`. */
  pack(raw: Uint8Array): Uint8Array | undefined {
    if (this.dictionary.length > 0) {
      this.codec = this.#codec | DICTIONARY_FLAG;
      return compress(this.#codec, raw, this.dictionary);
    }
    const packed = compress(this.#codec, raw);
    if (this.#stage === Stage.sampling) this.#take(raw);
    else if (this.#stage === Stage.trying) this.#try(raw, packed);
    return packed;
  }

  /** Keeps a piece of a block, each from another place. */
  #take(raw: Uint8Array): void {
    const wanted = Math.ceil((this.#sample.length * (this.#blocks + 1)) / SAMPLED_BLOCKS);
    const length = Math.min(wanted - this.#sampleBytes, raw.length);
    // Places spread evenly by the golden ratio; rows stand behind the middle, keys in front.
    const place = (this.#blocks * 0.618034) % 1;
    const from = Math.floor(place * (raw.length - length));
    this.#sample.set(raw.subarray(from, from + length), this.#sampleBytes);
    this.#sampleBytes += length;
    if (++this.#blocks === SAMPLED_BLOCKS) this.#stage = Stage.trying;
  }

  #try(raw: Uint8Array, packed: Uint8Array | undefined): void {
    const dictionary = this.#sample.subarray(0, this.#sampleBytes);
    this.#alone += packed?.length ?? raw.length;
    this.#together += compress(this.#codec, raw, dictionary)?.length ?? raw.length;
    if (++this.#blocks < SAMPLED_BLOCKS + TRIED_BLOCKS) return;
    this.#stage = Stage.decided;
    if (this.#together <= this.#alone * SHARE_MAX) this.dictionary = dictionary;
  }
}
