/** Records of a trace as plain values, to be compared with what was called. */
import type { FileSystem } from "@aura/base";
import { readTrace, type TraceReader } from "../../src/trace.ts";

/** A record with the fields that its kind has. */
export type PlainRecord = Readonly<Record<string, unknown>>;

/** The record under the reader. Keys as text. */
function plainRecord(trace: TraceReader): PlainRecord {
  const { kind, sync, snapshot, durability, group, valueLength, scan, taken } = trace;
  const text = (bytes: Uint8Array | undefined): string | undefined =>
    bytes === undefined ? undefined : Buffer.from(bytes).toString("latin1");
  const key = text(trace.key);
  switch (kind) {
    case "get":
    case "has":
    case "getMany":
      return { kind, key, sync, snapshot, group };
    case "put":
      return { kind, key, valueLength, sync, durability, group };
    case "delete":
      return { kind, key, sync, durability, group };
    case "deleteRange":
      return {
        kind,
        lower: text(trace.lower),
        upper: text(trace.upper),
        sync,
        durability,
        group,
      };
    case "scan": {
      const { shape, reverse, limit } = trace;
      const lower = text(trace.lower);
      const upper = text(trace.upper);
      return { kind, scan, shape, lower, upper, reverse, limit, sync, snapshot };
    }
    case "seek":
      return { kind, scan, taken, place: trace.place, ...(trace.place === "key" && { key }) };
    case "scanEnd":
      return { kind, scan, taken };
    default:
      return kind satisfies never;
  }
}

/** What a trace holds: its records, and how it ends. */
export interface ReadBack {
  readonly records: PlainRecord[];
  readonly times: number[];
  readonly numbers: number[];
  readonly gaps: number[];
  readonly ending: string;
  readonly dropped: number;
}

/** Reads a trace to its end, also when it is cut or damaged. */
export function readBack(path: string, fs?: FileSystem): ReadBack {
  const trace = readTrace(path, { partial: true, ...(fs && { fs }) });
  const records: PlainRecord[] = [];
  const times: number[] = [];
  const numbers: number[] = [];
  const gaps: number[] = [];
  try {
    while (trace.next()) {
      records.push(plainRecord(trace));
      times.push(trace.atUs);
      numbers.push(trace.number);
      gaps.push(trace.gap);
    }
    const { dropped } = trace;
    return { records, times, numbers, gaps, dropped, ending: trace.ending?.kind ?? "none" };
  } finally {
    trace.close();
  }
}
