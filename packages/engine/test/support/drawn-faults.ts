/**
 * Faults that a run draws: which operations fail, on which files, how, and for how many steps. They
 * overlap, and what they hit is remembered as far as it decides what a next process can know.
 */
import type { SeededRandom } from "@aura/base";
import type { PlannedFault, SimErrorName, SimFs } from "@aura/base/testing";

const KINDS: readonly (readonly string[])[] = [
  ["write"],
  ["sync"],
  ["sync"],
  ["create"],
  ["create", "open"],
  ["truncate"],
  ["syncDir"],
  ["write", "create"],
  ["write", "sync", "create", "truncate", "syncDir"],
  ["rename"],
  ["unlink"],
];
const PATHS = [/\.(wal|vlog)$|\/db$/, /./, /\.wal$/, /manifest|CURRENT/];
const ERRORS: readonly SimErrorName[] = ["EIO", "EIO", "EIO", "ENOSPC", "EDQUOT", "EROFS"];

/** Faults of one session of a run. */
export class DrawnFaults {
  readonly #random: SeededRandom;
  #faults: { fault: PlannedFault; left: number }[] = [];
  #failedSyncs = 0;
  #noted = 0;
  #mayBeUnsaid = false;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /**
   * Whether a process that is killed now can have left word of each failed sync. It cannot of one that
   * its own thread has not been told of, nor when the manifest failed behind it.
   */
  get canBeSaid(): boolean {
    return this.#noted === this.#failedSyncs && !this.#mayBeUnsaid;
  }

  /** Plans a fault and returns what it is. */
  draw(fs: SimFs): string {
    const random = this.#random;
    const of = KINDS[random.below(KINDS.length)]!;
    const pattern = PATHS[random.below(PATHS.length)]!;
    const makes = of.every((kind) => kind === "create" || kind === "open");
    const error = makes && random.below(2) === 0 ? "EMFILE" : ERRORS[random.below(ERRORS.length)]!;
    const happened = random.below(4) === 0 && !of.some((kind) => /sync$|create|open/.test(kind));
    const fault = fs.failAt({
      error,
      sticky: random.below(2) === 0,
      partial: [0, 0, 20, 5000][random.below(4)]!,
      ...(happened && { happened }),
      at: (kind, path) => {
        if (!of.includes(kind) || !pattern.test(path)) return false;
        // Reads have to answer: only logs are opened once more for writes.
        if (kind === "open" && path.endsWith(".sst")) return false;
        this.#note(kind, path);
        return true;
      },
    });
    this.#faults.push({ fault, left: 1 + random.below(6) });
    return `fault ${of.join()} ${pattern} ${error} ${happened}`;
  }

  /** A step was done: some are over. Returns how often each of these has fired. */
  age(): number[] {
    for (const each of this.#faults) each.left--;
    const over = this.#faults.filter(({ left }) => left <= 0);
    for (const { fault } of over) fault.remove();
    this.#faults = this.#faults.filter(({ left }) => left > 0);
    return over.map(({ fault }) => fault.fired);
  }

  /** What failed so far has reached those who have to note it. */
  noteTurn(): void {
    this.#noted = this.#failedSyncs;
  }

  /** The database is about to be closed: what could not be said before is said then, or not. */
  noteClose(): void {
    this.#mayBeUnsaid = false;
  }

  /** Ends all of them. */
  clear(): void {
    for (const { fault } of this.#faults) fault.remove();
    this.#faults = [];
  }

  /** A new session begins: it knows nothing of what failed before. */
  forget(): void {
    this.clear();
    this.#failedSyncs = 0;
    this.#noted = 0;
    this.#mayBeUnsaid = false;
  }

  #note(kind: string, path: string): void {
    if (kind === "syncDir" || (kind === "sync" && /\.(wal|vlog)$/.test(path))) this.#failedSyncs++;
    // What fails here may be what the note of a sync that failed before was to be written by.
    if (this.#failedSyncs > 0 && /manifest|CURRENT|\/db$/.test(path)) this.#mayBeUnsaid = true;
  }
}
