/**
 * An open file of a `SimFs`.
 */
import type { FileHandle } from "../fs.ts";
import type { SeededRandom } from "../runtime.ts";
import {
  type SimCall,
  SimCrash,
  type SimFault,
  type SimOperation,
  systemError,
} from "./sim-faults.ts";
import type { SimFile } from "./sim-file.ts";
import { PAGE_BYTES } from "./sim-pages.ts";

/** What a handle needs of its file system. */
export interface SimHost {
  readonly random: SeededRandom;
  access(kind: SimCall): SimFault | undefined;
  change<T>(kind: SimOperation, effect: (fault?: SimFault) => T): T;
  later<T>(effect: () => T): Promise<T>;
  freeBytes(): number;
  moved(bytesRead: number, bytesWritten: number): void;
  closed(): void;
}

/** An open file. Methods are those of `FileHandle`; effects of async ones come when scheduled. */
export class SimHandle implements FileHandle {
  readonly path: string;
  readonly token: number;
  readonly #file: SimFile;
  readonly #writable: boolean;
  readonly #host: SimHost;
  #open = true;
  /** Failed syncs of the file that this handle was told of, or that came before it. */
  #failuresSeen: number;

  constructor(path: string, token: number, file: SimFile, writable: boolean, host: SimHost) {
    this.path = path;
    this.token = token;
    this.#file = file;
    this.#writable = writable;
    this.#host = host;
    this.#failuresSeen = file.failedSyncs;
  }

  readSync(target: Uint8Array, position: number): number {
    const fault = this.#host.access("read");
    this.#refuse(!this.#open, "read");
    let count = this.#file.read(target, position);
    if (fault?.short !== undefined) count = Math.min(count, fault.short);
    const flip = fault?.flip;
    if (flip !== undefined && flip.offset >= position && flip.offset < position + count) {
      target[flip.offset - position]! ^= flip.mask;
    }
    if (fault?.flipBit !== undefined && count > 0) {
      const bit = fault.flipBit % (8 * count);
      target[bit >>> 3]! ^= 1 << (bit & 7);
    }
    this.#host.moved(count, 0);
    return count;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#host.later(() => this.readSync(target, position));
  }

  writeSync(bytes: Uint8Array, position: number): void {
    this.writevSync([bytes], position);
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.writev([bytes], position);
  }

  writevSync(parts: readonly Uint8Array[], position: number): void {
    this.#host.change("write", (fault) => {
      this.#refuse(!this.#open || !this.#writable, "write");
      const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      let room = bytes.length;
      let error: string | undefined = fault?.error;
      if (error !== undefined && fault?.happened !== true) {
        room = Math.min(room, fault?.partial ?? 0);
      }
      const fits = this.#fitting(room, position);
      if (fits < room) error ??= "ENOSPC";
      this.#land(bytes.subarray(0, fits), position, fault?.astray);
      this.#host.moved(0, fits);
      if (error !== undefined) throw systemError(error, this.path, "write");
    });
  }

  writev(parts: readonly Uint8Array[], position: number): Promise<void> {
    return this.#host.later(() => this.writevSync(parts, position));
  }

  syncSync(): void {
    this.#host.change("sync", (fault) => {
      this.#refuse(!this.#open, "sync");
      if (fault?.silent === true) return;
      if (fault?.error === undefined) {
        this.#file.sync();
        // Linux tells every open file once of a write-back that failed, whoever asked for it.
        if (this.#failuresSeen === this.#file.failedSyncs) return;
        this.#failuresSeen = this.#file.failedSyncs;
        throw systemError("EIO", this.path, "sync");
      }
      this.#file.failSync(fault.sync ?? "keep", fault.reached ?? "none", {
        random: this.#host.random,
        torn: true,
        gaps: "zeros",
      });
      this.#failuresSeen = this.#file.failedSyncs;
      throw systemError(fault.error, this.path, "sync");
    });
  }

  sync(): Promise<void> {
    return this.#host.later(() => this.syncSync());
  }

  truncateSync(bytes: number): void {
    this.#host.change("truncate", () => {
      this.#refuse(!this.#open || !this.#writable, "truncate");
      this.#file.truncate(bytes);
    });
  }

  sizeSync(): number {
    this.#host.access("stat");
    this.#refuse(!this.#open, "stat");
    return this.#file.size;
  }

  closeSync(): void {
    if (!this.#open) return;
    try {
      this.#host.access("close");
    } catch (error) {
      if (this.#writable || error instanceof SimCrash) throw error;
    } finally {
      // A close that fails has closed all the same.
      this.#open = false;
      this.#host.closed();
    }
  }

  #land(bytes: Uint8Array, position: number, astray: SimFault["astray"]): void {
    if (astray === undefined) {
      this.#file.write(bytes, position);
      return;
    }
    this.#file.write(new Uint8Array(bytes.length), position);
    if (astray !== "nowhere") this.#file.write(bytes, Math.max(0, position - astray));
  }

  /** Returns how many of `count` bytes fit on the volume, counted in whole pages. */
  #fitting(count: number, position: number): number {
    let free = this.#host.freeBytes();
    const end = position + count;
    for (let at = position - (position % PAGE_BYTES); at < end; at += PAGE_BYTES) {
      if (!this.#file.needsPage(at)) continue;
      if (free < PAGE_BYTES) return Math.max(0, at - position);
      free -= PAGE_BYTES;
    }
    return count;
  }

  #refuse(condition: boolean, what: string): void {
    if (condition) throw systemError("EBADF", this.path, what);
  }
}
