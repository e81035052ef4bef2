/** A manifest taken apart and written again by hand: its records, and edits that say something else. */
import { contentHash, FileType } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { LogWriter, readLog } from "@aura/wal";
import { ByteBuffer, ByteReader } from "../../src/byte-buffer.ts";
import type { VersionEdit } from "../../src/edit.ts";
import { decodeEdit, EDIT_CLASS, encodeEdit } from "../../src/edit-format.ts";

/** One record: an edit, or a class with a body that no build wrote. */
export type ManifestRecord =
  | VersionEdit
  | { readonly recordClass: number; readonly body: Uint8Array };

/** Path of the only manifest in a directory. */
export function manifestPath(fs: SimFs, directory: string): string {
  const paths = fs.list(directory).filter((path) => path.endsWith(".manifest"));
  if (paths.length !== 1) throw new Error(`manifests: ${paths.join(", ")}`);
  return paths[0]!;
}

/** The edits of a manifest. */
export function readRecords(fs: SimFs, path: string): VersionEdit[] {
  const log = readLog(fs, path);
  const edits: VersionEdit[] = [];
  while (log.next()) {
    if (log.count === 0) continue;
    const reader = new ByteReader(log.bytes, path, log.offset, log.coveredStart, log.coveredEnd);
    reader.u8();
    reader.u32();
    edits.push(decodeEdit(reader));
  }
  log.closeSync();
  return edits;
}

/**
 * Writes the manifest again with these records, chained, with a watermark behind each. `brokenAt`:
 * the record that names another one before it.
 */
export function writeRecords(
  fs: SimFs,
  path: string,
  records: readonly ManifestRecord[],
  brokenAt = -1,
): void {
  const old = readLog(fs, path);
  const { header } = old;
  const preamble = Uint8Array.from(old.preamble);
  old.closeSync();
  fs.unlinkSync(path);
  const log = LogWriter.createSync(fs, path, {
    header: { ...header, type: FileType.manifest },
    preamble,
  });
  let previous = 0;
  for (const [at, record] of records.entries()) {
    const out = new ByteBuffer();
    const isEdit = !("recordClass" in record);
    out.u8(isEdit ? EDIT_CLASS : record.recordClass);
    out.u32(at === brokenAt ? previous ^ 1 : previous);
    if (isEdit) encodeEdit(out, record);
    else out.range(record.body, 0, record.body.length);
    const bytes = out.copy();
    log.appendSync([bytes], [], at + 1, 1, at);
    log.appendSync([], [], at + 1, 0, at);
    previous = contentHash(bytes, 0, bytes.length);
  }
  log.syncSync();
  log.closeSync();
}
