/**
 * A file system in memory that can lose power, run full and fail, and does so the same way each
 * time.
 *
 * Two promises of the real one are kept and nothing more: a synced file keeps its content and size,
 * a synced directory keeps its names. `crash` returns the file system that a power loss would
 * leave, `processKill` the one that a SIGKILL would; both leave this one as it is, so that one run
 * can give any number of images. See `SimFault` for what can fail.
 */
import { AuraError } from "../errors.ts";
import type { FileHandle, FileLock, FileSystem } from "../fs.ts";
import { SeededRandom, systemRuntime } from "../runtime.ts";
import {
  FaultPlan,
  type PlannedFault,
  type SimCall,
  type SimFault,
  type SimOperation,
  systemError,
} from "./sim-faults.ts";
import { type CrashChoice, type CrashData, SimFile } from "./sim-file.ts";
import { SimHandle } from "./sim-handle.ts";
import { ABSENT, type CrashNames } from "./sim-names.ts";
import { normalPath, SimTree } from "./sim-tree.ts";

/** Settings of a `SimFs`. */
export interface SimFsOptions {
  /** Bytes of the volume, counted in whole 4 KiB pages. Default: endless. */
  readonly capacity?: number;
  /** Open files before `EMFILE`. Default: endless. */
  readonly maxOpenFiles?: number;
  /**
   * Starts the effect of an async call. Default: a microtask. A simulation gives its own to decide
   * what finishes first.
   */
  readonly schedule?: (task: () => void) => void;
  /** Seed of what faults choose by chance. Default 0. */
  readonly seed?: number;
}

/** What a power loss leaves. */
export interface CrashOptions {
  /** Seed of everything chosen. The same state and options give the same image. Default 0. */
  readonly seed?: number;
  /**
   * Which unsynced writes of each file are on the disk: none, all, the first few in order, or any.
   * `mixed` (the default) draws one of these for each file.
   */
  readonly data?: CrashData | "mixed";
  /** Which unsynced changes of names are on the disk, over all directories. Default "prefix". */
  readonly names?: CrashNames;
  /** A write may be on the disk with some of its 512-byte sectors only. Default true. */
  readonly torn?: boolean;
  /** What allotted but unwritten sectors hold. Default "zeros". */
  readonly gaps?: "zeros" | "garbage";
}

const ENDLESS_FREE_BYTES = 2 ** 40;
const MIXED: readonly CrashData[] = ["none", "all", "prefix", "prefix", "any", "any"];

/** A simulated file system. Holds the root directory and nothing else at first. */
export class SimFs implements FileSystem {
  #tree = new SimTree();
  #handles = new Map<number, SimHandle>();
  #nextToken = 1;
  #locks = new Map<number, string>();
  #boot = 1;
  readonly #options: SimFsOptions;
  readonly #plan = new FaultPlan();
  readonly #random: SeededRandom;
  #bytesRead = 0;
  #bytesWritten = 0;

  constructor(options: SimFsOptions = {}) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? 0);
  }

  // What a test sees and steers. Works also when the machine is off; not counted.

  /** Operations so far: calls that change something, failed ones included. */
  get operations(): number {
    return this.#plan.operations;
  }

  /** Calls so far, by kind. */
  get counts(): Readonly<Record<SimCall, number>> {
    return this.#plan.counts;
  }

  /** Bytes that reads returned. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Bytes that writes brought into the cache. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get openHandles(): number {
    return this.#handles.size;
  }

  /** Paths of the open handles, for the message of a leak check. */
  openPaths(): string[] {
    return [...this.#handles.values()].map((handle) => handle.path).sort();
  }

  /** Bytes that files take, in whole pages. */
  get usedBytes(): number {
    return this.#tree.usedBytes;
  }

  /** True once a crash point was met or `powerOff` called. */
  get isOff(): boolean {
    return this.#plan.off !== undefined;
  }

  /**
   * Turns the machine off at a point: 2n - 1 is right before operation n takes effect, 2n right
   * after. That call and every later one throws `SimCrash`. Take the image with `crash()`.
   */
  crashAt(point: number): void {
    this.#plan.crashPoint = point;
  }

  /** Turns the machine off now: every later call throws `SimCrash`. */
  powerOff(): void {
    this.#plan.off ??= "powerOff";
  }

  /** Plans a fault. Of several that fit a call, the one planned first is used. */
  failAt(fault: SimFault): PlannedFault {
    return this.#plan.add(fault);
  }

  /** Takes back all planned faults and the crash point. */
  clearFaults(): void {
    this.#plan.clear();
  }

  /** Flips the bits of `mask` in one byte of a file, on the disk and in the cache. */
  flipBits(path: string, offset: number, mask: number): void {
    this.#tree.file(path, "flipBits").damage(offset, mask);
  }

  /** Evicts what a failed sync left in the cache as clean: reads then show what the disk has. */
  dropCaches(): void {
    for (const file of this.#tree.files) file.dropCache();
  }

  /** Returns the whole content of a file, as a running program sees it. */
  readFile(path: string): Buffer {
    const file = this.#tree.file(path, "readFile");
    const bytes = Buffer.alloc(file.size);
    file.read(bytes, 0);
    return bytes;
  }

  /**
   * Puts a durable file in place, with its directories, or in place of one that is there. Other
   * names in the same directories become durable as well.
   */
  writeFile(path: string, bytes: Uint8Array): void {
    const directory = normalPath(`${path}/..`);
    this.#tree.makeDirectories(directory, (made, make) => {
      make();
      this.#tree.syncDirectory(`${made}/..`);
    });
    const file = new SimFile();
    file.write(bytes, 0);
    this.#tree.replace(path, file);
  }

  /** Paths of all files below a directory, sorted, as a running program sees them. */
  list(directory = "/"): string[] {
    const { names } = this.#tree;
    const node = this.#tree.directory(directory, "list");
    const at = normalPath(directory);
    const paths: string[] = [];
    for (const name of names.list(node)) {
      const path = at === "/" ? `/${name}` : `${at}/${name}`;
      if (names.isDirectory(names.get(node, name))) paths.push(...this.list(path));
      else paths.push(path);
    }
    return paths;
  }

  /**
   * Returns what a SIGKILL leaves: everything written, as durable as it was. Locks are free,
   * faults are gone, counts begin at 0. This file system stays as it is.
   */
  processKill(): SimFs {
    const other = new SimFs(this.#options);
    other.#tree = this.#tree.image(this.#tree.names.fork(), (file) => file.fork());
    other.#boot = this.#boot;
    return other;
  }

  /**
   * Returns what a power loss leaves. Locks are free, faults are gone, counts begin at 0, the boot
   * id is another. This file system stays as it is.
   */
  crash(options: CrashOptions = {}): SimFs {
    const random = new SeededRandom(options.seed ?? 0);
    const choice: CrashChoice = {
      random,
      torn: options.torn ?? true,
      gaps: options.gaps ?? "zeros",
    };
    const data = options.data ?? "mixed";
    const names = this.#tree.names.crash(options.names ?? "prefix", random);
    const other = new SimFs(this.#options);
    other.#tree = this.#tree.image(names, (file) =>
      file.crash(data === "mixed" ? MIXED[random.below(MIXED.length)]! : data, choice),
    );
    other.#boot = this.#boot + 1;
    return other;
  }

  // FileSystem.

  openSync(path: string, mode: "read" | "create"): FileHandle {
    if (mode === "create") {
      return this.#change("create", path, () => {
        this.#refuseTooMany(path);
        return this.#open(path, this.#tree.create(path), true);
      });
    }
    this.#plan.access("open", normalPath(path));
    this.#refuseTooMany(path);
    return this.#open(path, this.#tree.file(path, "open"), false);
  }

  existsSync(path: string): boolean {
    this.#plan.access("stat", normalPath(path));
    return this.#tree.names.find(path) !== ABSENT;
  }

  fileBytesSync(path: string): number {
    this.#plan.access("stat", normalPath(path));
    return this.#tree.file(path, "stat").size;
  }

  listSync(directory: string): string[] {
    this.#plan.access("list", normalPath(directory));
    return this.#tree.names.list(this.#tree.directory(directory, "list"));
  }

  makeDirectorySync(directory: string): void {
    this.#plan.assertOn();
    this.#tree.makeDirectories(directory, (path, make) => this.#change("mkdir", path, make));
  }

  removeDirectorySync(directory: string): void {
    this.#change("rmdir", directory, () => this.#tree.removeDirectory(directory));
  }

  renameSync(source: string, target: string): void {
    this.#change("rename", target, () => this.#tree.rename(source, target));
  }

  linkSync(source: string, target: string): void {
    this.#change("link", target, () => this.#tree.link(source, target));
  }

  unlinkSync(path: string): void {
    this.#change("unlink", path, () => this.#tree.unlink(path));
  }

  syncDirSync(directory: string): void {
    this.#changeAt("syncDir", normalPath(directory), (fault) => {
      if (fault?.silent !== true) this.#tree.syncDirectory(directory);
    });
  }

  syncDir(directory: string): Promise<void> {
    return this.#later(() => this.syncDirSync(directory));
  }

  syncTokenSync(token: number): void {
    this.#plan.assertOn();
    const handle = this.#handles.get(token);
    if (handle === undefined) throw systemError("EBADF", `token ${token}`, "sync");
    handle.syncSync();
  }

  freeBytesSync(path: string): number {
    this.#plan.access("stat", normalPath(path));
    return this.#freeBytes();
  }

  async lock(path: string, owner: string): Promise<FileLock> {
    await this.#later(() => this.#plan.access("lock", normalPath(path)));
    if (this.#tree.names.find(path) === ABSENT) {
      this.#change("create", path, () => this.#tree.create(path));
    }
    const node = this.#tree.node(path, "lock");
    const holder = this.#locks.get(node);
    if (holder !== undefined) {
      throw new AuraError("AURA_LOCKED", `${path} is locked by ${holder}`, { file: path });
    }
    this.#locks.set(node, owner);
    let held = true;
    return {
      releaseSync: () => {
        this.#plan.assertOn();
        if (held) this.#locks.delete(node);
        held = false;
      },
    };
  }

  /** A uuid that counts the boots. */
  bootId(): string {
    return `00000000-0000-4000-8000-${this.#boot.toString(16).padStart(12, "0")}`;
  }

  // The rest.

  #open(path: string, file: SimFile, writable: boolean): SimHandle {
    const token = this.#nextToken++;
    const at = normalPath(path);
    file.opens++;
    const handle = new SimHandle(path, token, file, writable, {
      random: this.#random,
      access: (kind) => this.#plan.access(kind, at),
      change: (kind, effect) => this.#changeAt(kind, at, effect),
      later: (effect) => this.#later(effect),
      freeBytes: () => this.#freeBytes(),
      moved: (read, written) => {
        this.#bytesRead += read;
        this.#bytesWritten += written;
      },
      closed: () => {
        this.#handles.delete(token);
        file.opens--;
        if (file.links === 0 && file.opens === 0) this.#tree.forgetUnreachable();
      },
    });
    this.#handles.set(token, handle);
    return handle;
  }

  #change<T>(kind: SimOperation, path: string, effect: () => T): T {
    return this.#changeAt(kind, normalPath(path), effect);
  }

  /** Runs one operation: counted, failed as planned, or stopped. */
  #changeAt<T>(kind: SimOperation, path: string, effect: (fault?: SimFault) => T): T {
    const fault = this.#plan.begin(kind, path);
    // A write and a sync fail in their own ways: the handle does it.
    const own = kind === "write" || kind === "sync";
    if (fault?.error !== undefined && !own && fault.happened !== true) {
      throw systemError(fault.error, path, kind);
    }
    const result = effect(fault);
    this.#plan.end(kind, path);
    if (fault?.error !== undefined && !own) throw systemError(fault.error, path, kind);
    return result;
  }

  #later<T>(effect: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const schedule = this.#options.schedule ?? systemRuntime.scheduler.afterThis;
      schedule(() => {
        try {
          resolve(effect());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #freeBytes(): number {
    const { capacity } = this.#options;
    return capacity === undefined ? ENDLESS_FREE_BYTES : Math.max(0, capacity - this.usedBytes);
  }

  #refuseTooMany(path: string): void {
    const most = this.#options.maxOpenFiles ?? Number.POSITIVE_INFINITY;
    if (this.#handles.size >= most) throw systemError("EMFILE", path, "open");
  }
}
