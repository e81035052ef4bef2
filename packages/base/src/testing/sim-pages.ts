/**
 * The bytes of one simulated file: pages that forks share until one of them writes.
 *
 * `fork` costs the same for a byte and for a gigabyte, so a test can take thousands of crash
 * images. A page that was never written reads as zeros and takes no room. Sizes are the caller's:
 * this is an endless array of bytes.
 */

/** What a disk writes as a whole or not at all. */
export const SECTOR_BYTES = 512;
/** Unit of sharing and of space accounting. */
export const PAGE_BYTES = 4096;

interface Page {
  readonly owner: number;
  readonly bytes: Uint8Array;
}

let owners = 0;

function nextOwner(): number {
  owners++;
  return owners;
}

/** An endless, sparse array of bytes with copy-on-write forks. */
export class Pages {
  #list: (Page | undefined)[] = [];
  #listShared = false;
  #owner = nextOwner();
  #allocated = 0;

  /** Pages that hold bytes. */
  get allocated(): number {
    return this.#allocated;
  }

  /** Returns whether the page that holds `position` takes room. */
  has(position: number): boolean {
    return this.#list[Math.floor(position / PAGE_BYTES)] !== undefined;
  }

  /** Returns an equal array; later writes to either are not seen by the other. */
  fork(): Pages {
    const other = new Pages();
    other.#list = this.#list;
    other.#allocated = this.#allocated;
    other.#listShared = true;
    this.#listShared = true;
    this.#owner = nextOwner();
    return other;
  }

  /** Fills target[start, end) from `position`. */
  read(target: Uint8Array, start: number, end: number, position: number): void {
    let at = start;
    let from = position;
    while (at < end) {
      const inPage = from % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, end - at);
      const page = this.#list[(from - inPage) / PAGE_BYTES];
      if (page === undefined) target.fill(0, at, at + count);
      else target.set(page.bytes.subarray(inPage, inPage + count), at);
      at += count;
      from += count;
    }
  }

  /** Writes source[start, end) at `position`. */
  write(source: Uint8Array, start: number, end: number, position: number): void {
    let at = start;
    let to = position;
    while (at < end) {
      const inPage = to % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, end - at);
      this.#writable((to - inPage) / PAGE_BYTES).set(source.subarray(at, at + count), inPage);
      at += count;
      to += count;
    }
  }

  /** Writes zeros over [start, end); allocates nothing. */
  zero(start: number, end: number): void {
    let at = start;
    while (at < end) {
      const inPage = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, end - at);
      const index = (at - inPage) / PAGE_BYTES;
      if (this.#list[index] !== undefined) this.#writable(index).fill(0, inPage, inPage + count);
      at += count;
    }
  }

  /** Makes every byte at or behind `bytes` zero, and gives back the room of whole pages. */
  cut(bytes: number): void {
    const keep = Math.ceil(bytes / PAGE_BYTES);
    if (this.#list.length > keep) {
      this.#ownList();
      this.#list.length = keep;
      this.#allocated = this.#list.reduce((sum: number) => sum + 1, 0);
    }
    const inPage = bytes % PAGE_BYTES;
    if (inPage !== 0 && this.#list[keep - 1] !== undefined)
      this.#writable(keep - 1).fill(0, inPage);
  }

  /** Returns a copy of one sector. */
  sector(index: number): Uint8Array {
    const bytes = new Uint8Array(SECTOR_BYTES);
    this.read(bytes, 0, SECTOR_BYTES, index * SECTOR_BYTES);
    return bytes;
  }

  #ownList(): void {
    if (!this.#listShared) return;
    this.#list = this.#list.slice();
    this.#listShared = false;
  }

  #writable(index: number): Uint8Array {
    const page = this.#list[index];
    if (page !== undefined && page.owner === this.#owner) return page.bytes;
    this.#ownList();
    const bytes = new Uint8Array(PAGE_BYTES);
    if (page === undefined) this.#allocated++;
    else bytes.set(page.bytes);
    this.#list[index] = { owner: this.#owner, bytes };
    return bytes;
  }
}
