/**
 * Compiles sources with a planted bug: one that is no TypeScript, or calls what is not there, would be
 * "caught" by whatever runs it, and prove nothing of the test.
 */
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { plant } from "./planting.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a planted bug may leave behind: names that nobody uses, code that is never reached. */
const LEFTOVERS = new Set([6133, 6192, 6196, 6198, 6199, 7027]);

/** Compiles one bug after the other; what they leave unchanged is parsed once. */
export class TypeCheck {
  #options;
  #parsed = new Map();
  #program;

  constructor() {
    const { config } = ts.readConfigFile(`${root}tsconfig.base.json`, ts.sys.readFile);
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
    this.#options = options;
  }

  /** Returns the errors in the sources that the bug changes, a sentence each. */
  errorsOf(bug) {
    const changed = new Map();
    for (const { file } of bug.edits) {
      changed.set(root + file, plant(bug, file, ts.sys.readFile(root + file)));
    }
    const host = ts.createCompilerHost(this.#options);
    host.getCurrentDirectory = () => root;
    const parse = host.getSourceFile.bind(host);
    host.getSourceFile = (name, settings, ...rest) => {
      const text = changed.get(name);
      if (text !== undefined) return ts.createSourceFile(name, text, settings);
      if (!this.#parsed.has(name)) this.#parsed.set(name, parse(name, settings, ...rest));
      return this.#parsed.get(name);
    };
    const names = [...changed.keys()];
    this.#program = ts.createProgram(names, this.#options, host, this.#program);
    const all = names.flatMap((name) => {
      const source = this.#program.getSourceFile(name);
      return [
        ...this.#program.getSyntacticDiagnostics(source),
        ...this.#program.getSemanticDiagnostics(source),
      ];
    });
    return all.filter(({ code }) => !LEFTOVERS.has(code)).map(sentenceOf);
  }
}

function sentenceOf({ file, start, code, messageText }) {
  const { line } = file.getLineAndCharacterOfPosition(start);
  const place = `${file.fileName.replace(root, "")}:${line + 1}`;
  return `${place}: TS${code}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
}
