/**
 * What a run leaves behind: the file of `--json`, read by the page, by `--baseline` and by people.
 * Fields are added, never renamed; what an older file lacks is optional.
 */
import type { Machine } from "./machine.ts";

export const RESULT_FORMAT = 1;

/** A whole run: every workload on every store, as often as it was repeated. */
export interface BenchResult {
  /** `RESULT_FORMAT` of the program that wrote it. */
  readonly format: number;
  /** ISO time. */
  readonly startedAt: string;
  /** As a reader can paste it. */
  readonly command: string;
  readonly machine: Machine;
  readonly commit?: string;
  /** All that was set, seed included. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The first one is compared with the others. */
  readonly stores: readonly StoreInfo[];
  /** One per workload, store and repeat. */
  readonly runs: readonly RunResult[];
  readonly interrupted?: boolean;
}

/** A store, its version and how it was set. */
export interface StoreInfo {
  readonly store: string;
  readonly package: string;
  readonly version: string;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly facts?: Readonly<Record<string, unknown>>;
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

/** A part of a run with a clock of its own. */
export interface PhaseResult {
  /** "load", "run", "write", "scan", ... */
  readonly name: string;
  /** From the start of the run. */
  readonly startedMs: number;
  readonly ops: number;
  readonly bytes: number;
  readonly ms: number;
  readonly drainMs?: number;
  /** Answers that were wrong. */
  readonly wrong?: number;
  /** By kind of operation: read, update, insert, scan, rmw, ... */
  readonly latency: Readonly<Record<string, Latency>>;
  /** Throughput over time, slices of equal length. */
  readonly series: readonly Slice[];
  /** Where a store tells of it. */
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
  readonly space?: readonly {
    readonly atMs: number;
    readonly diskBytes: number;
    readonly liveBytes: number;
  }[];
}

/** Latencies of one kind of operation, in µs. */
export interface Latency {
  readonly count: number;
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  /** Percentiles of 0 to 100, rising. */
  readonly curve: readonly (readonly [percentile: number, us: number])[];
  /** Measured from the intended start (paced). */
  readonly corrected?: boolean;
}

/** A slice of a phase; `atMs` is from the start of the phase. */
export interface Slice {
  readonly atMs: number;
  readonly ops: number;
  readonly p99Us?: number;
  readonly maxUs?: number;
}

/** Background work, from the start of the phase. */
export interface Work {
  readonly fromMs: number;
  readonly toMs: number;
  /** "flush", "compaction", "gc" or "drain". */
  readonly kind: string;
}
