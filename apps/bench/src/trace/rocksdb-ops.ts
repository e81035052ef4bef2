/**
 * RocksDB's human-readable trace, as `trace_analyzer -convert_to_human_readable_trace` writes it.
 *
 * A line is `<key> <type> <column family> <value bytes> <microseconds since 1970>`, the key in
 * hexadecimal behind "0x" (the first builds had it last; its help text still does). Such a trace does
 * not say: where a write batch begins and ends (its operations share a time, so neighbours that write
 * at one microsecond are taken for a batch, as are neighbours of one multi-get), how many entries
 * follow a seek (1 is taken), and where a range delete ends.
 */
import type { LineChunk } from "./line-chunk.ts";
import { readLines } from "./line-chunk.ts";
import type { DraftOp, TraceOp, TraceOpKind } from "./trace-op.ts";

/** By type id: get, put, delete, single delete, range delete, merge, seek, seek for prev, multi-get. */
const KINDS: readonly TraceOpKind[] = [
  "get",
  "put",
  "delete",
  "delete",
  "deleteRange",
  "merge",
  "scan",
  "scan",
  "getMany",
];
const SEEK_FOR_PREV = 7;
/** Operations with one of these may share a group with one of the same letter. */
const GROUPS = "-wwwww--m";
const KEY_BYTES_MAX = 65535;
const SPACE = 32;

const EXPECTED = "<0x key> <type 0-8> <column family> <value bytes> <time in us>";

/** The operations of such a file. */
export async function* rocksdbOps(path: string): AsyncGenerator<readonly TraceOp[], void, void> {
  const parser = new RocksdbParser();
  for await (const chunk of readLines(path)) {
    const ops = parser.parse(chunk);
    if (ops.length > 0) yield ops;
  }
  const last = parser.end();
  if (last !== undefined) yield [last];
}

/** Takes lines apart. Holds the last operation back: the next one may be of its group. */
class RocksdbParser {
  #firstUs = -1;
  #atUs = 0;
  #groups = 0;
  #held: DraftOp | undefined;
  #heldUs = 0;
  #heldGroup = "-";
  /** Where the fields of the line begin and end. */
  readonly #starts = [0, 0, 0, 0, 0];
  readonly #ends = [0, 0, 0, 0, 0];

  parse(chunk: LineChunk): TraceOp[] {
    const ops: TraceOp[] = [];
    while (chunk.next()) {
      const previous = this.#held;
      this.#line(chunk);
      if (previous !== undefined) ops.push(previous);
    }
    return ops;
  }

  end(): TraceOp | undefined {
    return this.#held;
  }

  #line(chunk: LineChunk): void {
    const starts = this.#starts;
    const ends = this.#ends;
    this.#split(chunk);
    // The key stands first, or last.
    const keyAt = isHex(chunk, starts[0]!, ends[0]!) ? 0 : 4;
    const at = keyAt === 0 ? 1 : 0;
    const type = chunk.decimal(starts[at]!, ends[at]!);
    const family = chunk.decimal(starts[at + 1]!, ends[at + 1]!);
    const valueBytes = chunk.decimal(starts[at + 2]!, ends[at + 2]!);
    const us = chunk.decimal(starts[at + 3]!, ends[at + 3]!);
    const kind = KINDS[type];
    if (kind === undefined || family < 0 || valueBytes < 0 || us < 0) {
      throw chunk.malformed(EXPECTED);
    }
    const key = keyOf(chunk, starts[keyAt]!, ends[keyAt]!, family);
    if (this.#firstUs < 0) this.#firstUs = us;
    this.#atUs = Math.max(this.#atUs, us - this.#firstUs);
    const isWrite = kind === "put" || kind === "merge";
    const op: DraftOp = {
      atUs: this.#atUs,
      kind,
      key,
      valueBytes: isWrite ? valueBytes : 0,
      limit: kind === "scan" ? 1 : 0,
      group: -1,
      ...(type === SEEK_FOR_PREV && { reverse: true }),
    };
    if (type === SEEK_FOR_PREV) op.key = behind(key);
    this.#join(op, us, GROUPS[type]!);
  }

  /** Splits the line into five fields. */
  #split(chunk: LineChunk): void {
    let from = chunk.start;
    for (let i = 0; i < 5; i++) {
      const space = chunk.find(SPACE, from);
      if (space < 0 !== (i === 4)) throw chunk.malformed(EXPECTED);
      this.#starts[i] = from;
      this.#ends[i] = i === 4 ? chunk.end : space;
      from = space + 1;
    }
  }

  #join(op: DraftOp, us: number, group: string): void {
    const held = this.#held;
    if (held !== undefined && group !== "-" && group === this.#heldGroup && us === this.#heldUs) {
      if (held.group < 0) held.group = this.#groups++;
      op.group = held.group;
    }
    this.#held = op;
    this.#heldUs = us;
    this.#heldGroup = group;
  }
}

function isHex(chunk: LineChunk, start: number, end: number): boolean {
  return end - start >= 2 && chunk.bytes[start] === 48 && chunk.bytes[start + 1] === 120;
}

/** The key of a line. That of another column family than 0 gets its id in front, four bytes. */
function keyOf(chunk: LineChunk, start: number, end: number, family: number): Uint8Array {
  const digits = end - start - 2;
  if (!isHex(chunk, start, end) || digits % 2 !== 0) throw chunk.malformed(EXPECTED);
  const prefix = family === 0 ? 0 : 4;
  if (digits / 2 + prefix > KEY_BYTES_MAX) {
    throw chunk.malformed(`a key of at most ${KEY_BYTES_MAX - prefix} bytes`);
  }
  const key = Buffer.alloc(prefix + digits / 2);
  if (prefix > 0) key.writeUInt32BE(family > 0xffffffff ? 0xffffffff : family, 0);
  for (let i = 0; i < digits / 2; i++) {
    const high = digitOf(chunk.bytes[start + 2 + 2 * i]!);
    const low = digitOf(chunk.bytes[start + 3 + 2 * i]!);
    if (high < 0 || low < 0) throw chunk.malformed(EXPECTED);
    key[prefix + i] = high * 16 + low;
  }
  return key;
}

function digitOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** A seek for the last key up to this one begins below the next key. */
function behind(key: Uint8Array): Uint8Array {
  if (key.length === KEY_BYTES_MAX) return key;
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
