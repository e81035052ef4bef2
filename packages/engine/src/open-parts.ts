/**
 * Assembles a database: locks the directory, recovers it, and makes the parts that work together.
 * The only place that knows how they are wired.
 */
import type { FileLock, JobQueue, Runtime } from "@aura/base";
import { AuraError, assert, hashReady, SeededRandom } from "@aura/base";
import { flexiblePolicy, treeGeometry } from "@aura/compaction-rl";
import { AdaptiveReads } from "./adaptive-reads.ts";
import type { ChangeFeed } from "./change-feed.ts";
import { Committer } from "./commit.ts";
import { Compactor } from "./compaction.ts";
import type { Components, ResolvedComponents } from "./components.ts";
import { resolveComponents } from "./components.ts";
import { CoveredTables } from "./covered-tables.ts";
import { directoryOf, makeDurableDirectory } from "./database-directory.ts";
import { DatabaseEmitter } from "./events.ts";
import { LOCK_NAME } from "./file-names.ts";
import { Flusher } from "./flush.ts";
import { Health } from "./health.ts";
import { IndexObserver } from "./index-observer.ts";
import { initialIndexPlan } from "./index-tuner.ts";
import { IoBudget } from "./io-budget.ts";
import { inlineJobs, JobLanes } from "./job-lanes.ts";
import { Journal } from "./journal.ts";
import { LogCatalog } from "./log-catalog.ts";
import { Memtables } from "./memtables.ts";
import { obsoleteLogs, removeOrphans } from "./obsolete-files.ts";
import type { OldLog } from "./old-logs.ts";
import { OutputPlanner } from "./output-planner.ts";
import { PriorityWrites } from "./priority-writes.ts";
import type { Recovered } from "./recovery.ts";
import { recover } from "./recovery.ts";
import { Reserve } from "./reserve.ts";
import { Resumer } from "./resume.ts";
import { Separation } from "./separation.ts";
import type { ResolvedSettings, Settings } from "./settings.ts";
import { resolveSettings } from "./settings.ts";
import { SnapshotList } from "./snapshot.ts";
import { agentOf, checkWeights, Steering } from "./steering.ts";
import { StreamRoom } from "./stream-room.ts";
import type { StreamedValueParts } from "./streamed-value.ts";
import { TableStore } from "./table-store.ts";
import { Tracing } from "./tracing.ts";
import { Tree } from "./tree.ts";
import { ageCheckMs, treeSettings } from "./tree-settings.ts";
import { TurnKeeper } from "./turn-keeper.ts";
import { watchValues } from "./value-fates.ts";
import { ValueGc } from "./value-gc.ts";
import { ValueLocality } from "./value-locality.ts";
import { ValueStore } from "./value-store.ts";
import { VersionSet } from "./version-set.ts";
import { WorkCounts } from "./work-counts.ts";
import { WriteDebt } from "./write-debt.ts";

/** The parts of an open database. */
export interface DatabaseParts {
  readonly directory: string;
  readonly settings: ResolvedSettings;
  readonly fs: ResolvedComponents["fs"];
  readonly runtime: Runtime;
  readonly lock: FileLock;
  readonly health: Health;
  readonly events: DatabaseEmitter;
  readonly turns: TurnKeeper;
  readonly queue: JobQueue;
  readonly memtables: Memtables;
  readonly journal: Journal;
  readonly committer: Committer;
  readonly versions: VersionSet;
  readonly tree: Tree;
  readonly tables: TableStore;
  readonly indexObserver: IndexObserver;
  readonly values: ValueStore;
  readonly snapshots: SnapshotList;
  readonly flusher: Flusher;
  readonly compactor: Compactor;
  readonly valueGc: ValueGc;
  readonly locality: ValueLocality;
  readonly reserve: Reserve;
  readonly debt: WriteDebt;
  readonly writes: PriorityWrites;
  readonly io: IoBudget;
  /** Logs of earlier processes that still count. */
  readonly oldLogs: readonly OldLog[];
  readonly catalog: LogCatalog;
  readonly streamed: StreamedValueParts;
  readonly feeds: Set<ChangeFeed>;
  feedsGone: number;
  readonly reads: AdaptiveReads;
  readonly counts: WorkCounts;
  readonly cursors: Set<{ close(): void }>;
  readonly hashSeed: number;
  readonly tracing: Tracing;
  /** Background jobs run on this thread. */
  readonly inline: boolean;
  readonly resumer: Resumer;
  readonly steering: Steering;
  /** Makes admitted writes visible and returns the highest visible sequence number. */
  readonly visibleSeq: () => number;
  readonly recovered: Pick<Recovered, "created" | "operationsReplayed" | "cut">;
}

/** Level 0 with this many times its trigger gets all merge threads, also from under the foreground. */
const L0_URGENT = 3;
/** Opens or creates the database in `path`. */
export async function openParts(
  path: string,
  given: Settings,
  components: Partial<Components>,
): Promise<DatabaseParts> {
  const directory = directoryOf(path);
  const settings = resolveSettings(given);
  checkWeights(settings, treeSettings(settings));
  const world = resolveComponents(components);
  const { fs } = world;
  if (!settings.createIfMissing && !fs.existsSync(directory)) {
    throw new AuraError("AURA_NOT_FOUND", `${directory} does not exist`);
  }
  makeDurableDirectory(fs, directory);
  const lock = await fs.lock(`${directory}/${LOCK_NAME}`, "AuraDB");
  try {
    await hashReady();
    return assemble(directory, settings, world, lock);
  } catch (error) {
    lock.releaseSync();
    throw error;
  }
}

/** Returns memtables of the kind and sizes that the settings ask for. */
export function makeMemtables(
  settings: ResolvedSettings,
  runtime: Runtime,
  lastSeq: number,
): Memtables {
  const random = settings.seed === 0 ? runtime.random : new SeededRandom(settings.seed);
  const { implementation, maxSize, maxCount } = settings.memtable;
  const bytes = Math.floor(maxSize / 4) * 4;
  const limits = { implementation, bytes, countMax: maxCount };
  return new Memtables(limits, () => random.uint32(), lastSeq);
}

function assemble(
  directory: string,
  settings: ResolvedSettings,
  world: ResolvedComponents,
  lock: FileLock,
): DatabaseParts {
  const { fs, runtime } = world;
  const recovered = recover({
    fs,
    directory,
    random: runtime.random,
    settings,
    makeMemtables: (lastSeq) => makeMemtables(settings, runtime, lastSeq),
  });
  const { memtables, version, identity } = recovered;
  const health = new Health();
  const events = new DatabaseEmitter(runtime.scheduler);
  const turns = new TurnKeeper(runtime);
  const reserve = new Reserve(fs, runtime.clock, directory);
  const snapshots = new SnapshotList();
  const versions = new VersionSet(version);
  const numbers = new FileNumbers(recovered.nextNumber);
  const queue = new JobLanes(world.executor, () => inlineJobs(fs, runtime).open(), events);
  const tables = new TableStore({
    fs,
    directory,
    identity,
    maxOpenFiles: Math.max(8, Math.floor(settings.maxOpenFiles / 2)),
    cacheBytes: settings.cache.capacity,
    sharedCache: settings.cache.shared,
  });
  const reads = new AdaptiveReads(runtime);
  const { hashSeed } = identity;
  const { maxSegmentSize } = settings.valueLog;
  const watched = { memtables, versions, tables, reads, hashSeed, maxSegmentSize };
  const values = new ValueStore({
    fs,
    directory,
    kindOf: (number) => versions.current.segments.get(number)?.kind,
    maxOpenFiles: Math.max(8, Math.floor(settings.maxOpenFiles / 4)),
    cache: tables.cache,
    onScanned: (...scanned) => locality.note(...scanned),
  });
  const journal = new Journal(
    {
      fs,
      directory,
      random: runtime.random,
      queue,
      databaseUuid: identity.databaseUuid,
      walBytesMax: settings.wal.maxFileSize,
      segmentBytesMax: () => valueGc.segmentBytesMax,
      writeQueues: settings.valueLog.writeQueues,
      takeNumber: () => numbers.take(1),
      freeReserve: () => reserve.free(),
      backgroundSyncBytes: settings.wal.backgroundSyncBytes,
      noteSyncFailed: () => tree.noteSyncFailed(),
      onSyncFailed: (error) => onSyncFailed(error),
      onLogIdle: () => removeObsoleteLogs(),
    },
    {
      lastSeq: recovered.lastSeq,
      durableSeq: recovered.lastSeq,
      voids: recovered.voids,
      logFloor: recovered.logFloor,
    },
  );
  reserve.onFree = () => journal.syncs.giveWay();
  const oldLogs = [...recovered.oldLogs];
  let flushedSeq = version.flushedSeq;
  const catalog = new LogCatalog({
    directory,
    journal,
    oldLogs,
    flushedSeq,
    removeFiles: (paths) => tree.removeFiles(paths),
  });
  const streamRoom: StreamRoom = new StreamRoom(runtime.scheduler, (bytes) =>
    valueGc.mayStream(bytes, makingRoom),
  );
  const valueGc: ValueGc = new ValueGc({
    versions,
    memtables,
    journal,
    oldLogs,
    catalog,
    snapshots,
    clock: runtime.clock,
    streamedBytes: () => streamRoom.bytes,
    spaceAmplificationMax: settings.valueLog.spaceAmplificationMax,
    maxSegmentSize,
    overwritten: watchValues(watched),
    onLooked: () => tuneIo(),
    onDraining: (event) => events.announce("segmentsDraining", event),
  });
  const locality = new ValueLocality({
    version: () => versions.current,
    budget: settings.compaction.automatic ? settings.valueLog.localityBudget : 0,
    baseBytes: () => Math.max(memtables.valueBytesAdded, valueGc.space().liveBytes),
    roomBytes: () => valueGc.spareBytes,
    onPays: () => runtime.scheduler.afterThis(() => compactor.start()),
  });
  const removeObsoleteLogs = (): void => {
    tree.removeFiles(obsoleteLogs(directory, journal, oldLogs, flushedSeq, versions, catalog));
  };
  /** A log could not be synced: another try would succeed without writing what is lost. */
  const onSyncFailed = (error: Error): void => {
    if (health.closed) return;
    health.failUntold(error);
    events.announce("backgroundError", { severity: "hard", activity: "sync", error });
  };
  const tree = new Tree(
    {
      fs,
      directory,
      random: runtime.random,
      clock: runtime.clock,
      identity,
      queue,
      versions,
      health,
      events,
      nextNumber: () => numbers.next,
      takeNumber: () => numbers.take(1),
      appendedSeq: () => journal.appendedSeq,
      freeReserve: () => reserve.free(),
      carried: () => ({
        voids: journal.voids,
        logs: oldLogs,
        logFloor: journal.logFloor,
      }),
      onFileGone: (kind, number) => {
        if (kind === "sst") tables.forget(number);
        else values.forget(number);
      },
      isKept: (segment) => catalog.keepsSegment(segment),
      onSegmentLeaving: (segment, versionId) => valueGc.noteLeaving(segment, versionId),
      onSegmentGone: (number) => {
        valueGc.noteGone(number);
        if (health.closed) return;
        // Room for copies, and for writes. A file that stays for a feed gives none, but who waited for it
        // has to look again.
        compactor.start();
        valueGc.noteProgress(makingRoom(false));
        committer.drain();
      },
      onDurable: (durable) => {
        catalog.keepVoids();
        journal.noteFlushed(durable.flushedSeq);
        flushedSeq = durable.flushedSeq;
        removeObsoleteLogs();
      },
    },
    recovered.manifest,
  );
  const indexObserver = new IndexObserver(
    { tables, version: () => versions.current, clock: runtime.clock },
    initialIndexPlan(settings),
  );
  const planner = new OutputPlanner(
    directory,
    identity,
    settings,
    runtime.random,
    { take: (count) => numbers.take(count), segmentBytesMax: () => valueGc.segmentBytesMax },
    { version: () => versions.current, shape: () => compactor.shape },
    settings.learnedIndex.onlineTuning ? (level) => indexObserver.planFor(level) : undefined,
  );
  const io = new IoBudget(settings.io.bytesPerSecond);
  const tuneIo = (): void => {
    const urgency = Math.max(debt.urgency, valueGc.urgency);
    io.tune(urgency, debt.mergeBytesPerSecond, compactor.isAwaited);
  };
  const counts = new WorkCounts(runtime.clock);
  const debt: WriteDebt = new WriteDebt({
    clock: runtime.clock,
    memtables,
    memtableBytes: settings.memtable.maxSize,
    memtableCountMax: settings.memtable.maxCount,
    get l0Trigger() {
      return compactor.shape.l0Trigger;
    },
    version: () => versions.current,
    debtBytes: () => compactor.debtBytes(),
    waitingBytes: () => compactor.waitingBytes(),
    overwriteShare: () => valueGc.overwriteShare,
    fanout: settings.compaction.fanout,
    onMeasured: () => tuneIo(),
    // Without merges, waiting for them would be for ever.
    enabled: settings.admission.delay && settings.compaction.automatic,
  });
  const compactor: Compactor = new Compactor({
    queue,
    tree,
    planner,
    policy: world.policy ?? flexiblePolicy(treeSettings(settings)),
    snapshots,
    covered: new CoveredTables((table) => tables.readRanges(table)),
    scheduler: runtime.scheduler,
    clock: runtime.clock,
    health,
    events,
    reserve,
    flushBytes: settings.memtable.maxSize,
    l0Urgent: L0_URGENT,
    ageCheckMs: ageCheckMs(settings),
    automatic: settings.compaction.automatic,
    valueGc,
    locality,
    debt,
    counts,
    io,
    onReshaped: ({ separationThreshold }) => separation.setThreshold(separationThreshold),
    onEnded: () => lookForRoom(),
  });
  snapshots.onReleased = () => compactor.noteReleased();
  const flusher = new Flusher({
    queue,
    memtables,
    journal,
    tree,
    planner,
    snapshots,
    scheduler: runtime.scheduler,
    clock: runtime.clock,
    debt,
    counts,
    io,
    health,
    events,
    reserve,
    oldLogs,
    onSyncFailed,
    onFlushed: () => {
      committer.admission.noteProgress();
      committer.drain();
      committer.sealHidden();
      compactor.start();
    },
    onFailed: () => lookForRoom(),
  });
  const separation = new Separation({
    threshold: settings.valueLog.separationThreshold,
    groupBytesMax: memtables.groupBytesMax,
  });
  /** `isNeeded`: writes wait for room; by all means. */
  const makingRoom = (isNeeded: boolean): boolean => {
    if (health.closed || health.failure !== undefined) return false;
    if (compactor.isWorking || valueGc.isLeaving || flusher.isWorking) return true;
    if (
      !isNeeded ||
      !valueGc.isHiddenInMemory ||
      !memtables.maySeal ||
      !settings.compaction.automatic
    )
      return false;
    committer.sealMemtable();
    return flusher.isWorking;
  };
  /** Work behind the writes has ended, well or not. */
  const lookForRoom = (): void => {
    valueGc.noteProgress(makingRoom(false));
    committer.admission.noteProgress();
    committer.drain();
  };
  const committer: Committer = new Committer(
    {
      journal,
      memtables,
      health,
      scheduler: runtime.scheduler,
      clock: runtime.clock,
      turns,
      reserve,
      work: {
        flushSealed: (again) => (again === true ? flusher.startAgain() : flusher.start()),
        // Every read and every write polls.
        poll: () => {
          counts.called();
          queue.poll();
        },
        waitSync: (ms) => queue.waitSync(ms),
      },
      separation,
      bufferedDelayMs: settings.wal.bufferedDelayMs,
      syncIntervalMs: settings.wal.syncPolicy === "interval" ? settings.wal.syncIntervalMs : 0,
      mustSeal: () => valueGc.mustSeal,
      mayGrow: (bytes) => valueGc.mayWrite(bytes, makingRoom),
      pace: valueGc.pace,
      onUntoldFailure: onSyncFailed,
      debt,
      onStall: (event) => events.announce("stall", event),
    },
    recovered.lastSeq,
  );
  // Whoever waits for room learns that there will be none.
  health.onFailure(() => {
    resumer.noteFailure(health.failure!);
    runtime.scheduler.afterThis(() => committer.drain());
  });
  const geometry = treeGeometry(treeSettings(settings));
  values.counts = counts;
  const steering: Steering = new Steering({
    ...{ counts, tables, memtables, events, clock: runtime.clock, scheduler: runtime.scheduler },
    geometry,
    version: () => versions.current,
    shape: () => compactor.shape,
    lastSeq: () => committer.lastSeq,
    admission: () => committer.admission,
    debtBytes: () => debt.stats().debtBytes,
    valueSizes: separation.sizes,
    baseline: compactor.shape,
    createAgent: (seed) => agentOf(settings, geometry, compactor.shape, seed, world.agent),
    drawSeed: () => settings.seed || runtime.random.uint32(),
    reshape: (shape) => compactor.reshape(shape),
    isAwaited: () => compactor.isAwaited,
    isClosed: () => health.closed,
    ...settings.rlAgent,
    windowBytes: settings.rlAgent.windowBytes || settings.memtable.maxSize,
  });
  const inline = world.executor.kind === "inline";
  const { scheduler } = runtime;
  const resuming = { health, events, scheduler, turns, queue, memtables, journal, reserve, inline };
  const resumer = new Resumer({ ...resuming, catalog, committer, tree, flusher, compactor });
  debt.noteVersion();
  removeOrphans(fs, tree, recovered.orphans);
  if (settings.compaction.mode === "adaptive") steering.start();
  flusher.start();
  compactor.start();
  return {
    directory,
    settings,
    fs,
    runtime,
    lock,
    health,
    events,
    turns,
    queue,
    memtables,
    journal,
    committer,
    versions,
    tree,
    tables,
    indexObserver,
    values,
    snapshots,
    flusher,
    compactor,
    valueGc,
    locality,
    reserve,
    debt,
    io,
    writes: new PriorityWrites({
      committer,
      debt: {
        get lowMsPerByte() {
          return debt.lowMsPerByte + valueGc.pace.lowMsPerByte;
        },
      },
      clock: runtime.clock,
      scheduler: runtime.scheduler,
      heldBytesMax: settings.memtable.maxSize,
    }),
    oldLogs,
    catalog,
    streamed: {
      journal,
      removeFile: (file) => tree.removeFiles([file]),
      syncBytes: settings.wal.backgroundSyncBytes,
      room: streamRoom,
    },
    feeds: new Set(),
    feedsGone: 0,
    reads,
    counts,
    cursors: new Set(),
    hashSeed,
    tracing: new Tracing({ fs, runtime, events, directory, databaseUuid: identity.databaseUuid }),
    inline,
    resumer,
    steering,
    visibleSeq: () => committer.visibleSeq(),
    recovered,
  };
}

/** The one counter that all file numbers come from. */
class FileNumbers {
  next: number;

  constructor(next: number) {
    this.next = next;
  }

  /** Takes `count` numbers and returns the first. */
  take(count: number): number {
    const first = this.next;
    this.next += count;
    assert(this.next < 0xffffffff, "file numbers fit in four bytes");
    return first;
  }
}
