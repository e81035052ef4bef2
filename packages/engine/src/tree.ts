/**
 * The tree on disk: the current version, the manifest that describes it, and the files that leave.
 *
 * An edit is written to the manifest, then its version is published: both on the owner's thread and
 * without waiting for the disk. The manifest is synced in the background; a file that an edit made
 * obsolete is removed when that edit is durable and no older version is pinned.
 */
import type { Clock, FileSystem, JobQueue, Random } from "@aura/base";
import { hasCode } from "@aura/base";
import type { VersionEdit } from "./edit.ts";
import { applyEdit, snapshotEdit } from "./edit.ts";
import type { DatabaseEmitter } from "./events.ts";
import { filePath } from "./file-names.ts";
import type { Health } from "./health.ts";
import type { RemoveOutput } from "./jobs/remove.ts";
import type { Identity } from "./manifest.ts";
import { isInForce, MANIFEST_BYTES_MAX, ManifestWriter } from "./manifest.ts";
import type { SegmentMeta, Version } from "./version.ts";
import type { VersionSet } from "./version-set.ts";

/** An edit without the counters, which the tree adds. */
export type TreeChange = Omit<VersionEdit, "nextNumber" | "lastSeq">;

/** What the tree works with. */
export interface TreeParts {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly random: Random;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly queue: JobQueue;
  readonly versions: VersionSet;
  readonly health: Health;
  readonly events: DatabaseEmitter;
  /** Next free file number, not taken. */
  readonly nextNumber: () => number;
  readonly takeNumber: () => number;
  /** Highest sequence number handed to the operating system. */
  readonly appendedSeq: () => number;
  /** Void ranges and old logs that a new manifest must repeat. */
  readonly carried: () => Pick<VersionEdit, "voids" | "logs" | "logFloor">;
  /** Frees the space kept for a full volume. */
  readonly freeReserve: () => void;
  /** A table or segment file is about to be removed: close it. */
  readonly onFileGone: (kind: "sst" | "segment", number: number) => void;
  /** Whether the file of a segment that the tree has dropped stays: somebody reads it as a log. */
  readonly isKept: (segment: SegmentMeta) => boolean;
  /** A segment left the tree with version `versionId`; `onSegmentGone` follows when its file is gone. */
  readonly onSegmentLeaving: (segment: SegmentMeta, versionId: number) => void;
  readonly onSegmentGone: (number: number) => void;
  /** All edits up to a version are durable. */
  readonly onDurable: (version: Version) => void;
}

/** Publishes versions and keeps the manifest. */
export class Tree {
  readonly #parts: TreeParts;
  #manifest: ManifestWriter;
  /** CURRENT names it: no other took its place that could not be made durable there. */
  #isInForce = true;
  #retired: ManifestWriter[] = [];
  #syncing = false;
  #durableEdits: number;
  /** A sync of a log failed, and nothing has made up for it: every manifest has to say so. */
  #hasFailedSync = false;
  /** An edit could not be written, and may stand in the manifest all the same: until the next one. */
  #isInDoubt = false;
  /** Files that only such an edit names. */
  #doubtful: string[] = [];
  /** The manifest in force says so. */
  #saysFailedSync = false;
  bytesWritten = 0;
  /** Files removed, and their bytes. */
  removals: RemoveOutput = { count: 0, bytes: 0 };

  constructor(parts: TreeParts, manifest: ManifestWriter) {
    this.#parts = parts;
    this.#manifest = manifest;
    this.#durableEdits = manifest.edits;
  }

  get version(): Version {
    return this.#parts.versions.current;
  }

  /** Name of the manifest in force, and its size. */
  get manifest(): { readonly number: number; readonly bytes: number } {
    return { number: this.#manifest.number, bytes: this.#manifest.bytes };
  }

  /** Whether every edit so far is durable. */
  get durable(): boolean {
    return !this.#syncing && this.#manifest.edits <= this.#durableEdits;
  }

  /** Whether an edit failed that nobody can say of whether the manifest has it. */
  get isInDoubt(): boolean {
    return this.#isInDoubt;
  }

  /** Writes a change to the manifest and publishes its version. Throws when neither could be done. */
  install(change: TreeChange): Version {
    const before = this.version;
    let edit: VersionEdit = {
      ...stamped(change, this.#parts.clock),
      ...this.#counters(),
    };
    let after = applyEdit(before, edit);
    const emptied = emptySegments(after);
    if (emptied.length > 0) {
      edit = { ...edit, segmentsRemoved: emptied.map(({ number }) => number) };
      after = applyEdit(before, edit);
    }
    try {
      this.#append(edit, after);
      this.#parts.versions.install(after);
      this.#retireFiles(before, after, emptied);
    } catch (error) {
      this.#doubt(error as Error);
      throw error;
    }
    this.#syncLater();
    return after;
  }

  /** Puts a new manifest in force that says the same. Throws when none can be written. */
  renew(): void {
    this.#roll(this.version);
  }

  /** Writes the last edit and makes the manifest durable, on this thread. */
  closeSync(change: TreeChange): void {
    if (!this.#isInForce) this.#roll(this.version);
    this.#manifest.appendSync({ ...change, ...this.#counters() });
    this.#manifest.syncSync();
  }

  /**
   * Notes in the manifest that a sync of a log failed, and in every later one until
   * `forgetFailedSync`. Not synced: it matters only to a process of the same boot, which reads it
   * from the page cache. What cannot be written now is tried again by `sayFailedSync`.
   */
  noteSyncFailed(): void {
    this.#hasFailedSync = true;
    this.#saysFailedSync = false;
    this.sayFailedSync();
  }

  /** Writes what `noteSyncFailed` could not write. Does nothing when there is nothing to say. */
  sayFailedSync(): void {
    if (!this.#hasFailedSync || this.#saysFailedSync) return;
    try {
      this.#append({ ...this.#counters(), syncFailed: true }, this.version);
      this.#saysFailedSync = true;
    } catch {
      // The database is read-only by now, and says so.
    }
  }

  /**
   * All that a failed sync may have lost is durable in tables: a new manifest says nothing of it.
   * Throws when none can be written; nothing may be installed then.
   */
  forgetFailedSync(): void {
    if (!this.#hasFailedSync) return;
    this.#hasFailedSync = false;
    try {
      this.#roll(this.version);
    } catch (error) {
      this.#hasFailedSync = true;
      throw error;
    }
  }

  #counters(): Pick<VersionEdit, "nextNumber" | "lastSeq"> {
    return { nextNumber: this.#parts.nextNumber(), lastSeq: this.#parts.appendedSeq() };
  }

  /** Closes the manifest file. */
  releaseSync(): void {
    this.#closeRetired();
    this.#manifest.closeSync();
  }

  /** Removes files in the background. */
  removeFiles(paths: readonly string[], onEnd: () => void = () => undefined): void {
    if (paths.length === 0) return;
    const { queue, events } = this.#parts;
    const onRemoved = ({ count, bytes }: RemoveOutput): void => {
      const before = this.removals;
      this.removals = { count: before.count + count, bytes: before.bytes + bytes };
      onEnd();
    };
    queue.submit("sync", "remove", { paths }, onRemoved, (error) => {
      // What could not be removed is an orphan for the next open.
      onEnd();
      if (this.#parts.health.closed) return;
      events.announce("backgroundError", { severity: "soft", activity: "removal", error });
    });
  }

  /**
   * Removes files that no version names: in the background, and not before an edit that failed, and
   * may name them, is of no account.
   */
  discard(paths: readonly string[]): void {
    if (this.#isInDoubt) this.#doubtful.push(...paths);
    else this.removeFiles(paths);
  }

  /** The manifest may name what no version has: nothing follows in it, and none of its files go. */
  #doubt(error: Error): void {
    this.#isInForce = false;
    this.#isInDoubt = true;
    this.#parts.health.fail(error);
    const severity = "hard";
    this.#parts.events.announce("backgroundError", { severity, activity: "manifest", error });
  }

  /** Appends an edit that leads to `after`; where that fails, a new manifest has to begin with it. */
  #append(edit: VersionEdit, after: Version): void {
    try {
      if (!this.#isInForce || this.#manifest.bytes >= MANIFEST_BYTES_MAX) this.#roll(after);
      else this.#manifest.appendSync(edit);
    } catch (error) {
      // What the failed append left behind is unknown.
      if (hasCode(error, "AURA_OUT_OF_SPACE")) this.#parts.freeReserve();
      this.#roll(after);
    }
  }

  /** Puts a new manifest in force that begins with `version`. */
  #roll(version: Version): void {
    const { fs, directory, random, identity } = this.#parts;
    const number = this.#parts.takeNumber();
    const old = this.#manifest;
    const snapshot = {
      ...snapshotEdit(version, { ...this.#counters(), ...this.#parts.carried() }),
      ...(this.#hasFailedSync && { syncFailed: true }),
    };
    try {
      const place = { fs, directory, random, identity };
      this.#manifest = ManifestWriter.createSync(place, number, snapshot);
    } catch (error) {
      // Where it took its place and only that is not durable, what follows must not go to the old one.
      this.#isInForce = isInForce(fs, directory, old.number);
      throw error;
    }
    this.#isInForce = true;
    this.#isInDoubt = false;
    this.removeFiles(this.#unnamed(this.#doubtful.splice(0), version));
    this.#saysFailedSync = this.#hasFailedSync;
    this.#durableEdits = this.#manifest.edits;
    this.#retired.push(old);
    if (!this.#syncing) this.#dropRetired();
  }

  /** Returns those of `paths` that are no file of `version`. */
  #unnamed(paths: readonly string[], version: Version): string[] {
    if (paths.length === 0) return [];
    const { directory } = this.#parts;
    const named = new Set([
      ...[...version.tables()].map(({ number }) => filePath(directory, number, "sst")),
      ...[...version.segments.keys()].map((number) => filePath(directory, number, "seg")),
    ]);
    return paths.filter((path) => !named.has(path));
  }

  /** Closes and removes manifests that are no longer in force, when no sync uses them. */
  #dropRetired(): void {
    const paths = this.#retired.map((manifest) =>
      filePath(this.#parts.directory, manifest.number, "manifest"),
    );
    this.#closeRetired();
    this.removeFiles(paths);
  }

  #closeRetired(): void {
    const retired = this.#retired;
    this.#retired = [];
    for (const manifest of retired) {
      try {
        manifest.closeSync();
      } catch {
        // Nothing that they hold counts any more.
      }
    }
  }

  #syncLater(): void {
    if (this.#syncing || this.#parts.health.failure !== undefined) return;
    const manifest = this.#manifest;
    const { edits } = manifest;
    const version = this.version;
    const done = (): void => {
      this.#syncing = false;
      manifest.noteDurable(edits);
      if (manifest === this.#manifest) this.#durableEdits = edits;
      this.#dropRetired();
      this.#parts.versions.releaseDurable(version.id);
      this.#parts.onDurable(version);
      const more = this.#manifest.edits > this.#durableEdits || this.version !== version;
      if (more) this.#syncLater();
    };
    this.#syncing = true;
    const tokens = edits > this.#durableEdits ? [manifest.token] : [];
    this.#parts.queue.submit("sync", "sync", { tokens }, done, (error) => {
      this.#syncing = false;
      this.#syncFailed(manifest, error);
    });
  }

  #syncFailed(manifest: ManifestWriter, error: Error): void {
    const { health, events } = this.#parts;
    if (health.closed) return;
    if (manifest === this.#manifest) {
      try {
        this.#roll(this.version);
      } catch (second) {
        health.fail(second as Error);
        events.announce("backgroundError", { severity: "hard", activity: "manifest", error });
        return;
      }
    }
    events.announce("backgroundError", { severity: "soft", activity: "manifest", error });
    this.#syncLater();
  }

  /** `emptied`: the segments that leave, also those that the edit was the first to name. */
  #retireFiles(before: Version, after: Version, emptied: readonly SegmentMeta[]): void {
    const { versions, directory, events } = this.#parts;
    const live = new Set<number>();
    for (const table of after.tables()) live.add(table.number);
    for (const table of before.tables()) {
      if (live.has(table.number)) continue;
      const path = filePath(directory, table.number, "sst");
      versions.obsolete(path, after.id, () => {
        this.#parts.onFileGone("sst", table.number);
        this.removeFiles([path]);
      });
    }
    for (const segment of emptied) {
      const path = filePath(directory, segment.number, segment.kind);
      const onGone = (): void => this.#parts.onSegmentGone(segment.number);
      this.#parts.onSegmentLeaving(segment, after.id);
      versions.obsolete(path, after.id, () => {
        this.#parts.onFileGone("segment", segment.number);
        if (this.#parts.isKept(segment)) onGone();
        else this.removeFiles([path], onGone);
        events.announce("segmentRemoved", { segment: segment.number, bytes: segment.fileBytes });
      });
    }
  }
}

/** Gives tables that are new to the tree the time of their creation. */
function stamped(change: TreeChange, clock: Clock): TreeChange {
  if (change.added === undefined) return change;
  const createdMs = Math.max(1, Math.floor(clock.wallMs()));
  const added = change.added.map((addition) =>
    addition.table.createdMs === undefined
      ? { ...addition, table: { ...addition.table, createdMs } }
      : addition,
  );
  return { ...change, added };
}

/** Sealed segments that no table refers to and whose log is flushed. */
function emptySegments(version: Version): SegmentMeta[] {
  const empty: SegmentMeta[] = [];
  for (const segment of version.segments.values()) {
    const sealed = segment.fileBytes > 0 && segment.lastSeq <= version.flushedSeq;
    if (sealed && segment.deadCount === segment.totalCount) empty.push(segment);
  }
  return empty;
}
