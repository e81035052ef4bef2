/**
 * Runs tests over sources with a planted bug: `AURA_ZOO=13 npx vitest run --config
 * tools/zoo/vitest.config.mjs packages/engine/test/metamorphic.test.ts`. `none` plants nothing.
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { bugOf, plant } from "./planting.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const id = process.env.AURA_ZOO ?? "none";
const bug = id === "none" ? { edits: [] } : bugOf(id);
const conditions = ["@aura/source", "module", "node", "development|production"];

export default defineConfig({
  root,
  plugins: [
    {
      name: "aura-zoo",
      enforce: "pre",
      transform(code, path) {
        const file = path.split("?")[0].replace(root, "");
        if (!bug.edits.some((edit) => edit.file === file)) return undefined;
        return { code: plant(bug, file, code), map: null };
      },
    },
  ],
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  oxc: { target: "node20" },
  test: {
    include: ["packages/*/test/**/*.test.ts", "tools/fuzz/*.test.ts"],
    globalSetup: ["tools/vitest/global-setup.ts"],
    testTimeout: 120_000,
    bail: 1,
    env: { AURA_VERIFY: "1" },
  },
});
