/**
 * An AuraDB trace as operations.
 *
 * How many entries a scan takes is known when it ends, which is later in the file: operations are
 * held back until the scans in front of them have ended, but no more than `HELD_MAX`. A scan that is
 * open for longer, or at the end of the trace, keeps the limit it was called with. A cursor becomes a
 * scan for each of its seeks. A scan that took nothing is one of limit 1: it was placed all the same.
 */
import { AuraError } from "@aura/engine";
import { readTrace, type TraceReader } from "@aura/engine/trace";
import type { DraftOp, TraceOp, TraceOpKind } from "./trace-op.ts";

/** Operations held back at most, and given at a time. */
const HELD_MAX = 65_536;
const CHUNK_COUNT = 4096;
const NO_KEY = new Uint8Array(0);

/** The operations of such a file. Throws AURA_CORRUPTION where it is damaged; a cut file just ends. */
export async function* auraOps(path: string): AsyncGenerator<readonly TraceOp[], void, void> {
  const trace = readTrace(path, { partial: true });
  try {
    const importer = new AuraImporter();
    for (let more = true; more; ) {
      for (let i = 0; more && i < CHUNK_COUNT; i++) {
        more = trace.next();
        if (more) importer.add(trace);
      }
      const ops = importer.take(more);
      if (ops.length > 0) yield ops;
      // Reading is synchronous: others get their turn.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const { ending } = trace;
    if (ending?.kind === "damaged") {
      throw new AuraError(
        "AURA_CORRUPTION",
        `${path}: ${ending.reason} at offset ${ending.offset}`,
      );
    }
  } finally {
    trace.close();
  }
}

/** A scan whose entries are still to be told. */
interface OpenScan {
  readonly op: DraftOp;
  /** The limit that it was called with. */
  readonly limit: number;
}

/** The bounds of a cursor that is open. */
interface OpenCursor {
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
  readonly reverse: boolean;
}

/** Limit of a scan that is not known yet. */
const UNKNOWN = -1;

class AuraImporter {
  #held: DraftOp[] = [];
  readonly #scans = new Map<number, OpenScan>();
  readonly #cursors = new Map<number, OpenCursor>();

  /** Takes the record under the reader. */
  add(trace: TraceReader): void {
    switch (trace.kind) {
      case "get":
      case "has":
        this.#push(trace, "get");
        break;
      case "getMany":
      case "put":
      case "delete":
        this.#push(trace, trace.kind);
        break;
      case "scan": {
        const { lower, upper, reverse } = trace;
        if (trace.shape === "cursor") this.#cursors.set(trace.scan, { lower, upper, reverse });
        else this.#open(trace, { lower, upper, reverse }, undefined, trace.limit);
        break;
      }
      case "seek": {
        this.#close(trace.scan, trace.taken);
        const cursor = this.#cursors.get(trace.scan);
        const bounds = cursor ?? { lower: undefined, upper: undefined, reverse: false };
        const turned = trace.place === "last" ? !bounds.reverse : bounds.reverse;
        const key = trace.place === "key" ? trace.key : undefined;
        const limit = Number.POSITIVE_INFINITY;
        this.#open(trace, { ...bounds, reverse: turned }, key, limit);
        break;
      }
      case "scanEnd":
        this.#close(trace.scan, trace.taken);
        this.#cursors.delete(trace.scan);
        break;
      case "deleteRange":
        // The other stores have nothing of the kind.
        break;
      default:
        trace.kind satisfies never;
    }
  }

  /** Gives what is complete; all of it when there is no `more`. */
  take(more: boolean): TraceOp[] {
    const held = this.#held;
    if (!more) this.#settle(held.length);
    else if (held.length > HELD_MAX) this.#settle(held.length - HELD_MAX);
    const open = held.findIndex(({ limit }) => limit === UNKNOWN);
    const ready = open < 0 ? held : held.slice(0, open);
    this.#held = open < 0 ? [] : held.slice(open);
    return ready;
  }

  #push(trace: TraceReader, kind: TraceOpKind): void {
    const { atUs, group, valueLength } = trace;
    this.#held.push({ atUs, kind, key: trace.key, valueBytes: valueLength, limit: 0, group });
  }

  #open(trace: TraceReader, bounds: OpenCursor, at: Uint8Array | undefined, limit: number): void {
    const { lower, upper, reverse } = bounds;
    const end = reverse ? lower : upper;
    const op: DraftOp = {
      atUs: trace.atUs,
      kind: "scan",
      key: at ?? (reverse ? upper : lower) ?? NO_KEY,
      valueBytes: 0,
      limit: UNKNOWN,
      group: -1,
      ...(end && { end }),
      ...(reverse && { reverse }),
    };
    this.#held.push(op);
    this.#scans.set(trace.scan, { op, limit });
  }

  #close(scan: number, taken: number): void {
    const open = this.#scans.get(scan);
    this.#scans.delete(scan);
    if (open !== undefined) open.op.limit = Math.max(1, taken);
  }

  /** Gives the first `count` operations up for what is known of them. */
  #settle(count: number): void {
    const old = new Set(this.#held.slice(0, count));
    for (const [scan, { op, limit }] of this.#scans) {
      if (!old.has(op)) continue;
      this.#scans.delete(scan);
      op.limit = Math.max(1, limit);
    }
  }
}
