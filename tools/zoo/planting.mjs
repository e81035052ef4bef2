/** Plants a bug of the zoo in the text of a source. Sources on the disk are never changed. */
import { BUGS } from "./bugs.mjs";

/** Returns the bug of this name. Throws for any other. */
export function bugOf(id) {
  const bug = BUGS.find((one) => one.id === id);
  if (bug === undefined) throw new Error(`no bug "${id}" in the zoo`);
  return bug;
}

/** Returns the source with the edits of a bug that are of this file. Throws where one does not fit. */
export function plant(bug, file, text) {
  let planted = text;
  for (const edit of bug.edits.filter((one) => one.file === file)) {
    const parts = planted.split(edit.find);
    const fits = edit.every === true ? parts.length >= 2 : parts.length === 2;
    if (!fits || edit.find === "") {
      throw new Error(
        `bug ${bug.id} does not fit ${file} any more: ${parts.length - 1} places have\n${edit.find}`,
      );
    }
    planted = parts.join(edit.replace);
  }
  return planted;
}
