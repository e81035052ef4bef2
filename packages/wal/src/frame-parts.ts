/**
 * Frame parts: what one frame looks like to a write call. Small pieces are joined in a buffer that
 * is reused from frame to frame; large ones go out by reference and are never copied.
 */
import { AuraError, contentHash, type Uid } from "@aura/base";
import { FRAME_HEADER_BYTES, FrameFlag, PAYLOAD_BYTES_MAX, putFrameHeader } from "./frame.ts";

/** Size of the reused buffer: a frame up to this size without a large piece is one write. */
const STAGING_BYTES = 64 * 1024;
/** Attached pieces of at least this many bytes go out by reference. */
const COPY_BYTES_MAX = 4096;

/** Assembles frames, one at a time. `head` and `rest` are valid until the next `assemble`. */
export class FrameParts {
  readonly #staging = new Uint8Array(STAGING_BYTES);
  #used = 0;
  #runStart = 0;
  /** What to write first: a view that groups of one size, one after another, share. */
  head: Uint8Array = this.#staging;
  /** Whose view `head` is, if it is none of the staging buffer. */
  #framed: Uint8Array | undefined;
  /** What to write behind `head`, in order; most often nothing. */
  readonly rest: Uint8Array[] = [];
  /** Bytes of head and rest. */
  bytes = 0;
  /** The frame header's checksum. */
  checksum = 0;

  /**
   * Builds the frame at `offset` of the file `uid`. Pieces of `covered` and `attached` may be
   * referred to until `clear`. Throws AURA_BATCH_TOO_LARGE above PAYLOAD_BYTES_MAX.
   */
  assemble(
    uid: Uid,
    offset: number,
    covered: readonly Uint8Array[],
    attached: readonly Uint8Array[],
    first: number,
    count: number,
    flags: number,
    durable: number,
  ): void {
    let coveredBytes = 0;
    for (let i = 0; i < covered.length; i++) coveredBytes += covered[i]!.length;
    let attachedBytes = 0;
    for (let i = 0; i < attached.length; i++) attachedBytes += attached[i]!.length;
    const payloadBytes = coveredBytes + attachedBytes;
    if (payloadBytes > PAYLOAD_BYTES_MAX) throw tooLarge(payloadBytes);
    this.clear();
    this.#used = FRAME_HEADER_BYTES;
    this.#runStart = 0;
    const hash = this.#addCovered(covered, coveredBytes);
    for (let i = 0; i < attached.length; i++) this.#addAttached(attached[i]!);
    this.bytes = FRAME_HEADER_BYTES + payloadBytes;
    const empty = payloadBytes + count === 0;
    this.checksum = putFrameHeader(
      this.#staging,
      0,
      uid,
      offset,
      hash,
      coveredBytes,
      attachedBytes,
      first,
      count,
      empty ? flags | FrameFlag.watermark : flags,
      durable,
    );
    this.#endRun();
  }

  /**
   * Makes the frame at `offset` of bytes[0, end): its header goes to the first FRAME_HEADER_BYTES of them,
   * the rest is covered. A small buffer is kept for the next frame. Throws AURA_BATCH_TOO_LARGE.
   */
  frame(
    uid: Uid,
    offset: number,
    bytes: Uint8Array,
    end: number,
    first: number,
    count: number,
    durable: number,
  ): void {
    const covered = end - FRAME_HEADER_BYTES;
    if (covered > PAYLOAD_BYTES_MAX) throw tooLarge(covered);
    this.clear();
    const hash = contentHash(bytes, FRAME_HEADER_BYTES, end);
    const flags = covered + count === 0 ? FrameFlag.watermark : 0;
    this.checksum = putFrameHeader(
      bytes,
      0,
      uid,
      offset,
      hash,
      covered,
      0,
      first,
      count,
      flags,
      durable,
    );
    this.bytes = end;
    if (this.#framed !== bytes || this.head.length !== end) {
      this.#framed = bytes;
      this.head = bytes.subarray(0, end);
    }
  }

  /** Drops the references to the caller's bytes. */
  clear(): void {
    if (this.rest.length > 0) this.rest.length = 0;
    if (this.#framed === undefined || this.#framed.length <= STAGING_BYTES) return;
    this.#framed = undefined;
    this.head = this.#staging;
  }

  /** Returns all parts in order. */
  all(): Uint8Array[] {
    return [this.head, ...this.rest];
  }

  /** Adds the covered part, which has to be contiguous to be hashed. Returns its hash. */
  #addCovered(covered: readonly Uint8Array[], bytes: number): number {
    if (bytes <= STAGING_BYTES - FRAME_HEADER_BYTES) {
      for (let i = 0; i < covered.length; i++) {
        this.#staging.set(covered[i]!, this.#used);
        this.#used += covered[i]!.length;
      }
      return contentHash(this.#staging, FRAME_HEADER_BYTES, this.#used);
    }
    let whole = covered[0]!;
    if (covered.length > 1) {
      whole = new Uint8Array(bytes);
      let at = 0;
      for (const part of covered) {
        whole.set(part, at);
        at += part.length;
      }
    }
    this.#endRun();
    this.rest.push(whole);
    return contentHash(whole, 0, bytes);
  }

  #addAttached(piece: Uint8Array): void {
    const length = piece.length;
    if (length < COPY_BYTES_MAX && this.#used + length <= STAGING_BYTES) {
      this.#staging.set(piece, this.#used);
      this.#used += length;
      return;
    }
    this.#endRun();
    this.rest.push(piece);
  }

  /** Turns what was copied since the last run into a part. */
  #endRun(): void {
    const start = this.#runStart;
    const end = this.#used;
    if (start === end) return;
    this.#runStart = end;
    if (start > 0) this.rest.push(this.#staging.subarray(start, end));
    else if (this.head.length !== end || this.#framed !== undefined) {
      this.#framed = undefined;
      this.head = this.#staging.subarray(0, end);
    }
  }
}

function tooLarge(bytes: number): AuraError {
  return new AuraError("AURA_BATCH_TOO_LARGE", `a log frame of ${bytes} bytes`, {
    expected: PAYLOAD_BYTES_MAX,
    actual: bytes,
  });
}
