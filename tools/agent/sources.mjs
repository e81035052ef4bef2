/** Bundles TypeScript sources of the workspace and imports them: tools run on the tree as it stands. */
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));
// Inside `@aura/base`, where the packages that are left outside of the bundle resolve.
const cache = `${root}packages/base/node_modules/.cache/aura/tools-agent-${process.pid}`;

const common = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  conditions: ["@aura/source"],
  external: ["xxhash-wasm", "lz4-napi", "snappy", "fs-native-extensions", "@bokuweb/zstd-wasm"],
  logLevel: "error",
};

/** Imports the agent's package and its testing entry as one. */
export async function importAgent() {
  const outfile = `${cache}/agent.js`;
  await build({
    ...common,
    stdin: {
      contents: `export * from "./src/index.ts"; export * from "./src/testing/index.ts";`,
      resolveDir: `${root}packages/compaction-rl`,
      loader: "ts",
    },
    outfile,
  });
  return import(pathToFileURL(outfile).href);
}

/** Imports the engine, its worker beside it. */
export async function importEngine() {
  const engine = `${root}packages/engine/src`;
  await build({
    ...common,
    entryPoints: { index: `${engine}/index.ts`, worker: `${engine}/worker.ts` },
    splitting: true,
    outdir: `${cache}/engine`,
  });
  return import(pathToFileURL(`${cache}/engine/index.js`).href);
}
