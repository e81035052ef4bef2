/**
 * HTML from templates that escape: whatever a result holds (names, flags, failures) is text, never
 * markup. Only `html` makes `Html`, so a string cannot reach the page unescaped by mistake.
 */

/** Markup that is safe to put into a page. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes; arrays are joined, `undefined` is nothing. */
export type HtmlPart = Html | string | number | undefined | readonly HtmlPart[];

/** Returns the markup of a template; strings in it are escaped, for text and quoted attributes alike. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  let text = strings[0] ?? "";
  for (let i = 0; i < parts.length; i++) text += render(parts[i]) + (strings[i + 1] ?? "");
  return new Html(text);
}

/** Returns markup made by the page itself: style sheets, scripts. Never for text of a result. */
export function trusted(text: string): Html {
  return new Html(text);
}

/**
 * Returns a value as JSON that may stand in a `script` element: it holds no `<`, `>`, `&`, U+2028 or
 * U+2029. Texts in it are plain, as those of templates are.
 */
export function jsonForScript(value: unknown): Html {
  const plain = (_key: string, part: unknown): unknown =>
    typeof part === "string" ? plainText(part) : part;
  const text = JSON.stringify(value, plain).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return new Html(text);
}

function render(part: HtmlPart): string {
  if (part === undefined) return "";
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(render).join("");
  return escapeText(String(part));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeText(text: string): string {
  return plainText(text).replace(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
}

/**
 * Replaces what no document may hold (controls, halves of surrogate pairs) and what would turn the
 * text behind it around (controls of direction).
 */
function plainText(text: string): string {
  return (
    text
      .toWellFormed()
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to replace.
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, "\ufffd")
      .replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd")
  );
}
