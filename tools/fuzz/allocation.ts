/**
 * Watches what is allocated while `work` runs: arrays, buffers and the memory under them, one by one
 * and in sum. One above the limit, or the one that the sum goes above its limit with, is refused with
 * an error of its own, before it is made (copies of what is there already are counted behind it).
 *
 * Seen is what sources ask for by name: typed arrays, `ArrayBuffer`, `SharedArrayBuffer`, `Array(n)`,
 * `Buffer.alloc*`, `from` and `concat`, `slice`. Not seen: small objects, strings, `[]` that grows by `push`,
 * and memory of WebAssembly and of native modules.
 */

/** Thrown in place of an allocation above a limit. */
export class TooMuch extends Error {
  constructor(bytes: number, bytesMax: number, what: string) {
    super(`${what} of ${bytes} bytes; at most ${bytesMax} are in order`);
    this.name = "TooMuch";
  }
}

/** What `work` may ask for. */
export interface AllocationLimits {
  /** At once. */
  readonly oneBytesMax: number;
  /** In sum. */
  readonly sumBytesMax: number;
}

const ARRAYS = [
  ...["Uint8Array", "Uint8ClampedArray", "Int8Array", "Uint16Array", "Int16Array", "Uint32Array"],
  ...["Int32Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array"],
];
const MEMORIES = ["ArrayBuffer", "SharedArrayBuffer"];
const BUFFERS = ["alloc", "allocUnsafe", "allocUnsafeSlow"];
/** Of an element of `Array(n)`. */
const ELEMENT_BYTES = 8;

type Call = (this: unknown, ...args: unknown[]) => unknown;
type Construct = new (...args: unknown[]) => object;
type World = Record<string, unknown>;

/** What was asked for in one execution. */
class Tally {
  sumBytes = 0;
  refused: TooMuch | undefined;
  readonly #limits: AllocationLimits;

  constructor(limits: AllocationLimits) {
    this.#limits = limits;
  }

  note(bytes: number): void {
    // What is no length is refused by whoever was asked.
    if (!(bytes >= 0)) return;
    const { oneBytesMax, sumBytesMax } = this.#limits;
    this.sumBytes += bytes;
    if (bytes > oneBytesMax) this.#refuse(bytes, oneBytesMax, "an allocation");
    if (this.sumBytes > sumBytesMax) {
      this.#refuse(this.sumBytes, sumBytesMax, "allocations in sum");
    }
  }

  #refuse(bytes: number, bytesMax: number, what: string): never {
    // It may be caught on its way out as if the bytes were damaged.
    this.refused = new TooMuch(bytes, bytesMax, what);
    throw this.refused;
  }
}

let tally: Tally | undefined;
let lastSumBytes = 0;

/** A place where memory is asked for, and what stands there while a watch goes on. */
interface Door {
  readonly owner: World;
  readonly name: string;
  readonly original: unknown;
  readonly watched: unknown;
}

function doorOf(owner: World, name: string, watch: (original: never) => unknown): Door {
  const original = owner[name];
  return { owner, name, original, watched: watch(original as never) };
}

/** `bytesOf` says what a construction asks for; undefined: what it made is looked at. */
function constructed(bytesOf: (target: Construct, args: unknown[]) => number | undefined) {
  return (original: Construct): Construct => {
    const watched: Construct = new Proxy(original, {
      construct(target, args: unknown[], newTarget) {
        const bytes = bytesOf(target, args);
        if (bytes !== undefined) tally?.note(bytes);
        const made: object = Reflect.construct(
          target,
          args,
          newTarget === watched ? target : newTarget,
        );
        if (bytes === undefined) tally?.note((made as Uint8Array).byteLength);
        return made;
      },
      apply(target, self, args: unknown[]) {
        tally?.note(bytesOf(target, args) ?? 0);
        return Reflect.apply(target as unknown as Call, self, args);
      },
    });
    return watched;
  };
}

function isMemory(value: unknown): boolean {
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
}

function arrayBytes(target: Construct, [first]: unknown[]): number | undefined {
  if (isMemory(first)) return 0;
  const { BYTES_PER_ELEMENT } = target as unknown as { BYTES_PER_ELEMENT: number };
  return typeof first === "object" ? undefined : Number(first ?? 0) * BYTES_PER_ELEMENT;
}

/** Counts what a call returns, a copy, and not what it asks for on its way: that is the runtime's. */
function copied(original: Call): Call {
  return function (this: unknown, ...args: unknown[]): unknown {
    const own = tally;
    tally = undefined;
    let made: unknown;
    try {
      made = Reflect.apply(original, this, args);
    } finally {
      tally = own;
    }
    if (!isMemory(args[0])) tally?.note((made as Uint8Array).byteLength);
    return made;
  };
}

const world = globalThis as unknown as World;
const buffers = Buffer as unknown as World;
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as World;

const DOORS: readonly Door[] = [
  ...ARRAYS.map((name) => doorOf(world, name, constructed(arrayBytes))),
  ...MEMORIES.map((name) =>
    doorOf(
      world,
      name,
      constructed((_, [bytes]) => Number(bytes ?? 0)),
    ),
  ),
  doorOf(
    world,
    "Array",
    constructed((_, args) =>
      args.length === 1 && typeof args[0] === "number" ? args[0] * ELEMENT_BYTES : 0,
    ),
  ),
  ...BUFFERS.map((name) =>
    doorOf(buffers, name, (original: Call) => (bytes: unknown, ...rest: unknown[]) => {
      tally?.note(bytes as number);
      return Reflect.apply(original, Buffer, [bytes, ...rest]);
    }),
  ),
  doorOf(buffers, "from", copied),
  doorOf(buffers, "concat", copied),
  doorOf(typedArray, "slice", copied),
  ...[ArrayBuffer, SharedArrayBuffer].map(({ prototype }) =>
    doorOf(prototype as unknown as World, "slice", copied),
  ),
];

/** Bytes that the last execution asked for in sum. */
export function allocatedBytes(): number {
  return lastSumBytes;
}

/**
 * Runs `work`, to the end of its promise if it returns one; throws TooMuch when it asks for more than
 * `limits` allow, also where it caught that itself. One at a time.
 */
export function withAllocationLimit<T>(limits: AllocationLimits, work: () => T): T {
  const own = new Tally(limits);
  const stop = (): void => {
    for (const { owner, name, original } of DOORS) owner[name] = original;
    tally = undefined;
    lastSumBytes = own.sumBytes;
  };
  const fail = (error: unknown): never => {
    stop();
    throw own.refused ?? error;
  };
  const finish = <R>(result: R): R => {
    stop();
    if (own.refused !== undefined) throw own.refused;
    return result;
  };
  for (const { owner, name, watched } of DOORS) owner[name] = watched;
  tally = own;
  let result: T;
  try {
    result = work();
  } catch (error) {
    return fail(error);
  }
  return result instanceof Promise ? (result.then(finish, fail) as T) : finish(result);
}
