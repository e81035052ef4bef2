/** The error for what the platform's file system refused. */
import { AuraError, ioError } from "./errors.ts";

/** Wraps an error of a call on `path`: AURA_NOT_FOUND when it is absent, else as `ioError` does. */
export function systemError(cause: unknown, path: string, what: string): AuraError {
  if ((cause as { code?: unknown } | undefined)?.code !== "ENOENT")
    return ioError(cause, path, what);
  return new AuraError("AURA_NOT_FOUND", `${what} failed on ${path}: it does not exist`, {
    cause,
    file: path,
  });
}
