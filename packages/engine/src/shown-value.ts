/** A value that was refused, as the message of the error shows it: in short, and without ever throwing. */

const CHARS_MAX = 120;

/** Returns text for `value`, whatever it is. */
export function shown(value: unknown): string {
  const text = textOf(value);
  return text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)}...` : text;
}

function textOf(value: unknown): string {
  try {
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  } catch {
    // A cycle, a big number within, or a conversion of its own that throws.
    return typeof value;
  }
}
