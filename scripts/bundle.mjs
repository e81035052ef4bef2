/**
 * Bundles packages from their sources for a benchmark: what is measured is what the sources say, built
 * as a release is. The bundle goes with the process.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsup";

const here = fileURLToPath(new URL("..", import.meta.url));

/**
 * Bundles `entries`, paths of sources below packages/ by name. Returns the directory of the bundle and
 * what loads an entry. `root`: another clone whose sources are taken.
 */
export async function bundle(name, entries, root = here) {
  // Inside `@aura/base`, where the packages that are left outside of the bundle resolve.
  const directory = join(here, `packages/base/node_modules/.cache/aura/${name}-${process.pid}`);
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const entry = Object.entries(entries).map(([key, path]) => [key, join(root, "packages", path)]);
  await build({
    entry: Object.fromEntries(entry),
    config: false,
    outDir: directory,
    format: "esm",
    target: "node20",
    platform: "node",
    splitting: true,
    sourcemap: true,
    silent: true,
    clean: true,
    tsconfig: join(root, "tsconfig.base.json"),
    noExternal: [/^@aura\//],
    external: ["xxhash-wasm", "lz4-napi", "fs-native-extensions", "snappy", "@bokuweb/zstd-wasm"],
    esbuildOptions: (settings) => {
      settings.conditions = ["@aura/source"];
    },
  });
  const urlOf = (key) => pathToFileURL(join(directory, `${key}.js`)).href;
  return { directory, urlOf, load: (key) => import(urlOf(key)) };
}

/** Bundles the engine with its worker beside it; `load("index")` is what `@aura/engine` exports. */
export function bundleEngine(name, more = {}, root = here) {
  return bundle(
    name,
    { index: "engine/src/index.ts", worker: "engine/src/worker.ts", ...more },
    root,
  );
}
