import { existsSync } from "node:fs";
import { defineConfig } from "tsup";

/**
 * One configuration for all packages: `tsup` runs in a package's folder, and builds the entries
 * that it has. `cli` and `kill` are for apps, the others are what `exports` may name.
 */
const entries = ["index", "worker", "trace", "testing/index", "cli", "kill", "kill-child"];

const entry = Object.fromEntries(
  entries.map((name) => [name, `src/${name}.ts`]).filter(([, source]) => existsSync(source ?? "")),
);

export default defineConfig({
  entry,
  format: "esm",
  target: "node20",
  platform: "node",
  tsconfig: "../../tsconfig.base.json",
  dts: true,
  sourcemap: true,
  clean: true,
});
