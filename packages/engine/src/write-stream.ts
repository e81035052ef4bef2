/** Opens the stream that takes one value in pieces: what its value is handed to. */
import { AuraError } from "@aura/base";
import type { WriteOptions } from "./call-options.ts";
import type { PriorityWrites } from "./priority-writes.ts";
import type { Durability } from "./settings.ts";
import { StreamedValue, type StreamedValueParts } from "./streamed-value.ts";
import type { Tracing } from "./tracing.ts";
import { ValueWriteStream } from "./value-stream.ts";

/** What a write stream works with. */
export interface WriteStreamParts {
  readonly writes: PriorityWrites;
  readonly cursors: Set<{ close(): void }>;
  readonly streamed: StreamedValueParts;
  readonly tracing: Tracing;
}

/** How a stream puts its value. */
export interface WriteStreamTarget {
  /** Its own: nobody changes it. */
  readonly key: Uint8Array;
  readonly level: Durability;
  readonly write: WriteOptions;
  /** Bytes that have to come, where that is known. */
  readonly size: number | undefined;
  /** Puts a value that was gathered in memory. */
  readonly put: (value: Buffer) => Promise<void>;
}

/** Returns a stream that puts its value when it is ended. */
export function openWriteStream(
  { writes, cursors, streamed, tracing }: WriteStreamParts,
  { key, level, write, size, put }: WriteStreamTarget,
): ValueWriteStream {
  const sink = {
    put,
    spool: (bytes: number | undefined): StreamedValue => new StreamedValue(streamed, key, bytes),
    putSpooled: (value: StreamedValue): Promise<void> => {
      const { signal } = write;
      if (signal?.aborted) {
        const { reason: cause } = signal as { reason: unknown };
        return Promise.reject(new AuraError("AURA_ABORTED", "the write was aborted", { cause }));
      }
      tracing.recorder?.put(key, value.stored, level, false);
      return writes.far(key, value, level, write);
    },
    open: cursors,
  };
  return new ValueWriteStream(sink, size);
}
