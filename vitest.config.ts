import { defineConfig } from "vitest/config";

/** Tests read sources: the condition leads every `@aura/*` import to `src`, so no build is needed. */
const conditions = ["@aura/source", "module", "node", "development|production"];

const slowTests = ["packages/*/test/**/*.slow.test.ts", "tools/**/*.slow.test.ts"];
const notTests = ["**/node_modules/**", "**/dist/**"];
const slowWanted = process.env["AURA_SLOW"] === "1";

const report = process.env["AURA_TEST_REPORT"];

/** Checks that cost too much for production are on in tests, unless a run asks for them off. */
const env = { AURA_VERIFY: process.env["AURA_VERIFY"] ?? "1" };

/** AURA_MEMTABLE names the memtable that databases in tests have. */
const support = "./packages/engine/test/support";
const setupFiles =
  process.env["AURA_MEMTABLE"] === undefined ? [] : [`${support}/memtable-choice.ts`];

const projects = [
  {
    extends: true as const,
    test: {
      name: "tidy",
      include: ["tools/**/*.test.ts"],
      exclude: [...notTests, ...slowTests],
      // No test measures time: this only ends what hangs.
      testTimeout: 300_000,
      env,
    },
  },
  {
    extends: true as const,
    test: {
      name: "unit",
      include: ["packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts"],
      exclude: [...notTests, ...slowTests],
      testTimeout: 300_000,
      // What the engine's tests leave behind is looked at behind each of them.
      setupFiles: [...setupFiles, `${support}/teardown.ts`],
      env,
    },
  },
];

if (slowWanted) {
  projects.push({
    extends: true,
    test: {
      name: "slow",
      include: slowTests,
      exclude: notTests,
      testTimeout: 600_000,
      setupFiles,
      env,
    },
  });
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  // Node 20 does not parse `using`: lower it in tests as the build does.
  oxc: { target: "node20" },
  test: {
    // CI reads the counts from a file; nobody else asks for one.
    ...(report === undefined
      ? {}
      : {
          reporters: ["default", ["json", { outputFile: report }]] as ["default", ["json", object]],
        }),
    globalSetup: ["tools/vitest/global-setup.ts"],
    projects,
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts"],
      exclude: ["packages/*/src/**/index.ts"],
      reporter: ["text-summary", "json-summary", "html"],
    },
  },
});
