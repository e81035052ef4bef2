/**
 * Replacement policies as simulations that count hits: what the block cache is measured against.
 * Each is a class with `access(key)`, which returns whether the key was there, for `capacity` keys.
 */

/** Least recently used. A Map keeps the order. */
export class Lru {
  constructor(capacity) {
    this.capacity = capacity;
    this.map = new Map();
  }
  access(key) {
    if (this.map.delete(key)) {
      this.map.set(key, 1);
      return true;
    }
    if (this.map.size >= this.capacity) this.map.delete(this.map.keys().next().value);
    this.map.set(key, 1);
    return false;
  }
}

/** Second chance, with a counter up to `most`. */
export class Clock {
  constructor(capacity, most = 1) {
    this.keys = new Int32Array(capacity).fill(-1);
    this.uses = new Uint8Array(capacity);
    this.at = new Map();
    this.hand = 0;
    this.most = most;
  }
  access(key) {
    const slot = this.at.get(key);
    if (slot !== undefined) {
      if (this.uses[slot] < this.most) this.uses[slot]++;
      return true;
    }
    while (this.uses[this.hand] > 0) {
      this.uses[this.hand]--;
      this.hand = (this.hand + 1) % this.keys.length;
    }
    this.at.delete(this.keys[this.hand]);
    this.keys[this.hand] = key;
    this.at.set(key, this.hand);
    this.hand = (this.hand + 1) % this.keys.length;
    return false;
  }
}

/** S3-FIFO, key by key (Yang and others 2023): small 10 %, ghosts as many as main. */
export class S3Fifo {
  constructor(capacity) {
    this.smallMax = Math.max(1, Math.floor(capacity / 10));
    this.capacity = capacity;
    this.small = new Map();
    this.main = new Map();
    this.ghosts = new Map();
  }
  access(key) {
    const home = this.small.has(key) ? this.small : this.main.has(key) ? this.main : undefined;
    if (home !== undefined) {
      home.set(key, Math.min(home.get(key) + 1, 3));
      return true;
    }
    while (this.small.size + this.main.size >= this.capacity) this.evict();
    (this.ghosts.delete(key) ? this.main : this.small).set(key, 0);
    return false;
  }
  evict() {
    if (this.small.size >= this.smallMax || this.main.size === 0) {
      const [key, uses] = this.small.entries().next().value;
      this.small.delete(key);
      if (uses > 0) this.main.set(key, 0);
      else {
        this.ghosts.set(key, 1);
        if (this.ghosts.size > this.capacity) this.ghosts.delete(this.ghosts.keys().next().value);
      }
      return;
    }
    const [key, uses] = this.main.entries().next().value;
    this.main.delete(key);
    if (uses > 0) this.main.set(key, uses - 1);
  }
}

/** W-TinyLFU (Einziger and others 2017): window 1 %, segmented LRU, counts that are halved. */
export class TinyLfu {
  constructor(capacity) {
    this.windowMax = Math.max(1, Math.floor(capacity / 100));
    this.mainMax = capacity - this.windowMax;
    this.protectedMax = Math.floor(this.mainMax * 0.8);
    this.window = new Map();
    this.probation = new Map();
    this.protected = new Map();
    this.mask = 2 ** Math.ceil(Math.log2(capacity * 4)) - 1;
    this.rows = [0, 1, 2, 3].map(() => new Uint8Array(this.mask + 1));
    this.period = capacity * 10;
    this.noted = 0;
  }
  slot(key, row) {
    let hash = Math.imul(key ^ (row * 0x9e3779b1), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
    return (hash ^ (hash >>> 13)) & this.mask;
  }
  count(key) {
    return Math.min(...this.rows.map((row, i) => row[this.slot(key, i)]));
  }
  note(key) {
    this.rows.forEach((row, i) => {
      const at = this.slot(key, i);
      if (row[at] < 15) row[at]++;
    });
    if (++this.noted < this.period) return;
    this.noted = 0;
    for (const row of this.rows) for (let i = 0; i <= this.mask; i++) row[i] >>= 1;
  }
  access(key) {
    this.note(key);
    if (this.window.delete(key)) {
      this.window.set(key, 1);
      return true;
    }
    if (this.protected.delete(key)) {
      this.protected.set(key, 1);
      return true;
    }
    if (this.probation.delete(key)) {
      this.protected.set(key, 1);
      if (this.protected.size > this.protectedMax) {
        const oldest = this.protected.keys().next().value;
        this.protected.delete(oldest);
        this.probation.set(oldest, 1);
      }
      return true;
    }
    this.window.set(key, 1);
    if (this.window.size > this.windowMax) {
      const candidate = this.window.keys().next().value;
      this.window.delete(candidate);
      if (this.probation.size + this.protected.size < this.mainMax)
        this.probation.set(candidate, 1);
      else {
        const victim = this.probation.keys().next().value;
        if (victim === undefined || this.count(candidate) > this.count(victim)) {
          if (victim !== undefined) this.probation.delete(victim);
          this.probation.set(candidate, 1);
        }
      }
    }
    return false;
  }
}
