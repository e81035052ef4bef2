/** A value that was refused, as the message of the error shows it: in short, and without ever throwing. */

const CHARS_MAX = 120;

/** Returns text for `value`, whatever it is. */
export function shown(value: unknown): string {
  const text = textOf(value);
  return text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)}...` : text;
}

function textOf(value: unknown): string {
  try {
    if (typeof value !== "object" || value === null) return String(value);
    const kind = Object.prototype.toString.call(value);
    if (ArrayBuffer.isView(value)) return `${kind} of ${value.byteLength} bytes`;
    return kind === "[object Object]" || kind === "[object Array]" ? textOfPlain(value) : kind;
  } catch {
    // A cycle, a big number within, or a conversion of its own that throws.
    return typeof value;
  }
}

function textOfPlain(value: object): string {
  // Of what converts itself to nothing there is no text.
  return (JSON.stringify(value) as string | undefined) ?? "object";
}
