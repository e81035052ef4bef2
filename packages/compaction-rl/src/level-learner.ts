/**
 * Actor and critic of one place of a setting (the trigger of level 0, or K of one level): deep
 * deterministic policy gradient. The actor maps a state to an action in [-1, 1], the critic a state and
 * an action to the reward that is to come. Both follow themselves slowly as targets. What happened is
 * kept in a ring and learned from in small, randomly drawn batches.
 *
 * Source: Lillicrap et al., "Continuous control with deep reinforcement learning", ICLR 2016; one
 * learner per level as in RusKey (Mo, Chen, Luo, Shan, SIGMOD 2024).
 */
import type { Random } from "@aura/base";
import { Mlp, type MlpShape, parameterCount } from "./mlp.ts";

/** Figures of a state. */
export const STATE_COUNT = 12;
const HIDDEN = 16;
const ACTOR: MlpShape = { inputs: STATE_COUNT, hidden: HIDDEN, outputs: 1 };
const CRITIC: MlpShape = { inputs: STATE_COUNT + 1, hidden: HIDDEN, outputs: 1 };
/** Parameters of actor and critic. */
export const ACTOR_PARAMETERS: number = parameterCount(ACTOR);
export const CRITIC_PARAMETERS: number = parameterCount(CRITIC);

/** Transitions that are remembered, and how many are learned from at a time. */
const MEMORY = 4096;
const BATCH = 32;
/** Transitions that are too few to learn from. */
const KNOWN_MIN = 4;
/** What a reward one window later is worth. */
const DISCOUNT = 0.8;
/** How fast targets follow. */
const FOLLOW = 0.02;
/** Of the rate of learning, a step of the critic. */
const CRITIC_RATE = 0.04;
/** The actor learns slower than the critic that it follows. */
const ACTOR_RATE = 0.2;
/** A transition: state, action, reward, next state. */
const STRIDE = 2 * STATE_COUNT + 2;

/** Learns one place. */
export class LevelLearner {
  readonly actor: Mlp = new Mlp(ACTOR);
  readonly critic: Mlp = new Mlp(CRITIC);
  readonly #actorTarget = new Mlp(ACTOR);
  readonly #criticTarget = new Mlp(CRITIC);
  readonly #memory = new Float64Array(MEMORY * STRIDE);
  readonly #input = new Float64Array(STATE_COUNT + 1);
  #stored = 0;

  constructor(random: Random) {
    this.actor.randomise(random, 0.1);
    this.critic.randomise(random, 0.1);
    this.synchronise();
  }

  /** Targets become what they follow: after parameters were set from outside. */
  synchronise(): void {
    this.#actorTarget.follow(this.actor, 1);
    this.#criticTarget.follow(this.critic, 1);
  }

  /** Transitions that were taken in. */
  get stored(): number {
    return this.#stored;
  }

  /** Returns the action for a state, -1 to 1. */
  act(state: ArrayLike<number>): number {
    return Math.tanh(this.actor.run(state)[0]!);
  }

  /** Remembers what came of an action. */
  remember(
    state: ArrayLike<number>,
    action: number,
    reward: number,
    next: ArrayLike<number>,
  ): void {
    const at = (this.#stored % MEMORY) * STRIDE;
    for (let i = 0; i < STATE_COUNT; i++) {
      this.#memory[at + i] = state[i]!;
      this.#memory[at + STATE_COUNT + 2 + i] = next[i]!;
    }
    this.#memory[at + STATE_COUNT] = action;
    this.#memory[at + STATE_COUNT + 1] = reward;
    this.#stored++;
  }

  /** Learns from a few transitions. */
  learn(random: Random, rate: number): void {
    const known = Math.min(this.#stored, MEMORY);
    if (known < KNOWN_MIN) return;
    for (let i = 0; i < BATCH; i++) {
      const draw = Math.floor((random.uint32() / 0x100000000) * known) * STRIDE;
      this.#learnFrom(draw);
    }
    this.critic.step(rate * CRITIC_RATE);
    this.actor.step(rate * CRITIC_RATE * ACTOR_RATE);
    this.#criticTarget.follow(this.critic, FOLLOW);
    this.#actorTarget.follow(this.actor, FOLLOW);
  }

  #learnFrom(at: number): void {
    const state = this.#memory.subarray(at, at + STATE_COUNT);
    const next = this.#memory.subarray(at + STATE_COUNT + 2, at + STRIDE);
    const action = this.#memory[at + STATE_COUNT]!;
    const reward = this.#memory[at + STATE_COUNT + 1]!;
    const nextAction = Math.tanh(this.#actorTarget.run(next)[0]!);
    const later = this.#criticTarget.run(this.#with(next, nextAction))[0]!;
    const value = this.critic.run(this.#with(state, action))[0]!;
    this.critic.back([value - (reward + DISCOUNT * later)]);
    // The actor climbs what the critic thinks of its own action.
    const own = Math.tanh(this.actor.run(state)[0]!);
    const gradient = this.#criticTarget;
    gradient.run(this.#with(state, own));
    const byAction = gradient.back([1])[STATE_COUNT]!;
    gradient.gradient.fill(0);
    // Towards a bound it goes the slower the nearer that is, and back from it at full speed: the slope of tanh
    // alone would keep it there (Hausknecht, Stone, ICLR 2016).
    const room = (byAction > 0 ? 1 - own : 1 + own) / 2;
    this.actor.back([-byAction * room]);
  }

  #with(state: ArrayLike<number>, action: number): Float64Array {
    this.#input.set(state);
    this.#input[STATE_COUNT] = action;
    return this.#input;
  }
}
