/** Where the worker's entry stands: beside this module once the package is built. */

/** Returns the URL of the built worker entry. */
export function workerEntryUrl(): URL {
  return new URL("./worker.js", import.meta.url);
}
