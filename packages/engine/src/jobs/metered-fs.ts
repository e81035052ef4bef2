/**
 * A file system that counts what a job reads and writes, and makes the job wait for tokens before it
 * writes (io-budget.ts). Relocated values, `.seg` files of a merge, have their own account.
 *
 * Waiting blocks the thread, where the job has one to itself; it ends early when the job is
 * cancelled. A job on its owner's thread never waits: it is sliced there, and only counted.
 */
import type { FileHandle, FileLock, FileSystem, JobContext } from "@aura/base";
import {
  countBytes,
  IoCause,
  IoPriority,
  type IoShare,
  IoWord,
  takeTokens,
  waitMsMax,
} from "../io-budget.ts";
import { BusyTime } from "./busy-time.ts";

/** A job waits in steps of at most this, ms, and looks then whether it was cancelled. */
const STEP_MS = 20;
const KIB = 1024;

/** Returns the file system of a job; without a share, that of its context. */
export function meteredFs(
  context: JobContext,
  share: IoShare | undefined,
  busy: BusyTime = new BusyTime(context),
): FileSystem {
  return share === undefined ? context.fs : new MeteredFs(context, share, busy);
}

/** Counts and waits for one job. */
class Meter {
  readonly #context: JobContext;
  readonly #share: IoShare;
  readonly busy: BusyTime;
  /** Bytes written that make no whole KiB yet. */
  #rest = 0;

  constructor(context: JobContext, share: IoShare, busy: BusyTime) {
    this.#context = context;
    this.#share = share;
    this.busy = busy;
  }

  causeOf(path: string): number {
    const { cause, valueCause } = this.#share;
    return path.endsWith(".seg") || (cause >= IoCause.merge && path.endsWith(".vlog"))
      ? valueCause
      : cause;
  }

  noteRead(cause: number, bytes: number): number {
    countBytes(this.#share.words, cause, false, bytes);
    return bytes;
  }

  /** Called before `bytes` are written. */
  takeWrite(cause: number, bytes: number): void {
    const { words, priority } = this.#share;
    countBytes(words, cause, true, bytes);
    if (Atomics.load(words, IoWord.rateKib) === 0) return;
    const { pause, nowMs } = this.#context;
    if (pause === undefined || nowMs === undefined) return;
    this.#rest += bytes;
    const kib = Math.floor(this.#rest / KIB);
    if (kib === 0) return;
    this.#rest -= kib * KIB;
    const startMs = nowMs();
    const waitMs = takeTokens(words, kib, priority, startMs);
    if (waitMs === 0 || priority === IoPriority.flush) return;
    this.busy.pausedIn(() => this.#wait(kib, waitMs, startMs));
  }

  #wait(kib: number, firstMs: number, startMs: number): void {
    const { words, priority } = this.#share;
    const { pause, nowMs } = this.#context;
    if (pause === undefined || nowMs === undefined) return;
    let waitMs = firstMs;
    const endMs = startMs + waitMsMax(words, kib);
    let atMs = startMs;
    while (waitMs > 0 && atMs < endMs && !this.#context.isCancelled()) {
      pause(Math.min(waitMs, STEP_MS));
      atMs = nowMs();
      waitMs = takeTokens(words, 0, priority, atMs);
    }
    Atomics.add(words, IoWord.waitedMs, Math.round(atMs - startMs));
  }
}

class MeteredFs implements FileSystem {
  readonly #fs: FileSystem;
  readonly #meter: Meter;

  constructor(context: JobContext, share: IoShare, busy: BusyTime) {
    this.#fs = context.fs;
    this.#meter = new Meter(context, share, busy);
  }

  openSync(path: string, mode: "read" | "create"): FileHandle {
    return new MeteredHandle(this.#fs.openSync(path, mode), this.#meter);
  }
  existsSync(path: string): boolean {
    return this.#fs.existsSync(path);
  }
  fileBytesSync(path: string): number {
    return this.#fs.fileBytesSync(path);
  }
  listSync(directory: string): string[] {
    return this.#fs.listSync(directory);
  }
  makeDirectorySync(directory: string): void {
    this.#fs.makeDirectorySync(directory);
  }
  removeDirectorySync(directory: string): void {
    this.#fs.removeDirectorySync(directory);
  }
  renameSync(source: string, target: string): void {
    this.#fs.renameSync(source, target);
  }
  linkSync(source: string, target: string): void {
    this.#fs.linkSync(source, target);
  }
  unlinkSync(path: string): void {
    this.#fs.unlinkSync(path);
  }
  syncDirSync(directory: string): void {
    this.#meter.busy.syncedIn(() => this.#fs.syncDirSync(directory));
  }
  syncDir(directory: string): Promise<void> {
    return this.#fs.syncDir(directory);
  }
  syncTokenSync(token: number): void {
    this.#fs.syncTokenSync(token);
  }
  freeBytesSync(path: string): number {
    return this.#fs.freeBytesSync(path);
  }
  lock(path: string, owner: string): Promise<FileLock> {
    return this.#fs.lock(path, owner);
  }
  bootId(): string {
    return this.#fs.bootId();
  }
}

class MeteredHandle implements FileHandle {
  readonly #file: FileHandle;
  readonly #meter: Meter;
  readonly #cause: number;

  constructor(file: FileHandle, meter: Meter) {
    this.#file = file;
    this.#meter = meter;
    this.#cause = meter.causeOf(file.path);
  }

  get path(): string {
    return this.#file.path;
  }
  get token(): number {
    return this.#file.token;
  }
  readSync(target: Uint8Array, position: number): number {
    return this.#meter.noteRead(this.#cause, this.#file.readSync(target, position));
  }
  async read(target: Uint8Array, position: number): Promise<number> {
    return this.#meter.noteRead(this.#cause, await this.#file.read(target, position));
  }
  writeSync(bytes: Uint8Array, position: number): void {
    this.#meter.takeWrite(this.#cause, bytes.length);
    this.#file.writeSync(bytes, position);
  }
  write(bytes: Uint8Array, position: number): Promise<void> {
    this.#meter.takeWrite(this.#cause, bytes.length);
    return this.#file.write(bytes, position);
  }
  writevSync(parts: readonly Uint8Array[], position: number): void {
    this.#meter.takeWrite(this.#cause, lengthOf(parts));
    this.#file.writevSync(parts, position);
  }
  writev(parts: readonly Uint8Array[], position: number): Promise<void> {
    this.#meter.takeWrite(this.#cause, lengthOf(parts));
    return this.#file.writev(parts, position);
  }
  syncSync(): void {
    this.#meter.busy.syncedIn(() => this.#file.syncSync());
  }
  sync(): Promise<void> {
    return this.#file.sync();
  }
  truncateSync(bytes: number): void {
    this.#file.truncateSync(bytes);
  }
  sizeSync(): number {
    return this.#file.sizeSync();
  }
  closeSync(): void {
    this.#file.closeSync();
  }
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
