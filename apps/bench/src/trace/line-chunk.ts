/**
 * Text files of any size, line by line: a chunk of whole lines at a time, in memory that does not
 * grow with the file, with no string per line.
 */
import { type FileHandle, open } from "node:fs/promises";
import { AuraError } from "@aura/engine";

/** Bytes read at a time. */
const READ_BYTES = 1024 * 1024;
/** Longest line: two hexadecimal digits for each byte of the longest key, and some numbers. */
export const LINE_BYTES_MAX: number = 256 * 1024;
/** Characters of a line that an error shows. */
const SHOWN_LENGTH = 80;
const NEWLINE = 10;
const RETURN = 13;
const DIGIT_0 = 48;

/** Some lines of a file. Borrowed until the next chunk. */
export class LineChunk {
  readonly file: string;
  readonly bytes: Buffer;
  /** Number of the line that is looked at, from 1 on, and where it stands in `bytes`. */
  number: number;
  start = 0;
  end = 0;
  #next = 0;
  readonly #limit: number;

  /** Lines of bytes[0, limit), the first of them the line `number`. */
  constructor(file: string, bytes: Buffer, limit: number, number: number) {
    this.file = file;
    this.bytes = bytes;
    this.number = number - 1;
    this.#limit = limit;
  }

  /** Moves to the next line; false behind the last. */
  next(): boolean {
    if (this.#next >= this.#limit) return false;
    this.number++;
    this.start = this.#next;
    const newline = this.bytes.indexOf(NEWLINE, this.start);
    this.end = newline < 0 || newline >= this.#limit ? this.#limit : newline;
    this.#next = this.end + 1;
    if (this.end > this.start && this.bytes[this.end - 1] === RETURN) this.end--;
    return true;
  }

  /** Returns where `byte` first stands from `from` on in the line, -1 if nowhere. */
  find(byte: number, from: number): number {
    const at = this.bytes.indexOf(byte, from);
    return at >= 0 && at < this.end ? at : -1;
  }

  /** Returns where `byte` last stands in the line before `before`, -1 if nowhere. */
  findLast(byte: number, before: number): number {
    for (let at = before - 1; at >= this.start; at--) if (this.bytes[at] === byte) return at;
    return -1;
  }

  /** Returns the decimal number in bytes[start, end), -1 if it is none up to 2^53 - 1. */
  decimal(start: number, end: number): number {
    if (end <= start || end - start > 16) return -1;
    let value = 0;
    for (let at = start; at < end; at++) {
      const digit = this.bytes[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value <= Number.MAX_SAFE_INTEGER ? value : -1;
  }

  /** Returns the error for the line: file, line, what was expected. */
  malformed(expected: string): AuraError {
    const line = this.bytes.toString("latin1", this.start, this.end);
    const shown = line.length > SHOWN_LENGTH ? `${line.slice(0, SHOWN_LENGTH)}...` : line;
    return malformed(this.file, this.number, expected, JSON.stringify(shown));
  }
}

function malformed(file: string, line: number, expected: string, actual: string): AuraError {
  return new AuraError("AURA_CORRUPTION", `${file}:${line}: expected ${expected}, got ${actual}`, {
    file,
    expected,
    actual,
  });
}

/** The lines of a file. The last one may lack its newline. Throws AURA_CORRUPTION for an endless one. */
export async function* readLines(path: string): AsyncGenerator<LineChunk, void, void> {
  const file = await open(path, "r");
  try {
    yield* chunksOf(file, path);
  } finally {
    await file.close();
  }
}

async function* chunksOf(file: FileHandle, path: string): AsyncGenerator<LineChunk, void, void> {
  const bytes = Buffer.alloc(LINE_BYTES_MAX + READ_BYTES);
  let held = 0;
  let number = 1;
  for (;;) {
    const { bytesRead } = await file.read(bytes, held, READ_BYTES, null);
    const length = held + bytesRead;
    const limit = bytesRead === 0 ? length : bytes.subarray(0, length).lastIndexOf(NEWLINE) + 1;
    if (limit > 0) {
      const chunk = new LineChunk(path, bytes, limit, number);
      yield chunk;
      number = chunk.number + 1;
    }
    if (bytesRead === 0) return;
    bytes.copyWithin(0, limit, length);
    held = length - limit;
    if (held > LINE_BYTES_MAX) {
      throw malformed(path, number, `a line of at most ${LINE_BYTES_MAX} bytes`, "a longer one");
    }
  }
}
