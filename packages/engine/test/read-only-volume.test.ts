/**
 * A volume that may only be read: a tmpfs, which needs root to mount. What cannot be made there is
 * refused with the reason of the system, not called absent.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Settings } from "../src/index.ts";
import { openReal } from "./support/open-real.ts";

/** Of the system. */
const tools = { mount: "mount", unmount: "umount" };

const place: string = mkdtempSync(`${tmpdir()}/aura-read-only-`);

function mount(options: string): boolean {
  try {
    execFileSync(tools.mount, ["-t", "tmpfs", "-o", options, "tmpfs", place], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

const isMounted: boolean = mount("size=8m");
if (!isMounted) {
  process.stderr.write(
    "\n*** SKIPPED: read-only-volume.test.ts needs to mount a tmpfs (root); one that may only be read is NOT tested ***\n\n",
  );
}

afterAll(() => {
  if (isMounted) execFileSync(tools.unmount, [place]);
  rmSync(place, { recursive: true });
});

describe.skipIf(!isMounted)("on a volume that may only be read", () => {
  beforeAll(async () => {
    mkdirSync(`${place}/empty`);
    const db = await openReal(`${place}/there`);
    await db.put("a", "1");
    await db.close();
  });

  async function refusalOf(name: string, settings: Settings = {}): Promise<unknown> {
    execFileSync(tools.mount, ["-o", "remount,ro", place]);
    try {
      await openReal(`${place}/${name}`, settings);
    } catch (error) {
      return error;
    } finally {
      execFileSync(tools.mount, ["-o", "remount,rw", place]);
    }
    return undefined;
  }

  test.each(["new", "new/below", "empty", "there"])("opening %s names the reason", async (name) => {
    const refused = await refusalOf(name);
    expect(refused).toMatchObject({ code: "AURA_IO", cause: { code: "EROFS" } });
    expect((refused as Error).message).toMatch(new RegExp(`${place}/.*read-only file system`));
  });

  test("without createIfMissing a new one is absent", async () => {
    const refused = await refusalOf("new", { createIfMissing: false });
    expect(refused).toMatchObject({ code: "AURA_NOT_FOUND" });
  });
});
