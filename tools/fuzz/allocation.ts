/**
 * Watches what is allocated while `work` runs: the longest array or buffer that is asked for. One
 * above the limit is refused with an error of its own, before it is made.
 */

/** Thrown in place of an allocation above the limit. */
export class TooMuch extends Error {
  constructor(bytes: number, bytesMax: number) {
    super(`an allocation of ${bytes} bytes; at most ${bytesMax} are in order`);
    this.name = "TooMuch";
  }
}

const ARRAYS = ["Uint8Array", "Uint16Array", "Uint32Array", "Float64Array", "Int32Array"] as const;
const BUFFERS = ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const;

type Construct = new (...args: unknown[]) => object;
type World = Record<string, unknown>;

/** Runs `work`; throws TooMuch when it asks for more than `bytesMax` bytes at once. */
export function withAllocationLimit<T>(bytesMax: number, work: () => T): T {
  const world = globalThis as unknown as World;
  const buffers = Buffer as unknown as World;
  let refused: TooMuch | undefined;
  const check = (bytes: number): void => {
    if (!(bytes > bytesMax)) return;
    // It may be caught on its way out as if the bytes were damaged.
    refused = new TooMuch(bytes, bytesMax);
    throw refused;
  };
  const before = new Map<string, unknown>();
  for (const name of ARRAYS) {
    const original = world[name] as Construct & { BYTES_PER_ELEMENT: number };
    before.set(name, original);
    world[name] = new Proxy(original, {
      construct(target, args, newTarget) {
        if (typeof args[0] === "number") check(args[0] * target.BYTES_PER_ELEMENT);
        return Reflect.construct(target, args, newTarget === world[name] ? target : newTarget);
      },
    });
  }
  for (const name of BUFFERS) {
    const original = buffers[name] as (bytes: number, ...rest: unknown[]) => Buffer;
    before.set(`Buffer.${name}`, original);
    buffers[name] = (bytes: number, ...rest: unknown[]) => {
      check(bytes);
      return original(bytes, ...rest);
    };
  }
  try {
    const result = work();
    if (refused !== undefined) throw refused;
    return result;
  } catch (error) {
    throw refused ?? error;
  } finally {
    for (const name of ARRAYS) world[name] = before.get(name);
    for (const name of BUFFERS) buffers[name] = before.get(`Buffer.${name}`);
  }
}
