/** One small table of every kind: for golden files, and for damage. Never change what one is. */
import { Codec, Kind, SeededRandom } from "@aura/base";
import { FilterKind, type TableSettings } from "../src/index.ts";
import { type Entry, entry, inOrder, lyingIndex, plainEntries, text } from "./support.ts";

interface TableKind {
  readonly name: string;
  readonly entries: readonly Entry[];
  readonly settings: Partial<TableSettings>;
}

/** Versions, tombstones, pointers, an empty key, a value longer than a block. */
const mixed: readonly Entry[] = inOrder([
  entry("", 9, "empty key"),
  ...plainEntries(24),
  ...Array.from({ length: 8 }, (_, i) => entry("same", 90 - i, `version ${i} `.repeat(3))),
  entry("pointed", 4, "x".repeat(20), Kind.pointer),
  entry("long", 5, "long value ".repeat(60)),
  entry("zz", 3, "", Kind.delete),
]);

/** Many keys without values: a filter needs keys. */
const many: readonly Entry[] = Array.from({ length: 600 }, (_, i) =>
  entry(`g${String(i >> 5).padStart(2, "0")}/${String(i).padStart(3, "0")}`, i + 1),
);

/** Records that are alike from block to block, and not within one. */
const records: readonly Entry[] = ((): Entry[] => {
  const random = new SeededRandom(8);
  return Array.from({ length: 130 }, (_, i) => ({
    key: text(`user:${String(i * 7).padStart(6, "0")}`),
    seq: i + 1,
    tag: Kind.value,
    value: text(
      `{"name":"n${random.uint32()}","mail":"m${random.uint32()}@example.org","city":"c${random.below(90)}","visits":${random.below(1e6)}}`,
    ),
  }));
})();

const blockBytes = 256;

/** All kinds. */
export const KINDS: readonly TableKind[] = [
  { name: "plain", entries: mixed, settings: { blockBytes } },
  { name: "one-entry", entries: [entry("k", 1, "v")], settings: {} },
  { name: "no-filter", entries: mixed, settings: { blockBytes, filter: FilterKind.none } },
  { name: "model", entries: mixed, settings: { blockBytes, index: [lyingIndex("none")] } },
  { name: "prefixes", entries: mixed, settings: { blockBytes, prefixBytes: 3 } },
  {
    name: "ribbon",
    entries: many,
    settings: { filter: FilterKind.ribbon, prefixBytes: 4, bloomBitsPerKey: 7 },
  },
  { name: "lz4", entries: mixed, settings: { blockBytes, codec: Codec.lz4 } },
  { name: "snappy", entries: mixed, settings: { blockBytes, codec: Codec.snappy } },
  { name: "zstd", entries: mixed, settings: { blockBytes, codec: Codec.zstd } },
  { name: "deflate", entries: mixed, settings: { blockBytes, codec: Codec.deflate } },
  {
    name: "dictionary",
    entries: records,
    settings: { blockBytes: 200, codec: Codec.zstd, dictionaryBytes: 1024 },
  },
];
