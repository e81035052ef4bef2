/**
 * One history of calls, drawn from a seed before any database exists: what is written, read, and
 * held, and where restarts lie. Its transcript (a line per answer) does not depend on any setting;
 * `modelTranscript` says what it has to be.
 */
import { SeededRandom } from "@aura/base";
import type { Durability } from "../../src/index.ts";
import { bytesOf, NASTY } from "./model-state.ts";

/** Keys are latin1 strings, one character a byte. */
export type Change =
  | { readonly kind: "put"; readonly key: string; readonly size: number; readonly stamp: number }
  | { readonly kind: "delete"; readonly key: string }
  | {
      readonly kind: "range";
      readonly from: string;
      readonly to: string;
      readonly isClosed: boolean;
    };

export interface Bounds {
  readonly gte?: string;
  readonly gt?: string;
  readonly lt?: string;
  readonly lte?: string;
  readonly prefix?: string;
}

export type Move = "next" | "prev" | "first" | "last" | { readonly seek: string };

/** A call, or a group of them. `view`: the snapshot that a read goes by; undefined: the present. */
export type Step =
  | {
      readonly kind: "write";
      readonly changes: readonly Change[];
      readonly isBatch: boolean;
      readonly level: Durability;
    }
  | { readonly kind: "text"; readonly key: string; readonly value: string | undefined }
  | {
      readonly kind: "get" | "getMany" | "has";
      readonly keys: readonly string[];
      readonly view: number | undefined;
    }
  | {
      readonly kind: "scan" | "keys" | "values";
      readonly bounds: Bounds;
      readonly reverse: boolean;
      readonly limit: number;
      readonly view: number | undefined;
    }
  | {
      readonly kind: "cursor";
      readonly bounds: Bounds;
      readonly moves: readonly Move[];
      readonly view: number | undefined;
    }
  | { readonly kind: "hold" | "release"; readonly view: number }
  | { readonly kind: "flush" | "compact" | "idle" | "sync" | "restart" };

const PLAIN: readonly string[] = [
  ...Array.from({ length: 260 }, (_, i) => `key/${String(i * 7).padStart(5, "0")}`),
  ...Array.from(
    { length: 40 },
    (_, i) => `${"same-prefix-".repeat(6)}${String.fromCharCode(i * 6)}`,
  ),
  ...Array.from({ length: 30 }, (_, i) => "p".repeat(i)),
];

/** Every key that a history may use, sorted by its bytes. */
const KEYS: readonly string[] = [...new Set([...NASTY, ...PLAIN])].sort();

/** Strings that are keys: what is no UTF-16 is refused, or two of them would be one key. */
const TEXTS: readonly string[] = [
  ...[
    "",
    "\u0000",
    "é",
    "ÿ",
    "€",
    "\u{10ffff}",
    "\u{1f600}",
    "\ufffd",
    "__proto__",
    "hasOwnProperty",
  ],
  ...["\ud800", "\udfff", "a\ud83d", "\ude00b", "\ud83d\ud83d\ude00"],
];

const SIZES: readonly number[] = [
  ...[0, 1, 20, 63, 64, 65, 99, 100, 101, 199, 200, 201, 511, 512, 513, 1023, 1024, 1025, 3000],
];

/** Returns the bytes of a put. */
export function putBytes(size: number, stamp: number): Buffer {
  const value = Buffer.alloc(size, `${stamp};`);
  // Half of it is noise, so that codecs meet both.
  const random = new SeededRandom(stamp);
  for (let i = 8; i < size / 2; i += 4) value.writeUInt32LE(random.uint32(), i);
  return value;
}

/** Draws a history. */
export class HistoryDraw {
  readonly #random: SeededRandom;
  #stamp = 0;
  #views: number[] = [];
  #viewCount = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  steps(count: number): Step[] {
    const steps: Step[] = [];
    for (let i = 0; i < count; i++) this.#add(steps);
    for (const view of this.#views) steps.push({ kind: "release", view });
    steps.push({ kind: "idle" }, ...this.#wholeReads(), { kind: "restart" }, ...this.#wholeReads());
    return steps;
  }

  #add(steps: Step[]): void {
    const dice = this.#random.below(100);
    if (dice < 30) steps.push(this.#write());
    else if (dice < 36) steps.push(this.#fill());
    else if (dice < 39) steps.push(this.#text());
    else if (dice < 54) steps.push(this.#points());
    else if (dice < 70) steps.push(this.#scan());
    else if (dice < 76) steps.push(this.#cursor());
    else if (dice < 82) steps.push(this.#holdOrRelease());
    else if (dice < 90) steps.push({ kind: "flush" });
    else if (dice < 93) steps.push({ kind: "compact" });
    else if (dice < 96) steps.push({ kind: "idle" });
    else if (dice < 98) steps.push({ kind: "sync" });
    else {
      for (const view of this.#views) steps.push({ kind: "release", view });
      this.#views = [];
      steps.push({ kind: "restart" });
    }
  }

  #wholeReads(): Step[] {
    const all = { bounds: {}, limit: Number.POSITIVE_INFINITY, view: undefined };
    return [
      { kind: "scan", reverse: false, ...all },
      { kind: "scan", reverse: true, ...all },
      { kind: "getMany", keys: KEYS, view: undefined },
      { kind: "get", keys: KEYS, view: undefined },
    ];
  }

  #key(): string {
    const random = this.#random;
    return random.below(3) === 0
      ? NASTY[random.below(NASTY.length)]!
      : PLAIN[random.below(PLAIN.length)]!;
  }

  /** A key that may well be no key of the history. */
  #anyKey(): string {
    const key = this.#key();
    const manner = this.#random.below(8);
    // Room for one byte more: the longest key cannot grow.
    if (manner === 0 && key.length < 65535) return `${key}\0`;
    if (manner === 1 && key.length < 65535) return `${key}\xff`;
    return manner === 2 ? key.slice(0, -1) : key;
  }

  #change(isBatch: boolean): Change {
    const random = this.#random;
    const dice = random.below(24);
    if (dice === 0) {
      const at = random.below(KEYS.length - 1);
      const to = Math.min(KEYS.length - 1, at + 1 + random.below(random.below(8) === 0 ? 80 : 8));
      const isClosed = random.below(2) === 0;
      return { kind: "range", from: KEYS[at]!, to: KEYS[to]!, isClosed };
    }
    const key = isBatch && random.below(2) === 0 ? PLAIN[random.below(20)]! : this.#key();
    if (dice < 6) return { kind: "delete", key };
    const isLarge = random.below(60) === 0;
    const size = isLarge ? 70_000 : SIZES[random.below(SIZES.length)]!;
    return { kind: "put", key, size, stamp: ++this.#stamp };
  }

  #write(): Step {
    const random = this.#random;
    const isBatch = random.below(2) === 0;
    const count = isBatch ? 1 + random.below(15) : 1 + random.below(4);
    const changes = Array.from({ length: count }, () => this.#change(isBatch));
    const level = (["buffered", "os", "os", "sync"] as const)[random.below(4)]!;
    return { kind: "write", changes, isBatch, level };
  }

  /** Neighbouring keys in order, all of one kind: what tiers, moves and models like. */
  #fill(): Step {
    const random = this.#random;
    const from = random.below(PLAIN.length);
    const keys = PLAIN.slice(from, from + 120);
    const isDelete = random.below(4) === 0;
    const size = SIZES[random.below(SIZES.length)]!;
    const changes = keys.map(
      (key): Change =>
        isDelete ? { kind: "delete", key } : { kind: "put", key, size, stamp: ++this.#stamp },
    );
    return { kind: "write", changes, isBatch: random.below(2) === 0, level: "os" };
  }

  #text(): Step {
    const random = this.#random;
    const key = TEXTS[random.below(TEXTS.length)]!;
    const manner = random.below(3);
    const value = manner === 0 ? undefined : `text ${++this.#stamp} ${manner === 1 ? key : ""}`;
    return { kind: "text", key, value };
  }

  #view(): number | undefined {
    const random = this.#random;
    if (this.#views.length === 0 || random.below(2) === 0) return undefined;
    return this.#views[random.below(this.#views.length)];
  }

  #points(): Step {
    const random = this.#random;
    const kind = (["get", "has", "getMany"] as const)[random.below(3)]!;
    const keys = Array.from({ length: 1 + random.below(30) }, () => this.#anyKey());
    return { kind, keys, view: this.#view() };
  }

  #bounds(): Bounds {
    const random = this.#random;
    const key = this.#anyKey();
    const bounds: { -readonly [K in keyof Bounds]: string } = {};
    if (random.below(3) === 0) bounds.prefix = key.slice(0, random.below(key.length + 1));
    if (random.below(3) === 0) bounds[random.below(2) === 0 ? "gte" : "gt"] = this.#anyKey();
    if (random.below(3) === 0) bounds[random.below(2) === 0 ? "lte" : "lt"] = this.#anyKey();
    return bounds;
  }

  #scan(): Step {
    const random = this.#random;
    const kind = (["scan", "scan", "keys", "values"] as const)[random.below(4)]!;
    const limit = random.below(3) === 0 ? random.below(20) : Number.POSITIVE_INFINITY;
    const reverse = random.below(2) === 0;
    return { kind, bounds: this.#bounds(), reverse, limit, view: this.#view() };
  }

  #cursor(): Step {
    const random = this.#random;
    const moves: Move[] = [{ seek: this.#anyKey() }];
    for (let count = 3 + random.below(40); count > 0; count--) {
      const dice = random.below(20);
      if (dice === 0) moves.push("first");
      else if (dice === 1) moves.push("last");
      else if (dice < 6) moves.push({ seek: this.#anyKey() });
      else moves.push(dice < 14 ? "next" : "prev");
    }
    return { kind: "cursor", bounds: this.#bounds(), moves, view: this.#view() };
  }

  #holdOrRelease(): Step {
    const random = this.#random;
    if (this.#views.length >= 3 || (this.#views.length > 0 && random.below(2) === 0)) {
      const [view] = this.#views.splice(random.below(this.#views.length), 1);
      return { kind: "release", view: view! };
    }
    const view = this.#viewCount++;
    this.#views.push(view);
    return { kind: "hold", view };
  }
}

// What a history answers.

type State = Map<string, Buffer>;

/** Whether a string is no text: half of a surrogate pair stands alone. */
function isLone(text: string): boolean {
  return /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

function isInside(key: string, bounds: Bounds): boolean {
  const { gte, gt, lt, lte, prefix } = bounds;
  return (
    (gte === undefined || key >= gte) &&
    (gt === undefined || key > gt) &&
    (lt === undefined || key < lt) &&
    (lte === undefined || key <= lte) &&
    (prefix === undefined || key.startsWith(prefix))
  );
}

/** Where a cursor goes: an index into the keys of its range, or -1. */
function moveOf(keys: readonly string[], at: number, move: Move): number {
  if (move === "first") return keys.length === 0 ? -1 : 0;
  if (move === "last") return keys.length - 1;
  if (typeof move === "object") return keys.findIndex((key) => key >= move.seek);
  if (at < 0) return -1;
  return move === "next" ? (at + 1 < keys.length ? at + 1 : -1) : at - 1;
}

/** A line of a transcript: what a read gave, short enough to keep, exact enough to compare. */
export function lineOf(answers: readonly (Buffer | string | boolean | undefined)[]): string {
  const parts = answers.map((answer) =>
    Buffer.isBuffer(answer) ? `${answer.length}:${sumOf(answer)}` : String(answer),
  );
  return parts.join(" ");
}

/** FNV-1a: an oracle that shares no code with the engine. */
function sumOf(bytes: Buffer): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(36);
}

/** Returns what each step of a history has to answer; "" for steps that answer nothing. */
export function modelTranscript(steps: readonly Step[]): string[] {
  const now: State = new Map();
  const held = new Map<number, State>();
  return steps.map((step) => {
    switch (step.kind) {
      case "write":
        for (const change of step.changes) applyChange(now, change);
        return "";
      case "text":
        return textLine(now, step.key, step.value);
      case "hold":
        held.set(step.view, new Map(now));
        return "";
      case "release":
        held.delete(step.view);
        return "";
      case "get":
      case "has":
      case "getMany":
      case "scan":
      case "keys":
      case "values":
      case "cursor":
        return readLine(step, step.view === undefined ? now : held.get(step.view)!);
      default:
        return "";
    }
  });
}

function textLine(now: State, key: string, value: string | undefined): string {
  if (isLone(key) || (value !== undefined && isLone(value))) return "AURA_INVALID_ARGUMENT";
  const name = Buffer.from(key).toString("latin1");
  if (value === undefined) now.delete(name);
  else now.set(name, Buffer.from(value));
  return lineOf([value]);
}

function applyChange(now: State, change: Change): void {
  if (change.kind === "put") now.set(change.key, putBytes(change.size, change.stamp));
  else if (change.kind === "delete") now.delete(change.key);
  else {
    const { from, to, isClosed } = change;
    for (const key of [...now.keys()]) {
      if (key >= from && (key < to || (isClosed && key === to))) now.delete(key);
    }
  }
}

type Read = Extract<
  Step,
  { readonly kind: "get" | "has" | "getMany" | "scan" | "keys" | "values" | "cursor" }
>;

function readLine(step: Read, state: State): string {
  if ("keys" in step) {
    const isHas = step.kind === "has";
    return lineOf(step.keys.map((key) => (isHas ? state.has(key) : state.get(key))));
  }
  const keys = [...state.keys()].filter((key) => isInside(key, step.bounds)).sort();
  if (step.kind === "cursor") {
    let at = -1;
    const seen = step.moves.flatMap((move): (Buffer | boolean)[] => {
      at = moveOf(keys, at, move);
      return at < 0 ? [false] : [bytesOf(keys[at]!), state.get(keys[at]!)!];
    });
    return lineOf(seen);
  }
  if (step.reverse) keys.reverse();
  const shown = keys.slice(0, step.limit);
  if (step.kind === "keys") return lineOf(shown.map(bytesOf));
  if (step.kind === "values") return lineOf(shown.map((key) => state.get(key)));
  return lineOf(shown.flatMap((key) => [bytesOf(key), state.get(key)!]));
}
