/**
 * The newest version that a damaged manifest still tells of.
 *
 * Without any manifest nothing says which tables were alive. A table that a merge replaced may be
 * there still, while the deletes that it was merged with are not: taking all files that are there
 * would bring deleted keys back. So there is no way around the manifest; but a part of one will do,
 * since the version behind any edit is a whole one.
 */
import type { FileSystem } from "@aura/base";
import { AuraError, contentHash, FileType, hasCode } from "@aura/base";
import { readLog } from "@aura/wal";
import { ByteReader } from "./byte-buffer.ts";
import { applyEdit, type LogValidity, type VoidRange } from "./edit.ts";
import { decodeEdit, EDIT_CLASS, SKIPPABLE_CLASS_MIN } from "./edit-format.ts";
import { filePath, parseFileName } from "./file-names.ts";
import type { ManifestState } from "./manifest.ts";
import { emptyVersion } from "./version.ts";

/**
 * Returns what the newest readable manifest of a directory says, up to its first damage; undefined
 * when none begins with a whole edit. Changes nothing. Throws AURA_IO; AURA_UNSUPPORTED where a later
 * build wrote one of them or a part of it: what that says, this build cannot go without.
 */
export function salvageManifest(fs: FileSystem, directory: string): ManifestState | undefined {
  const numbers = fs
    .listSync(directory)
    .map(parseFileName)
    .filter((name) => name?.kind === "manifest")
    .map((name) => name!.number)
    .sort((a, b) => b - a);
  for (const number of numbers) {
    const state = readUpToDamage(fs, directory, number);
    if (state !== undefined) return state;
  }
  return undefined;
}

function readUpToDamage(
  fs: FileSystem,
  directory: string,
  number: number,
): ManifestState | undefined {
  const path = filePath(directory, number, "manifest");
  let state: ManifestState | undefined;
  try {
    const log = readLog(fs, path);
    try {
      const { header } = log;
      if (header.type !== FileType.manifest || header.number !== number) return undefined;
      const preamble = new ByteReader(log.preamble, path, 0);
      const identity = { databaseUuid: header.databaseUuid, hashSeed: preamble.u32() };
      const sameBoot = Buffer.from(preamble.blob()).toString() === fs.bootId();
      const logs = new Map<number, LogValidity>();
      const voids: VoidRange[] = [];
      let version = emptyVersion();
      let logFloor = 0;
      let previous = 0;
      while (log.next()) {
        if (log.count === 0) continue;
        const reader = new ByteReader(
          log.bytes,
          path,
          log.offset,
          log.coveredStart,
          log.coveredEnd,
        );
        const recordClass = reader.u8();
        if (reader.u32() !== previous) break;
        previous = contentHash(log.bytes, log.coveredStart, log.coveredEnd);
        if (recordClass >= SKIPPABLE_CLASS_MIN) continue;
        if (recordClass !== EDIT_CLASS) {
          throw new AuraError("AURA_UNSUPPORTED", `${path}: unknown record class ${recordClass}`);
        }
        const edit = decodeEdit(reader);
        version = applyEdit(version, edit);
        logFloor = edit.logFloor ?? logFloor;
        for (const entry of edit.logs ?? []) logs.set(entry.number, entry);
        voids.push(...(edit.voids ?? []));
        const { nextNumber, lastSeq } = edit;
        const parts = { number, identity, version, nextNumber, lastSeq, logFloor };
        state = { ...parts, logs, voids, clean: undefined, sameBoot, syncFailed: true };
      }
    } finally {
      log.closeSync();
    }
  } catch (error) {
    if (hasCode(error, "AURA_IO") || hasCode(error, "AURA_UNSUPPORTED")) throw error;
  }
  return state;
}
