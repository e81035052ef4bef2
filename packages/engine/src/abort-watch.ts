/**
 * Abort watch: who is to be told when an AbortSignal fires, one listener per signal however many wait
 * for it. (A signal looks at all its listeners for each one that is added.)
 */

/** Tells targets of an abort, in the order in which they were added. */
export class AbortWatch<T> {
  readonly #onAbort: (target: T, signal: AbortSignal) => void;
  readonly #watched = new Map<
    AbortSignal,
    { readonly targets: Set<T>; readonly fire: () => void }
  >();

  constructor(onAbort: (target: T, signal: AbortSignal) => void) {
    this.#onAbort = onAbort;
  }

  /** Tells of `target` if `signal` fires before `remove`. */
  add(signal: AbortSignal, target: T): void {
    let watched = this.#watched.get(signal);
    if (watched === undefined) {
      const targets = new Set<T>();
      const fire = (): void => {
        this.#watched.delete(signal);
        for (const each of targets) this.#onAbort(each, signal);
      };
      watched = { targets, fire };
      this.#watched.set(signal, watched);
      signal.addEventListener("abort", fire, { once: true });
    }
    watched.targets.add(target);
  }

  /** An abort comes too late for `target`. */
  remove(signal: AbortSignal, target: T): void {
    const watched = this.#watched.get(signal);
    if (watched === undefined) return;
    watched.targets.delete(target);
    if (watched.targets.size > 0) return;
    this.#watched.delete(signal);
    signal.removeEventListener("abort", watched.fire);
  }
}
