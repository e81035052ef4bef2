/** What is done with a database that is not open: it is locked for the time that it takes. */
import { AuraError } from "@aura/base";
import { type Components, resolveComponents } from "./components.ts";
import { directoryOf } from "./database-directory.ts";
import { BALLAST_NAME, CURRENT_NAME, CURRENT_TMP_NAME, LOCK_NAME } from "./file-names.ts";
import { makeMemtables } from "./open-parts.ts";
import { resolveSettings } from "./settings.ts";
import { destroyDirectory, type VerifyReport, verifyDirectory } from "./verify.ts";

/** See `AuraDB.destroy`. */
export function destroyClosed(path: string, components: Partial<Components>): Promise<void> {
  return locked(path, components, "AuraDB.destroy", ({ fs }, directory) => {
    destroyDirectory(fs, directory, [CURRENT_NAME, CURRENT_TMP_NAME, BALLAST_NAME]);
  });
}

/** See `AuraDB.verify`. */
export function verifyClosed(path: string, components: Partial<Components>): Promise<VerifyReport> {
  return locked(path, components, "AuraDB.verify", ({ fs, runtime }, directory) => {
    const settings = resolveSettings();
    return verifyDirectory(fs, directory, (lastSeq) => makeMemtables(settings, runtime, lastSeq));
  });
}

async function locked<T>(
  path: string,
  components: Partial<Components>,
  holder: string,
  work: (components: ReturnType<typeof resolveComponents>, directory: string) => T,
): Promise<T> {
  const all = resolveComponents(components);
  const directory = directoryOf(path);
  if (!all.fs.existsSync(directory)) {
    throw new AuraError("AURA_NOT_FOUND", `${directory} is not there`);
  }
  const lock = await all.fs.lock(`${directory}/${LOCK_NAME}`, holder);
  try {
    return work(all, directory);
  } finally {
    lock.releaseSync();
  }
}
