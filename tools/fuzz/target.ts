/** What a target is, and what it may do. */
import { AuraError } from "@aura/base";

/** One decoder, or several that read the same bytes. */
export interface Target {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Makes checksums right. */
  readonly mend: (bytes: Uint8Array) => void;
  readonly run: (bytes: Uint8Array) => void | Promise<void>;
  /** How many runs of most targets one of this one stands for, as it takes so much longer. */
  readonly costs?: number;
  /** Bytes that one run may ask for at once, and in sum, where that is more than for most. */
  readonly oneBytesMax?: number;
  readonly sumBytesMax?: number;
}

const STEPS_MAX = 100_000;

/** Fails what goes on for ever, with a stack that says where. */
export function bounded(step: () => boolean): void {
  for (let steps = 0; step(); steps++) {
    if (steps > STEPS_MAX) throw new Error("a reader that does not come to an end");
  }
}

/** Lets typed errors pass. */
export function attempt(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!isTyped(error)) throw error;
  }
}

/** Whether an error is one that a reader of damaged bytes may throw. */
export function isTyped(error: unknown): boolean {
  const codes = ["AURA_CORRUPTION", "AURA_UNSUPPORTED", "AURA_NOT_FOUND"];
  return error instanceof AuraError && codes.includes(error.code);
}
