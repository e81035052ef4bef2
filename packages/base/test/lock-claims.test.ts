import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type Claim,
  claimOfThisProcess,
  mayBeAlive,
  parseClaims,
  placeClaim,
  readClaims,
  removeClaim,
} from "../src/lock-claims.ts";
import { isMissing } from "./support/requirements.ts";

const own = claimOfThisProcess("a test", "nonce-1", "claim");

function lines(...values: object[]): string {
  return values.map((value) => `\n${JSON.stringify(value)}\n`).join("");
}

const noProc = isMissing(
  process.platform === "linux",
  "what is told of processes that ended needs /proc of Linux; two cases are NOT tested",
);

describe("a claim", () => {
  it("names its process", () => {
    expect(own).toMatchObject({ pid: process.pid, host: os.hostname(), owner: "a test" });
    expect(own.command).toContain(process.argv[0]);
    const started = Date.now() - process.uptime() * 1000;
    expect(Math.abs(own.startedMs - started)).toBeLessThan(1000);
  });

  it("holds no arguments, and no more text than fits", () => {
    const argv = process.argv;
    try {
      process.argv = ["node", `${"x".repeat(5000)}.js`, "--password=secret"];
      const claim = claimOfThisProcess("o".repeat(5000), "n", "kernel");
      expect(JSON.stringify(claim)).not.toContain("secret");
      expect(JSON.stringify(claim).length).toBeLessThan(1000);
    } finally {
      process.argv = argv;
    }
  });

  it("reads back", () => {
    const second: Claim = { ...own, nonce: "nonce-2", kind: "kernel", owner: 'a "b"\n c' };
    expect(parseClaims(lines(own, second))).toEqual([own, second]);
  });

  it("can be taken back, and only by its name", () => {
    const second: Claim = { ...own, nonce: "nonce-2" };
    expect(parseClaims(lines(own, second, { withdrawn: "nonce-1" }))).toEqual([second]);
    expect(parseClaims(lines(own, { withdrawn: "nonce-3" }))).toEqual([own]);
  });

  it("survives a torn line before it, and is nothing when torn itself", () => {
    const text = lines(own);
    const whole = text.length - 1; // the line end behind it does not matter
    for (let end = 0; end < whole; end++) {
      expect(parseClaims(text.slice(0, end))).toEqual([]);
      expect(parseClaims(text.slice(0, end) + text)).toContainEqual(own);
      expect(parseClaims(text + text.slice(end))).toContainEqual(own);
    }
    expect(parseClaims(text.slice(0, whole))).toEqual([own]);
  });

  it("must have all its fields", () => {
    const wrong = [null, "", -1, 1.5, true, [], {}];
    for (const field of Object.keys(own)) {
      const { [field as keyof Claim]: _, ...rest } = own;
      expect(parseClaims(lines(rest))).toEqual([]);
      for (const value of wrong) {
        if (typeof value === typeof own[field as keyof Claim] && field !== "pid") continue;
        expect(parseClaims(lines({ ...own, [field]: value }))).toEqual([]);
      }
    }
    expect(parseClaims(lines({ ...own, startedMs: 1e300 }))).toEqual([]);
    expect(parseClaims(lines({ ...own, kind: "other" }))).toEqual([]);
  });

  it("is found in any noise", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.json(), (before, behind, json) => {
        const text = `${before}${lines(own)}${json}\n${behind}`;
        expect(parseClaims(text)).toContainEqual(own);
      }),
    );
  });
});

describe("whether a process may be alive", () => {
  it("is so for this one", () => {
    expect(mayBeAlive(own, own)).toBe(true);
    expect(mayBeAlive({ ...own, nonce: "other" }, own)).toBe(true);
  });

  it("is so for a process that runs, not for one that ended", () => {
    const parent: Claim = { ...own, pid: process.ppid, startTicks: 0 };
    expect(mayBeAlive(parent, own)).toBe(true);
    const ended = spawnSync(process.execPath, ["--version"]).pid;
    expect(mayBeAlive({ ...own, pid: ended }, own)).toBe(false);
    expect(mayBeAlive({ ...own, pid: ended, startTicks: 0 }, own)).toBe(false);
  });

  it("is not so for an earlier process with the same number", () => {
    expect(mayBeAlive({ ...own, startTicks: own.startTicks - 1 }, own)).toBe(false);
    // Where the system does not tell when a process started:
    const unknown: Claim = { ...own, startTicks: 0 };
    expect(mayBeAlive(unknown, unknown)).toBe(true);
    expect(mayBeAlive({ ...unknown, startedMs: own.startedMs + 1000 }, unknown)).toBe(true);
    expect(mayBeAlive({ ...unknown, startedMs: own.startedMs - 60_000 }, unknown)).toBe(false);
  });

  it.skipIf(noProc)("is not so when another process has its number now", () => {
    const parent: Claim = { ...own, pid: process.ppid, startTicks: own.startTicks + 12345 };
    expect(own.startTicks).toBeGreaterThan(0);
    expect(mayBeAlive(parent, own)).toBe(false);
  });

  it("is not so for a process of an earlier boot", () => {
    expect(mayBeAlive({ ...own, boot: "another boot" }, own)).toBe(false);
  });

  it.skipIf(noProc)("is not so for one that nobody has buried", async () => {
    // The shell becomes a program that knows nothing of its child, and so never waits for it.
    const parent = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"]);
    try {
      const said = await new Promise<Buffer>((resolve) => parent.stdout.once("data", resolve));
      const pid = Number(said);
      const state = (of: number) => fs.readFileSync(`/proc/${of}/stat`, "utf8");
      await vi.waitFor(() => expect(state(parent.pid!)).toContain("(sleep)"), 10_000);
      const child: Claim = { ...own, pid, startTicks: 0 };
      expect(mayBeAlive(child, own)).toBe(true);
      process.kill(pid, "SIGKILL");
      await vi.waitFor(() => expect(state(pid)).toContain(" Z "), 10_000);
      expect(mayBeAlive(child, own)).toBe(false);
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("cannot be told for another host", () => {
    expect(mayBeAlive({ ...own, host: "elsewhere", pid: 2 ** 30, boot: "x" }, own)).toBe(true);
  });
});

describe("placing a claim", () => {
  let directory: string;
  let file: string;
  let fd: number;

  /** A claim of a process that runs: this one, in another thread. */
  const rival: Claim = { ...own, nonce: "rival", owner: "a rival" };

  beforeEach(() => {
    directory = fs.mkdtempSync(`${os.tmpdir()}/aura-claims-`);
    file = `${directory}/LOCK`;
    fd = fs.openSync(file, "w+");
  });

  afterEach(() => {
    vi.restoreAllMocks();
    fs.closeSync(fd);
    fs.rmSync(directory, { recursive: true });
  });

  /** Lets `event` happen between this contender's look and its claim; the claim goes to `target`. */
  function meanwhile(event: () => void, target = file): void {
    const real = fs.openSync;
    vi.spyOn(fs, "openSync").mockImplementationOnce((_, flags, mode) => {
      event();
      return real(target, flags, mode);
    });
  }

  it("holds, and takes itself back", () => {
    expect(placeClaim(fd, file, own)).toEqual({ held: true });
    expect(readClaims(fd, file)).toEqual([own]);
    removeClaim(fd);
    expect(fs.fstatSync(fd).size).toBe(0);
  });

  it("yields to a holder without a trace", () => {
    expect(placeClaim(fd, file, rival)).toEqual({ held: true });
    const before = fs.readFileSync(file);
    for (let i = 0; i < 3; i++) {
      expect(placeClaim(fd, file, own)).toEqual({ held: false, inTheWay: rival });
    }
    expect(fs.readFileSync(file)).toEqual(before);
  });

  it("yields to one that was first by a moment, and is then no claim any more", () => {
    meanwhile(() => fs.appendFileSync(file, lines(rival)));
    expect(placeClaim(fd, file, own)).toEqual({ held: false, inTheWay: rival });
    expect(readClaims(fd, file)).toEqual([rival]);
  });

  it("wins over one that came later", () => {
    const real = fs.closeSync;
    vi.spyOn(fs, "closeSync").mockImplementationOnce((descriptor) => {
      real(descriptor);
      fs.appendFileSync(file, lines(rival));
    });
    expect(placeClaim(fd, file, own)).toEqual({ held: true });
    expect(readClaims(fd, file)).toEqual([own]);
  });

  it("is entered again when a holder that went swept it away", () => {
    meanwhile(() => {}, `${directory}/elsewhere`);
    fs.writeFileSync(`${directory}/elsewhere`, "");
    expect(placeClaim(fd, file, own)).toEqual({ held: true });
    expect(readClaims(fd, file)).toEqual([own]);
  });

  it("is refused when a holder that came swept it away", () => {
    fs.writeFileSync(`${directory}/elsewhere`, "");
    meanwhile(() => fs.writeFileSync(file, lines(rival)), `${directory}/elsewhere`);
    expect(placeClaim(fd, file, own)).toEqual({ held: false, inTheWay: rival });
  });

  it("holds though the file could not be shortened", () => {
    fs.writeFileSync(file, lines({ ...own, pid: 2 ** 22 + 1 }));
    const real = fs.writeSync as (...args: unknown[]) => number;
    vi.spyOn(fs, "writeSync").mockImplementation(((...args: unknown[]) => {
      if (args[4] === 0) throw new Error("ENOSPC");
      return real(...args);
    }) as never);
    expect(placeClaim(fd, file, { ...own, nonce: "mine" })).toEqual({ held: true });
    expect(placeClaim(fd, file, rival)).toMatchObject({ held: false, inTheWay: { nonce: "mine" } });
  });
});
