/**
 * Names and files of a simulated file system together: paths lead to files, and a file lives as
 * long as a program or a power loss can still reach it. Not counted, not failed: `SimFs` does that.
 */
import { systemError } from "./sim-faults.ts";
import { SimFile } from "./sim-file.ts";
import { ABSENT, Names, pathNames, ROOT } from "./sim-names.ts";
import { PAGE_BYTES } from "./sim-pages.ts";

/** A name in a directory. */
export interface Place {
  readonly directory: number;
  readonly name: string;
}

/** Returns a path in its one spelling: absolute, without "." and "..". */
export function normalPath(path: string): string {
  return `/${pathNames(path).join("/")}`;
}

/** The tree of one `SimFs`. Errors are those of `FileSystem`. */
export class SimTree {
  readonly names: Names;
  readonly #files = new Map<number, SimFile>();
  #nextNode: number = ROOT + 1;

  constructor(names: Names = new Names()) {
    this.names = names;
  }

  get files(): Iterable<SimFile> {
    return this.#files.values();
  }

  /** Bytes that reachable files take, in whole pages. */
  get usedBytes(): number {
    let pages = 0;
    for (const file of this.#files.values()) {
      if (file.links > 0 || file.opens > 0) pages += file.pages;
    }
    return pages * PAGE_BYTES;
  }

  node(path: string, what: string): number {
    const node = this.names.find(path);
    if (node === ABSENT) throw systemError("ENOENT", path, what);
    return node;
  }

  file(path: string, what: string): SimFile {
    const file = this.#files.get(this.node(path, what));
    if (file === undefined) throw systemError("EISDIR", path, what);
    return file;
  }

  directory(path: string, what: string): number {
    const node = this.node(path, what);
    if (!this.names.isDirectory(node)) throw systemError("ENOTDIR", path, what);
    return node;
  }

  place(path: string, what: string): Place {
    const place = this.names.parent(path);
    if (place.directory === ABSENT || place.name === "") throw systemError("ENOENT", path, what);
    return place;
  }

  freePlace(path: string, what: string): Place {
    const place = this.place(path, what);
    if (this.names.get(place.directory, place.name) !== ABSENT) {
      throw systemError("EEXIST", path, what);
    }
    return place;
  }

  create(path: string): SimFile {
    const place = this.freePlace(path, "open");
    const file = new SimFile();
    this.names.change([{ ...place, node: this.#add(file) }]);
    return file;
  }

  /** Puts a durable file in place of what is there, if anything is. */
  replace(path: string, file: SimFile): void {
    const place = this.place(path, "writeFile");
    const replaced = this.names.get(place.directory, place.name);
    if (this.names.isDirectory(replaced)) throw systemError("EISDIR", path, "writeFile");
    file.sync();
    this.names.change([{ ...place, node: this.#add(file) }]);
    this.#unlinked(replaced);
    this.names.commit(place.directory);
  }

  /** Makes the directories of a path that are missing; `change` runs around each one. */
  makeDirectories(path: string, change: (path: string, make: () => void) => void): void {
    let directory: number = ROOT;
    let at = "";
    for (const name of pathNames(path)) {
      at += `/${name}`;
      const parent = directory;
      const found = this.names.get(parent, name);
      if (found !== ABSENT && !this.names.isDirectory(found))
        throw systemError("EEXIST", at, "mkdir");
      if (found === ABSENT) {
        change(at, () => {
          const node = this.#nextNode++;
          this.names.addDirectory(node);
          this.names.change([{ directory: parent, name, node }]);
        });
      }
      directory = this.names.get(parent, name);
    }
  }

  removeDirectory(path: string): void {
    const node = this.directory(path, "rmdir");
    if (this.names.list(node).length > 0) throw systemError("ENOTEMPTY", path, "rmdir");
    this.names.change([{ ...this.place(path, "rmdir"), node: ABSENT }]);
  }

  rename(source: string, target: string): void {
    const node = this.node(source, "rename");
    const from = this.place(source, "rename");
    const to = this.place(target, "rename");
    const replaced = this.names.get(to.directory, to.name);
    if (replaced === node) return;
    if (this.names.isDirectory(replaced)) throw systemError("EISDIR", target, "rename");
    if (`${normalPath(target)}/`.startsWith(`${normalPath(source)}/`)) {
      throw systemError("EINVAL", target, "rename");
    }
    this.names.change([
      { ...from, node: ABSENT },
      { ...to, node },
    ]);
    this.#unlinked(replaced);
  }

  link(source: string, target: string): void {
    const file = this.file(source, "link");
    const node = this.node(source, "link");
    this.names.change([{ ...this.freePlace(target, "link"), node }]);
    file.links++;
  }

  unlink(path: string): void {
    const node = this.node(path, "unlink");
    if (this.names.isDirectory(node)) throw systemError("EISDIR", path, "unlink");
    this.names.change([{ ...this.place(path, "unlink"), node: ABSENT }]);
    this.#unlinked(node);
  }

  syncDirectory(path: string): void {
    this.names.commit(this.directory(path, "syncDir"));
    this.forgetUnreachable();
  }

  /** Drops files that neither a program nor any power loss can reach. */
  forgetUnreachable(): void {
    for (const [node, file] of this.#files) {
      if (file.links === 0 && file.opens === 0 && !this.names.isKnown(node)) {
        this.#files.delete(node);
      }
    }
  }

  /** Returns a tree with these names and, of its files, the images of those that are reachable. */
  image(names: Names, imageOf: (file: SimFile) => SimFile): SimTree {
    const other = new SimTree(names);
    other.#nextNode = this.#nextNode;
    const links = names.links();
    for (const [node, file] of this.#files) {
      // What no name leads to now may be led to by a name that a later crash brings back.
      if (!links.has(node) && !names.isKnown(node)) continue;
      const image = imageOf(file);
      image.links = links.get(node) ?? 0;
      other.#files.set(node, image);
    }
    return other;
  }

  #add(file: SimFile): number {
    const node = this.#nextNode++;
    file.links = 1;
    this.#files.set(node, file);
    return node;
  }

  /** Notes that one name of a file is gone. */
  #unlinked(node: number): void {
    const file = this.#files.get(node);
    if (file !== undefined) file.links--;
  }
}
