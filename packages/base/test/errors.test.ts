import { describe, expect, it } from "vitest";
import { AuraError, assert, corruption, hasCode, ioError } from "../src/errors.ts";
import { systemError } from "../src/system-error.ts";

function systemCause(code: string): Error {
  return Object.assign(new Error(`${code}: it failed`), { code });
}

describe("errors", () => {
  it("carry file, offset and cause", () => {
    const cause = new Error("inner");
    const error = new AuraError("AURA_IO", "outer", { cause, file: "f", offset: 7, actual: 1 });
    expect(error).toMatchObject({ name: "AuraError", code: "AURA_IO", file: "f", offset: 7 });
    expect(error.cause).toBe(cause);
    expect("cause" in new AuraError("AURA_IO", "none")).toBe(false);
    expect(new AuraError("AURA_ABORTED", "stop").name).toBe("AbortError");
  });

  it("name the place of corruption", () => {
    expect(corruption("a/b", 12, "bad block").message).toBe("a/b: bad block at offset 12");
    expect(corruption("a/b", 12, "bad block").code).toBe("AURA_CORRUPTION");
  });

  it("of the system get a code", () => {
    expect(ioError(systemCause("EIO"), "f", "read").code).toBe("AURA_IO");
    expect(ioError(systemCause("ENOSPC"), "f", "write").code).toBe("AURA_OUT_OF_SPACE");
    expect(ioError(systemCause("EDQUOT"), "f", "write").code).toBe("AURA_OUT_OF_SPACE");
    expect(systemError(systemCause("ENOENT"), "f", "open")).toMatchObject({
      code: "AURA_NOT_FOUND",
      file: "f",
    });
    expect(systemError(systemCause("ENOSPC"), "f", "open").code).toBe("AURA_OUT_OF_SPACE");
    expect(ioError("a string", "f", "open").message).toBe("open failed on f: a string");
  });

  it("pass through unwrapped", () => {
    const error = corruption("f", 0, "bad");
    expect(ioError(error, "g", "open")).toBe(error);
    expect(systemError(error, "g", "open")).toBe(error);
  });

  it("are known by code, whichever copy of the class made them", () => {
    expect(hasCode(systemCause("AURA_CLOSED"), "AURA_CLOSED")).toBe(true);
    expect(hasCode(systemCause("AURA_IO"), "AURA_CLOSED")).toBe(false);
    expect(hasCode({ code: "AURA_CLOSED" }, "AURA_CLOSED")).toBe(false);
    expect(hasCode(undefined, "AURA_CLOSED")).toBe(false);
  });

  it("of the programmer are asserted", () => {
    expect(() => assert(false, "one and one")).toThrow("assertion failed: one and one");
    expect(() => assert(true, "")).not.toThrow();
  });
});
