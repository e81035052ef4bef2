import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  checkEntry,
  checkFormatPages,
  checkImports,
  checkLength,
  checkLinks,
  checkManifest,
  checkPlainText,
  checkUnfinished,
  checkWorld,
  type Manifest,
  type PackageGraph,
  type SourceFile,
  type WorldRules,
} from "./checks.ts";

const leaf = { workspace: ["@aura/base"], outside: [] };

/**
 * The package graph. A new edge is a diff to this table, so it is a reviewed decision.
 * `base` imports no package of the workspace; a leaf imports only `base`; only `engine` imports
 * leaves; nothing imports what is not here (apps, tools).
 */
const graph: PackageGraph = {
  "@aura/base": {
    workspace: [],
    outside: ["xxhash-wasm", "lz4-napi", "snappy", "@bokuweb/zstd-wasm", "fs-native-extensions"],
  },
  "@aura/wal": leaf,
  "@aura/vlog": leaf,
  "@aura/memtable": leaf,
  "@aura/sst": leaf,
  "@aura/learned-index": leaf,
  "@aura/compaction-rl": leaf,
  "@aura/engine": {
    workspace: [
      "@aura/base",
      "@aura/wal",
      "@aura/vlog",
      "@aura/memtable",
      "@aura/sst",
      "@aura/learned-index",
      "@aura/compaction-rl",
    ],
    outside: [],
  },
};

/** What tests and benchmarks import beside their own package. */
const testPackages = ["vitest", "fast-check", "tsup", "esbuild"];

/** The world is injected; these names of it belong to the files of `worldDoors`. */
const world: WorldRules = {
  modules: ["fs", "worker_threads", "timers"],
  members: ["Date.now", "performance.*", "Math.random", "process.env", "process.hrtime"],
  globals: ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"],
};

/** The only files of packages that may touch the world, each with what it is there for. */
const worldDoors: Readonly<Record<string, string>> = {
  "packages/base/src/directory-sync.ts": "the file system",
  "packages/base/src/node-fs.ts": "the file system",
  "packages/base/src/node-lock.ts": "the lock of a directory",
  "packages/base/src/lock-claims.ts": "the LOCK file",
  "packages/base/src/pooled-memory.ts": "keeping memory from other threads",
  "packages/base/src/runtime.ts": "clock, timers and random seed",
  "packages/base/src/thread-executor.ts": "worker threads",
  "packages/base/src/thread-time.ts": "processor time of a thread",
  "packages/base/src/thread-worker.ts": "the worker side of the threads",
};

const linesMax = 600;

const root = fileURLToPath(new URL("../..", import.meta.url));
const skipped = new Set(["node_modules", "dist", "coverage"]);

function list(folder: string, pattern: RegExp): SourceFile[] {
  if (!existsSync(root + folder)) return [];
  return readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (skipped.has(entry.name) || entry.name.startsWith(".")) return [];
    if (entry.isDirectory()) return list(path, pattern);
    return pattern.test(path) ? [{ path, text: readFileSync(root + path, "utf8") }] : [];
  });
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(`${root + folder}/package.json`, "utf8")) as Manifest;
}

const folders = readdirSync(`${root}packages`).map((name) => `packages/${name}`);
const manifests = new Map(folders.map((folder) => [folder, manifestOf(folder)]));
const code = ["packages", "apps", "tools", "scripts"].flatMap((folder) =>
  list(folder, /\.(ts|mjs|js)$/),
);
const sources = code.filter(({ path }) => /^packages\/[^/]+\/src\//.test(path));
const pages = list("", /\.md$/);

function none(findings: readonly string[]): void {
  expect(findings.join("\n")).toBe("");
}

describe("package graph", () => {
  test("the table and the packages are the same", () => {
    const names = [...manifests.values()].map(({ name }) => name);
    expect(names.sort()).toEqual(Object.keys(graph).sort());
  });

  test("the table itself keeps the rules", () => {
    for (const [name, { workspace }] of Object.entries(graph)) {
      if (name === "@aura/base") expect(workspace).toEqual([]);
      else if (name !== "@aura/engine") expect(workspace).toEqual(["@aura/base"]);
    }
  });

  test("manifests declare no other edge", () => {
    none([...manifests.values()].flatMap((manifest) => checkManifest(manifest, graph)));
  });

  test("files import no other package", () => {
    none(
      [...manifests].flatMap(([folder, { name }]) =>
        code
          .filter(({ path }) => path.startsWith(`${folder}/`))
          .flatMap((file) => checkImports(file, name, graph, testPackages)),
      ),
    );
  });

  test("apps and tools are private", () => {
    const apps = existsSync(`${root}apps`) ? readdirSync(`${root}apps`) : [];
    for (const folder of ["tools", ...apps.map((name) => `apps/${name}`)]) {
      expect(manifestOf(folder).private, folder).toBe(true);
    }
  });
});

describe("sources", () => {
  test("touch the world only through its doors", () => {
    none(
      sources
        .filter(({ path }) => !Object.hasOwn(worldDoors, path))
        .flatMap((file) => checkWorld(file, world)),
    );
  });

  test("are not longer than a reader's patience", () => {
    none(
      code
        .filter(({ path }) => !path.startsWith("tools/experiments/"))
        .flatMap((file) => checkLength(file, linesMax)),
    );
  });

  test("carry no mark of unfinished work", () => {
    none([...code, ...pages].flatMap(checkUnfinished));
  });
});

describe("packages", () => {
  test.each(folders)("%s has a README with an example and an explicit entry", (folder) => {
    expect(existsSync(`${root + folder}/README.md`), "README.md").toBe(true);
    expect(readFileSync(`${root + folder}/README.md`, "utf8")).toMatch(
      /<!-- example -->\s*```js\n/,
    );
    expect(existsSync(`${root + folder}/src/index.ts`), "src/index.ts").toBe(true);
  });

  test("entries name what they export", () => {
    none(sources.filter(({ path }) => path.endsWith("/index.ts")).flatMap(checkEntry));
  });
});

describe("documents", () => {
  test("each format page is named by the source that writes the format", () => {
    const formats = list("docs/formats", /\.md$/).map(({ path }) => path.split("/").at(-1) ?? "");
    none(checkFormatPages(formats, sources));
  });

  test("links lead somewhere", () => {
    none(pages.flatMap((page) => checkLinks(page, (path) => existsSync(root + path))));
  });

  test("are plain text", () => {
    none([...code, ...pages].flatMap(checkPlainText));
  });
});
