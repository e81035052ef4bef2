/**
 * Traces of operations, to be replayed: an AuraDB trace, RocksDB's human-readable trace, or one of
 * Twitter's cache traces, told apart by how the file begins. What becomes of their operations is in
 * aura-ops.ts, rocksdb-ops.ts and twitter-ops.ts.
 */
import { open } from "node:fs/promises";
import { AuraError } from "@aura/engine";
import { auraOps } from "./aura-ops.ts";
import { rocksdbOps } from "./rocksdb-ops.ts";
import type { TraceOp } from "./trace-op.ts";
import { twitterOps } from "./twitter-ops.ts";

/** Bytes that are looked at. */
const START_BYTES = 4096;

/** Files that must be turned into another one first: how they begin, and what to do. */
const NOT_YET: readonly (readonly [start: RegExp | string, advice: string])[] = [
  ["\u0028\u00b5\u002f\u00fd", "it is compressed with zstd: decompress it first (zstd -d)"],
  ["\u001f\u008b", "it is compressed with gzip: decompress it first (gunzip)"],
  [/^\d+ \d+ \d+ \d+\r?\n/, "a RocksDB trace without keys: convert it without -no_key"],
];

/**
 * Returns the operations of the trace in the file `path`, in its order, some at a time, in memory
 * that does not grow with the file. Throws AURA_CORRUPTION: with file, line and what was expected for
 * a malformed line, with file and offset for a damaged AuraDB trace. An AuraDB trace that was cut,
 * because the program that wrote it was killed, ends where it was cut.
 */
export async function* readTrace(path: string): AsyncGenerator<readonly TraceOp[], void, void> {
  const start = await startOf(path);
  if (start.startsWith("AURA")) yield* auraOps(path);
  else if (/^(0x|\d+ \d+ \d+ \d+ 0x)/.test(start)) yield* rocksdbOps(path);
  else if (/^\d+,/.test(start)) yield* twitterOps(path);
  else throw unknown(path, start);
}

async function startOf(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const bytes = Buffer.alloc(START_BYTES);
    const { bytesRead } = await file.read(bytes, 0, START_BYTES, 0);
    return bytes.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function unknown(path: string, start: string): AuraError {
  const known = NOT_YET.find(([pattern]) =>
    typeof pattern === "string" ? start.startsWith(pattern) : pattern.test(start),
  );
  const [line = ""] = start.split("\n", 1);
  const advice =
    known?.[1] ??
    "expected an AuraDB trace, RocksDB's human-readable trace (0x<key> <type> <column family> " +
      "<value bytes> <us>) or Twitter's cache trace (<seconds>,<key>,<key size>,<value size>," +
      `<client>,<operation>,<TTL>), got ${JSON.stringify(line.slice(0, 80))}`;
  return new AuraError("AURA_CORRUPTION", `${path}:1: ${advice}`, { file: path });
}
