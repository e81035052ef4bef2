/**
 * The preamble of a log: what its maker knew of the logs before it. Documented in
 * docs/formats/group.md.
 *
 * preamble := created-at seq, boot id blob, predecessor (number varint, bytes varint, last seq,
 *             checksum u32; all zero for none), voids (count varint, first seq, last seq ...),
 *             poisoned logs (count varint, number varint, valid bytes varint ...),
 *             values alone u8 (1: no frame has operations)
 */
import type { ByteReader } from "./byte-buffer.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { VoidRange } from "./edit.ts";

/** A log of the same stream that came before. */
export interface Predecessor {
  readonly number: number;
  readonly bytes: number;
  readonly lastSeq: number;
  /** Checksum of its last frame. */
  readonly checksum: number;
}

/** A log that is valid only up to a length: a write behind it failed. */
export interface PoisonedLog {
  readonly number: number;
  readonly validBytes: number;
}

/** What a log says of the history before it. */
export interface LogPreamble {
  /** Sequence number given last when the log was made. */
  readonly createdAtSeq: number;
  readonly bootId: string;
  readonly predecessor: Predecessor | undefined;
  readonly voids: readonly VoidRange[];
  readonly poisoned: readonly PoisonedLog[];
  /** The log holds values that groups of other logs name, and no groups. */
  readonly valuesAlone: boolean;
}

/** Returns the bytes of a preamble. */
export function encodePreamble(preamble: LogPreamble): Uint8Array {
  const out = new ByteBuffer();
  out.seq(preamble.createdAtSeq);
  out.blob(Buffer.from(preamble.bootId));
  const { predecessor } = preamble;
  out.varint(predecessor?.number ?? 0);
  out.varint(predecessor?.bytes ?? 0);
  out.seq(predecessor?.lastSeq ?? 0);
  out.u32(predecessor?.checksum ?? 0);
  out.varint(preamble.voids.length);
  for (const range of preamble.voids) {
    out.seq(range.first);
    out.seq(range.last);
  }
  out.varint(preamble.poisoned.length);
  for (const log of preamble.poisoned) {
    out.varint(log.number);
    out.varint(log.validBytes);
  }
  out.u8(preamble.valuesAlone ? 1 : 0);
  return out.copy();
}

/** Reads a preamble. Throws AURA_CORRUPTION. */
export function decodePreamble(r: ByteReader): LogPreamble {
  const createdAtSeq = r.seq();
  const bootId = Buffer.from(r.blob()).toString();
  const number = r.varint();
  const predecessor = { number, bytes: r.varint(), lastSeq: r.seq(), checksum: r.u32() };
  const voids: VoidRange[] = [];
  for (let count = r.varint(); count > 0; count--) voids.push({ first: r.seq(), last: r.seq() });
  const poisoned: PoisonedLog[] = [];
  for (let count = r.varint(); count > 0; count--) {
    poisoned.push({ number: r.varint(), validBytes: r.varint() });
  }
  const valuesAlone = r.u8() === 1;
  return {
    createdAtSeq,
    bootId,
    predecessor: number === 0 ? undefined : predecessor,
    voids,
    poisoned,
    valuesAlone,
  };
}
