/**
 * Twitter's cache traces (Yang, Yue, Rashmi: "A large scale analysis of hundreds of in-memory cache
 * clusters at Twitter", OSDI 2020; github.com/twitter/cache-trace), decompressed.
 *
 * A line is `timestamp,anonymized key,key size,value size,client id,operation,TTL`: whole seconds,
 * sizes in bytes. What the operations become:
 *
 * | get, gets | get |
 * | set, add, replace, cas | put: whether a condition held, the trace does not say |
 * | append, prepend, incr, decr | merge |
 * | delete | delete |
 *
 * A key that is shorter than its key size is filled up with zero bytes, so that sizes are the traced
 * ones; a longer one stays. Client and TTL are not used. Operations of one second have one time.
 */
import type { LineChunk } from "./line-chunk.ts";
import { readLines } from "./line-chunk.ts";
import type { TraceOp, TraceOpKind } from "./trace-op.ts";

const KINDS: ReadonlyMap<string, TraceOpKind> = new Map([
  ["get", "get"],
  ["gets", "get"],
  ["set", "put"],
  ["add", "put"],
  ["replace", "put"],
  ["cas", "put"],
  ["append", "merge"],
  ["prepend", "merge"],
  ["incr", "merge"],
  ["decr", "merge"],
  ["delete", "delete"],
]);
const OPERATION_BYTES_MAX = 7;
const KEY_BYTES_MAX = 65535;
const COMMA = 44;
const SECOND_US = 1_000_000;

const EXPECTED =
  "<seconds>,<key>,<key size>,<value size>,<client>,<operation>,<TTL>, the operation one of " +
  [...KINDS.keys()].join(" ");

/** The operations of such a file. */
export async function* twitterOps(path: string): AsyncGenerator<readonly TraceOp[], void, void> {
  let firstS = -1;
  let atUs = 0;
  for await (const chunk of readLines(path)) {
    const ops: TraceOp[] = [];
    while (chunk.next()) {
      const seconds = chunk.decimal(chunk.start, chunk.find(COMMA, chunk.start));
      if (seconds < 0) throw chunk.malformed(EXPECTED);
      if (firstS < 0) firstS = seconds;
      atUs = Math.max(atUs, (seconds - firstS) * SECOND_US);
      ops.push(opOf(chunk, atUs));
    }
    if (ops.length > 0) yield ops;
  }
}

/** The operation of a line. A key may hold commas: the other fields are counted from both ends. */
function opOf(chunk: LineChunk, atUs: number): TraceOp {
  const { bytes } = chunk;
  const keyStart = chunk.find(COMMA, chunk.start) + 1;
  const ttl = chunk.findLast(COMMA, chunk.end);
  const operation = chunk.findLast(COMMA, ttl);
  const client = chunk.findLast(COMMA, operation);
  const value = chunk.findLast(COMMA, client);
  const size = chunk.findLast(COMMA, value);
  if (size < keyStart) throw chunk.malformed(EXPECTED);
  const keySize = chunk.decimal(size + 1, value);
  const valueBytes = chunk.decimal(value + 1, client);
  const short = ttl - operation - 1 <= OPERATION_BYTES_MAX;
  const kind = short ? KINDS.get(bytes.toString("latin1", operation + 1, ttl)) : undefined;
  const sound = keySize >= 0 && valueBytes >= 0 && chunk.decimal(ttl + 1, chunk.end) >= 0;
  if (kind === undefined || !sound) throw chunk.malformed(EXPECTED);
  const length = Math.max(keySize, size - keyStart);
  if (length > KEY_BYTES_MAX) throw chunk.malformed(`a key of at most ${KEY_BYTES_MAX} bytes`);
  const key = Buffer.alloc(length);
  bytes.copy(key, 0, keyStart, size);
  const isWrite = kind === "put" || kind === "merge";
  return { atUs, kind, key, valueBytes: isWrite ? valueBytes : 0, limit: 0, group: -1 };
}
