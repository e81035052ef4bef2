/** Which code a run reached that none reached before, by the precise coverage of V8. */
import { Session } from "node:inspector";

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly Range[];
  }[];
}

/** Counts pieces of code of this repository's sources. */
export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();
  /** Functions and constructors that were called so far: `packages/x/src/y.ts#name`. */
  readonly called: Set<string> = new Set();

  constructor() {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    this.#take();
  }

  /** Pieces of code reached so far. */
  get count(): number {
    return this.#seen.size;
  }

  /** Returns whether anything new was reached since the last call. */
  hasNew(): boolean {
    let isNew = false;
    for (const { url, functions } of this.#take()) {
      if (!url.includes("/packages/")) continue;
      const file = url.slice(url.indexOf("/packages/") + 1).replace(/\?.*/, "");
      for (const { functionName, ranges } of functions) {
        if (functionName !== "" && ranges[0]!.count > 0) this.called.add(`${file}#${functionName}`);
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue;
          // How often, in powers of two: a loop that turns more often is news.
          const name = `${url}:${startOffset}:${endOffset}:${Math.min(10, 32 - Math.clz32(count))}`;
          if (this.#seen.has(name)) continue;
          this.#seen.add(name);
          isNew = true;
        }
      }
    }
    return isNew;
  }

  close(): void {
    this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  /** The answer comes within the call: the session is of this thread. */
  #take(): readonly ScriptCoverage[] {
    let result: readonly ScriptCoverage[] = [];
    this.#session.post("Profiler.takePreciseCoverage", (error, answer) => {
      if (error === null) result = answer.result as unknown as ScriptCoverage[];
    });
    return result;
  }
}
