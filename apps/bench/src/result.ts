/**
 * What a run leaves behind: the file of `--json`, read by the report, by `--baseline` and by people.
 * Times are ms and µs as the names say, sizes are bytes.
 */
import type { Machine } from "./machine.ts";

/** Version of the shape below. */
export const RESULT_FORMAT = 1;

/** All that was measured in one run of the command. */
export interface BenchResult {
  /** `RESULT_FORMAT` of the build that wrote it. */
  readonly format: number;
  /** ISO time. */
  readonly startedAt: string;
  /** As a reader can paste it. */
  readonly command: string;
  readonly machine: Machine;
  readonly commit?: string;
  /** All that was set, the seed included. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The first one is compared with the others. */
  readonly stores: readonly StoreInfo[];
  /** One per workload, store and repeat. */
  readonly runs: readonly RunResult[];
  readonly interrupted?: boolean;
}

/** A store that took part. */
export interface StoreInfo {
  readonly store: string;
  readonly package: string;
  readonly version: string;
  readonly flags: Readonly<Record<string, unknown>>;
  /** What it says of itself once it is open. */
  readonly facts?: Readonly<Record<string, unknown>>;
  /** What it could not do as asked. */
  readonly note?: string;
}

/** One workload on one store, once. */
export interface RunResult {
  readonly workload: string;
  readonly store: string;
  /** From 0. */
  readonly repeat: number;
  readonly phases: readonly PhaseResult[];
  readonly failure?: string;
}

/** One phase of a workload. */
export interface PhaseResult {
  /** "load", "run", "write", "scan", ... */
  readonly name: string;
  /** From the start of the run. */
  readonly startedMs: number;
  readonly ops: number;
  /** Keys and values that went in or came out. */
  readonly bytes: number;
  /** Time in which the store worked, without the drain. */
  readonly ms: number;
  /** Until no background work was left. */
  readonly drainMs?: number;
  /** Answers that were wrong. */
  readonly wrong?: number;
  /** By kind of operation: read, update, insert, scan, rmw, ... */
  readonly latency: Readonly<Record<string, Latency>>;
  /** Throughput over time, slices of equal length. */
  readonly series: readonly Slice[];
  /** Background work, where a store tells of it. */
  readonly background: readonly Work[];
  readonly loopDelayMs?: {
    readonly p50: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  readonly cpuMs: { readonly user: number; readonly system: number };
  /** By calls (wchar of /proc/self/io). */
  readonly writtenBytes?: number;
  /** By pages (write_bytes of /proc/self/io). */
  readonly deviceBytes?: number;
  readonly readBytes?: number;
  /** Files in the folder at the end of the phase. */
  readonly diskBytes: number;
  /** Keys and values that are alive. */
  readonly liveBytes?: number;
  readonly peakRssBytes: number;
  /** Counts that do not wobble: syncs, blocks read, bytes written, per operation. */
  readonly counts?: Readonly<Record<string, number>>;
  readonly space?: readonly Space[];
}

/** Disk and live bytes at one moment. */
export interface Space {
  readonly atMs: number;
  readonly diskBytes: number;
  readonly liveBytes: number;
}

/** Latencies of one kind of operation. */
export interface Latency {
  readonly count: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  /** For the plot; percentiles of 0 to 100. */
  readonly curve: readonly (readonly [percentile: number, us: number])[];
  /** Measured from the intended start: the run was paced. */
  readonly corrected?: boolean;
}

/** A piece of time. */
export interface Slice {
  readonly atMs: number;
  readonly ops: number;
  readonly p99Us?: number;
  readonly maxUs?: number;
}

/** A piece of background work; both ends are the same where a store tells only of the end. */
export interface Work {
  readonly fromMs: number;
  readonly toMs: number;
  /** "flush", "compaction", "gc", "drain". */
  readonly kind: string;
}
