/**
 * Keys and values on the way in: strings become UTF-8, limits are checked, nothing is copied that
 * the caller already has as bytes.
 */
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
  if (input instanceof Uint8Array) return input;
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `${what} must be a string or a Uint8Array, not ${input === null ? "null" : typeof input}`,
  );
}
