/**
 * The baseline: a plain skip list in typed arrays over one arena, as well made as it goes without
 * further ideas. One tower word per level, branching by four (LevelDB's choice), a header of 16
 * bytes, keys compared byte by byte in place, and no node compared twice in one search.
 */
const HEIGHT_MAX = 12;
const HEAD = 16;
const TOWER = 4;
const START = HEAD + TOWER + HEIGHT_MAX;
const TWO_32 = 2 ** 32;

export class PlainSkipList {
  constructor(buffer, { seed }) {
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.words.fill(0, 0, START);
    this.end = START;
    this.levels = 1;
    this.entryCount = 0;
    this.random = (Math.imul(seed, 0x9e3779b1) ^ 0x6c078965) | 1;
    this.before = new Int32Array(HEIGHT_MAX).fill(HEAD);
    this.hitSeq = 0;
    this.hitTag = 0;
    this.hitValueStart = 0;
    this.hitValueEnd = 0;
  }

  get usedBytes() {
    return this.end * 4;
  }

  add(seq, tag, key, keyStart, keyEnd, value, valueStart, valueEnd) {
    const { words, bytes, before } = this;
    let height = 1;
    let x = this.random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.random = x;
    for (let bits = x; height < HEIGHT_MAX && (bits & 3) === 0; bits >>>= 2) height++;
    const node = this.end;
    const keyBytes = keyEnd - keyStart;
    const valueBytes = valueEnd - valueStart;
    const keyAt = (node + TOWER + height) << 2;
    const end = (keyAt + keyBytes + valueBytes + 3) >>> 2;
    if (end > words.length) return false;
    this.locate(key, keyStart, keyEnd, seq);
    words[node] = keyBytes | (height << 16);
    words[node + 1] = seq | 0;
    words[node + 2] = Math.floor(seq / TWO_32) | (tag << 24);
    words[node + 3] = valueBytes;
    for (let i = keyStart, at = keyAt; i < keyEnd; i++, at++) bytes[at] = key[i];
    copy(bytes, keyAt + keyBytes, value, valueStart, valueEnd);
    if (height > this.levels) {
      for (let level = this.levels; level < height; level++) before[level] = HEAD;
      this.levels = height;
    }
    for (let level = 0; level < height; level++) {
      const link = before[level] + TOWER + level;
      words[node + TOWER + level] = words[link];
      words[link] = node;
    }
    this.end = end;
    this.entryCount++;
    return true;
  }

  locate(key, start, end, seq) {
    const { words, before } = this;
    let level = this.levels - 1;
    let node = HEAD;
    let behind = 0;
    for (;;) {
      const next = words[node + TOWER + level];
      if (next !== 0 && next !== behind) {
        if (this.isBefore(next, key, start, end, seq)) {
          node = next;
          continue;
        }
        behind = next;
      }
      before[level] = node;
      if (level === 0) return next;
      level--;
    }
  }

  isBefore(node, key, start, end, seq) {
    const shape = this.words[node];
    const bytes = this.bytes;
    const nodeLength = shape & 0xffff;
    const length = end - start;
    const common = nodeLength < length ? nodeLength : length;
    const at = (node + TOWER + (shape >>> 16)) << 2;
    for (let i = 0; i < common; i++) {
      const difference = bytes[at + i] - key[start + i];
      if (difference !== 0) return difference < 0;
    }
    return nodeLength === length ? this.seqOf(node) > seq : nodeLength < length;
  }

  seqOf(node) {
    return (this.words[node + 2] & 0x1fffff) * TWO_32 + (this.words[node + 1] >>> 0);
  }

  find(key, start, end, seqMax) {
    const { words, bytes } = this;
    const node = this.locate(key, start, end, seqMax);
    if (node === 0) return false;
    const shape = words[node];
    const length = shape & 0xffff;
    if (length !== end - start) return false;
    const at = (node + TOWER + (shape >>> 16)) << 2;
    for (let i = length - 1; i >= 0; i--) if (bytes[at + i] !== key[start + i]) return false;
    this.hitSeq = this.seqOf(node);
    this.hitTag = words[node + 2] >>> 24;
    this.hitValueStart = at + length;
    this.hitValueEnd = at + length + words[node + 3];
    return true;
  }

  cursor() {
    return new PlainCursor(this);
  }
}

class PlainCursor {
  constructor(list) {
    this.list = list;
    this.keyBytes = list.bytes;
    this.valueBytes = list.bytes;
    this.valid = false;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.valueStart = 0;
    this.valueEnd = 0;
    this.seq = 0;
    this.tag = 0;
    this.node = 0;
  }

  first() {
    this.stand(this.list.words[HEAD + TOWER]);
  }

  seek(key, start, end) {
    this.stand(this.list.locate(key, start, end, Number.MAX_SAFE_INTEGER));
  }

  next() {
    this.stand(this.list.words[this.node + TOWER]);
  }

  stand(node) {
    this.node = node;
    this.valid = node !== 0;
    if (node === 0) return;
    const { words } = this.list;
    const shape = words[node];
    this.keyStart = (node + TOWER + (shape >>> 16)) << 2;
    this.keyEnd = this.keyStart + (shape & 0xffff);
    this.valueStart = this.keyEnd;
    this.valueEnd = this.keyEnd + words[node + 3];
    this.seq = this.list.seqOf(node);
    this.tag = words[node + 2] >>> 24;
  }
}

function copy(target, at, source, start, end) {
  if (end - start <= 96) {
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from];
  } else if (start === 0 && end === source.length) target.set(source, at);
  else target.set(source.subarray(start, end), at);
}
