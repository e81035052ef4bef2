/**
 * The versions that somebody can still read, and the files that wait for the last of them.
 *
 * A file that version V no longer lists is removed once two things hold: no version older than V is
 * current or pinned, so nobody reads the file; and the edit that made V is durable, so no recovery
 * asks for it. Bookkeeping only: what removing means is the owner's.
 */
import { assert } from "@aura/base";
import type { Version } from "./version.ts";

interface ObsoleteFile {
  readonly path: string;
  readonly versionId: number;
  readonly remove: () => void;
}

/** Publishes versions, counts their readers and holds back the removal of files. */
export class VersionSet {
  #current: Version;
  /** Versions with pins, ascending by id: only the current one is ever pinned anew. */
  readonly #pinned: Version[] = [];
  #obsolete: ObsoleteFile[] = [];
  #durableId: number;
  #waiting: (() => void)[] = [];

  /** Begins with a version whose edits are all durable. */
  constructor(version: Version) {
    this.#current = version;
    this.#durableId = version.id;
  }

  /** The newest version. */
  get current(): Version {
    return this.#current;
  }

  /** Makes `version`, whose id is higher than any before, the current one. */
  install(version: Version): void {
    assert(version.id > this.#current.id, "version ids grow");
    assert(version.pins === 0, "a new version has no readers");
    this.#current = version;
    this.#removeReady();
  }

  /** Returns the current version; its files stay until `unpin`. */
  pin(): Version {
    const version = this.#current;
    if (version.pins++ === 0) this.#pinned.push(version);
    return version;
  }

  /** Ends one `pin`. Removes the files that only waited for it. */
  unpin(version: Version): void {
    assert(version.pins > 0, "a version is unpinned once for each pin");
    if (--version.pins > 0) return;
    const index = this.#pinned.indexOf(version);
    assert(index >= 0, "a pinned version of this set");
    this.#pinned.splice(index, 1);
    if (index === 0) this.#removeReady();
    if (this.#pinned.length === 0 && this.#waiting.length > 0) this.#wake();
  }

  /** Id of the oldest version that is pinned or current: nobody reads an older one. */
  get oldestPinnedId(): number {
    return this.#pinned[0]?.id ?? this.#current.id;
  }

  /** Pins not yet ended: open cursors, and reads that wait for the disk. */
  get pinCount(): number {
    let count = 0;
    for (const version of this.#pinned) count += version.pins;
    return count;
  }

  /** Paths of the files that wait to be removed, in the order in which they became obsolete. */
  obsoletePaths(): string[] {
    return this.#obsolete.map((file) => file.path);
  }

  /**
   * Hands over a file that version `versionId`, current or about to be, no longer lists. `remove`
   * runs once, here or later, inside a call of this class; it must not throw.
   */
  obsolete(path: string, versionId: number, remove: () => void): void {
    this.#obsolete.push({ path, versionId, remove });
    this.#removeReady();
  }

  /** Notes that the edits of all versions up to `versionId` are durable. */
  releaseDurable(versionId: number): void {
    if (versionId <= this.#durableId) return;
    this.#durableId = versionId;
    this.#removeReady();
  }

  /** Resolves when no version is pinned. */
  whenUnpinned(): Promise<void> {
    if (this.#pinned.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #removeReady(): void {
    if (this.#obsolete.length === 0) return;
    const idMax = Math.min(this.oldestPinnedId, this.#durableId);
    const ready = this.#obsolete.filter((file) => file.versionId <= idMax);
    if (ready.length === 0) return;
    // Out of the queue first: a removal may come back here.
    this.#obsolete = this.#obsolete.filter((file) => file.versionId > idMax);
    for (const file of ready) file.remove();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
