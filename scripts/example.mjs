import { readFileSync } from "node:fs";

const marked = /<!-- example -->\s*```js\n([\s\S]*?)```/;

/** Returns the program of a README: its first `js` block behind the mark `<!-- example -->`. */
export function readExample(file) {
  const found = marked.exec(readFileSync(file, "utf8"));
  if (found === null) throw new Error(`${file}: no js block behind <!-- example -->`);
  return found[1];
}
