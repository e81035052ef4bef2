/** Targets of bytes that need no database: values by pointer, and what stands in a LOCK file. */
import { FILE_HEADER_BYTES, FileType } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import {
  type Claim,
  claimOfThisProcess,
  mayBeAlive,
  parseClaims,
} from "../../packages/base/src/lock-claims.ts";
import {
  CHUNKED_BYTES_MIN,
  encodePointer,
  POINTER_BYTES,
  PointerReader,
  recordBytes,
  SegmentWriter,
  scanSegment,
  ValueReader,
} from "../../packages/vlog/src/index.ts";
import { mendHeader, mendRecords } from "./checksums.ts";
import { attempt, isTyped, type Target } from "./target.ts";

/** An input: a pointer, the length of the key (one byte), the key, and the file that it leads to. */
const KEY_AT = POINTER_BYTES + 1;
/** Enough to be hashed in chunks and read in parts. */
const LONG_BYTES = 300_000;
/** Parts that are read of a value: where each begins and ends, in eighths. */
const PARTS = [
  [0, 8],
  [0, 0],
  [3, 5],
  [7, 8],
] as const;

function fileStart(bytes: Uint8Array): number {
  return Math.min(bytes.length, KEY_AT + (bytes[POINTER_BYTES] ?? 0));
}

async function runValues(bytes: Uint8Array): Promise<void> {
  const pointer = new PointerReader();
  if (!pointer.read(bytes, 0, Math.min(POINTER_BYTES, bytes.length))) return;
  const { offset, stored, raw, codec } = pointer;
  const start = fileStart(bytes);
  const path = "/db/000009.seg";
  const fs = new SimFs();
  fs.writeFile(path, bytes.subarray(start));
  const reader = new ValueReader(fs, () => path, 2);
  const key = bytes.subarray(0, start);
  const record = [pointer.file, offset, stored, raw, codec, key, KEY_AT, start] as const;
  try {
    attempt(() => reader.uidOf(pointer.file));
    attempt(() => reader.readRecordSync(...record));
    const value = await eachWay(
      () => reader.readSync(...record),
      () => reader.read(...record),
    );
    const parts = await eachWay(
      () => reader.openSync(...record),
      () => reader.open(...record),
    );
    // A long value may be damaged in a chunk that its head says nothing of; nothing else differs.
    const isLong = parts !== undefined && parts.bytes > CHUNKED_BYTES_MIN;
    if ((value === undefined) !== (parts === undefined) && !isLong) {
      throw new Error("a value that is there whole, or in parts, only");
    }
    for (const [from, to] of parts === undefined ? [] : PARTS) {
      const [begin, end] = [from, to].map((n) => Math.floor((parts!.bytes * n) / 8));
      attempt(() => parts!.readSync(begin!, end!));
    }
    const length = recordBytes(key.length - KEY_AT, stored);
    attempt(() => {
      const fetched = reader.fetchSync(pointer.file, offset, offset + length);
      reader.takeFrom(
        fetched,
        offset,
        pointer.file,
        offset,
        stored,
        raw,
        codec,
        key.subarray(KEY_AT),
      );
    });
  } finally {
    reader.closeSync();
  }
}

/** Returns what both ways give, undefined when both throw. */
async function eachWay<T>(now: () => T, later: () => Promise<T>): Promise<T | undefined> {
  let first: T | undefined;
  attempt(() => {
    first = now();
  });
  let second: T | undefined;
  try {
    second = await later();
  } catch (error) {
    if (!isTyped(error)) throw error;
  }
  if ((first === undefined) !== (second === undefined)) {
    throw new Error("a value that is there on this thread, or through the pool, only");
  }
  return first;
}

/** A pointer to each record of a file, with the file behind it. */
function pointersInto(file: Uint8Array): Uint8Array[] {
  const path = "/db/000009.seg";
  const fs = new SimFs();
  fs.writeFile(path, file);
  const segment = scanSegment(fs, path);
  const inputs: Uint8Array[] = [];
  while (segment.next()) {
    const { stored, raw, codec, keyStart, keyEnd } = segment.record;
    const input = new Uint8Array(KEY_AT + keyEnd - keyStart);
    encodePointer(input, 0, segment.header.number, segment.offset, stored, raw, codec);
    input[POINTER_BYTES] = keyEnd - keyStart;
    input.set(segment.bytes.subarray(keyStart, keyEnd), KEY_AT);
    inputs.push(Buffer.concat([input, file]));
  }
  segment.closeSync();
  return inputs;
}

/** A segment with a value that is hashed in chunks. */
function longSegment(): Uint8Array {
  const fs = new SimFs();
  const path = "/db/000009.seg";
  fs.makeDirectorySync("/db");
  const uid = { lo: 0xabcdef01, hi: 0x23456789 };
  const header = {
    type: FileType.segment,
    databaseUuid: new Uint8Array(16).fill(7),
    uid,
    number: 9,
  };
  const segment = SegmentWriter.createSync(fs, path, { header });
  const value = Buffer.alloc(LONG_BYTES, "a long value; ");
  segment.append(0, Buffer.from("long"), 0, 4, 5, 1, value, value.length, 0);
  segment.finishSync();
  segment.closeSync();
  return fs.readFile(path);
}

/** Values by pointer: `segments` are the files that seeds lead to. */
export function valuesTarget(segments: readonly Uint8Array[]): Target {
  const short = segments.flatMap((file) => pointersInto(file).slice(0, 6));
  return {
    name: "values",
    seeds: [...short, ...pointersInto(longSegment())],
    mend: (bytes) => {
      const file = bytes.subarray(fileStart(bytes));
      mendRecords(file, FILE_HEADER_BYTES, file.length, mendHeader(file));
    },
    run: runValues,
  };
}

const own = claimOfThisProcess("fuzz", "own", "claim");

/** Whatever stands in a LOCK file, it is a list of claims, and of each can be said whether it counts. */
function runLock(bytes: Uint8Array): void {
  for (const encoding of ["utf8", "latin1"] as const) {
    const claims = parseClaims(Buffer.from(bytes).toString(encoding));
    for (const claim of claims) {
      if (Object.keys(claim).join() !== Object.keys(own).join())
        throw new Error("a claim unlike ours");
      if (typeof mayBeAlive(claim, own) !== "boolean") throw new Error("no answer");
      // The message that refuses an open says when the holder was started.
      new Date(claim.startedMs).toISOString();
    }
    if (claims.length > bytes.length) throw new Error("more claims than bytes");
  }
}

/** The LOCK file. */
export function lockTarget(): Target {
  const other: Claim = { ...own, nonce: "other", kind: "kernel", pid: 1, startTicks: 0 };
  const lines = [own, other, { withdrawn: "other" }].map((line) => `\n${JSON.stringify(line)}\n`);
  const seeds = [...lines, lines.join(""), `${lines.join("")}{"nonce":"torn`];
  return {
    name: "lock",
    seeds: seeds.map((text) => Buffer.from(text)),
    mend: () => undefined,
    run: runLock,
  };
}
