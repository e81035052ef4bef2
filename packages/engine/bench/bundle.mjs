/** Bundles the engine from its sources, with its worker beside it, for a benchmark. */
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsup";

/** Returns what `@aura/engine` exports; `name` keeps bundles of different benchmarks apart. */
export async function bundledEngine(name) {
  const engine = fileURLToPath(new URL("..", import.meta.url));
  // Inside `@aura/base`, where the packages that are left outside of the bundle resolve.
  const bundle = join(engine, `../base/node_modules/.cache/aura/${name}-bench`);
  await build({
    entry: { index: `${engine}/src/index.ts`, worker: `${engine}/src/worker.ts` },
    config: false,
    outDir: bundle,
    format: "esm",
    target: "node20",
    platform: "node",
    splitting: true,
    sourcemap: true,
    silent: true,
    clean: true,
    tsconfig: fileURLToPath(new URL("../../../tsconfig.base.json", import.meta.url)),
    noExternal: [/^@aura\//],
    external: ["xxhash-wasm", "lz4-napi", "fs-native-extensions"],
    esbuildOptions: (settings) => {
      settings.conditions = ["@aura/source"];
    },
  });
  return import(pathToFileURL(join(bundle, "index.js")).href);
}

/** The value at a share of sorted numbers. */
export function quantile(numbers, share) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
