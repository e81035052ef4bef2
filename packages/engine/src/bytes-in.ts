/**
 * Keys and values on the way in: strings become UTF-8, limits are checked, nothing is copied that
 * the caller already has as bytes. What comes out is a `Uint8Array` or `Buffer` that neither a subclass
 * nor a property of its own has changed: a length that is another one each time it is asked, or no
 * whole number, would tear an operation apart.
 */
import { types } from "node:util";
import { AuraError, KEY_BYTES_MAX, VALUE_BYTES_MAX } from "@aura/base";

/** What a key or value may be on the way in. Strings are stored as UTF-8. */
export type Bytes = string | Uint8Array;

/** Returns the bytes of a key: borrowed from the caller, or fresh for a string. */
export function keyBytes(key: Bytes): Uint8Array {
  const bytes = toBytes(key, "key");
  if (bytes.length > KEY_BYTES_MAX) {
    throw new AuraError("AURA_KEY_TOO_LONG", `key of ${bytes.length} bytes; at most 65535`, {
      expected: KEY_BYTES_MAX,
      actual: bytes.length,
    });
  }
  return bytes;
}

/** Returns the bytes of a value: borrowed from the caller, or fresh for a string. */
export function valueBytes(value: Bytes): Uint8Array {
  const bytes = toBytes(value, "value");
  if (bytes.length > VALUE_BYTES_MAX) {
    throw new AuraError("AURA_VALUE_TOO_LONG", `value of ${bytes.length} bytes; below 2^32`, {
      expected: VALUE_BYTES_MAX,
      actual: bytes.length,
    });
  }
  return bytes;
}

function toBytes(input: Bytes, what: string): Uint8Array {
  if (typeof input === "string") {
    // A lone surrogate would become U+FFFD and merge with other keys.
    if (!input.isWellFormed()) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${what} is a string with a lone surrogate`);
    }
    return Buffer.from(input, "utf8");
  }
  // Neither does an object that only inherits from it have bytes, nor a proxy of one.
  if (types.isUint8Array(input)) {
    const prototype: unknown = Object.getPrototypeOf(input);
    const { length } = input;
    // Two names for the same number: where they differ, the array has a property of its own.
    if (
      length > 0 &&
      length === input.byteLength &&
      (prototype === BUFFER || prototype === PLAIN)
    ) {
      return input;
    }
    return viewOf(input, what);
  }
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `${what} must be a string or a Uint8Array, not ${input === null ? "null" : typeof input}`,
  );
}

const PLAIN: unknown = Uint8Array.prototype;
const BUFFER: unknown = Buffer.prototype;
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;

/** Returns a property of a typed array as it is, whatever its class says. */
function own(array: Uint8Array, name: "buffer" | "byteOffset" | "length"): unknown {
  return Reflect.get(typedArray, name, array);
}

/** Returns the bytes of an array that is empty, changed, of a subclass, or of another realm. */
function viewOf(array: Uint8Array, what: string): Uint8Array {
  const memory = own(array, "buffer") as ArrayBufferLike;
  const [offset, length] = [own(array, "byteOffset"), own(array, "length")];
  try {
    // An array whose memory is gone looks empty, but refuses to be read.
    Uint8Array.prototype.at.call(array, 0);
    return new Uint8Array(memory, offset as number, length as number);
  } catch (cause) {
    const gone = `the memory of the ${what} was transferred, or shrunk`;
    const error = new AuraError("AURA_INVALID_ARGUMENT", gone, { cause });
    throw error;
  }
}
