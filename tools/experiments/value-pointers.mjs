// Which pointer should the tree hold to a separated value: one BY PLACE (file, offset, lengths), or one that names a
// LOGICAL segment, which a relocation remaps without touching a table?  A deterministic simulation; no I/O.
//
//   node tools/experiments/value-pointers.mjs [--seed N] [--quick] [--json FILE]
//
// The decision and its figures stand in docs/rfcs/0002-value-pointers.md.
//
// MODEL
//   Load     N keys, loaded once in random order into 64 value segments; then 4 N overwrites, uniform or zipfian (0.99,
//            scrambled). Values of one size. The live set never changes: N values. Figures are taken over the last 3 N
//            overwrites, peaks over the whole run.
//   Tree     memtable (sealed after a fixed share of N writes), L0 of whole runs, one leveled level of N / 10 entries (more
//            of them, ratio 10, when the memtable is small), a last level of N. 40 B per table entry (key 16, pointer 24),
//            120 tables in the last level; `inline` adds table bytes that go with one separated value (longer keys, small
//            values kept in the tables), overwritten as often. A merge of a level into the next takes one range of keys
//            (round robin) and rewrites every entry of the target in that range.
//   Garbage  A dead value counts as garbage only when something drops its pointer: the memtable when it overwrites, or a
//            merge that meets both versions. Until then it is hidden: it stays "referenced" and a relocation copies it.
//   Reveal   Both schemes may push the upper levels down early: when space is short and memtable + L0 + upper levels hold
//            more than `hidden` of N entries; (bound - 1) / 6 unless said. These rewrites are counted as caused by GC.
//   Space    value-log bytes on disk / bytes of the N live values, open segments and unfinished copies included. A segment
//            leaves when its last reference is gone and the job that removed it has ended.
//   Place    GC marks segments as draining. Every merge below L0 that meets a pointer into one copies the value into
//            its own new segment (cut at the segment size, sealed at the end of the job) and writes the new pointer.
//            Marking: while (disk - garbage in draining segments) > (bound - margin) N, up to `sweep` segments at a time,
//            and only while the copies still fit under the bound; the margin is (bound - 1) / 5 unless said. Segments that
//            L0 or the memtable refer to are not taken. Targeted compaction: when disk + copies still to be made reaches
//            the bound, the range of keys that finishes most of the draining segments is merged through all levels below
//            L0. When no more can be marked for want of room for the copies, the draining ones are finished at once.
//            Victim score: age * garbage / (live + bytes of tables that no draining segment claims already), the table
//            bytes being shared by the sweep when the segment is spread over more than half of the ranges.
//   Logical  Pointers keep (segment, ordinal) for ever; a relocation copies the referenced records of one segment into a
//            new, smaller file and remaps. One at a time, when the bound is near, best age * garbage / (size + live)
//            first. Three sources of per-record liveness are charged on the same run:
//              dead list   4 B for every pointer that dies, written by the compaction, read by the relocation
//              block       a liveness block in every table (Pebble's way): 4 B more per table entry; a relocation reads
//                          4 B per record that it copies (rounding to pages left out)
//              scan        no state: all tables are read, once for 4 segments (a run of its own)
//            Remap: 8 B per relocated live record (ordinal and place, 4 B each) when every record can move
//            alone, or 12 B per 32 KiB group of the original segment (Pebble's virtual blocks) when a get may read the
//            whole group. 8 B per copied record are written with the file.
//   Forward  A middle way, read off the same run: pointers by place, relocation as in Logical through a map from old to
//            new places, and every compaction that writes a table entry anyway writes the new place into it. Then the map
//            holds only records whose table entry has not been rewritten since they moved (8 B each).
//   Reads    by place: 4 KiB pages touched by the copied values, in key order, a page read again unless it was the last
//            one of that segment in that job. Logical: the whole old file in order up to 4 KiB values, above that the
//            pages of the live records. Tables: all inputs of targeted and early merges.
//   Scans    reads needed for 100 consecutive keys after the run, sorted by place, gaps up to 32 KiB read through.
//
// SIMPLIFICATIONS
//   GC runs to its end between two steps of 1/512 of the live set (as if writers were slowed as far as necessary), and
//   one job at a time. No deletes, no growth, no snapshots, one value size per run, values uncompressed, headers of
//   records, tables and segments left out, WAL left out (the same for both). Keys are dense integers, so ranges are
//   equally full. N is 2^18 instead of 10^8: ratios depend on shares of the live set, not on N, as long as a table
//   holds several references to each unclustered segment; section 14 halves N, --quick divides it by 8.
import { writeFileSync } from "node:fs";

const POINTER_ENTRY = 40;
const USER_KEY = 16;
const TABLES = 120;
const PAGE = 4096;
const GROUP = 32768;
const RATIO = 10;

function random32(seed) {
  let a = 0x9e3779b9 ^ seed,
    b = 0x243f6a88,
    c = 0xb7e15162,
    d = 1;
  const next = () => {
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

function permutation(n, next) {
  const p = new Uint32Array(n);
  for (let i = 0; i < n; i++) p[i] = i;
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor((next() / 4294967296) * (i + 1));
    const t = p[i];
    p[i] = p[j];
    p[j] = t;
  }
  return p;
}

function keyStream(kind, n, next, scramble) {
  const unit = () => (next() * 2097152 + (next() >>> 11)) / 9007199254740992;
  if (kind === "uniform") return () => Math.floor(unit() * n);
  const theta = 0.99;
  let zeta = 0;
  for (let i = 1; i <= n; i++) zeta += 1 / i ** theta;
  const two = 1 + 0.5 ** theta;
  const alpha = 1 / (1 - theta);
  const eta = (1 - (2 / n) ** (1 - theta)) / (1 - two / zeta);
  return () => {
    const u = unit();
    const z = u * zeta;
    const rank = z < 1 ? 0 : z < two ? 1 : Math.floor(n * (eta * u - eta + 1) ** alpha);
    return scramble[rank < n ? rank : n - 1];
  };
}

export function simulate(options) {
  const o = {
    keys: 1 << 18,
    value: 1024,
    workload: "uniform",
    bound: 1.3,
    scheme: "place",
    segments: 64,
    memtable: 1 / 32,
    l0: 2,
    sweep: 16,
    ranges: 24,
    select: "best",
    targeted: true,
    inline: 0,
    overwrites: 4,
    warm: 1,
    seed: 1,
    ...options,
  };
  o.margin ??= (o.bound - 1) / 5;
  o.hidden ??= (o.bound - 1) / 6;
  const ENTRY = POINTER_ENTRY + o.inline; // table bytes that go with one separated value
  const N = o.keys,
    value = o.value,
    place = o.scheme === "place",
    G = o.ranges;
  const perSegment = Math.floor(N / o.segments);
  const memLimit = Math.max(1, Math.floor(N * o.memtable));
  const step = Math.max(1, Math.floor(N / 512));
  const cap = o.bound * N,
    high = (o.bound - o.margin) * N;
  const next = random32(o.seed);
  const scramble = permutation(N, next);
  const nextKey = keyStream(o.workload, N, next, scramble);
  const loadOrder = permutation(N, next);

  // --- the tree: a level is an array key -> version + 1 (0 = absent); a version is the number of the write that made it
  const target = [];
  for (let t = N / RATIO; t >= memLimit; t /= RATIO) target.unshift(Math.floor(t));
  const upperLevels = target.length,
    last = upperLevels;
  const level = Array.from({ length: last + 1 }, () => new Uint32Array(N));
  const count = new Array(last + 1).fill(0);
  const pieces = target.map((t) => Math.max(1, Math.min(12, Math.round((TABLES * t) / N))));
  const cursor = new Array(last + 1).fill(0);
  const rangeWidth = Math.ceil(N / G);
  let runs = [];
  const mem = new Uint32Array(N);
  let memKeys = [],
    memWrites = 0,
    flushedBelow = N,
    leftL0Below = N;

  // --- segments
  const versions = N + o.overwrites * N;
  const keyOf = new Uint32Array(versions),
    segmentOf = new Uint32Array(versions),
    positionOf = new Uint32Array(versions);
  const LIMIT = 1 << 16;
  const refs = new Uint32Array(LIMIT),
    size = new Uint32Array(LIMIT),
    sealed = new Uint8Array(LIMIT),
    draining = new Uint8Array(LIMIT);
  const sealedAt = new Float64Array(LIMIT),
    newest = new Uint32Array(LIMIT),
    written = new Uint8Array(LIMIT);
  const refsIn = new Uint32Array(LIMIT * G),
    drainIn = new Float64Array(G);
  const lastPage = new Int32Array(LIMIT),
    lastJob = new Int32Array(LIMIT);
  let segmentsMade = 0,
    onDisk = [],
    disk = 0,
    referenced = 0,
    drainRefs = 0,
    drainSize = 0,
    drainCount = 0,
    empty = [];
  let active = -1,
    jobSegment = -1,
    jobNumber = 1,
    byGc = false,
    writes = 0;

  // --- logical scheme: which versions are referenced, which have been moved, per 32 KiB group how many moved ones live
  const isRef = place ? null : new Uint8Array(versions),
    moved = place ? null : new Uint8Array(versions);
  const groupSize = Math.max(1, Math.floor(GROUP / value));
  const groupMoved = place ? null : new Uint16Array(Math.ceil(versions / groupSize));
  const stale = place ? null : new Uint8Array(versions); // moved, and no table entry has been rewritten since
  let movedLive = 0,
    movedGroups = 0,
    staleLive = 0;

  const m = {
    copied: 0,
    tableOut: 0,
    tableOutGc: 0,
    tableInGc: 0,
    dropped: 0,
    victims: 0,
    victimLive: 0,
    sweeps: 0,
    jobs: 0,
    early: 0,
    stuck: 0,
    readPages: 0,
    deadListRead: 0,
    scanned: 0,
    peak: 0,
    peakSegments: 0,
    peakMoved: 0,
    peakGroups: 0,
    peakStale: 0,
    hidden: 0,
    disk: 0,
    samples: 0,
    newSegments: 0,
  };

  const openSegment = () => {
    const s = segmentsMade++;
    if (s >= LIMIT) throw new Error("too many segments for the model");
    onDisk.push(s);
    return s;
  };
  const seal = (s) => {
    sealed[s] = 1;
    sealedAt[s] = writes;
    if (refs[s] === 0) empty.push(s);
  };
  const append = (s, version, range) => {
    segmentOf[version] = s;
    positionOf[version] = size[s]++;
    refs[s]++;
    refsIn[s * G + range]++;
    if (version > newest[s]) newest[s] = version;
    disk++;
  };
  const release = (version) => {
    const s = segmentOf[version],
      g = Math.floor(keyOf[version] / rangeWidth);
    refs[s]--;
    refsIn[s * G + g]--;
    if (draining[s]) {
      drainRefs--;
      drainIn[g]--;
    }
    if (refs[s] === 0 && sealed[s]) empty.push(s);
  };
  const drop = (version) => {
    release(version);
    referenced--;
    m.dropped++;
    if (!place) {
      isRef[version] = 0;
      if (stale[version]) {
        stale[version] = 0;
        staleLive--;
      }
      if (moved[version]) {
        movedLive--;
        if (--groupMoved[Math.floor(version / groupSize)] === 0) movedGroups--;
      }
    }
  };
  const notePeak = () => {
    if (disk > m.peak) m.peak = disk;
    if (onDisk.length > m.peakSegments) m.peakSegments = onDisk.length;
  };
  const unlinkEmpty = () => {
    for (const s of empty) {
      disk -= size[s];
      if (draining[s]) {
        drainCount--;
        drainSize -= size[s];
        draining[s] = 0;
      }
      sealed[s] = 0;
      size[s] = 0;
      const i = onDisk.indexOf(s);
      onDisk[i] = onDisk[onDisk.length - 1];
      onDisk.pop();
    }
    empty.length = 0;
  };
  const relocate = (version) => {
    // by place: the compaction copies one value
    const old = segmentOf[version];
    const first = Math.floor((positionOf[version] * value) / PAGE),
      end = Math.floor(((positionOf[version] + 1) * value - 1) / PAGE);
    m.readPages +=
      end - first + 1 - (lastJob[old] === jobNumber && lastPage[old] === first ? 1 : 0);
    lastJob[old] = jobNumber;
    lastPage[old] = end;
    release(version);
    if (jobSegment >= 0 && size[jobSegment] >= perSegment) {
      seal(jobSegment);
      jobSegment = -1;
    }
    if (jobSegment < 0) {
      jobSegment = openSegment();
      m.newSegments++;
    }
    append(jobSegment, version, Math.floor(keyOf[version] / rangeWidth));
    m.copied++;
  };
  const endJob = (entriesIn, entriesOut) => {
    m.tableOut += entriesOut;
    if (byGc) {
      m.tableOutGc += entriesOut;
      m.tableInGc += entriesIn;
    }
    if (jobSegment >= 0) {
      seal(jobSegment);
      jobSegment = -1;
    }
    jobNumber++;
    notePeak();
    unlinkEmpty();
  };
  const mergeThrough = (from, to, low, high) => {
    // levels from..to of a range of keys into level `to`
    const dst = level[to],
      relocating = drainCount > 0;
    let entriesIn = 0,
      entriesOut = 0;
    for (let k = low; k < high; k++) {
      let entry = dst[k];
      if (entry !== 0) entriesIn++;
      for (let i = to - 1; i >= from; i--) {
        const upper = level[i][k];
        if (upper === 0) continue;
        entriesIn++;
        level[i][k] = 0;
        count[i]--;
        if (entry !== 0) drop(entry - 1);
        else count[to]++;
        dst[k] = entry = upper;
      }
      if (entry === 0) continue;
      entriesOut++;
      if (relocating && draining[segmentOf[entry - 1]]) relocate(entry - 1);
      if (!place && stale[entry - 1]) {
        stale[entry - 1] = 0;
        staleLive--;
      }
    }
    endJob(entriesIn, entriesOut);
  };
  const mergeL0 = () => {
    if (runs.length === 0) return;
    const dst = level[0];
    let entriesIn = count[0];
    for (const run of runs) {
      entriesIn += run.keys.length;
      for (let j = 0; j < run.keys.length; j++) {
        const k = run.keys[j];
        if (dst[k] !== 0) drop(dst[k] - 1);
        else count[0]++;
        dst[k] = run.versions[j] + 1;
      }
    }
    runs = [];
    leftL0Below = flushedBelow;
    if (!place)
      for (let k = 0; k < N; k++)
        if (dst[k] !== 0 && stale[dst[k] - 1]) {
          stale[dst[k] - 1] = 0;
          staleLive--;
        }
    if (drainCount > 0)
      for (let k = 0; k < N; k++)
        if (dst[k] !== 0 && draining[segmentOf[dst[k] - 1]]) relocate(dst[k] - 1);
    endJob(entriesIn, count[0]);
  };
  const pushDown = (i) => {
    const n = pieces[i],
      c = cursor[i];
    cursor[i] = (c + 1) % n;
    mergeThrough(i, i + 1, Math.floor((N * c) / n), Math.floor((N * (c + 1)) / n));
  };
  const flush = () => {
    const keys = Uint32Array.from(memKeys),
      run = new Uint32Array(keys.length);
    for (let j = 0; j < keys.length; j++) {
      run[j] = mem[keys[j]] - 1;
      mem[keys[j]] = 0;
    }
    runs.push({ keys, versions: run });
    memKeys = [];
    memWrites = 0;
    flushedBelow = N + writes;
    endJob(0, keys.length);
    if (runs.length >= o.l0) mergeL0();
    for (let i = 0; i < upperLevels; i++) while (count[i] > target[i]) pushDown(i);
  };
  const above = () => {
    let n = memKeys.length;
    for (const run of runs) n += run.keys.length;
    for (let i = 0; i < upperLevels; i++) n += count[i];
    return n;
  };
  const reveal = () => {
    const limit = o.hidden * N;
    if (above() <= limit || upperLevels === 0) return;
    byGc = true;
    if (runs.length > 1 || (runs.length === 1 && above() - count[upperLevels - 1] > limit / 2)) {
      mergeL0();
      m.early++;
    }
    for (let i = 0; i < upperLevels; i++)
      for (let c = 0; c < pieces[i] && count[i] > 0 && above() > limit; c++) {
        pushDown(i);
        m.early++;
      }
    byGc = false;
  };
  const lastResort = () => {
    // nothing to mark, space short: make hidden garbage known
    if (above() < 0.02 * N) return false;
    byGc = true;
    m.early++;
    if (runs.length > 0) mergeL0();
    else if (memKeys.length > memLimit / 4) {
      flush();
      mergeL0();
    } else
      for (let i = 0; i < upperLevels; i++)
        if (count[i] > 0) {
          for (let c = 0; c < pieces[i]; c++) pushDown(i);
        }
    byGc = false;
    return true;
  };

  // --- choosing victims
  const tableBytesPerRange = (N / G) * (1 + 1 / RATIO) * ENTRY;
  const score = (s) => {
    // "best": what was measured to be best for the scheme
    const garbage = size[s] - refs[s],
      u = refs[s] / size[s],
      age = writes - sealedAt[s] + perSegment;
    if (o.select === "greedy") return garbage / size[s];
    if (o.select === "age" || !place) return ((1 - u) / (1 + u)) * age;
    let spread = 0,
      unclaimed = 0;
    for (let g = 0; g < G; g++)
      if (refsIn[s * G + g] !== 0) {
        spread++;
        if (drainIn[g] === 0) unclaimed++;
      }
    const tableCost = (unclaimed * tableBytesPerRange) / (spread > G / 2 ? o.sweep : 1);
    return ((o.select === "table" ? 1 : age) * garbage * value) / (refs[s] * value + tableCost);
  };
  const pick = (room) => {
    const below = place ? leftL0Below : flushedBelow;
    let best = -1,
      bestScore = -1;
    for (const s of onDisk) {
      if (
        !sealed[s] ||
        draining[s] ||
        newest[s] >= below ||
        refs[s] > room ||
        size[s] - refs[s] < 0.05 * size[s]
      )
        continue;
      const x = score(s);
      if (x > bestScore) {
        bestScore = x;
        best = s;
      }
    }
    return best;
  };
  const mark = (s) => {
    draining[s] = 1;
    drainCount++;
    drainRefs += refs[s];
    drainSize += size[s];
    m.victims++;
    m.victimLive += refs[s] / size[s];
    for (let g = 0; g < G; g++) drainIn[g] += refsIn[s * G + g];
  };
  const bestRange = () => {
    const benefit = new Float64Array(G);
    for (const s of onDisk)
      if (draining[s] && refs[s] > 0)
        for (let g = 0; g < G; g++) benefit[g] += size[s] * (refsIn[s * G + g] / refs[s]) ** 2;
    let best = -1;
    for (let g = 0; g < G; g++)
      if (drainIn[g] > 0 && (best < 0 || benefit[g] > benefit[best])) best = g;
    return best;
  };
  const collectByPlace = () => {
    for (let guard = 0; guard < 10000; guard++) {
      let progress = false;
      if (disk > high && o.targeted) reveal();
      while (disk - (drainSize - drainRefs) > high) {
        let n = 0;
        for (; n < o.sweep; n++) {
          const s = pick(o.targeted ? cap - step - disk - drainRefs : N);
          if (s < 0) break;
          mark(s);
          progress = true;
        }
        if (n > 0) m.sweeps++;
        if (n < o.sweep) break;
      }
      if (!o.targeted) return;
      // More should be marked, but there is no room for the copies.
      const blocked = disk - (drainSize - drainRefs) > high;
      if (drainCount > 0 && (blocked || disk + drainRefs + step > cap)) {
        const g = bestRange();
        if (g >= 0) {
          byGc = true;
          m.jobs++;
          mergeThrough(0, last, g * rangeWidth, Math.min(N, (g + 1) * rangeWidth));
          byGc = false;
          continue;
        }
      }
      if (disk > high && drainCount === 0) {
        if (lastResort()) continue;
        const s = pick(N); // the bound cannot be kept: take the best one all the same
        m.stuck++;
        if (s < 0) return;
        mark(s);
        continue;
      }
      if (!progress) return;
    }
  };
  const collectLogical = () => {
    const near = () => disk + 0.75 * perSegment + step > cap;
    if (near()) reveal();
    const batch = o.scheme === "logical-scan" ? 4 : 1;
    for (let guard = 0; guard < 10000 && near(); guard++) {
      let n = 0;
      for (; n < batch; n++) {
        const s = pick(Math.max(0, cap - disk));
        if (s < 0) break;
        if (n === 0) m.scanned += above() - memKeys.length + count[last];
        const live = refs[s];
        m.victims++;
        m.victimLive += live / size[s];
        m.copied += live;
        m.deadListRead += (size[s] - live) * 4;
        m.readPages +=
          value <= PAGE ? Math.ceil((size[s] * value) / PAGE) : live * (1 + (value - 1) / PAGE);
        disk += live;
        notePeak();
        disk -= size[s];
        size[s] = live;
        sealedAt[s] = writes;
        for (let version = s * perSegment, end = version + perSegment; version < end; version++) {
          if (!isRef[version]) continue;
          if (!stale[version]) {
            stale[version] = 1;
            staleLive++;
          }
          if (moved[version]) continue;
          moved[version] = 1;
          movedLive++;
          if (groupMoved[Math.floor(version / groupSize)]++ === 0) movedGroups++;
        }
        if (movedLive > m.peakMoved) m.peakMoved = movedLive;
        if (movedGroups > m.peakGroups) m.peakGroups = movedGroups;
        if (staleLive > m.peakStale) m.peakStale = staleLive;
      }
      if (n === 0 && !lastResort()) {
        m.stuck++;
        return;
      }
    }
  };

  // --- the run
  const store = (version, key) => {
    if (active < 0) {
      active = openSegment();
      written[active] = 1;
    }
    keyOf[version] = key;
    if (!place) isRef[version] = 1;
    append(active, version, Math.floor(key / rangeWidth));
    referenced++;
    if (size[active] === perSegment) {
      seal(active);
      active = -1;
    }
  };
  for (let i = 0; i < N; i++) {
    store(i, loadOrder[i]);
    level[last][loadOrder[i]] = i + 1;
  }
  count[last] = N;
  let base = null;
  const total = o.overwrites * N;
  while (writes < total) {
    const key = nextKey(),
      version = N + writes++;
    store(version, key);
    if (mem[key] !== 0) drop(mem[key] - 1);
    else memKeys.push(key);
    mem[key] = version + 1;
    if (++memWrites >= memLimit) {
      notePeak();
      flush();
    }
    if (writes % step === 0) {
      notePeak();
      if (place) collectByPlace();
      else collectLogical();
      m.hidden += referenced - N;
      m.disk += disk;
      m.samples++;
    }
    if (writes === o.warm * N) base = { ...m };
  }

  // --- checks: references and sizes agree with the tree
  let entries = above() + count[last],
    sumRefs = 0,
    sumSize = 0;
  for (const s of onDisk) {
    sumRefs += refs[s];
    sumSize += size[s];
  }
  if (entries !== referenced || sumRefs !== referenced || sumSize !== disk)
    throw new Error("the books do not balance");

  // --- results
  const d = {};
  for (const x of Object.keys(m)) d[x] = m[x] - base[x];
  const W = total - o.warm * N,
    user = W * (value + USER_KEY + o.inline);
  let pairs = 0; // (table, segment) references that the manifest or the tables have to record
  const seen = new Int32Array(segmentsMade).fill(-1);
  let table = 0;
  for (let i = 0; i <= last; i++) {
    const n = Math.max(1, Math.round((TABLES * count[i]) / N));
    for (let t = 0; t < n; t++, table++) {
      for (let k = Math.floor((N * t) / n), end = Math.floor((N * (t + 1)) / n); k < end; k++) {
        if (level[i][k] === 0) continue;
        const s = segmentOf[level[i][k] - 1];
        if (seen[s] !== table) {
          seen[s] = table;
          pairs++;
        }
      }
    }
  }
  const newestOf = level[last].slice();
  for (let i = last - 1; i >= 0; i--)
    for (let k = 0; k < N; k++) if (level[i][k] !== 0) newestOf[k] = level[i][k];
  for (const run of runs)
    for (let j = 0; j < run.keys.length; j++) newestOf[run.keys[j]] = run.versions[j] + 1;
  for (const k of memKeys) newestOf[k] = mem[k];
  let scanReads = 0;
  const SCANS = 1000,
    WIDTH = 100,
    places = new Float64Array(WIDTH),
    gap = 1 + Math.floor(GROUP / value);
  for (let i = 0; i < SCANS; i++) {
    const from = Math.floor(((N - WIDTH) * i) / SCANS);
    for (let j = 0; j < WIDTH; j++) {
      const version = newestOf[from + j] - 1;
      places[j] = segmentOf[version] * 1e7 + positionOf[version];
    }
    places.sort();
    for (let j = 0; j < WIDTH; j++) if (j === 0 || places[j] - places[j - 1] > gap) scanReads++;
  }
  const values = ((W + d.copied) * value) / user;
  const tables = (d.tableOut * ENTRY) / user;
  const logicalExtra = (d.copied * 8) / user;
  const r = {
    scheme: o.scheme,
    value,
    workload: o.workload,
    bound: o.bound,
    options,
    copiedPerWrite: d.copied / W,
    values,
    tables,
    tablesByGc: (d.tableOutGc * ENTRY) / user,
    wa: values + tables + (place ? 0 : logicalExtra),
    victimLive: d.victims ? d.victimLive / d.victims : 0,
    peak: m.peak / N,
    average: d.disk / d.samples / N,
    hidden: d.hidden / d.samples / N,
    segments: onDisk.length,
    peakSegments: m.peakSegments,
    newSegmentShare: d.newSegments ? d.copied / d.newSegments / perSegment : 0,
    victimsPerLiveSet: d.victims / (W / N),
    jobsPerLiveSet: d.jobs / (W / N),
    earlyPerLiveSet: d.early / (W / N),
    stuck: d.stuck,
    pairsPerTable: pairs / table,
    readValues: (d.readPages * PAGE) / user,
    readTables: (d.tableInGc * ENTRY) / user,
    scanReads: scanReads / SCANS,
  };
  if (!place) {
    r.waDeadList = r.wa + (d.dropped * 4) / user;
    r.waBlock = r.wa + (d.tableOut * 4) / user;
    r.readDeadList = d.deadListRead / user;
    r.readBlock = (d.copied * 4) / user;
    r.readScan = (d.scanned * ENTRY) / user;
    r.remapBytesPerLiveValue = (8 * m.peakMoved) / N;
    r.groupBytesPerLiveValue = (12 * m.peakGroups) / N;
    r.forwardBytesPerLiveValue = (8 * m.peakStale) / N;
    r.logicalSegments = onDisk.length;
  }
  return r;
}

function main() {
  const args = process.argv.slice(2);
  let seed = 1,
    quick = false,
    json;
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--seed") seed = Number(args[++i]);
    else if (args[i] === "--quick") quick = true;
    else if (args[i] === "--json") json = args[++i];
    else throw new Error(`unknown option ${args[i]}; known: --seed N, --quick, --json FILE`);
  }
  if (!Number.isInteger(seed)) throw new Error("--seed takes an integer");
  const keys = quick ? 1 << 15 : 1 << 18,
    few = quick ? 1 << 15 : 1 << 16;
  const all = [];
  const f = (x, n = 2) => (x === undefined ? "-" : x.toFixed(n));
  const run = (section, options) => {
    const r = simulate({ seed, ...options });
    r.section = section;
    all.push(r);
    return r;
  };
  const print = (title, header, rows) => {
    const wide = header.map((h, i) => Math.max(h.length, ...rows.map((x) => x[i].length)));
    console.log(`\n${title}`);
    for (const x of [header, ...rows])
      console.log(
        "  " + x.map((c, i) => (i === 0 ? c.padEnd(wide[i]) : c.padStart(wide[i]))).join("  "),
      );
  };
  console.log(
    `keys ${keys} (sensitivity runs ${few}), seed ${seed}; write figures are bytes per user byte, space is value-log bytes per live value byte`,
  );

  const brief = (r) => [
    f(r.wa),
    f(r.values),
    f(r.tables),
    f(r.tablesByGc),
    f(r.peak, 3),
    f(r.average),
    f(r.hidden, 3),
    f(r.victimLive),
    f(r.readValues),
    f(r.readTables),
    f(r.scanReads, 0),
    String(r.peakSegments),
    f(r.pairsPerTable, 0),
    String(r.stuck),
  ];
  const header = [
    "WA",
    "values",
    "tables",
    "of GC",
    "peak",
    "avg",
    "hidden",
    "u",
    "rd val",
    "rd tab",
    "scan100",
    "segs",
    "ref/tab",
    "stuck",
  ];
  const rows = [],
    extra = [];
  for (const bound of [1.3, 1.5])
    for (const workload of ["uniform", "zipfian"])
      for (const value of [1024, 4096, 16384]) {
        const name = `${bound} ${workload} ${value / 1024} KiB`;
        for (const scheme of ["place", "logical"]) {
          const r = run("main", { keys, bound, workload, value, scheme });
          rows.push([`${name} ${scheme}`, ...brief(r)]);
          if (scheme === "logical") {
            const s = run("main", { keys: few, bound, workload, value, scheme: "logical-scan" });
            extra.push([
              name,
              f(r.waDeadList),
              f(r.waBlock),
              f(s.wa),
              f(r.readDeadList, 3),
              f(r.readBlock),
              f(s.readScan),
              f(r.remapBytesPerLiveValue),
              f(r.groupBytesPerLiveValue),
              f(r.forwardBytesPerLiveValue),
              String(r.logicalSegments),
            ]);
          }
        }
      }
  print(
    "1. both schemes, the same tree and the same limit on hidden garbage",
    ["bound, keys, value", ...header],
    rows,
  );
  print(
    "2. logical: write amplification, reads and memory by source of liveness",
    [
      "",
      "WA dead list",
      "WA block",
      "WA scan",
      "rd dead list",
      "rd block",
      "rd scan",
      "remap B/value",
      "group B/value",
      "forward B/value",
      "logical segs",
    ],
    extra,
  );

  const series = (title, section, label, list) =>
    print(
      title,
      [label, ...header],
      list.map(([name, options]) => [name, ...brief(run(section, { keys: few, ...options }))]),
    );
  const cases = [
    ["1 KiB", { value: 1024 }],
    ["16 KiB", { value: 16384 }],
  ];
  const cross = (values, option, name) =>
    cases.flatMap(([c, x]) => values.map((v) => [`${c} ${name(v)}`, { ...x, [option]: v }]));
  series(
    "3. limit on hidden garbage, by place (uniform, 1.3)",
    "hidden",
    "value, limit",
    cross([9, 0.12, 0.08, 0.06, 0.05, 0.04], "hidden", (v) => (v > 1 ? "none" : String(v))),
  );
  series(
    "4. the same, logical",
    "hidden",
    "value, limit",
    cross([9, 0.12, 0.08, 0.06, 0.05, 0.04], "hidden", (v) => (v > 1 ? "none" : String(v))).map(
      ([n, x]) => [n, { ...x, scheme: "logical" }],
    ),
  );
  series(
    "5. sweep size (by place, uniform, 1.3)",
    "sweep",
    "value, segments",
    cross([1, 2, 4, 8, 16, 32], "sweep", String),
  );
  series("6. margin below the bound at which marking starts", "margin", "value, margin", [
    ...cross([0.04, 0.06, 0.08, 0.1, 0.12, 0.16], "margin", String),
    ...[0.06, 0.1, 0.15, 0.2].map((margin) => [
      `1 KiB, bound 1.5 ${margin}`,
      { bound: 1.5, margin },
    ]),
  ]);
  series(
    "7. segment size: segments that the live set fills",
    "segments",
    "value, segments",
    cross([8, 16, 32, 64, 128, 256], "segments", String),
  );
  series(
    "8. width of a targeted compaction: ranges in the key space",
    "ranges",
    "value, ranges",
    cross([6, 12, 24, 48, 120], "ranges", String),
  );
  series(
    "9. memtable, share of the live set",
    "memtable",
    "value, share",
    cross([1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128], "memtable", (v) => `1/${1 / v}`),
  );
  series(
    "10. choice of victims (by place)",
    "select",
    "value, keys, rule",
    cases.flatMap(([c, x]) =>
      ["uniform", "zipfian"].flatMap((w) =>
        ["greedy", "age", "table", "best"].map((s) => [
          `${c} ${w} ${s}`,
          { ...x, workload: w, select: s },
        ]),
      ),
    ),
  );
  series(
    "11. choice of victims (logical)",
    "select",
    "value, keys, rule",
    cases
      .slice(0, 1)
      .flatMap(([c, x]) =>
        ["uniform", "zipfian"].flatMap((w) =>
          ["greedy", "age"].map((s) => [
            `${c} ${w} ${s}`,
            { ...x, workload: w, select: s, scheme: "logical" },
          ]),
        ),
      ),
  );
  series(
    "12. no targeted and no early compaction: relocation only where a normal one passes",
    "natural",
    "bound, value, keys",
    [1.3, 1.5].flatMap((bound) =>
      cases
        .slice(0, 1)
        .flatMap(([c, x]) =>
          ["uniform", "zipfian"].map((w) => [
            `${bound} ${c} ${w}`,
            { ...x, bound, workload: w, targeted: false, margin: 0.15 },
          ]),
        ),
    ),
  );
  series(
    "13. other bounds (by place, uniform)",
    "bound",
    "value, bound",
    cross([1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2], "bound", String),
  );
  series(
    "14. other seeds and half the keys (1 KiB, 1.3)",
    "seeds",
    "",
    ["place", "logical"].flatMap((scheme) => [
      ...[1, 2, 3].map((k) => [`${scheme} seed ${seed + k}`, { seed: seed + k, scheme }]),
      [`${scheme} half the keys`, { keys: few / 2, scheme }],
    ]),
  );

  // both schemes at the better of two settings: the default one, and one that lets normal compactions do more
  const best = (scheme, x) => {
    const lazy = { ...x, hidden: 9, ...(scheme === "place" ? { margin: (x.bound - 1) / 3 } : {}) };
    const [a, b] = [
      run("mixed", { keys: few, scheme, ...x }),
      run("mixed", { keys: few, scheme, ...lazy }),
    ];
    return a.wa <= b.wa ? a : b;
  };
  const mixed = [];
  for (const bound of [1.3, 1.5, 1.75, 2])
    for (const [value, inline] of [
      [1024, 0],
      [1024, 80],
      [1024, 600],
      [4096, 0],
      [4096, 600],
      [16384, 0],
      [16384, 600],
    ]) {
      const p = best("place", { bound, value, inline }),
        l = best("logical", { bound, value, inline });
      mixed.push([
        `${bound} ${value / 1024} KiB + ${inline}`,
        f(p.wa),
        f(p.tablesByGc),
        f(l.wa),
        f(l.tablesByGc),
        f(p.wa / l.wa),
        f(l.remapBytesPerLiveValue),
        f(l.forwardBytesPerLiveValue),
      ]);
    }
  print(
    "15. table bytes that go with one separated value (uniform; the better of two settings each)",
    [
      "bound, value + bytes",
      "place WA",
      "of GC",
      "logical WA",
      "of GC",
      "ratio",
      "remap B/value",
      "forward B/value",
    ],
    mixed,
  );

  series(
    "16. place at 1 KiB + 600 B, bound 1.3, no early push: margin and seed",
    "astray",
    "margin, seed",
    [0.1, 0.12, 0.14].flatMap((margin) =>
      [0, 1, 2].map((k) => [
        `${margin} seed ${seed + k}`,
        { margin, seed: seed + k, inline: 600, hidden: 9 },
      ]),
    ),
  );

  if (json)
    writeFileSync(
      json,
      JSON.stringify({ seed, keys, few, node: process.version, results: all }, null, 1) + "\n",
    );
}

if (
  process.argv[1] &&
  import.meta.url.endsWith(process.argv[1].replace(/\\/g, "/").split("/").pop())
)
  main();
