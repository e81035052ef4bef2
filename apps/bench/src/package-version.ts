/** Versions of installed packages, as their manifests say: also where a package does not export its own. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Returns the version of an installed package. Throws when it is not installed. */
export function packageVersion(name: string): string {
  let folder = dirname(entryOf(name));
  while (true) {
    const file = join(folder, "package.json");
    if (existsSync(file)) {
      const manifest = JSON.parse(readFileSync(file, "utf8")) as {
        name?: string;
        version?: string;
      };
      if (manifest.name === name && manifest.version !== undefined) return manifest.version;
    }
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no package.json of ${name}`);
    folder = parent;
  }
}

function entryOf(name: string): string {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    return fileURLToPath(import.meta.resolve(name));
  }
}
