import { existsSync, mkdirSync, renameSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import type {} from "vitest";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** File URL of the bundled engine worker; empty while the engine has no worker source. */
    workerUrl: string;
  }
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const source = `${root}packages/engine/src/worker.ts`;

/**
 * Kept inside `@aura/base`, so that the packages left outside of the bundle (its optional native
 * modules and the hash) resolve as they do for the sources.
 */
const folder = `${root}packages/base/node_modules/.cache/aura`;

/**
 * Bundles the engine's worker, and provides its URL as `workerUrl`.
 *
 * A raw `Worker` is started by Node, not by vitest, so it cannot read TypeScript; the bundle lets
 * tests run real threads over the sources as they are, without a build of the packages.
 */
export default async function setup(project: TestProject): Promise<void> {
  if (!existsSync(source)) {
    project.provide("workerUrl", "");
    return;
  }
  mkdirSync(folder, { recursive: true });
  const target = `${folder}/engine-worker.mjs`;
  // Two runs at a time must not see half a file: write beside it, then rename.
  const draft = `${folder}/engine-worker.${process.pid}.mjs`;
  await build({
    entryPoints: [source],
    outfile: draft,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@aura/source"],
    sourcemap: "inline",
    external: ["xxhash-wasm", "lz4-napi", "fs-native-extensions"],
    logLevel: "warning",
  });
  renameSync(draft, target);
  project.provide("workerUrl", pathToFileURL(target).href);
}
