/**
 * Decoder for Zstandard frames (RFC 8878) in plain TypeScript: always there, so that what one
 * runtime compressed another can read without a native module or WebAssembly.
 *
 * Safe against any input: it writes only `target`, copies from what it wrote and from the
 * dictionary only, and accepts a frame only when it ends exactly where the target does. Beside the
 * target it uses a fixed 400 KB, once per thread.
 */
import { getU32 } from "./bytes.ts";
import { xxh64Low } from "./xxh64.ts";
import {
  BackwardBits,
  BITS_MARGIN_BYTES,
  type FseTable,
  fseRun,
  fseTable,
  type HuffmanTable,
  NotZstd,
  readFseTable,
  readHuffmanTable,
} from "./zstd-entropy.ts";
import { readZstdFrame, ZSTD_BLOCK_BYTES_MAX, ZstdBlock } from "./zstd-frame.ts";

const DICTIONARY_MAGIC = 0xec30a437;
const NO_BYTES = new Uint8Array(0);

const LENGTH_ACCURACY_MAX = 9;
const OFFSET_ACCURACY_MAX = 8;
const LITERAL_CODE_MAX = 35;
const MATCH_CODE_MAX = 52;
const OFFSET_CODE_MAX = 31;

/** From these lengths on, native copies beat a byte loop (measured for LZ4, whose copies are alike). */
const LITERALS_NATIVE_BYTES = 96;
const MATCH_NATIVE_BYTES = 48;
const OVERLAP_NATIVE_BYTES = 256;

/** Lengths by code: base and extra bits. RFC 8878, section 3.1.1.3.2.1.1. */
const LITERAL_BASES = Int32Array.of(
  ...Array.from({ length: 16 }, (_, i) => i),
  ...[16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096],
  ...[8192, 16384, 32768, 65536],
);
const LITERAL_BITS = Uint8Array.of(
  ...new Array<number>(16).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);
const MATCH_BASES = Int32Array.of(
  ...Array.from({ length: 32 }, (_, i) => i + 3),
  ...[35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099],
  ...[8195, 16387, 32771, 65539],
);
const MATCH_BITS = Uint8Array.of(
  ...new Array<number>(32).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
);

/** The tables that stand for themselves. RFC 8878, section 3.1.1.3.2.2. */
const LITERAL_DEFAULT = fseTable(
  [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
  ],
  6,
);
const MATCH_DEFAULT = fseTable(
  [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
  ],
  6,
);
const OFFSET_DEFAULT = fseTable(
  [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
  5,
);

/** Memory that all frames share: nothing here outlives a call. */
let block: Uint8Array | undefined;
let literalBuffer: Uint8Array = NO_BYTES;

/** What blocks hand on to the blocks after them. */
interface Tables {
  huffman: HuffmanTable | undefined;
  literals: FseTable | undefined;
  offsets: FseTable | undefined;
  matches: FseTable | undefined;
  /** The last three offsets. */
  recent: [number, number, number];
}

/**
 * Decodes the frame `source` into `target`, which must have exactly the decoded length. Returns
 * false when `source` is not one frame of that length, or of another dictionary; `target` is then
 * undefined content. The dictionary is raw content, or a trained one when it begins as those do.
 */
export function decodeZstdFrame(
  source: Uint8Array,
  target: Uint8Array,
  dictionary: Uint8Array = NO_BYTES,
): boolean {
  const frame = readZstdFrame(source);
  if (frame === undefined) return false;
  if (frame.contentBytes >= 0 && frame.contentBytes !== target.length) return false;
  try {
    const run = new FrameRun(target, dictionary, frame.dictionaryId);
    run.decode(source, frame.blocksStart);
  } catch (error) {
    if (error instanceof NotZstd) return false;
    throw error;
  }
  if (!frame.checked) return true;
  return getU32(source, source.length - 4) === xxh64Low(target, 0, target.length);
}

class FrameRun {
  readonly #target: Uint8Array;
  #to = 0;
  readonly #tables: Tables = {
    huffman: undefined,
    literals: undefined,
    offsets: undefined,
    matches: undefined,
    recent: [1, 4, 8],
  };
  /** Content of the dictionary: it stands in front of the target's first byte. */
  #before: Uint8Array;
  readonly #memory: Uint8Array;
  readonly #bits: BackwardBits;
  /** Literals of the block: literals[#literalsAt, #literalsEnd). */
  #literals: Uint8Array = NO_BYTES;
  #literalsAt = 0;
  #literalsEnd = 0;

  constructor(target: Uint8Array, dictionary: Uint8Array, dictionaryId: number) {
    this.#target = target;
    block ??= new Uint8Array(ZSTD_BLOCK_BYTES_MAX + 2 * BITS_MARGIN_BYTES);
    if (literalBuffer.length === 0) literalBuffer = new Uint8Array(ZSTD_BLOCK_BYTES_MAX);
    this.#memory = block;
    this.#bits = new BackwardBits(block);
    this.#before = dictionary;
    const isTrained = dictionary.length >= 8 && getU32(dictionary, 0) === DICTIONARY_MAGIC;
    if (dictionaryId !== 0 && !(isTrained && getU32(dictionary, 4) === dictionaryId)) {
      throw new NotZstd("a frame of another dictionary");
    }
    if (isTrained) this.#readDictionary(dictionary);
  }

  /** Decodes the blocks at source[at, ...), which were found to be whole. */
  decode(source: Uint8Array, start: number): void {
    const target = this.#target;
    for (let at = start, last = false; !last; ) {
      const head = source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16);
      at += 3;
      last = (head & 1) !== 0;
      const type = (head >>> 1) & 3;
      const size = head >>> 3;
      if (type === ZstdBlock.compressed) {
        if (size < 2) throw new NotZstd("a block without content");
        this.#memory.set(source.subarray(at, at + size), BITS_MARGIN_BYTES);
        this.#decodeBlock(BITS_MARGIN_BYTES, BITS_MARGIN_BYTES + size);
        at += size;
        continue;
      }
      if (size > target.length - this.#to) throw new NotZstd("more content than expected");
      if (type === ZstdBlock.run) target.fill(source[at]!, this.#to, this.#to + size);
      else target.set(source.subarray(at, at + size), this.#to);
      this.#to += size;
      at += type === ZstdBlock.run ? 1 : size;
    }
    if (this.#to !== target.length) throw new NotZstd("less content than expected");
  }

  #decodeBlock(start: number, end: number): void {
    const at = this.#readLiterals(start, end);
    const limit = this.#to + ZSTD_BLOCK_BYTES_MAX;
    this.#runSequences(at, end);
    const rest = this.#literalsEnd - this.#literalsAt;
    if (rest > this.#target.length - this.#to) throw new NotZstd("more content than expected");
    this.#copyLiterals(rest);
    if (this.#to > limit) throw new NotZstd("a block of too much content");
  }

  /** Reads the literals of a block; returns where they end. */
  #readLiterals(start: number, end: number): number {
    const memory = this.#memory;
    const head = memory[start]!;
    const type = head & 3;
    const form = (head >>> 2) & 3;
    if (type < 2) {
      const headBytes = form === 1 ? 2 : form === 3 ? 3 : 1;
      if (headBytes > end - start) throw new NotZstd("literals are cut");
      let length = head >>> 3;
      if (form === 1) length = (head >>> 4) | (memory[start + 1]! << 4);
      else if (form === 3) {
        length = (head >>> 4) | (memory[start + 1]! << 4) | (memory[start + 2]! << 12);
      }
      const at = start + headBytes;
      if (length > ZSTD_BLOCK_BYTES_MAX) throw new NotZstd("too many literals");
      if (type === 0) {
        if (length > end - at) throw new NotZstd("literals are cut");
        this.#takeLiterals(memory, at, length);
        return at + length;
      }
      if (at >= end) throw new NotZstd("literals are cut");
      literalBuffer.fill(memory[at]!, 0, length);
      this.#takeLiterals(literalBuffer, 0, length);
      return at + 1;
    }
    const headBytes = form < 2 ? 3 : form + 2;
    if (headBytes > end - start) throw new NotZstd("literals are cut");
    const width = form < 2 ? 10 : form === 2 ? 14 : 18;
    // Four bits of form, then two numbers of `width` bits: up to 40 bits.
    const low = getU32(memory, start);
    const mask = (1 << width) - 1;
    const length = (low >>> 4) & mask;
    const whole = Math.floor((low + memory[start + 4]! * 0x100000000) / 2 ** (4 + width));
    const stored = whole & mask;
    const at = start + headBytes;
    if (stored > end - at || length > ZSTD_BLOCK_BYTES_MAX) throw new NotZstd("literals are cut");
    this.#decodeLiterals(at, at + stored, type === 2, form !== 0, length);
    this.#takeLiterals(literalBuffer, 0, length);
    return at + stored;
  }

  #takeLiterals(bytes: Uint8Array, start: number, length: number): void {
    this.#literals = bytes;
    this.#literalsAt = start;
    this.#literalsEnd = start + length;
  }

  #decodeLiterals(
    start: number,
    end: number,
    hasTable: boolean,
    isFourfold: boolean,
    length: number,
  ): void {
    let at = start;
    if (hasTable) {
      const { table, end: tableEnd } = readHuffmanTable(this.#memory, start, end);
      this.#tables.huffman = table;
      at = tableEnd;
    }
    const { huffman } = this.#tables;
    if (huffman === undefined) throw new NotZstd("no Huffman table to repeat");
    const bits = this.#bits;
    if (!isFourfold) {
      bits.open(at, end);
      bits.decodeHuffman(huffman, literalBuffer, 0, length);
      return;
    }
    const part = (length + 3) >>> 2;
    if (end - at < 6 || part * 3 > length) throw new NotZstd("four streams are cut");
    let from = at + 6;
    for (let i = 0; i < 4; i++) {
      const size = i === 3 ? end - from : this.#u16(at + 2 * i);
      if (size > end - from) throw new NotZstd("four streams are cut");
      bits.open(from, from + size);
      const to = i === 3 ? length : part * (i + 1);
      bits.decodeHuffman(huffman, literalBuffer, part * i, to);
      from += size;
    }
  }

  /** Reads and carries out the sequences of a block, which fill memory[start, end). */
  #runSequences(start: number, end: number): void {
    const memory = this.#memory;
    if (start >= end) throw new NotZstd("no sequences");
    let at = start + 1;
    let count = memory[start]!;
    if (count === 0) {
      if (at !== end) throw new NotZstd("bytes behind the last block");
      return;
    }
    if (count >= 128) {
      const extra = count === 255 ? 2 : 1;
      if (at + extra > end) throw new NotZstd("sequences are cut");
      count = count === 255 ? this.#u16(at) + 0x7f00 : ((count - 128) << 8) | memory[at]!;
      at += extra;
    }
    if (at >= end) throw new NotZstd("sequences are cut");
    const modes = memory[at++]!;
    if ((modes & 3) !== 0) throw new NotZstd("a reserved mode");
    const tables = this.#tables;
    const next = { at };
    tables.literals = this.#table(
      modes >>> 6,
      next,
      end,
      LENGTH_ACCURACY_MAX,
      LITERAL_CODE_MAX,
      LITERAL_DEFAULT,
      tables.literals,
    );
    tables.offsets = this.#table(
      (modes >>> 4) & 3,
      next,
      end,
      OFFSET_ACCURACY_MAX,
      OFFSET_CODE_MAX,
      OFFSET_DEFAULT,
      tables.offsets,
    );
    tables.matches = this.#table(
      (modes >>> 2) & 3,
      next,
      end,
      LENGTH_ACCURACY_MAX,
      MATCH_CODE_MAX,
      MATCH_DEFAULT,
      tables.matches,
    );
    this.#bits.open(next.at, end);
    this.#sequences(count, tables.literals, tables.offsets, tables.matches);
  }

  #table(
    mode: number,
    next: { at: number },
    end: number,
    accuracyMax: number,
    codeMax: number,
    standard: FseTable,
    last: FseTable | undefined,
  ): FseTable {
    if (mode === 0) return standard;
    if (mode === 1) {
      if (next.at >= end) throw new NotZstd("sequences are cut");
      const code = this.#memory[next.at++]!;
      if (code > codeMax) throw new NotZstd("a code that does not exist");
      return fseRun(code);
    }
    if (mode === 2) {
      const read = readFseTable(this.#memory, next.at, end, accuracyMax, codeMax);
      next.at = read.end;
      return read.table;
    }
    if (last === undefined) throw new NotZstd("no table to repeat");
    return last;
  }

  #sequences(
    count: number,
    literalTable: FseTable,
    offsetTable: FseTable,
    matchTable: FseTable,
  ): void {
    const bits = this.#bits;
    const { recent } = this.#tables;
    const literalStates = literalTable.states;
    const offsetStates = offsetTable.states;
    const matchStates = matchTable.states;
    let literalState = bits.read(literalTable.accuracy);
    let offsetState = bits.read(offsetTable.accuracy);
    let matchState = bits.read(matchTable.accuracy);
    for (let i = count; ; ) {
      const literalEntry = literalStates[literalState]!;
      const offsetEntry = offsetStates[offsetState]!;
      const matchEntry = matchStates[matchState]!;
      const offsetCode = offsetEntry & 0xff;
      const matchCode = matchEntry & 0xff;
      const literalCode = literalEntry & 0xff;
      const value = 2 ** offsetCode + bits.read(offsetCode);
      const matchLength = MATCH_BASES[matchCode]! + bits.read(MATCH_BITS[matchCode]!);
      const literals = LITERAL_BASES[literalCode]! + bits.read(LITERAL_BITS[literalCode]!);
      this.#runSequence(literals, matchLength, this.#distance(recent, value, literals === 0));
      if (--i === 0) break;
      literalState = (literalEntry >>> 16) + bits.read((literalEntry >>> 8) & 0xff);
      matchState = (matchEntry >>> 16) + bits.read((matchEntry >>> 8) & 0xff);
      offsetState = (offsetEntry >>> 16) + bits.read((offsetEntry >>> 8) & 0xff);
    }
    if (!bits.isAtStart) throw new NotZstd("bits behind the last sequence");
  }

  /** Turns an offset value into a distance, and remembers it. RFC 8878, section 3.1.1.5. */
  #distance(recent: [number, number, number], value: number, noLiterals: boolean): number {
    if (value > 3) {
      recent[2] = recent[1];
      recent[1] = recent[0];
      recent[0] = value - 3;
      return recent[0];
    }
    const which = noLiterals ? value : value - 1;
    if (which === 0) return recent[0];
    const distance = which === 3 ? recent[0] - 1 : recent[which as 1 | 2];
    if (which !== 1) recent[2] = recent[1];
    recent[1] = recent[0];
    recent[0] = distance;
    return distance;
  }

  #runSequence(literals: number, matchLength: number, distance: number): void {
    const target = this.#target;
    if (literals > this.#literalsEnd - this.#literalsAt) throw new NotZstd("literals run out");
    if (literals + matchLength > target.length - this.#to) {
      throw new NotZstd("more content than expected");
    }
    this.#copyLiterals(literals);
    let to = this.#to;
    const end = to + matchLength;
    if (distance === 0 || distance > to + this.#before.length) {
      throw new NotZstd("a match before the start");
    }
    let back = to - distance;
    if (back < 0) {
      const before = this.#before;
      const known = Math.min(-back, matchLength);
      const from = before.length + back;
      target.set(before.subarray(from, from + known), to);
      to += known;
      back += known;
    }
    // A match may overlap what it writes, and then repeats the bytes between `back` and `to`.
    const length = end - to;
    if (length >= (distance >= length ? MATCH_NATIVE_BYTES : OVERLAP_NATIVE_BYTES)) {
      while (to < end) {
        const known = Math.min(end - to, to - back); // doubles with each copy
        target.copyWithin(to, back, back + known);
        to += known;
      }
    } else {
      while (to < end) target[to++] = target[back++]!;
    }
    this.#to = end;
  }

  /** Copies the next literals. Precondition: there are as many, and there is room. */
  #copyLiterals(count: number): void {
    const target = this.#target;
    const literals = this.#literals;
    let at = this.#literalsAt;
    this.#literalsAt = at + count;
    let to = this.#to;
    this.#to = to + count;
    if (count >= LITERALS_NATIVE_BYTES) {
      target.set(literals.subarray(at, at + count), to);
      return;
    }
    for (const end = at + count; at < end; ) target[to++] = literals[at++]!;
  }

  /** Reads a trained dictionary: its tables, its offsets, and where its content begins. */
  #readDictionary(dictionary: Uint8Array): void {
    const tables = this.#tables;
    // A bit stream needs room around it; the tables are a small part of the dictionary.
    const length = Math.min(dictionary.length, ZSTD_BLOCK_BYTES_MAX);
    const memory = this.#memory;
    memory.set(dictionary.subarray(0, length), BITS_MARGIN_BYTES);
    const limit = BITS_MARGIN_BYTES + length;
    const huffman = readHuffmanTable(memory, BITS_MARGIN_BYTES + 8, limit);
    const offsets = readFseTable(memory, huffman.end, limit, OFFSET_ACCURACY_MAX, OFFSET_CODE_MAX);
    const matches = readFseTable(memory, offsets.end, limit, LENGTH_ACCURACY_MAX, MATCH_CODE_MAX);
    const literals = readFseTable(
      memory,
      matches.end,
      limit,
      LENGTH_ACCURACY_MAX,
      LITERAL_CODE_MAX,
    );
    const at = literals.end - BITS_MARGIN_BYTES;
    if (at + 12 > length) throw new NotZstd("a dictionary is cut");
    tables.huffman = huffman.table;
    tables.offsets = offsets.table;
    tables.matches = matches.table;
    tables.literals = literals.table;
    for (let i = 0; i < 3; i++) tables.recent[i] = getU32(dictionary, at + 4 * i);
    this.#before = dictionary.subarray(at + 12);
  }

  #u16(at: number): number {
    return this.#memory[at]! | (this.#memory[at + 1]! << 8);
  }
}
