/**
 * The bugs of other engines, as changes of this one's sources. Nothing of it is in the sources: the
 * test runner changes them while it loads them (plugin.mjs), when a run asks for a bug by name.
 *
 * `edits`: `find` stands in the file once (with `every`: at least once). `tests`: what has to fail,
 * each with its environment; the first one that does is enough.
 */

const model = {
  file: "packages/engine/test/model.property.test.ts",
  env: { AURA_MODEL_RUNS: "60" },
};
const sweep = {
  file: "packages/engine/test/crash-sweep.test.ts",
  env: { AURA_CRASH_STEPS: "3000" },
};
const faults = { file: "packages/engine/test/faults.test.ts", env: {} };
const rules = { file: "packages/engine/test/durability-rules.test.ts", env: {} };
const damage = { file: "packages/engine/test/corruption.test.ts", env: {} };
const formats = { file: "packages/engine/test/formats.test.ts", env: {} };
const variants = {
  file: "packages/engine/test/metamorphic.test.ts",
  env: { AURA_META_SEEDS: "3" },
};
const fuzz = { file: "tools/fuzz/fuzz.test.ts", env: {} };

export const BUGS = [
  {
    id: "1",
    title: "tables are created without a sync of their directory",
    edits: [
      {
        file: "packages/engine/src/jobs/table-output.ts",
        find: "if (this.#tables.length > 0) this.#fs.syncDirSync(this.#settings.directory);",
        replace: "",
      },
    ],
    tests: [sweep, model, rules],
  },
  {
    id: "2",
    title: "a rotated log is not synced with the one behind it",
    edits: [
      {
        file: "packages/engine/src/log-sync.ts",
        find: "const dirty = this.#place.files().filter((log) => log.isDirty);",
        replace: "const dirty = this.#place.files().filter((log) => log.isDirty).slice(-1);",
        every: true,
      },
    ],
    tests: [rules, model, sweep],
  },
  {
    id: "3",
    title: "pointers are durable before the values that they lead to",
    edits: [
      {
        file: "packages/engine/src/jobs/flush.ts",
        find: "for (const token of input.syncTokens) busy.syncedIn(() => syncLog(context, token));",
        replace: "if (input.syncTokens.length < 0) syncLog(context, 0);",
      },
    ],
    tests: [faults, sweep, model],
  },
  {
    id: "4",
    title: "rot in the synced part of a log is taken for a torn tail",
    edits: [
      {
        file: "packages/engine/src/history-end.ts",
        find: "if (end.durableSeen > cutSeq) {",
        replace: "if (end.durableSeen > Number.MAX_VALUE) {",
      },
    ],
    tests: [rules, damage, formats],
  },
  {
    id: "5",
    title: "appends go on in a log whose last write failed",
    edits: [
      {
        file: "packages/wal/src/log-writer.ts",
        find: "this.#writeSync(frame, offset);\n    } catch (error) {\n      throw this.#fail(error);",
        replace: "this.#writeSync(frame, offset);\n    } catch (error) {\n      throw error;",
        every: true,
      },
      {
        file: "packages/engine/src/journal.ts",
        find: "if (log === undefined) return known;",
        replace: 'if (log === undefined || log.writer.path !== "") return known;',
      },
    ],
    tests: [rules, faults],
  },
  {
    id: "6",
    title: "a sync that failed is tried again and believed",
    edits: [
      {
        file: "packages/wal/src/log-writer.ts",
        find: "this.#trimmed = false;\n    try {\n      this.#syncs.syncSync();",
        replace:
          "this.#trimmed = false;\n    try {\n      try { this.#syncs.syncSync(); } catch { this.#syncs.syncSync(); }",
      },
      {
        file: "packages/wal/src/log-writer.ts",
        find: "await this.#syncs.sync();",
        replace: "await this.#syncs.sync().catch(() => this.#syncs.sync());",
      },
    ],
    tests: [faults, rules],
  },
  {
    id: "7",
    title: "a batch is written as two records",
    edits: [
      {
        file: "packages/engine/src/separation.ts",
        find: "addBatch(group: Group, batch: WriteBatch, copy: boolean): void {",
        replace:
          "addBatch(group: Group, batch: WriteBatch, copy: boolean, first = 0, last = Infinity): void {\n    let at = -1;",
      },
      {
        file: "packages/engine/src/separation.ts",
        find: "while (operations.next()) {\n      const { keyStart, keyEnd } = operations;",
        replace:
          "while (operations.next()) {\n      at++;\n      if (at < first || at >= last) continue;\n      const { keyStart, keyEnd } = operations;",
      },
      {
        file: "packages/engine/src/commit.ts",
        find: "this.#parts.separation.addBatch(group, batch, false);\n    this.#commitSync(group, level, priority);",
        replace:
          "const half = batch.length >> 1;\n    if (half > 0) {\n      this.#parts.separation.addBatch(group, batch, false, 0, half);\n      this.#commitSync(group, level, priority);\n      group.begin();\n    }\n    this.#parts.separation.addBatch(group, batch, false, half);\n    this.#commitSync(group, level, priority);",
      },
    ],
    tests: [model],
  },
  {
    id: "8",
    title: "sequence numbers of lost writes are given again after recovery",
    edits: [
      {
        file: "packages/engine/src/replay.ts",
        find: "lastSeq: history.maxSeen,",
        replace: "lastSeq: history.cutSeq,",
      },
    ],
    tests: [rules, model, sweep],
  },
  {
    id: "9",
    title: "logs go before the edit that makes them superfluous is durable",
    edits: [
      {
        file: "packages/engine/src/tree.ts",
        find: "this.#syncLater();\n    return after;",
        replace: "this.#parts.onDurable(after);\n    this.#syncLater();\n    return after;",
      },
    ],
    tests: [rules, sweep, model],
  },
  {
    id: "10",
    title: "recovery relies on logs that it did not sync: a crash in it loses them",
    edits: [
      {
        file: "packages/engine/src/recovery.ts",
        find: "if (state.syncFailed || !syncLog(fs, log.path)) rewriteLog(fs, log);",
        replace:
          'if (state.syncFailed || (log.path === "" && !syncLog(fs, log.path))) rewriteLog(fs, log);',
      },
    ],
    tests: [rules, model],
  },
  {
    id: "11",
    title: "after a failed append to the manifest the next edit goes behind it",
    edits: [
      {
        file: "packages/engine/src/tree.ts",
        find: 'if (hasCode(error, "AURA_OUT_OF_SPACE")) this.#parts.freeReserve();\n      this.#roll(after);',
        replace:
          'if (hasCode(error, "AURA_OUT_OF_SPACE")) this.#parts.freeReserve();\n      void after;',
      },
    ],
    tests: [faults],
  },
  {
    id: "12",
    title: "what stands behind the valid length of a log is read",
    edits: [
      {
        file: "packages/engine/src/old-logs.ts",
        find: "reader = readLog(fs, path, validBytes === undefined ? {} : { validBytes });",
        replace: "reader = readLog(fs, path, {});",
      },
    ],
    tests: [rules, faults, damage],
  },
  {
    id: "13",
    title: "a tombstone goes while an older version lies in a deeper level",
    edits: [
      {
        file: "packages/engine/src/jobs/merge.ts",
        find: "return !this.#older.mayHold(this.#key, 0, scan.copyKey(i, this.#key, 0));",
        replace:
          "return i >= 0 || !this.#older.mayHold(this.#key, 0, scan.copyKey(i, this.#key, 0));",
      },
    ],
    tests: [variants, model],
  },
  {
    id: "14",
    title: "the versions of one key are split over two tables",
    edits: [
      {
        file: "packages/engine/src/jobs/table-output.ts",
        find: "if (compareBytes(last, 0, this.#lastKeyBytes, key, keyStart, keyEnd) !== 0) {",
        replace: "if (last.length > 0 || compareBytes(last, 0, 0, key, keyStart, keyEnd) !== 0) {",
      },
    ],
    tests: [
      { file: "packages/engine/test/merge-job.test.ts", env: {} },
      variants,
      { ...model, env: { AURA_MODEL_RUNS: "200" } },
    ],
  },
  {
    id: "15",
    title: "a merge drops the version that a snapshot sees, by one",
    edits: [
      {
        file: "packages/engine/src/jobs/survivors.ts",
        find: "if (snapshots[middle]! < seq) low = middle + 1;",
        replace: "if (snapshots[middle]! <= seq) low = middle + 1;",
      },
    ],
    tests: [variants, model],
  },
  {
    id: "16",
    title: "relocation writes values again that were deleted meanwhile",
    edits: [
      {
        file: "packages/engine/src/jobs/merge.ts",
        find: "if (!keep) {\n      this.#drop(scan, i);\n      return;",
        replace:
          "if (!keep && !(tag === Kind.pointer && this.#drain.has(this.#readPointer(scan, i)))) {\n      this.#drop(scan, i);\n      return;",
      },
    ],
    tests: [model, variants, { file: "packages/engine/test/value-gc.test.ts", env: {} }],
  },
  {
    id: "17",
    title: "files go though an older version that lists them is pinned",
    edits: [
      {
        file: "packages/engine/src/version-set.ts",
        find: "const idMax = Math.min(this.oldestPinnedId, this.#durableId);",
        replace: "const idMax = this.#durableId;",
      },
    ],
    tests: [{ file: "packages/engine/test/version-set.test.ts", env: {} }, variants],
  },
  {
    id: "18",
    title: "a read that fails ends a cursor as if there were no more entries",
    edits: [
      {
        file: "packages/sst/src/table-cursor.ts",
        find: "if (this.#settle()) return;\n      }\n    } catch (error) {\n      throw this.#fail(error);",
        replace:
          "if (this.#settle()) return;\n      }\n    } catch (error) {\n      this.#fail(error);\n      this.failed = false;",
      },
    ],
    tests: [damage, { file: "packages/sst/test/corruption.test.ts", env: {} }],
  },
  {
    id: "19",
    title: "the sweep of orphans takes live segments",
    edits: [
      {
        file: "packages/engine/src/recovery.ts",
        find: "for (const segment of version.segments.values()) {\n    keep(",
        replace:
          "for (const segment of version.segments.values()) {\n    if (segment.number < 0) keep(",
      },
    ],
    tests: [model, variants],
  },
  {
    id: "21",
    title: "a snapshot sees a write that comes after it",
    edits: [
      {
        file: "packages/engine/src/aura-db.ts",
        find: "return this.#parts.snapshots.create(this.#parts.visibleSeq());",
        replace: "return this.#parts.snapshots.create(this.#parts.visibleSeq() + 1);",
      },
    ],
    tests: [variants, model],
  },
  {
    id: "23",
    title: "the caller's bytes are kept in place of a copy",
    edits: [
      {
        file: "packages/engine/src/commit.ts",
        find: "separation.addOne(pending.group, key, value, true);",
        replace: "separation.addOne(pending.group, key, value, false);",
      },
    ],
    tests: [variants, model],
  },
  {
    id: "24",
    title: "strings with lone surrogates become one key",
    edits: [
      {
        file: "packages/engine/src/bytes-in.ts",
        find: "if (!input.isWellFormed()) {",
        replace: "if (input.length < 0) {",
      },
    ],
    tests: [variants],
  },
  {
    id: "25",
    title: "a model leads some keys to the block before theirs, and nothing checks it",
    edits: [
      {
        file: "packages/learned-index/src/learned-index.ts",
        find: "this.first = this.last = block;",
        replace: "this.first = this.last = block > 2 && code % 5 < 1 ? block - 1 : block;",
      },
      {
        file: "packages/learned-index/src/learned-index.ts",
        find: "if (!isDouble && index.first !== i + 1) return false;",
        replace: "if (!isDouble && index.first < 0) return false;",
      },
    ],
    tests: [
      { file: "packages/learned-index/test/learned-index.test.ts", env: {} },
      { file: "packages/engine/test/index-probes.test.ts", env: {} },
      variants,
    ],
  },
  {
    id: "S1",
    title: "padding on the disk holds old memory of the process",
    edits: [
      {
        file: "packages/base/src/file-header.ts",
        find: "const bytes = new Uint8Array(FILE_HEADER_BYTES);",
        replace:
          "const bytes = new Uint8Array(FILE_HEADER_BYTES).fill(0xa5); // what another user of the memory left",
      },
    ],
    tests: [{ file: "packages/base/test/file-header.test.ts", env: {} }, formats],
  },
  {
    id: "S3",
    title: "a length is allocated before it is compared with the file",
    edits: [
      {
        file: "packages/wal/src/log-reader.ts",
        find: "if (frameBytes > remaining) {",
        replace: "if (new Uint8Array(frameBytes).length > remaining) {",
      },
    ],
    tests: [fuzz],
  },
  {
    id: "S4",
    title: "decompression goes on beyond the length that was announced",
    edits: [
      {
        file: "packages/base/src/codec.ts",
        find: "maxOutputLength: Math.max(1, rawBytes),",
        replace: "",
      },
      {
        file: "packages/base/src/codec.ts",
        find: "chunkSize: rawBytes + CHUNK_MARGIN_BYTES,",
        replace: "chunkSize: 1 << 16,",
      },
    ],
    tests: [fuzz, { file: "packages/base/test/codec.test.ts", env: {} }],
  },
  {
    id: "S6",
    title: "settings are looked up with what their prototype has",
    edits: [
      {
        file: "packages/engine/src/settings.ts",
        find: "if (!Object.hasOwn(rules, name)) {",
        replace: "if (!(name in rules)) {",
      },
    ],
    tests: [{ file: "packages/engine/test/api.test.ts", env: {} }],
  },
  {
    id: "S7",
    title: "the lock of a directory can be passed by",
    edits: [
      {
        file: "packages/engine/src/open-parts.ts",
        find: 'LOCK_NAME}`, "AuraDB");',
        replace: 'LOCK_NAME}`, "AuraDB").catch(() => ({ releaseSync() {} }));',
      },
    ],
    tests: [rules],
  },
];
