/**
 * Bytes of version edits. Documented in docs/formats/manifest.md.
 *
 * record := class u8, previous u32, fields;  field := tag varint, length varint, body
 *
 * `previous` is the content hash of the record before (0 for the first): the chain. A reader that
 * meets an unknown class below 0x80 or an unknown even field tag refuses the manifest; unknown
 * classes from 0x80 and unknown odd tags are skipped. On disk. Never renumber.
 */
import { AuraError, compareKeys, isKeysEnd, KEYS_END } from "@aura/base";
import type { ByteReader } from "./byte-buffer.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type {
  LogValidity,
  SegmentChange,
  SegmentSeal,
  TableAddition,
  TableRemoval,
  VersionEdit,
  VoidRange,
} from "./edit.ts";
import type { SegmentReference } from "./version.ts";

/** Class byte of an edit record. */
export const EDIT_CLASS = 1;
/** Classes from here on may be skipped by a reader that does not know them. */
export const SKIPPABLE_CLASS_MIN = 0x80;

const Tag = {
  nextNumber: 2,
  lastSeq: 4,
  flushedSeq: 6,
  added: 8,
  removed: 10,
  segmentChange: 12,
  segmentSeal: 14,
  segmentRemoved: 16,
  log: 18,
  voidRange: 20,
  clean: 22,
  syncFailed: 24,
  logFloor: 26,
} as const;

/** What the largest key of a table is: the last key, the end of a range delete, or not there. */
const Bound = { inclusive: 0, exclusive: 1, none: 2 } as const;
const NO_KEY = new Uint8Array(0);

/** Appends the fields of `edit` to `out`. */
export function encodeEdit(out: ByteBuffer, edit: VersionEdit): void {
  const body = new ByteBuffer();
  const field = (tag: number, write: (body: ByteBuffer) => void): void => {
    body.length = 0;
    write(body);
    out.varint(tag);
    out.varint(body.length);
    out.range(body.bytes, 0, body.length);
  };
  field(Tag.nextNumber, (b) => b.varint(edit.nextNumber));
  field(Tag.lastSeq, (b) => b.seq(edit.lastSeq));
  const { flushedSeq, clean } = edit;
  if (flushedSeq !== undefined) {
    field(Tag.flushedSeq, (b) => {
      b.varint(0); // keyspace
      b.seq(flushedSeq);
    });
  }
  for (const removal of edit.removed ?? []) {
    field(Tag.removed, (b) => {
      b.varint(removal.level);
      b.varint(removal.number);
    });
  }
  for (const addition of edit.added ?? []) field(Tag.added, (b) => encodeAddition(b, addition));
  for (const change of edit.segmentChanges ?? []) {
    field(Tag.segmentChange, (b) => {
      b.varint(change.number);
      b.u8(change.kind === "vlog" ? 0 : 1);
      b.varint(change.totalCount);
      b.varint(change.totalBytes);
      b.varint(change.deadCount);
      b.varint(change.deadBytes);
    });
  }
  for (const seal of edit.segmentSeals ?? []) {
    field(Tag.segmentSeal, (b) => {
      b.varint(seal.number);
      b.varint(seal.fileBytes);
      b.seq(seal.lastSeq);
    });
  }
  for (const number of edit.segmentsRemoved ?? []) {
    field(Tag.segmentRemoved, (b) => b.varint(number));
  }
  for (const log of edit.logs ?? []) {
    field(Tag.log, (b) => {
      b.varint(log.number);
      b.u8(log.kind === "wal" ? 0 : 1);
      b.varint(log.validBytes);
      b.seq(log.lastSeq);
    });
  }
  const { logFloor } = edit;
  if (logFloor !== undefined) field(Tag.logFloor, (b) => b.varint(logFloor));
  for (const range of edit.voids ?? []) {
    field(Tag.voidRange, (b) => {
      b.seq(range.first);
      b.seq(range.last);
    });
  }
  if (edit.syncFailed === true) field(Tag.syncFailed, () => undefined);
  if (clean !== undefined) {
    field(Tag.clean, (b) => {
      b.seq(clean.lastSeq);
      b.varint(clean.files.length);
      for (const file of clean.files) {
        b.blob(Buffer.from(file.name));
        b.varint(file.bytes);
      }
    });
  }
}

function encodeAddition(b: ByteBuffer, addition: TableAddition): void {
  const { table } = addition;
  b.varint(addition.level);
  b.varint(addition.run);
  b.varint(table.number);
  b.u32(table.uid.lo);
  b.u32(table.uid.hi);
  b.varint(table.keyspace);
  b.varint(table.bytes);
  b.varint(table.entryCount);
  b.varint(table.deleteCount);
  b.varint(table.shadowedCount);
  b.varint(table.rangeDeleteCount);
  b.blob(table.smallestKey);
  const hasEnd = !isKeysEnd(table.largestKey);
  b.blob(hasEnd ? table.largestKey : NO_KEY);
  b.u8(hasEnd ? (table.largestIsExclusive ? Bound.exclusive : Bound.inclusive) : Bound.none);
  b.seq(table.smallestSeq);
  b.seq(table.largestSeq);
  b.varint(0); // smallest expiry
  b.varint(0); // largest expiry
  b.varint(0); // global sequence of an ingested table; 0: none
  b.varint(table.filterBits);
  b.varint(table.references.length);
  for (const reference of table.references) {
    b.varint(reference.segment);
    b.varint(reference.count);
    b.varint(reference.bytes);
  }
  b.varint(table.createdMs ?? 0);
  b.varint(table.newKeyBytes ?? 0);
}

function decodeAddition(r: ByteReader): TableAddition {
  const level = r.varint();
  const run = r.varint();
  const number = r.varint();
  const uid = { lo: r.u32(), hi: r.u32() };
  const keyspace = r.varint();
  const bytes = r.varint();
  const entryCount = r.varint();
  const deleteCount = r.varint();
  const shadowedCount = r.varint();
  const rangeDeleteCount = r.varint();
  const smallestKey = r.blob();
  const lastKey = r.blob();
  const bound = r.u8();
  const largestKey = bound === Bound.none ? KEYS_END : lastKey;
  const order = compareKeys(smallestKey, largestKey);
  if (order > 0 || (order === 0 && bound !== Bound.inclusive)) r.fail("bounds of a table");
  const smallestSeq = r.seq();
  const largestSeq = r.seq();
  const expiries = r.varint() + r.varint();
  const globalSeq = r.varint();
  if (bound > Bound.none || expiries !== 0 || globalSeq !== 0) {
    throw new AuraError("AURA_UNSUPPORTED", `table ${number} needs a feature this build lacks`);
  }
  const filterBits = r.varint();
  const references: SegmentReference[] = [];
  for (let count = r.varint(); count > 0; count--) {
    references.push({ segment: r.varint(), count: r.varint(), bytes: r.varint() });
  }
  const createdMs = r.varint();
  const newKeyBytes = r.varint();
  const table = {
    number,
    uid,
    keyspace,
    bytes,
    entryCount,
    deleteCount,
    shadowedCount,
    rangeDeleteCount,
    smallestKey,
    largestKey,
    largestIsExclusive: bound !== Bound.inclusive,
    smallestSeq,
    largestSeq,
    filterBits,
    references,
    ...(createdMs === 0 ? {} : { createdMs }),
    ...(newKeyBytes === 0 ? {} : { newKeyBytes }),
  };
  return { level, run, table };
}

/** Reads the fields of an edit. Throws AURA_CORRUPTION or AURA_UNSUPPORTED. */
export function decodeEdit(r: ByteReader): VersionEdit {
  let nextNumber = -1;
  let lastSeq = -1;
  let flushedSeq: number | undefined;
  let clean: VersionEdit["clean"];
  let syncFailed = false;
  let logFloor: number | undefined;
  const added: TableAddition[] = [];
  const removed: TableRemoval[] = [];
  const segmentChanges: SegmentChange[] = [];
  const segmentSeals: SegmentSeal[] = [];
  const segmentsRemoved: number[] = [];
  const logs: LogValidity[] = [];
  const voids: VoidRange[] = [];
  while (!r.done) {
    const tag = r.varint();
    const b = r.part();
    switch (tag) {
      case Tag.nextNumber:
        nextNumber = b.varint();
        break;
      case Tag.lastSeq:
        lastSeq = b.seq();
        break;
      case Tag.flushedSeq:
        if (b.varint() !== 0) throw new AuraError("AURA_UNSUPPORTED", "a keyspace other than 0");
        flushedSeq = b.seq();
        break;
      case Tag.added:
        added.push(decodeAddition(b));
        break;
      case Tag.removed:
        removed.push({ level: b.varint(), number: b.varint() });
        break;
      case Tag.segmentChange:
        segmentChanges.push({
          number: b.varint(),
          kind: b.u8() === 0 ? "vlog" : "seg",
          totalCount: b.varint(),
          totalBytes: b.varint(),
          deadCount: b.varint(),
          deadBytes: b.varint(),
        });
        break;
      case Tag.segmentSeal:
        segmentSeals.push({ number: b.varint(), fileBytes: b.varint(), lastSeq: b.seq() });
        break;
      case Tag.segmentRemoved:
        segmentsRemoved.push(b.varint());
        break;
      case Tag.log:
        logs.push({
          number: b.varint(),
          kind: b.u8() === 0 ? "wal" : "vlog",
          validBytes: b.varint(),
          lastSeq: b.seq(),
        });
        break;
      case Tag.voidRange:
        voids.push({ first: b.seq(), last: b.seq() });
        break;
      case Tag.logFloor:
        logFloor = b.varint();
        break;
      case Tag.syncFailed:
        syncFailed = true;
        break;
      case Tag.clean:
        clean = decodeClean(b);
        break;
      default:
        if (tag % 2 === 0) {
          throw new AuraError("AURA_UNSUPPORTED", `manifest field ${tag} is unknown to this build`);
        }
    }
  }
  if (nextNumber < 0 || lastSeq < 0) r.fail("edit without its counters");
  return {
    nextNumber,
    lastSeq,
    ...(flushedSeq === undefined ? {} : { flushedSeq }),
    added,
    removed,
    segmentChanges,
    segmentSeals,
    segmentsRemoved,
    logs,
    voids,
    ...(clean === undefined ? {} : { clean }),
    ...(logFloor === undefined ? {} : { logFloor }),
    ...(syncFailed ? { syncFailed } : {}),
  };
}

function decodeClean(b: ByteReader): NonNullable<VersionEdit["clean"]> {
  const lastSeq = b.seq();
  const files: { name: string; bytes: number }[] = [];
  for (let count = b.varint(); count > 0; count--) {
    const name = Buffer.from(b.blob()).toString("latin1");
    files.push({ name, bytes: b.varint() });
  }
  return { lastSeq, files };
}
