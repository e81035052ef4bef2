/** A value log: records of large values, pointers to them, and files full of them. */

export { encodePointer, POINTER_BYTES, POINTER_FILE_MAX, PointerReader } from "./pointer.ts";
export {
  CHUNK_BYTES,
  CHUNKED_BYTES_MIN,
  encodeHashedHead,
  encodeRecordHead,
  movedChecksum,
  putChunkHash,
  putRecordChecksum,
  putRecordSeq,
  RECORD_HEADER_BYTES,
  type RecordProblem,
  RecordView,
  recordBytes,
  recordHeadBytes,
} from "./record.ts";
export {
  type ScanSettings,
  type SegmentEnd,
  SegmentReader,
  scanSegment,
} from "./segment-reader.ts";
export { type SegmentSettings, SegmentWriter } from "./segment-writer.ts";
export type { ValueParts } from "./value-parts.ts";
export { ValueReader } from "./value-reader.ts";
