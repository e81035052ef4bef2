/**
 * What a reader at one sequence number sees of internal entries: of each key within bounds the
 * newest version that is not newer than the reader, unless that is a delete.
 *
 * Forwards the newest visible version of a key comes first: the cursor stands on the entry itself
 * and steps over older versions when it moves on. Backwards the oldest version comes first, and
 * which one is the newest visible one shows only when it has been passed: so a candidate's value is
 * kept, or copied where its memory is only borrowed, and the source then stands in front of the key. After `COPIES_MAX` candidates of one key
 * nothing more is copied; the source is walked to the front of the key and sent back to the entry.
 *
 * Long runs of versions of one key are left by a seek. A move over many hidden entries pauses after
 * each `HIDDEN_MAX` of them: it is `pending` although no block is missing (see `paused`), so that a
 * caller that must not block can let others run.
 */
import { AuraError, assert, compareBytes, type EntryCursor, isKnownTag, Kind } from "@aura/base";
import { copyView, VIEW_COPY_BYTES_MAX, viewOf } from "./copy-view.ts";
import type { MergeCursor } from "./merge-cursor.ts";
import type { RangeCover } from "./range-cover.ts";

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);
/** Older versions of one key that are stepped over one by one before a seek. */
const STEPS_MAX = 8;
/** Candidates of one key whose value is copied in a backward move. */
const COPIES_MAX = 4;
/** Hidden entries between two pauses. */
const HIDDEN_MAX = 1024;
/** First size of the buffers for a key and a value. */
const BUFFER_BYTES_MIN = 256;
/** No candidate yet. */
const NO_TAG = -1;

const Goal = { forward: 0, backward: 1, back: 2 } as const;

/** What a cursor shows: keys >= `lower` and < `upper`, each without limit when undefined. */
export interface KeyRange {
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
}

/** A cursor over visible entries: one per key, no deletes. Owns its source. */
export class VisibleCursor implements EntryCursor {
  valid = false;
  pending = false;
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  seq = 0;
  tag = 0;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;

  readonly #source: MergeCursor;
  readonly #seqMax: number;
  readonly #lower: Uint8Array | undefined;
  readonly #upper: Uint8Array | undefined;
  readonly #copiesValues: boolean;
  /** What range tombstones hide; undefined without any. */
  readonly #cover: RangeCover | undefined;
  /** Entries in a row that they hid. */
  #covered = 0;
  #failed = false;
  #goal: number = Goal.forward;
  /** The source stands on the current entry; else it stands in front of all versions of its key. */
  #onSource = true;
  /** A key, one byte of room behind it: that of the entry left, or under examination. */
  #key: Uint8Array = NO_BYTES;
  #keyView: DataView = NO_VIEW;
  #keyLength = 0;
  /** Forwards: versions of `#key` are old. Backwards: `#key` is under examination. */
  #hasKey = false;
  #steps = 0;
  #hidden = 0;
  #candidateTag: number = NO_TAG;
  #candidateSeq = 0;
  /** Its value is at hand: lent, or copied. */
  #hasCandidateValue = false;
  #isCandidateLent = false;
  #candidateBytes: Uint8Array = NO_BYTES;
  #candidateStart = 0;
  #candidateEnd = 0;
  #copies = 0;
  /** A copied value. */
  #value: Uint8Array = NO_BYTES;
  #valueView: DataView = NO_VIEW;

  /**
   * `copiesValues` false spares backward moves the copy of inline values: the value fields are then
   * not to be used. `cover`: the range tombstones of the source, if there are any.
   */
  constructor(
    source: MergeCursor,
    seqMax: number,
    range: KeyRange,
    copiesValues = true,
    cover?: RangeCover,
  ) {
    this.#source = source;
    this.#seqMax = seqMax;
    this.#lower = range.lower;
    this.#upper = range.upper;
    this.#copiesValues = copiesValues;
    this.#cover = cover;
  }

  get failed(): boolean {
    return this.#failed || this.#source.failed;
  }

  /** A view of `keyBytes`, with the same indexes. Precondition: valid. */
  get keyView(): DataView {
    return this.#onSource ? this.#source.keyView : this.#keyView;
  }

  /** The value may be kept: nobody writes to its memory any more. Precondition: valid. */
  get lendsValue(): boolean {
    return this.#onSource ? this.#source.lendsValue : this.#isCandidateLent;
  }

  /** A view of `valueBytes`, with the same indexes. Precondition: valid, and not `lendsValue`. */
  get valueView(): DataView {
    return this.#onSource ? this.#source.valueView : this.#valueView;
  }

  /** The last move waits for nothing but the caller: `loadSync` or `load` lets it go on. */
  get paused(): boolean {
    return this.pending && !this.#source.pending;
  }

  first(): void {
    this.#begin();
    const lower = this.#lower;
    if (lower === undefined) this.#source.first();
    else this.#source.seek(lower, 0, lower.length);
    this.#goForward();
  }

  last(): void {
    this.#begin();
    const upper = this.#upper;
    if (upper === undefined) this.#source.last();
    else this.#source.seekBefore(upper, 0, upper.length);
    this.#goBackward();
  }

  seek(key: Uint8Array, start: number, end: number): void {
    const lower = this.#lower;
    if (lower !== undefined && compareBytes(key, start, end, lower, 0, lower.length) <= 0) {
      this.first();
      return;
    }
    this.#begin();
    this.#source.seek(key, start, end);
    this.#goForward();
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    const upper = this.#upper;
    if (upper !== undefined && compareBytes(key, start, end, upper, 0, upper.length) >= 0) {
      this.last();
      return;
    }
    this.#begin();
    this.#source.seekBefore(key, start, end);
    this.#goBackward();
  }

  next(): void {
    assert(this.valid, "next needs an entry");
    this.valid = false;
    if (this.#onSource) {
      this.#noteKey();
      this.#hasKey = true;
      this.#source.next();
    } else {
      this.#hasKey = false;
      this.#seekBehindKey();
    }
    this.#goForward();
  }

  prev(): void {
    assert(this.valid, "prev needs an entry");
    this.valid = false;
    if (this.#onSource) {
      this.#noteKey();
      this.#source.seekBefore(this.#key, 0, this.#keyLength);
    }
    this.#hasKey = false;
    this.#goBackward();
  }

  /** `most`: reads of so many of the source's children at most, see `MergeCursor.loadSync`. */
  loadSync(most?: number): void {
    if (!this.pending) return;
    this.pending = false;
    if (this.#source.pending) this.#source.loadSync(most);
    this.#goOn();
  }

  async load(): Promise<void> {
    if (!this.pending) return;
    try {
      if (this.#source.pending) await this.#source.load();
    } finally {
      this.pending = false;
    }
    this.#goOn();
  }

  close(): void {
    this.#begin();
    this.#source.close();
  }

  #begin(): void {
    this.valid = false;
    this.pending = false;
    this.#failed = false;
    this.#hasKey = false;
    this.#cover?.reset();
  }

  #goOn(): void {
    this.#hidden = 0;
    if (this.#goal === Goal.forward) this.#forward();
    else if (this.#goal === Goal.backward) this.#backward();
    else this.#back();
  }

  #goForward(): void {
    this.#goal = Goal.forward;
    this.#onSource = true;
    this.#steps = 0;
    this.#hidden = 0;
    this.#forward();
  }

  #goBackward(): void {
    this.#goal = Goal.backward;
    this.#onSource = false;
    this.#hidden = 0;
    this.#backward();
  }

  /** Walks from the source's entry to the first visible one. */
  #forward(): void {
    const source = this.#source;
    const upper = this.#upper;
    while (source.valid) {
      if (
        upper !== undefined &&
        compareBytes(source.keyBytes, source.keyStart, source.keyEnd, upper, 0, upper.length) >= 0
      ) {
        return;
      }
      if (source.seq <= this.#seqMax) {
        if (this.#hasKey && this.#isAtKey()) {
          if (++this.#steps > STEPS_MAX) {
            this.#hasKey = false;
            this.#steps = 0;
            this.#seekBehindKey();
            continue;
          }
        } else if (this.#cover !== undefined && this.#isCovered(this.#cover, true)) {
          this.#noteKey();
          this.#hasKey = true;
          this.#steps = 0;
          if (this.#skips(this.#cover.to)) continue;
        } else if (source.tag !== Kind.delete) {
          this.#showSource();
          return;
        } else {
          this.#noteKey();
          this.#hasKey = true;
          this.#steps = 0;
        }
      }
      if (++this.#hidden > HIDDEN_MAX) {
        // The entry under the source is looked at again when the move goes on, with no effect.
        this.pending = true;
        return;
      }
      source.next();
    }
    this.pending = source.pending;
  }

  /** Walks from the source's entry back, through all versions of a key that has a visible one. */
  #backward(): void {
    const source = this.#source;
    const lower = this.#lower;
    while (source.valid) {
      if (
        lower !== undefined &&
        compareBytes(source.keyBytes, source.keyStart, source.keyEnd, lower, 0, lower.length) < 0
      ) {
        break;
      }
      if (!this.#hasKey || !this.#isAtKey()) {
        if (this.#hasKey && this.#isCandidateVisible()) break;
        this.#noteKey();
        this.#hasKey = true;
        this.#candidateTag = NO_TAG;
        this.#copies = 0;
      }
      if (++this.#hidden > HIDDEN_MAX) {
        this.pending = true;
        return;
      }
      if (source.seq <= this.#seqMax) {
        this.#noteCandidate();
        if (this.#cover !== undefined && this.#isCovered(this.#cover, false)) {
          this.#candidateTag = Kind.delete;
          // Nothing visible of this key was passed: it may be left where it is.
          if (this.#skips(this.#cover.from)) continue;
        }
      }
      source.prev();
    }
    if (!source.valid && source.pending) {
      this.pending = true;
      return;
    }
    if (!this.#hasKey || !this.#isCandidateVisible()) return;
    if (this.#hasCandidateValue || !this.#copiesValues) this.#showCandidate();
    else {
      this.#goal = Goal.back;
      source.seek(this.#key, 0, this.#keyLength);
      this.#back();
    }
  }

  /** Walks forward, from the newest version of a key to its newest visible one. */
  #back(): void {
    const source = this.#source;
    while (source.valid && source.seq > this.#seqMax) {
      if (++this.#hidden > HIDDEN_MAX) {
        this.pending = true;
        return;
      }
      source.next();
    }
    if (source.pending) {
      this.pending = true;
      return;
    }
    assert(source.valid && this.#isAtKey(), "an entry that was passed is there on the way back");
    this.#onSource = true;
    this.#showSource();
  }

  /** Returns whether a range tombstone hides the entry under the source. */
  #isCovered(cover: RangeCover, ahead: boolean): boolean {
    const { keyBytes, keyStart, keyEnd, seq } = this.#source;
    const newest = ahead
      ? cover.ahead(keyBytes, keyStart, keyEnd)
      : cover.back(keyBytes, keyStart, keyEnd);
    if (seq < newest) return true;
    this.#covered = 0;
    return false;
  }

  /** Sends what is hidden up to `bound` there, once it is worth it. Returns whether it did. */
  #skips(bound: Uint8Array | undefined): boolean {
    if (++this.#covered <= STEPS_MAX || bound === undefined) return false;
    this.#covered = 0;
    this.#source.skip(this.#cover!.olderChild, bound);
    return true;
  }

  #noteCandidate(): void {
    const { tag } = this.#source;
    this.#candidateSeq = this.#source.seq;
    this.#candidateTag = tag;
    this.#hasCandidateValue = false;
    if (tag === Kind.delete || !this.#copiesValues) return;
    const source = this.#source;
    const { valueBytes, valueStart, valueEnd } = source;
    this.#isCandidateLent = source.lendsValue;
    if (this.#isCandidateLent) {
      this.#candidateBytes = valueBytes;
      this.#candidateStart = valueStart;
      this.#candidateEnd = valueEnd;
      this.#hasCandidateValue = true;
      return;
    }
    if (++this.#copies > COPIES_MAX) return;
    const length = valueEnd - valueStart;
    if (this.#value.length < length) {
      this.#value = new Uint8Array(Math.max(BUFFER_BYTES_MIN, length * 2));
      this.#valueView = viewOf(this.#value);
    }
    if (length <= VIEW_COPY_BYTES_MAX) {
      copyView(this.#valueView, 0, source.valueView, valueStart, valueEnd);
    } else this.#value.set(valueBytes.subarray(valueStart, valueEnd));
    this.#candidateBytes = this.#value;
    this.#candidateStart = 0;
    this.#candidateEnd = length;
    this.#hasCandidateValue = true;
  }

  #isCandidateVisible(): boolean {
    return this.#candidateTag !== NO_TAG && this.#candidateTag !== Kind.delete;
  }

  /** Shows the copied candidate of `#key`. */
  #showCandidate(): void {
    this.keyBytes = this.#key;
    this.keyStart = 0;
    this.keyEnd = this.#keyLength;
    this.seq = this.#candidateSeq;
    this.tag = this.#checked(this.#candidateTag);
    this.valueBytes = this.#candidateBytes;
    this.valueStart = this.#candidateStart;
    this.valueEnd = this.#candidateEnd;
    this.valid = true;
  }

  /** Shows the entry under the source. */
  #showSource(): void {
    const source = this.#source;
    this.keyBytes = source.keyBytes;
    this.keyStart = source.keyStart;
    this.keyEnd = source.keyEnd;
    this.seq = source.seq;
    this.tag = this.#checked(source.tag);
    this.valueBytes = source.valueBytes;
    this.valueStart = source.valueStart;
    this.valueEnd = source.valueEnd;
    this.valid = true;
  }

  /** Returns `tag`. Throws AURA_UNSUPPORTED for an entry that this build cannot read. */
  #checked(tag: number): number {
    if (isKnownTag(tag)) return tag;
    this.#failed = true;
    throw new AuraError("AURA_UNSUPPORTED", `an entry of unknown kind ${tag}`, { actual: tag });
  }

  #isAtKey(): boolean {
    const { keyBytes, keyStart, keyEnd } = this.#source;
    const key = this.#key;
    const length = this.#keyLength;
    if (keyEnd - keyStart !== length) return false;
    // Neighbours differ at the end more often than in front.
    for (let i = length - 1; i >= 0; i--) if (key[i] !== keyBytes[keyStart + i]) return false;
    return true;
  }

  #noteKey(): void {
    const source = this.#source;
    const { keyStart, keyEnd } = source;
    const length = keyEnd - keyStart;
    if (this.#key.length <= length) {
      this.#key = new Uint8Array(Math.max(BUFFER_BYTES_MIN, length * 2 + 1));
      this.#keyView = viewOf(this.#key);
    }
    if (length <= VIEW_COPY_BYTES_MAX) {
      copyView(this.#keyView, 0, source.keyView, keyStart, keyEnd);
    } else this.#key.set(source.keyBytes.subarray(keyStart, keyEnd));
    this.#keyLength = length;
  }

  /** Sends the source to the first key behind `#key`, which is `#key` and a zero byte. */
  #seekBehindKey(): void {
    this.#key[this.#keyLength] = 0;
    this.#source.seek(this.#key, 0, this.#keyLength + 1);
  }
}
