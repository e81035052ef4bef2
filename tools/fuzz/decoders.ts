/**
 * What of the packages reads bytes that come from a disk, and the targets that feed it. The tests hold
 * this list to the sources, by the names of what files export, and to what the targets really call.
 */

/** A decoder: the targets that have to reach it, and what of it is called where that is a method. */
export interface Decoder {
  readonly targets: readonly string[];
  readonly method?: string;
}

/** Exported names that may be those of a decoder: each is in `DECODERS`. */
export const DECODER_NAME: RegExp =
  /^((decode|decompress|parse|salvage|replay|recover|verify|check|read|open)([A-Z]\w*)?|scan[A-Z]\w*|is\w+BlockOf|\w*(Decoder|Reader|RecordView|TableScan|RunScan))$/;

const CALLER = "arguments of a caller, no bytes of a disk";
const OWN_MEMORY = "memory that this process wrote";

const of = (...targets: string[]): Decoder => ({ targets });

/** By `packages/x/src/y.ts#name`: a decoder, or why the name is none. */
export const DECODERS: Readonly<Record<string, Decoder | string>> = {
  "packages/base/src/bytes.ts#VarintReader": { targets: ["log", "table"], method: "read" },
  "packages/base/src/codec.ts#decompress": of("codecs"),
  "packages/base/src/file-header.ts#decodeFileHeader": of("file header"),
  "packages/base/src/lock-claims.ts#parseClaims": of("lock"),
  "packages/base/src/lock-claims.ts#readClaims": "bounds the length; `parseClaims` does the rest",
  "packages/base/src/lz4-decoder.ts#decodeLz4Block": of("codecs"),
  "packages/base/src/snappy-decoder.ts#decodeSnappyBlock": of("codecs"),
  "packages/base/src/snappy-decoder.ts#isSnappyBlockOf":
    "only asked where there is a native module",
  "packages/base/src/thread-protocol.ts#decodeError": "messages of this process's own threads",
  "packages/base/src/zstd-decoder.ts#decodeZstdFrame": of("codecs"),
  "packages/base/src/zstd-entropy.ts#readFseTable": of("codecs"),
  "packages/base/src/zstd-entropy.ts#readHuffmanTable": of("codecs"),
  "packages/base/src/zstd-frame.ts#readZstdFrame": of("codecs"),

  "packages/wal/src/log-reader.ts#LogReader": of("log"),
  "packages/wal/src/log-reader.ts#readLog": of("log"),
  "packages/wal/src/log-scan.ts#scanForFrames": of("log"),

  "packages/vlog/src/pointer.ts#PointerReader": { targets: ["values"], method: "read" },
  "packages/vlog/src/record.ts#RecordView": { targets: ["values", "segment"], method: "readHead" },
  "packages/vlog/src/segment-reader.ts#SegmentReader": of("segment"),
  "packages/vlog/src/segment-reader.ts#scanSegment": of("segment"),
  "packages/vlog/src/value-reader.ts#ValueReader": of("values"),

  "packages/sst/src/block-check.ts#checkBlock": of("table"),
  "packages/sst/src/block-map.ts#decodeBlockMap": of("table"),
  "packages/sst/src/block-reader.ts#BlockReader": { targets: ["table"], method: "search" },
  "packages/sst/src/format.ts#checkBlockTrailer": of("table"),
  "packages/sst/src/format.ts#decodeFooter": of("table"),
  "packages/sst/src/key-filter.ts#openFilter": of("filter"),
  "packages/sst/src/properties.ts#decodeProperties": of("table"),
  "packages/sst/src/range-block.ts#decodeRanges": of("table"),
  "packages/sst/src/range-block.ts#readRangesSync": of("open"),
  "packages/sst/src/table-scan.ts#TableScan": of("open"),
  "packages/sst/src/table-verify.ts#verifyTable": of("table"),

  "packages/learned-index/src/model-format.ts#decodeModel": of("model"),

  "packages/engine/src/byte-buffer.ts#ByteReader": of("edit"),
  "packages/engine/src/change-group.ts#ChangeDecoder": of("changes"),
  "packages/engine/src/closed-database.ts#verifyClosed": of("open"),
  "packages/engine/src/edit-format.ts#decodeEdit": of("edit"),
  "packages/engine/src/file-names.ts#parseFileName": of("open"),
  "packages/engine/src/jobs/range-drop.ts#readFragments": of("open"),
  "packages/engine/src/jobs/run-scan.ts#RunScan": of("open"),
  "packages/engine/src/log-preamble.ts#decodePreamble": of("preamble"),
  "packages/engine/src/manifest.ts#readManifest": of("manifest"),
  "packages/engine/src/old-logs.ts#openLog": of("open"),
  "packages/engine/src/old-logs.ts#openLogs": of("open"),
  "packages/engine/src/open-parts.ts#openParts": of("open"),
  "packages/engine/src/operations.ts#OperationReader": { targets: ["operations"], method: "next" },
  "packages/engine/src/recovery.ts#recover": of("open"),
  "packages/engine/src/replay.ts#replayLogs": of("open"),
  "packages/engine/src/salvage-manifest.ts#salvageManifest": of("manifest"),
  "packages/engine/src/salvage-table.ts#salvageTable": of("salvage"),
  "packages/engine/src/trace-format.ts#decodeTracePreamble": of("trace"),
  "packages/engine/src/trace.ts#TraceReader": of("trace"),
  "packages/engine/src/trace.ts#readTrace": of("trace"),
  "packages/engine/src/verify.ts#verifyDirectory": of("open"),

  "packages/engine/src/call-options.ts#checkOptions": CALLER,
  "packages/engine/src/call-options.ts#checkPriority": CALLER,
  "packages/engine/src/call-options.ts#checkSignal": CALLER,
  "packages/engine/src/change-feed.ts#openFeed": "reads by `ChangeDecoder`",
  "packages/engine/src/grouped-misses.ts#readMisses": "reads by the readers of tables and values",
  "packages/engine/src/part-options.ts#checkBytes": CALLER,
  "packages/engine/src/range-delete.ts#parseDeleteRange": CALLER,
  "packages/engine/src/range.ts#parseCursorRange": CALLER,
  "packages/engine/src/range.ts#parseScanRange": CALLER,
  "packages/engine/src/scan.ts#scanSync": "reads by cursors",
  "packages/engine/src/steering.ts#checkWeights": CALLER,
  "packages/engine/src/write-stream.ts#openWriteStream": CALLER,
  "packages/memtable/src/arena.ts#checkArenaBytes": CALLER,
  "packages/memtable/src/art-memtable.ts#ArtReader": OWN_MEMORY,
  "packages/memtable/src/btree-memtable.ts#BTreeReader": OWN_MEMORY,
  "packages/memtable/src/entry-reader.ts#EntryReader": OWN_MEMORY,
  "packages/memtable/src/entry-writer.ts#checkEntry": CALLER,
  "packages/memtable/src/hash-runs-memtable.ts#HashRunsReader": OWN_MEMORY,
  "packages/memtable/src/skip-list-reader.ts#SkipListReader": OWN_MEMORY,
};
