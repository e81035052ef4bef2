/**
 * What two or more packages must agree on byte for byte, plus the one door to the disk and the
 * executor. Nothing else.
 */

export {
  commonPrefix,
  compareBytes,
  compareKeys,
  getU16,
  getU32,
  getU48,
  getU56,
  putU16,
  putU32,
  putU48,
  putU56,
  putVarint,
  VARINT_BYTES_MAX,
  VarintReader,
  varintBytes,
} from "./bytes.ts";
export {
  Codec,
  type CodecName,
  canCompress,
  compress,
  decompress,
  lz4Available,
  pays,
} from "./codec.ts";
export type { EntryCursor } from "./cursor.ts";
export {
  isKeysEnd,
  isKnownTag,
  KEY_BYTES_MAX,
  KEYS_END,
  Kind,
  putTrailer,
  putUid,
  SEQ_MAX,
  TagFlag,
  TRAILER_BYTES,
  trailerSeq,
  trailerTag,
  type Uid,
  VALUE_BYTES_MAX,
} from "./entry.ts";
export {
  AuraError,
  type AuraErrorCode,
  type AuraErrorDetails,
  assert,
  corruption,
  hasCode,
  ioError,
} from "./errors.ts";
export type { Executor, Job, JobBody, JobContext, JobQueue, JobTable, Lane } from "./executor.ts";
export {
  DATABASE_UUID_BYTES,
  decodeFileHeader,
  encodeFileHeader,
  FILE_HEADER_BYTES,
  FILE_NUMBER_MAX,
  type FileHeader,
  FileType,
  FORMAT_VERSION,
  resemblesFileHeader,
} from "./file-header.ts";
export type { FileHandle, FileLock, FileSystem } from "./fs.ts";
export {
  contentHash,
  hashKey,
  hashReady,
  placeMix,
  SHORT_CONTENT_BYTES,
} from "./hash.ts";
export { type InlineExecutorOptions, inlineExecutor } from "./inline-executor.ts";
export { nodeFileSystem } from "./node-fs.ts";
export { keepFromTransfer, pooledMemory } from "./pooled-memory.ts";
export {
  type Clock,
  type Random,
  type Runtime,
  type Scheduler,
  SeededRandom,
  systemRuntime,
  type Timer,
} from "./runtime.ts";
export { type ThreadExecutorOptions, threadExecutor } from "./thread-executor.ts";
export { isUnstarted, WorkerLostError } from "./thread-protocol.ts";
export type { ThreadTime } from "./thread-time.ts";
export { serveJobs } from "./thread-worker.ts";
export { xxh32 } from "./xxh32.ts";
