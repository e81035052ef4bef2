/**
 * The reserve: a ballast file that is given up when the volume is full, so that the log and manifest
 * that end a failure can still be written. It is made after the first flush (a small database has
 * none), and again once there is room.
 */
import type { Clock, FileSystem } from "@aura/base";
import { BALLAST_NAME } from "./file-names.ts";

/** Size of the ballast file. */
const BALLAST_BYTES: number = 1024 * 1024;
/** Free bytes from which on writing goes on after the volume was full. */
const FREE_BYTES_MIN = 4 * BALLAST_BYTES;
/** Least time between two looks at the free space, ms. */
const LOOK_MS = 100;

/** Keeps the ballast file of one database. */
export class Reserve {
  readonly #fs: FileSystem;
  readonly #clock: Clock;
  readonly #directory: string;
  readonly #path: string;
  #present: boolean;
  #nextLookMs = 0;
  /** The volume was full, and has not been seen with room since. */
  full = false;
  /** Gives up what else can be done without. */
  onFree: () => void = () => undefined;

  constructor(fs: FileSystem, clock: Clock, directory: string) {
    this.#fs = fs;
    this.#clock = clock;
    this.#directory = directory;
    this.#path = `${directory}/${BALLAST_NAME}`;
    this.#present = this.#isWhole();
  }

  /** Makes the ballast file if it is missing. A failure leaves the database without one. */
  fill(): void {
    if (this.#present) return;
    try {
      if (this.#fs.freeBytesSync(this.#directory) < FREE_BYTES_MIN) return;
      // One that a power loss emptied: it was never synced.
      if (this.#fs.existsSync(this.#path)) this.#fs.unlinkSync(this.#path);
      const file = this.#fs.openSync(this.#path, "create");
      try {
        file.writeSync(new Uint8Array(BALLAST_BYTES), 0);
      } finally {
        file.closeSync();
      }
      this.#present = true;
    } catch {
      this.#remove();
    }
  }

  /** Gives the ballast up: the volume is full. */
  free(): void {
    this.full = true;
    this.#remove();
    this.onFree();
  }

  /** Whether writing may go on after the volume was full; looks at most every 100 ms. */
  hasRoom(): boolean {
    if (!this.full) return true;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#nextLookMs) return false;
    this.#nextLookMs = nowMs + LOOK_MS;
    if (!this.hasBytes(0)) return false;
    this.full = false;
    this.fill();
    return true;
  }

  /**
   * Whether so many bytes may be written before the volume is as full as when writing stops; no, while the
   * volume does not tell.
   */
  hasBytes(bytes: number): boolean {
    try {
      return this.#fs.freeBytesSync(this.#directory) >= bytes + FREE_BYTES_MIN;
    } catch {
      return false;
    }
  }

  /** Whether the file is there, at its size, as far as can be seen. */
  #isWhole(): boolean {
    try {
      const isThere = this.#fs.existsSync(this.#path);
      return isThere && this.#fs.fileBytesSync(this.#path) >= BALLAST_BYTES;
    } catch {
      return false;
    }
  }

  #remove(): void {
    this.#present = false;
    try {
      if (this.#fs.existsSync(this.#path)) this.#fs.unlinkSync(this.#path);
    } catch {
      // Nothing is lost: the space stays taken.
    }
  }
}
