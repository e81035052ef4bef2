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
  type SourceFile,
} from "./checks.ts";

const graph = {
  "@aura/base": { workspace: [], outside: ["xxhash-wasm"] },
  "@aura/wal": { workspace: ["@aura/base"], outside: [] },
};

const world = {
  modules: ["fs", "worker_threads"],
  members: ["Date.now", "performance.*", "Math.random", "process.env"],
  globals: ["setTimeout", "setImmediate"],
};

function file(text: string, path = "packages/wal/src/writer.ts"): SourceFile {
  return { path, text };
}

function imports(text: string, path?: string): string[] {
  return checkImports(file(text, path), "@aura/wal", graph, ["vitest"]);
}

describe("checkManifest", () => {
  test("catches an edge that is not in the table, of any kind", () => {
    for (const kind of ["dependencies", "devDependencies", "peerDependencies"]) {
      const manifest = { name: "@aura/wal", [kind]: { "@aura/sst": "workspace:^" } };
      expect(checkManifest(manifest, graph)).toHaveLength(1);
    }
    expect(checkManifest({ name: "@aura/new" }, graph)).toHaveLength(1);
  });

  test("passes the edges of the table", () => {
    const dependencies = { "@aura/base": "workspace:^" };
    expect(checkManifest({ name: "@aura/wal", dependencies }, graph)).toEqual([]);
  });
});

describe("checkImports", () => {
  test.each([
    'import { Table } from "@aura/sst";',
    'import type { Table } from "@aura/sst";',
    'export { Table } from "@aura/sst";',
    'const sst = await import("@aura/sst");',
    'type Table = import("@aura/sst").Table;',
    'const require = createRequire(import.meta.url); require("lodash");',
    'import { openTable } from "../../sst/src/table.ts";',
    'import { memFs } from "@aura/base/testing";',
    'import { fixture } from "../test/support/fixture.ts";',
    'import { test } from "vitest";',
  ])("catches %s", (text) => {
    expect(imports(text)).toHaveLength(1);
  });

  test("catches fakes imported by the sources of base itself", () => {
    const planted = file('import { MemFs } from "./testing/mem-fs.ts";', "packages/base/src/fs.ts");
    expect(checkImports(planted, "@aura/base", graph, [])).toHaveLength(1);
  });

  test("lets benchmarks, and nothing else, import the bundler of the repository", () => {
    const text = 'import { bundle } from "../../../scripts/bundle.mjs";';
    expect(imports(text, "packages/wal/bench/log.bench.mjs")).toEqual([]);
    expect(imports(text, "packages/wal/src/inner/log.ts")).toHaveLength(1);
    const other = 'import { run } from "../../../scripts/setup.mjs";';
    expect(imports(other, "packages/wal/bench/log.bench.mjs")).toHaveLength(1);
  });

  test("passes base, own files, node and, in tests, the test tools", () => {
    const text =
      'import { join } from "node:path"; import { a } from "@aura/base"; import "./b.ts";';
    expect(imports(text)).toEqual([]);
    const own = 'import { test } from "vitest"; import { memFs } from "@aura/base/testing";';
    const tested = 'import { openWal } from "@aura/wal"; import { a } from "../src/a.ts";';
    expect(imports(own + tested, "packages/wal/test/writer.test.ts")).toEqual([]);
  });

  test("names file and line", () => {
    expect(imports('\nimport "@aura/sst";')[0]).toMatch(/^packages\/wal\/src\/writer\.ts:2: /);
  });
});

describe("checkWorld", () => {
  test.each([
    'import { openSync } from "node:fs";',
    'import { open } from "fs/promises";',
    'const { Worker } = await import("node:worker_threads");',
    "const now = Date.now();",
    "const now = Date['now']();",
    "const now = globalThis.Date.now();",
    "const { now } = Date;",
    "const day = new Date();",
    "const start = performance.now();",
    "const chance = Math.random();",
    "const home = process.env.HOME;",
    "const { env } = process;",
    "setTimeout(run, 10);",
    "globalThis.setTimeout(run, 10);",
    "const later = setImmediate;",
    "const timers = { setImmediate };",
  ])("catches %s", (text) => {
    expect(checkWorld(file(text), world)).toHaveLength(1);
  });

  test.each([
    "// Date.now and setTimeout are for others.",
    'const words = "Math.random";',
    "clock.setTimeout(run);",
    "interface Clock { setTimeout(run: () => void): void }",
    "const clock = { setTimeout: start };",
    "const day = new Date(wallMs);",
    'import { join } from "node:path";',
    "process.memoryUsage();",
  ])("passes %s", (text) => {
    expect(checkWorld(file(text), world)).toEqual([]);
  });
});

describe("other checks", () => {
  test("checkUnfinished catches both marks", () => {
    const marks = `// ${"TO"}${"DO"}: later\n// ${"FIX"}${"ME"}\n// methods to do things`;
    expect(checkUnfinished(file(marks))).toHaveLength(2);
  });

  test("checkLength counts lines", () => {
    expect(checkLength(file("a\nb\nc\n"), 3)).toEqual([]);
    expect(checkLength(file("a\nb\nc\nd\n"), 3)).toHaveLength(1);
  });

  test("checkEntry catches stars", () => {
    const text =
      'export * from "./a.ts";\nexport * as b from "./b.ts";\nexport { c } from "./c.ts";';
    expect(checkEntry(file(text))).toHaveLength(2);
  });

  test("checkFormatPages asks for both directions", () => {
    const source = (text: string) => file(text, "packages/wal/src/format.ts");
    expect(checkFormatPages(["wal.md"], [source("/** docs/formats/wal.md */")])).toEqual([]);
    expect(checkFormatPages(["README.md"], [])).toEqual([]);
    expect(checkFormatPages(["wal.md"], [])).toHaveLength(1);
    expect(checkFormatPages([], [source("/** docs/formats/wal.md */")])).toHaveLength(1);
    expect(checkFormatPages([], [source("/** no page */")])).toHaveLength(1);
  });

  test("checkPlainText catches a pictograph", () => {
    expect(checkPlainText(file("fast \u{1F680}"))).toHaveLength(1);
    expect(checkPlainText(file("≤ 5 µs → 3 × faster, 10 °C"))).toEqual([]);
  });

  test("checkLinks catches a link that leads nowhere", () => {
    const page = file(
      "[a](./b.md) [c](missing.md#x) [d](https://example.org) [e](#f)",
      "docs/a.md",
    );
    expect(checkLinks(page, (path) => path === "docs/b.md")).toHaveLength(1);
  });
});
