/**
 * Memory that is given out in pieces to several callers. None of them can transfer it to another
 * thread: the pieces of all others would be gone with it, and so would what comes next.
 */
import { markAsUntransferable } from "node:worker_threads";

/** Returns zeroed memory of `length` bytes that can be cloned, not transferred. */
export function pooledMemory(length: number): ArrayBuffer {
  const memory = new ArrayBuffer(length);
  keepFromTransfer(memory);
  return memory;
}

/** Makes that of memory which is there already, before pieces of it are given out. */
export function keepFromTransfer(memory: ArrayBufferLike): void {
  markAsUntransferable(memory);
}
