/**
 * The main job: the stores load the same names side by side, and give them back. Each phase is cut into
 * slices; the stores take turns slice by slice, and who begins changes from one to the next, so
 * that what disturbs the machine for a while hits all of them.
 */

import type { BenchHost, HostSetup, StartHost } from "./bench-host.ts";
import type { Counters } from "./counters.ts";
import type { Progress } from "./progress.ts";
import type { Sample, StoreBench, StoreDescription } from "./store-bench.ts";
import type { StoreName } from "./stores/catalog.ts";

/** A phase that all stores go through. */
export const PHASES = {
  load: "load",
  drain: "drain",
  getEach: "get, each awaited",
  getMany: "get, 64 at a time",
  getSync: "get, sync",
  absentEach: "absent, each awaited",
  absentMany: "absent, 64 at a time",
  absentSync: "absent, sync",
  scan: "ordered scan",
  putFlight: "put, 64 in flight",
  putEach: "put, each awaited",
  putBlobs: "put blobs",
  getBlobs: "get blobs",
  close: "close",
  reopen: "reopen with a log",
  drainAgain: "drain again",
  closeAgain: "close drained",
  reopenClean: "reopen drained",
  getManyAgain: "get again, 64 at a time",
  getSyncAgain: "get again, sync",
  scanAgain: "scan again",
  getBlobsAgain: "get blobs again",
} as const;

export type PhaseName = keyof typeof PHASES;

/** Operations of the phases; all are cut down for few names. */
export interface Sizes {
  readonly names: number;
  readonly getsEach: number;
  readonly getsMany: number;
  readonly puts: number;
  readonly blobs: number;
}

/** Returns the sizes of a run with that many names. */
export function sizesFor(names: number): Sizes {
  return {
    names,
    getsEach: Math.min(100_000, Math.max(100, names)),
    getsMany: Math.min(300_000, Math.max(100, names)),
    puts: Math.min(100_000, Math.floor(names / 2)),
    blobs: Math.min(400, Math.max(8, Math.ceil(names / 100))),
  };
}

/** Counts of a process, with the bytes in the folder of its store. */
export type FolderCounters = Counters & { readonly folderBytes: number };

/** All that was measured of one store. */
export interface StoreResult {
  readonly name: StoreName;
  description: StoreDescription | undefined;
  readonly samples: Partial<Record<PhaseName, Sample[]>>;
  /** Of the process that loads: when the data were read, when the load was drained, at its end. */
  readonly counters: { start?: FolderCounters; loaded?: FolderCounters; end?: FolderCounters };
  /** Of the process that reads again: at its start and end. */
  readonly countersAgain: { start?: FolderCounters; end?: FolderCounters };
}

/** What a job needs. */
export interface JobSetup {
  readonly stores: readonly HostSetup[];
  readonly sizes: Sizes;
  readonly startHost: StartHost<StoreBench>;
  readonly progress: Progress;
  /** Ends the job between two calls; what ran by then stays in the results. */
  readonly signal: AbortSignal;
}

/** Runs the job; `results` has one entry per store and is filled as the job goes on. */
export class NamesJob {
  readonly results: readonly StoreResult[];
  readonly #setup: JobSetup;
  readonly #hosts: BenchHost<StoreBench>[] = [];
  #turn = 0;

  constructor(setup: JobSetup) {
    this.#setup = setup;
    this.results = setup.stores.map(({ store }) => ({
      name: store,
      description: undefined,
      samples: {},
      counters: {},
      countersAgain: {},
    }));
  }

  /** Mismatches of all stores so far. */
  get mismatches(): number {
    let count = 0;
    for (const { samples } of this.results) {
      for (const sample of Object.values(samples).flat()) count += sample.mismatches;
    }
    return count;
  }

  /** Runs all phases. Throws when a store fails, or with the signal's reason. */
  async run(): Promise<void> {
    try {
      await this.#first();
      await this.#again();
    } finally {
      await this.#killAll();
      this.#setup.progress.end();
    }
  }

  /** Loads, reads, puts. */
  async #first(): Promise<void> {
    const { names, getsEach, getsMany, puts, blobs } = this.#setup.sizes;
    await this.#startAll();
    await this.#note("counters", "start");
    for (const [index, result] of this.results.entries()) {
      await this.#call(index, (host) => host.call("open"));
      result.description = await this.#call(index, (host) => host.call("describe"));
    }
    await this.#phase("load", cut(names, 100_000, 30), (host, [from, to]) =>
      host.call("load", from, to),
    );
    await this.#phase("drain", [[0, 1]], (host) => host.call("drain"));
    await this.#note("counters", "loaded");

    await this.#gets("getEach", "get", "each", getsEach);
    await this.#gets("getMany", "get", "many", getsMany);
    await this.#gets("getSync", "get", "sync", getsMany);
    await this.#gets("absentEach", "getAbsent", "each", getsEach / 2);
    await this.#gets("absentMany", "getAbsent", "many", getsMany / 2);
    await this.#gets("absentSync", "getAbsent", "sync", getsMany / 2);
    await this.#scan("scan");

    await this.#phase("putFlight", cut(puts, 10_000, 10), (host, [from, to]) =>
      host.call("put", "flight", from, to),
    );
    await this.#phase("putEach", cut(puts, 10_000, 10), (host, [from, to]) =>
      host.call("put", "each", puts + from, puts + to),
    );
    await this.#phase("putBlobs", cut(blobs, 50, 8), (host, [from, to]) =>
      host.call("putBlobs", from, to),
    );
    await this.#blobs("getBlobs");
    await this.#note("counters", "end");
    await this.#phase("close", [[0, 1]], (host) => host.call("close"));
    await this.#killAll();
  }

  /** Opens with a log to read, in a new process; drained, in another; reads all. */
  async #again(): Promise<void> {
    const { getsMany, puts } = this.#setup.sizes;
    await this.#startAll();
    await this.#phase("reopen", [[0, 1]], (host) => host.call("open"));
    await this.#phase("drainAgain", [[0, 1]], (host) => host.call("drain"));
    await this.#phase("closeAgain", [[0, 1]], (host) => host.call("close"));
    await this.#killAll();

    await this.#startAll();
    await this.#note("countersAgain", "start");
    await this.#phase("reopenClean", [[0, 1]], (host) => host.call("open"));
    for (let i = 0; i < this.results.length; i++) {
      await this.#call(i, (host) => host.call("assumePuts", 0, 2 * puts));
    }
    await this.#gets("getManyAgain", "get", "many", getsMany);
    await this.#gets("getSyncAgain", "get", "sync", getsMany);
    await this.#scan("scanAgain");
    await this.#blobs("getBlobsAgain");
    await this.#note("countersAgain", "end");
    for (let i = 0; i < this.results.length; i++) await this.#call(i, (host) => host.call("close"));
  }

  /** A phase of lookups; stores without the way sit it out. */
  async #gets(
    phase: PhaseName,
    method: "get" | "getAbsent",
    way: "each" | "many" | "sync",
    count: number,
  ): Promise<void> {
    const slices = cut(Math.floor(count), Number.POSITIVE_INFINITY, 10);
    await this.#phase(phase, slices, (host, [from, to], slice) =>
      host.call(method, way, slice, to - from),
    );
  }

  async #scan(phase: PhaseName): Promise<void> {
    await this.#phase(phase, cut(this.#setup.sizes.names, 100_000, 10), (host, [from, to]) =>
      host.call("scan", from, to),
    );
  }

  async #blobs(phase: PhaseName): Promise<void> {
    const { blobs } = this.#setup.sizes;
    await this.#phase(phase, cut(blobs, 50, 8), (host, [from, to], slice) =>
      host.call("getBlobs", slice, blobs, to - from),
    );
  }

  async #phase(
    phase: PhaseName,
    slices: readonly Range[],
    call: (host: BenchHost<StoreBench>, range: Range, slice: number) => Promise<Sample>,
  ): Promise<void> {
    const taking = [...this.results.keys()].filter((index) => this.#takes(phase, index));
    const { progress } = this.#setup;
    const names = taking.map((index) => this.results[index]!.name);
    progress.begin(PHASES[phase], names, slices.length);
    for (const [slice, range] of slices.entries()) {
      this.#turn++;
      for (let i = 0; i < taking.length; i++) {
        const index = taking[(i + this.#turn) % taking.length]!;
        const result = this.results[index]!;
        const samples = result.samples[phase] ?? [];
        result.samples[phase] = samples;
        samples.push(await this.#call(index, (host) => call(host, range, slice)));
        progress.step(PHASES[phase], result.name, slice + 1, samples);
      }
    }
  }

  #takes(phase: PhaseName, index: number): boolean {
    const isSync = phase === "getSync" || phase === "absentSync" || phase === "getSyncAgain";
    return !isSync || this.results[index]!.description?.hasSync === true;
  }

  /** Lets one store work until the call is answered. */
  async #call<R>(index: number, call: (host: BenchHost<StoreBench>) => Promise<R>): Promise<R> {
    const { signal } = this.#setup;
    signal.throwIfAborted();
    const host = this.#hosts[index]!;
    host.resume();
    const aborted = abortOf(signal);
    try {
      return await Promise.race([call(host), aborted.promise]);
    } finally {
      aborted.forget();
      host.pause();
    }
  }

  async #note(of: "counters" | "countersAgain", when: "start" | "loaded" | "end"): Promise<void> {
    for (const [index, result] of this.results.entries()) {
      const counters: Partial<Record<typeof when, FolderCounters>> = result[of];
      counters[when] = await this.#call(index, (host) => host.call("counters"));
    }
  }

  async #startAll(): Promise<void> {
    for (const setup of this.#setup.stores) {
      this.#setup.signal.throwIfAborted();
      const host = await this.#setup.startHost(setup);
      host.pause();
      this.#hosts.push(host);
    }
  }

  async #killAll(): Promise<void> {
    for (const host of this.#hosts.splice(0)) await host.kill();
  }
}

type Range = readonly [from: number, to: number];

/** Cuts [0, count) into slices of about `size`, at least `least` of them where there are enough. */
export function cut(count: number, size: number, least: number): Range[] {
  const slices = Math.max(1, Math.min(count, Math.max(least, Math.ceil(count / size))));
  const bound = (slice: number): number => Math.floor((count * slice) / slices);
  return Array.from({ length: slices }, (_, slice) => [bound(slice), bound(slice + 1)] as const);
}

function abortOf(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  let forget = (): void => {};
  const promise = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    forget = () => signal.removeEventListener("abort", onAbort);
  });
  return { promise, forget };
}
