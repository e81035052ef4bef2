/** Loads the engine's teardown for the engine's tests, and nothing for those of other packages. */
import { expect } from "vitest";

if (expect.getState().testPath?.includes("/packages/engine/test/") === true) {
  await import("./leaks.ts");
}
