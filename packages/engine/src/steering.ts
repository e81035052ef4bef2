/**
 * Steering: has an agent decide about the shape of the tree after each window of work, puts what it
 * decides in force, and keeps the log of it. `compaction.mode: "adaptive"`.
 *
 * A window ends with so many operations or so many bytes written, whichever is first; never with time.
 * Its end is noticed by a count of calls, and seen to in a turn of the event loop of its own: no call waits
 * for a decision, and no call sees the shape change under it. A program that never lets the event loop
 * turn is steered no further until it does.
 *
 * The agent can be slow, never wrong: its shape is checked, and says only how many runs there may be.
 * One that fails or gives an illegal shape ends steering; the shape that the database was opened with is
 * put in force, and `backgroundError` says so.
 *
 * The same seed and the same recorded observations give the same decisions: observations in the log are
 * what the agent was shown, and JSON keeps them.
 */
import type { Clock, Scheduler } from "@aura/base";
import {
  type AgentDecision,
  type AgentWeights,
  type CompactionAgent,
  createAgent,
  flexiblePolicy,
  reshaped,
  type TreeGeometry,
  type TreeSettings,
  type TreeShape,
  treeGeometry,
  type WindowObservation,
  type WindowSeconds,
} from "@aura/compaction-rl";
import { WindowMeter, type WindowSources } from "./agent-window.ts";
import type { Components } from "./components.ts";
import type { DatabaseEmitter } from "./events.ts";
import type { ResolvedSettings } from "./settings.ts";

/** What an agent was shown, what it decided, and what came of it. JSON-serialisable. */
export interface DecisionRecord {
  readonly observation: WindowObservation;
  /** The shape in force when it decided. */
  readonly shape: TreeShape;
  readonly decision: AgentDecision;
  /** Where the seconds of the window behind it went; undefined until that has ended. */
  readonly outcome: WindowSeconds | undefined;
}

/** What steering is about, and works with. */
export interface SteeringParts extends WindowSources {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly events: DatabaseEmitter;
  /** The shape to begin with, and to go back to. */
  readonly baseline: TreeShape;
  readonly createAgent: (seed: number) => CompactionAgent;
  /** Seed of the agent; asked for once, when there is to be one. */
  readonly drawSeed: () => number;
  readonly reshape: (shape: TreeShape) => void;
  /** Whether somebody waits for merges, so that the tree is not as the workload makes it. */
  readonly isAwaited: () => boolean;
  readonly isClosed: () => boolean;
  /** A window ends with so many operations, or so many bytes of memtable. */
  readonly windowOperations: number;
  readonly windowBytes: number;
  /** Decisions that are kept. */
  readonly decisionsKept: number;
}

/** What deciding has come to. */
export interface SteeringStats {
  /** Whether the mode is `adaptive`. */
  readonly on: boolean;
  /** Windows that ended since the database was opened. */
  readonly windows: number;
  /** Decisions that changed the shape. */
  readonly changes: number;
  /** Time on the caller's thread, observing and deciding, ms. */
  readonly spentMs: number;
  /** Seed of the agent, for replays: `settings.seed`, or what was drawn; undefined without one. */
  readonly seed: number | undefined;
}

/** Windows behind the begin that tell of a tree that somebody else left. */
const UNSETTLED_WINDOWS = 2;
/** Of the calls that a window took lately, those from one look at it to the next, at most and least. */
const LOOKS_MIN = 8;
const LOOKS_MAX = 64;

/** Steers one tree. */
export class Steering {
  readonly #parts: SteeringParts;
  readonly #meter: WindowMeter;
  #agent: CompactionAgent | undefined;
  #seed: number | undefined;
  #isOn = false;
  #window = 0;
  #unsettledUntil = 0;
  #records: DecisionRecord[] = [];
  #changes = 0;
  #spentMs = 0;
  #isLooking = false;
  /** Calls when the window began, and how many the one before took. */
  #startCalls = 0;
  #callsBefore = 0;

  constructor(parts: SteeringParts) {
    this.#parts = parts;
    this.#meter = new WindowMeter(parts);
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** The last decisions, the newest at the end. */
  get decisions(): readonly DecisionRecord[] {
    return [...this.#records];
  }

  stats(): SteeringStats {
    return {
      on: this.#isOn,
      windows: this.#window,
      changes: this.#changes,
      spentMs: this.#spentMs,
      seed: this.#seed,
    };
  }

  /** What the agent has learned. Makes it, if it was not needed yet. Throws AURA_INVALID_ARGUMENT. */
  exportWeights(): AgentWeights {
    return this.#theAgent().exportWeights();
  }

  /** Begins to steer, from the shape in force on. Throws AURA_INVALID_ARGUMENT (its weights). */
  start(): void {
    if (this.#isOn) return;
    this.#theAgent();
    const { counts } = this.#parts;
    this.#isOn = true;
    this.#unsettledUntil = this.#window + UNSETTLED_WINDOWS;
    counts.samples = true;
    counts.onLook = () => this.#lookLater();
    counts.onLeaving = (level, tables) => this.#meter.noteLeaving(level, tables);
    this.#meter.begin();
    this.#startCalls = counts.calls;
    this.#callsBefore = 0;
    this.#waitFor(0);
  }

  /** Ends to steer; the shape stays. */
  stop(): void {
    const { counts } = this.#parts;
    this.#isOn = false;
    counts.samples = false;
    counts.lookAt = -1;
    counts.onLeaving = () => undefined;
  }

  #theAgent(): CompactionAgent {
    this.#seed ??= this.#parts.drawSeed();
    this.#agent ??= this.#parts.createAgent(this.#seed);
    return this.#agent;
  }

  #lookLater(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#parts.scheduler.nextTurn(() => {
      this.#isLooking = false;
      if (this.#isOn && !this.#parts.isClosed()) this.#look();
    });
  }

  /** Ends the window if it holds enough; else looks again when it should. */
  #look(): void {
    const { clock, windowOperations, windowBytes, isAwaited } = this.#parts;
    const startMs = clock.monotonicMs();
    const { operations, bytes } = this.#meter.done;
    const share = Math.max(operations / windowOperations, bytes / windowBytes);
    if (isAwaited()) this.#unsettledUntil = this.#window + 1;
    if (share >= 1) this.#decide();
    this.#waitFor(share >= 1 ? 0 : share);
    this.#spentMs += clock.monotonicMs() - startMs;
  }

  /** Has the next look come when the rest of a window may be done, of which `share` is. */
  #waitFor(share: number): void {
    const { counts } = this.#parts;
    const calls = counts.calls - this.#startCalls;
    // A call may be one operation or a batch of thousands: go by how it has been.
    const whole = share > 0 ? calls / share : this.#callsBefore;
    const rest = Math.min(Math.max(whole - calls, whole / LOOKS_MAX), whole / LOOKS_MIN);
    counts.lookAt = counts.calls + Math.max(1, Math.ceil(rest));
  }

  #decide(): void {
    const { shape, reshape, events, decisionsKept } = this.#parts;
    const before = shape();
    const window = this.#window++;
    this.#callsBefore = this.#parts.counts.calls - this.#startCalls;
    this.#startCalls += this.#callsBefore;
    const observation = this.#meter.end(window, window < this.#unsettledUntil);
    let decision: AgentDecision;
    let after: TreeShape | undefined;
    try {
      decision = this.#theAgent().decide(observation, before);
      // Checks it, whoever made it.
      after = decision.shape && reshaped(decision.shape, {});
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    const last = this.#records.at(-1);
    if (last !== undefined && last.observation.window === window - 1) {
      this.#records[this.#records.length - 1] = { ...last, outcome: decision.measured };
    }
    const record: DecisionRecord = { observation, shape: before, decision, outcome: undefined };
    this.#records = [...this.#records.slice(1 - decisionsKept), record];
    if (after !== undefined) {
      this.#changes++;
      reshape(after);
    }
    events.announce("decision", record);
  }

  #fail(error: Error): void {
    const { baseline, reshape, events } = this.#parts;
    this.stop();
    this.#agent = undefined;
    reshape(baseline);
    events.announce("backgroundError", { severity: "soft", activity: "steering", error });
  }
}

/** Returns the agent that the settings ask for. Throws AURA_INVALID_ARGUMENT (its weights). */
export function agentOf(
  settings: ResolvedSettings,
  geometry: TreeGeometry,
  baseline: TreeShape,
  seed: number,
  make: Components["agent"] = createAgent,
): CompactionAgent {
  const { algorithm, learningRate, explorationRate, frozen, weights } = settings.rlAgent;
  const { filter, bloomBitsPerKey, filterAllocation } = settings.table;
  return make({
    ...{ algorithm, learningRate, explorationRate, frozen, geometry, baseline, filterAllocation },
    memtableBytes: settings.memtable.maxSize,
    filterBits: filter === "none" ? 0 : bloomBitsPerKey,
    separationThreshold: settings.valueLog.separationThreshold,
    seed,
    ...(weights === undefined ? {} : { weights }),
  });
}

/** Throws AURA_INVALID_ARGUMENT for weights that no agent of the settings can take. Before a database opens. */
export function checkWeights(settings: ResolvedSettings, tree: TreeSettings): void {
  if (settings.rlAgent.weights === undefined) return;
  agentOf(settings, treeGeometry(tree), flexiblePolicy(tree).shape, 1);
}
