/**
 * The names of a simulated file system: directories, what running programs see in them, what the
 * disk has, and the changes between, in order.
 *
 * A change is one or two assignments of a name (a rename has two) and is atomic, but for a rename into
 * a directory that is then synced while the old one is not: both names may be there (btrfs does so).
 * Changes of one name reach the disk in order. `commit` (syncDir) makes every change in a directory
 * durable; a crash keeps a prefix of all pending changes, or any subset that keeps each name's order.
 */
import type { SeededRandom } from "../runtime.ts";

/** Which pending changes of names a power loss leaves. */
export type CrashNames = "none" | "all" | "prefix" | "any";

/** The root directory. */
export const ROOT = 1;
/** No such name. */
export const ABSENT = 0;

/** One name and what it leads to after a change: a node, or `ABSENT`. */
export interface Assignment {
  readonly directory: number;
  readonly name: string;
  readonly node: number;
}

interface Directory {
  disk: Map<string, number>;
  cache: Map<string, number>;
}

/** Splits a path into its names; "." and ".." are resolved, a relative path begins at the root. */
export function pathNames(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") names.pop();
    else names.push(name);
  }
  return names;
}

function slotOf(assignment: Assignment): string {
  return `${assignment.directory}/${assignment.name}`;
}

/** The tree of names of one `SimFs`. Nodes are numbers; a node is a directory or a file. */
export class Names {
  #directories = new Map<number, Directory>([[ROOT, { disk: new Map(), cache: new Map() }]]);
  #pending: (readonly Assignment[])[] = [];

  isDirectory(node: number): boolean {
    return this.#directories.has(node);
  }

  /** Returns the node that a path leads to, or `ABSENT`. */
  find(path: string): number {
    return this.#walk(pathNames(path));
  }

  /** Returns the directory of a path (or `ABSENT`) and the last name ("" for the root itself). */
  parent(path: string): { directory: number; name: string } {
    const names = pathNames(path);
    const name = names.pop() ?? "";
    const directory = this.#walk(names);
    return { directory: this.isDirectory(directory) ? directory : ABSENT, name };
  }

  get(directory: number, name: string): number {
    return this.#directories.get(directory)?.cache.get(name) ?? ABSENT;
  }

  /** Names in a directory, sorted by code units. */
  list(directory: number): string[] {
    return [...this.#directories.get(directory)!.cache.keys()].sort();
  }

  addDirectory(node: number): void {
    this.#directories.set(node, { disk: new Map(), cache: new Map() });
  }

  /** Makes one atomic change, seen at once and not yet durable. */
  change(assignments: readonly Assignment[]): void {
    for (const assignment of assignments) {
      assign(this.#directories.get(assignment.directory)!.cache, assignment);
    }
    this.#pending.push(assignments);
  }

  /** Makes every pending change in `directory` durable, and what those depend on. */
  commit(directory: number): void {
    const wanted = new Set<string>();
    const chosen = new Set<Assignment>();
    for (const change of this.#pending.toReversed()) {
      const hit = change.filter((a) => a.directory === directory || wanted.has(slotOf(a)));
      // A name goes only where what it leads to has its new one; a new one does not need the old one gone.
      const taken = hit.some((a) => a.node === ABSENT) ? change : hit;
      for (const assignment of taken) {
        chosen.add(assignment);
        wanted.add(slotOf(assignment));
      }
    }
    for (const a of this.#pending.flat()) {
      if (chosen.has(a)) assign(this.#directories.get(a.directory)!.disk, a);
    }
    this.#pending = this.#pending
      .map((change) => change.filter((a) => !chosen.has(a)))
      .filter((change) => change.length > 0);
  }

  /** Returns whether the disk, or a change on its way there, may still lead to `node`. */
  isKnown(node: number): boolean {
    if (this.#pending.some((change) => change.some((a) => a.node === node))) return true;
    for (const { disk, cache } of this.#directories.values()) {
      for (const other of disk.values()) if (other === node) return true;
      for (const other of cache.values()) if (other === node) return true;
    }
    return false;
  }

  /** Returns how many names lead to each node, as running programs see it. */
  links(): Map<number, number> {
    const links = new Map<number, number>();
    for (const { cache } of this.#directories.values()) {
      for (const node of cache.values()) links.set(node, (links.get(node) ?? 0) + 1);
    }
    return links;
  }

  /** Returns the same names, durable or not as they are here. */
  fork(): Names {
    const other = new Names();
    other.#directories = new Map();
    for (const [node, { disk, cache }] of this.#directories) {
      other.#directories.set(node, { disk: new Map(disk), cache: new Map(cache) });
    }
    other.#pending = this.#pending.slice();
    return other;
  }

  /** Returns the names that the disk has after a power loss now; unreachable directories go. */
  crash(mode: CrashNames, random: SeededRandom): Names {
    const found = new Map<number, Map<string, number>>();
    for (const [node, { disk }] of this.#directories) found.set(node, new Map(disk));
    for (const change of this.#survivors(mode, random)) {
      for (const a of change) assign(found.get(a.directory)!, a);
    }
    const other = new Names();
    other.#directories = new Map();
    const open = [ROOT];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      const disk = found.get(node)!;
      other.#directories.set(node, { disk, cache: new Map(disk) });
      for (const child of disk.values()) {
        if (found.has(child) && !other.#directories.has(child)) open.push(child);
      }
    }
    return other;
  }

  #survivors(mode: CrashNames, random: SeededRandom): readonly (readonly Assignment[])[] {
    if (mode === "none") return [];
    if (mode === "all") return this.#pending;
    if (mode === "prefix") return this.#pending.slice(0, random.below(this.#pending.length + 1));
    const blocked = new Set<string>();
    const odds = 1 + random.below(7);
    return this.#pending.filter((change) => {
      const free = !change.some((a) => blocked.has(slotOf(a)));
      if (free && random.below(8) < odds) return true;
      for (const assignment of change) blocked.add(slotOf(assignment));
      return false;
    });
  }

  #walk(names: readonly string[]): number {
    let node = ROOT;
    for (const name of names) node = this.get(node, name);
    return node;
  }
}

function assign(names: Map<string, number>, { name, node }: Assignment): void {
  if (node === ABSENT) names.delete(name);
  else names.set(name, node);
}
