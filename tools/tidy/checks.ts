/**
 * The repository's own rules, as pure functions from texts to findings. They read the syntax tree,
 * so that a word in a comment or a string is no finding. The tables they work on stand at the top
 * of `tidy.test.ts`; `checks.test.ts` plants a violation of each.
 */
import ts from "typescript";

/** A file of the repository; `path` is relative to its root, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** The parts of a package manifest that the rules look at. */
export interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** What each package may import: workspace packages, and packages from elsewhere. */
export type PackageGraph = Readonly<
  Record<string, { readonly workspace: readonly string[]; readonly outside: readonly string[] }>
>;

function parse(file: SourceFile): ts.SourceFile {
  return ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
}

function visit(node: ts.Node, onNode: (node: ts.Node) => void): void {
  onNode(node);
  ts.forEachChild(node, (child) => visit(child, onNode));
}

function at(file: SourceFile, source: ts.SourceFile, node: ts.Node, what: string): string {
  const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
  return `${file.path}:${line + 1}: ${what}`;
}

/** The names of all modules that a tree imports, statically, dynamically or by `require`. */
function importsOf(source: ts.SourceFile): { readonly node: ts.Node; readonly name: string }[] {
  const found: { node: ts.Node; name: string }[] = [];
  const take = (node: ts.Node, name: ts.Node | undefined): void => {
    if (name !== undefined && ts.isStringLiteralLike(name)) found.push({ node, name: name.text });
  };
  visit(source, (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      take(node, node.moduleSpecifier);
    } else if (ts.isImportTypeNode(node)) {
      take(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined);
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression;
      const isImport = callee.kind === ts.SyntaxKind.ImportKeyword;
      const isRequire = ts.isIdentifier(callee) && /^require/i.test(callee.text);
      if (isImport || isRequire) take(node, node.arguments[0]);
    }
  });
  return found;
}

function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : (parts[0] ?? "");
}

/** The folder of a file that must not be left by relative imports: `packages/wal`, `tools`. */
function homeOf(path: string): string {
  const parts = path.split("/");
  return parts[0] === "packages" || parts[0] === "apps" ? parts.slice(0, 2).join("/") : "";
}

/** Edges of the package graph that manifests declare and the table does not have. */
export function checkManifest(manifest: Manifest, graph: PackageGraph): string[] {
  const row = graph[manifest.name];
  if (row === undefined) return [`${manifest.name}: not in the package graph`];
  const declared = [
    manifest.dependencies,
    manifest.devDependencies,
    manifest.peerDependencies,
    manifest.optionalDependencies,
  ].flatMap((names) => Object.keys(names ?? {}));
  return declared
    .filter((name) => !row.workspace.includes(name) && !row.outside.includes(name))
    .map((name) => `${manifest.name}: declares ${name}, which the package graph does not have`);
}

/**
 * Imports of a package's file that the graph does not have. Tests may also import the test tools
 * and `@aura/base/testing`; sources may import neither.
 */
export function checkImports(
  file: SourceFile,
  name: string,
  graph: PackageGraph,
  testPackages: readonly string[],
): string[] {
  const source = parse(file);
  const row = graph[name] ?? { workspace: [], outside: [] };
  const isSource = file.path.includes("/src/");
  const findings: string[] = [];
  for (const { node, name: specifier } of importsOf(source)) {
    const target = packageOf(specifier);
    if (specifier.startsWith("node:")) continue;
    if (specifier.startsWith(".")) {
      const home = homeOf(file.path);
      const url = new URL(specifier, `file:///${file.path}`).pathname.slice(1);
      // The one thing that packages share without being built: what bundles them to be measured.
      const bundles = file.path.includes("/bench/") && url === "scripts/bundle.mjs";
      const leavesHome = home !== "" && !url.startsWith(`${home}/`) && !bundles;
      const leavesSource = isSource && !url.startsWith(`${home}/src/`);
      if (leavesHome || leavesSource) {
        findings.push(at(file, source, node, `${specifier} leaves the package's sources`));
      } else if (isSource && /\/src\/testing\//.test(url) && !file.path.includes("/src/testing/")) {
        findings.push(at(file, source, node, `${specifier}: test fakes are not for sources`));
      }
    } else if (specifier.endsWith("/testing") && specifier.startsWith("@aura/") && isSource) {
      findings.push(at(file, source, node, `${specifier}: test fakes are not for sources`));
    } else {
      const own = !isSource && target === name;
      const forTests = !isSource && testPackages.includes(target);
      const inGraph = row.workspace.includes(target) || row.outside.includes(target);
      if (!own && !forTests && !inGraph) {
        findings.push(at(file, source, node, `${specifier} is not in the package graph`));
      }
    }
  }
  return findings;
}

/** What only the named files may touch, so that a simulation owns the rest. */
export interface WorldRules {
  /** Modules, without `node:`; a sub-path counts as the module. */
  readonly modules: readonly string[];
  /** Members of globals, as `Date.now`; `performance.*` means all of them. */
  readonly members: readonly string[];
  /** Global functions. */
  readonly globals: readonly string[];
}

/** Direct uses of disk, threads, clock, timers, chance and environment. */
export function checkWorld(file: SourceFile, rules: WorldRules): string[] {
  const source = parse(file);
  const findings: string[] = [];
  const add = (node: ts.Node, what: string): void => {
    findings.push(at(file, source, node, `${what}: use what is injected (STYLE.md)`));
  };
  for (const { node, name } of importsOf(source)) {
    const bare = name.replace(/^node:/, "");
    if (rules.modules.some((banned) => bare === banned || bare.startsWith(`${banned}/`))) {
      add(node, name);
    }
  }
  visit(source, (node) => {
    const member = memberOf(node);
    if (member !== undefined) {
      const [owner = "", key = ""] = member;
      if (owner === "globalThis" && rules.globals.includes(key)) add(node, `globalThis.${key}`);
      const banned = [`${owner}.${key}`, `${owner}.*`].some((name) => rules.members.includes(name));
      if (banned) add(node, `${owner}.${key}`);
    } else if (isDestructured(node)) {
      const owner = node.initializer.text;
      const taken = node.name.elements.map((element) => element.propertyName ?? element.name);
      for (const key of taken.map((name) => name.getText(source))) {
        const names = [`${owner}.${key}`, `${owner}.*`];
        if (names.some((name) => rules.members.includes(name))) add(node, `${owner}.${key}`);
      }
    } else if (isNewDateOfNow(node)) {
      if (rules.members.includes("Date.now")) add(node, "new Date()");
    } else if (ts.isIdentifier(node) && rules.globals.includes(node.text) && isReference(node)) {
      add(node, node.text);
    }
  });
  return findings;
}

/** `a.b`, `a["b"]` and `globalThis.a.b` as owner and key. */
function memberOf(node: ts.Node): readonly [string, string] | undefined {
  let key: string;
  if (ts.isPropertyAccessExpression(node)) key = node.name.text;
  else if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)) {
    key = node.argumentExpression.text;
  } else return undefined;
  if (ts.isIdentifier(node.expression)) return [node.expression.text, key];
  const inner = memberOf(node.expression);
  return inner?.[0] === "globalThis" ? [inner[1], key] : undefined;
}

function isDestructured(
  node: ts.Node,
): node is ts.VariableDeclaration & { name: ts.ObjectBindingPattern; initializer: ts.Identifier } {
  return (
    ts.isVariableDeclaration(node) &&
    ts.isObjectBindingPattern(node.name) &&
    node.initializer !== undefined &&
    ts.isIdentifier(node.initializer)
  );
}

function isNewDateOfNow(node: ts.Node): boolean {
  return (
    ts.isNewExpression(node) &&
    ts.isIdentifier(node.expression) &&
    node.expression.text === "Date" &&
    (node.arguments?.length ?? 0) === 0
  );
}

/** True where an identifier stands for a value, not for a member's or a declaration's own name. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  if (ts.isTypeQueryNode(parent) || ts.isQualifiedName(parent)) return false;
  const named = parent as { readonly name?: ts.Node };
  return named.name !== node;
}

/** Marks of unfinished work. */
export function checkUnfinished(file: SourceFile): string[] {
  const words = ["TO" + "DO", "FIX" + "ME"];
  const mark = new RegExp(`\\b(${words.join("|")})\\b`);
  return file.text
    .split("\n")
    .flatMap((line, i) =>
      mark.test(line) ? [`${file.path}:${i + 1}: unfinished: ${line.trim()}`] : [],
    );
}

/** Too many lines. */
export function checkLength(file: SourceFile, linesMax: number): string[] {
  const lines = file.text.trimEnd().split("\n").length;
  return lines > linesMax ? [`${file.path}: ${lines} lines, at most ${linesMax}`] : [];
}

/** An entry names what it exports: `export *` publishes whatever the next person exports. */
export function checkEntry(file: SourceFile): string[] {
  const source = parse(file);
  return source.statements
    .filter(
      (node) =>
        ts.isExportDeclaration(node) &&
        (node.exportClause === undefined || ts.isNamespaceExport(node.exportClause)),
    )
    .map((node) => at(file, source, node, "export names, not *"));
}

/**
 * A page of `docs/formats` and the source that writes the format know each other: each page is
 * named by a source, each page named exists, and each `format.ts` names one.
 */
export function checkFormatPages(
  pages: readonly string[],
  sources: readonly SourceFile[],
): string[] {
  const findings: string[] = [];
  const linked = new Set<string>();
  for (const file of sources) {
    const names = [...file.text.matchAll(/docs\/formats\/([a-z0-9-]+\.md)/g)].map(
      ([, page]) => page,
    );
    for (const page of names) {
      linked.add(page ?? "");
      if (!pages.includes(page ?? "")) findings.push(`${file.path}: no page docs/formats/${page}`);
    }
    const writesBytes = /\/(.*-)?format\.ts$/.test(file.path);
    if (writesBytes && names.length === 0)
      findings.push(`${file.path}: names no docs/formats page`);
  }
  for (const page of pages) {
    if (page !== "README.md" && !linked.has(page)) {
      findings.push(`docs/formats/${page}: named by no source`);
    }
  }
  return findings;
}

/** Pictographs in prose. */
export function checkPlainText(file: SourceFile): string[] {
  return file.text
    .split("\n")
    .flatMap((line, i) =>
      /\p{Emoji_Presentation}/u.test(line) ? [`${file.path}:${i + 1}: pictograph`] : [],
    );
}

/** Links of a page that lead to no file. `exists` takes a path relative to the root. */
export function checkLinks(file: SourceFile, exists: (path: string) => boolean): string[] {
  const prose = file.text.replace(/```[\s\S]*?```/g, "");
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? "");
  return links
    .filter((link) => !/^([a-z]+:|#)/.test(link))
    .filter((link) => {
      const url = new URL(link, `file:///${file.path}`);
      return !exists(decodeURIComponent(url.pathname).slice(1));
    })
    .map((link) => `${file.path}: link to ${link} leads nowhere`);
}
