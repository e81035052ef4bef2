/** A write-ahead log of opaque, checksummed payloads: one writer, one reader, one file at a time. */

export { FRAME_HEADER_BYTES, FrameFlag, PAYLOAD_BYTES_MAX } from "./frame.ts";
export { type LogEnd, LogReader, type ReadLogSettings, readLog } from "./log-reader.ts";
export type { FrameStamp } from "./log-scan.ts";
export { logStartMissing, logStartTorn } from "./log-start.ts";
export { type LogSettings, LogWriter } from "./log-writer.ts";
export type { LongFrame } from "./long-frame.ts";
export { ZERO_FILL_BYTES_MAX } from "./zero-fill.ts";
