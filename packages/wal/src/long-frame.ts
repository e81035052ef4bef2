/**
 * Long frame: a frame of values alone that is written piece by piece, before its length is known.
 *
 * Its header is written last. Until then a reader of the log finds no frame: what was written stands
 * behind the log's end, as what a failed write leaves does.
 */
import { assert, contentHash, type FileHandle, type Uid } from "@aura/base";
import { FRAME_HEADER_BYTES, FrameFlag, PAYLOAD_BYTES_MAX, putFrameHeader } from "./frame.ts";

/** What a long frame does to its log. */
export interface LongFrameLog {
  /** Counts work as under way until it settles. */
  readonly track: (work: Promise<void>) => Promise<void>;
  /** Gives the log up; returns the error to throw. */
  readonly fail: (error: unknown) => Error;
  readonly assertUsable: () => void;
  /** The frame is whole. */
  readonly end: (frameBytes: number, checksum: number) => void;
}

const NO_HASH_BYTES = new Uint8Array(0);

/** The frame that a log is being given. Made by `LogWriter.openLongFrame`. */
export class LongFrame {
  readonly #file: FileHandle;
  readonly #uid: Uid;
  readonly #offset: number;
  readonly #log: LongFrameLog;
  #ended = false;

  /** @internal */
  constructor(file: FileHandle, uid: Uid, offset: number, log: LongFrameLog) {
    this.#file = file;
    this.#uid = uid;
    this.#offset = offset;
    this.#log = log;
  }

  /** Where the attached part begins in the file. */
  get attachedOffset(): number {
    return this.#offset + FRAME_HEADER_BYTES;
  }

  /**
   * Writes a part of the attached part at `position` of the file, through the thread pool. The bytes
   * must not change before it settles. A failure gives the log up.
   */
  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.#log.track(this.#write(bytes, position));
  }

  /** As `write`, on this thread. */
  writeSync(bytes: Uint8Array, position: number): void {
    this.#check(position);
    try {
      this.#file.writeSync(bytes, position);
    } catch (error) {
      throw this.#log.fail(error);
    }
  }

  /**
   * Ends the frame with its header, on this thread: the attached part is `attachedBytes` long. What
   * was not written of it reads as zeros.
   */
  endSync(attachedBytes: number): void {
    this.#check(this.attachedOffset);
    assert(attachedBytes > 0 && attachedBytes <= PAYLOAD_BYTES_MAX, "a frame out of range");
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    const hash = contentHash(NO_HASH_BYTES, 0, 0);
    const flags = FrameFlag.values;
    const checksum = putFrameHeader(
      header,
      0,
      this.#uid,
      this.#offset,
      hash,
      0,
      attachedBytes,
      0,
      0,
      flags,
      0,
    );
    try {
      this.#file.writeSync(header, this.#offset);
    } catch (error) {
      throw this.#log.fail(error);
    }
    this.#ended = true;
    this.#log.end(FRAME_HEADER_BYTES + attachedBytes, checksum);
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    this.#check(position);
    try {
      await this.#file.write(bytes, position);
    } catch (error) {
      throw this.#log.fail(error);
    }
  }

  #check(position: number): void {
    assert(!this.#ended, "the frame has ended");
    assert(position >= this.attachedOffset, "a part in front of the frame");
    this.#log.assertUsable();
  }
}
