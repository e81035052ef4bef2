import { type ChildProcess, spawn } from "node:child_process";
import cluster, { type Worker as ClusterWorker } from "node:cluster";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { build } from "tsup";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuraError } from "../src/errors.ts";
import type { FileLock } from "../src/fs.ts";
import { claimOfThisProcess, parseClaims } from "../src/lock-claims.ts";
import { type LockMethods, lockFile } from "../src/node-lock.ts";
import { isMissing } from "./support/requirements.ts";

const root = fs.mkdtempSync(`${os.tmpdir()}/aura-lock-`);
/** Inside the package, so that its optional native module resolves as for the sources. */
const built = fileURLToPath(
  new URL(`../node_modules/.cache/aura-lock-${process.pid}`, import.meta.url),
);
const program = `${built}/lock-child.mjs`;
const onLinux = process.platform === "linux";

/** The run keeps optional modules away (`npm run test:nodes`). */
const bare = process.env["AURA_NATIVES"] === "absent";

function tryLock(fd: number): boolean {
  const native = createRequire(import.meta.url)("fs-native-extensions") as {
    tryLock(fd: number): boolean;
  };
  return native.tryLock(fd);
}
const methods = {
  platform: undefined,
  ...(bare ? {} : { native: { native: tryLock, socket: false } }),
  ...(onLinux ? { socket: { native: undefined, socket: true } } : {}),
  claim: { native: undefined, socket: false },
} satisfies Record<string, LockMethods | undefined>;

let count = 0;
let file: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  await build({
    config: false,
    entry: [fileURLToPath(new URL("fixtures/lock-child.ts", import.meta.url))],
    outDir: built,
    outExtension: () => ({ js: ".mjs" }),
    format: "esm",
    target: "node20",
    splitting: false,
    clean: false,
    silent: true,
  });
});

beforeEach(() => {
  const directory = `${root}/${++count}`;
  fs.mkdirSync(directory);
  file = `${directory}/LOCK`;
});

afterEach(() => {
  vi.restoreAllMocks();
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

afterAll(() => {
  fs.rmSync(root, { recursive: true });
  fs.rmSync(built, { recursive: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly said: string;
  readonly ended: Promise<number | null>;
}

/** Starts the program; resolves with its first line. */
function start(owner: string, methodsName: string, task: string): Promise<Started> {
  const child = spawn(process.execPath, [program, file, owner, methodsName, task], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.stdout!.setEncoding("utf8").once("data", (said: string) => {
      resolve({ child, said: said.trim(), ended });
    });
    child.once("exit", (status) => reject(new Error(`ended with ${status}, silent`)));
  });
}

async function refusal(using?: LockMethods): Promise<AuraError> {
  const error = await lockFile(file, "contender", using).then(
    () => undefined,
    (reason: AuraError) => reason,
  );
  expect(error?.code).toBe("AURA_LOCKED");
  return error!;
}

function openDescriptors(): number {
  return onLinux ? fs.readdirSync("/proc/self/fd").length : 0;
}

describe.each(Object.entries(methods))("with %s", (name, using) => {
  it("holds, releases, and locks again", async () => {
    const before = openDescriptors();
    for (let i = 0; i < 5; i++) {
      const lock = await lockFile(file, `opener ${i}`, using);
      expect((await refusal(using)).message).toContain(
        `already open in this process (by opener ${i})`,
      );
      lock.releaseSync();
      lock.releaseSync();
    }
    expect(fs.existsSync(file)).toBe(true);
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(openDescriptors()).toBe(before);
  });

  it("refuses a second open under way, and by another path", async () => {
    fs.symlinkSync(`${root}/${count}`, `${root}/link-${count}`);
    const both = await Promise.allSettled([
      lockFile(file, "one", using),
      lockFile(`${root}/link-${count}/LOCK`, "two", using),
    ]);
    expect(both.map((one) => one.status)).toEqual(["fulfilled", "rejected"]);
    (both[0] as PromiseFulfilledResult<FileLock>).value.releaseSync();
  });

  it("refuses while a worker thread of this process holds", async () => {
    const worker = new Worker(program, { workerData: [file, "a thread", name, "stay"] });
    expect(await new Promise((resolve) => worker.once("message", resolve))).toBe("held");
    expect((await refusal(using)).message).toContain(`held by process ${process.pid} (by a thread`);
    await worker.terminate();
    if (name === "claim") return; // a claim lasts as long as the process
    (await lockFile(file, "next", using)).releaseSync();
  });

  it("holds 100 directories at once", async () => {
    const locks: FileLock[] = [];
    const files = Array.from({ length: 100 }, (_, i) => `${root}/${count}/${i}/LOCK`);
    for (const path of files) fs.mkdirSync(path.slice(0, -5));
    for (const path of files) locks.push(await lockFile(path, "one of many", using));
    await expect(lockFile(files[57]!, "again", using)).rejects.toThrow("already open");
    for (const lock of locks) lock.releaseSync();
    for (const path of files) (await lockFile(path, "again", using)).releaseSync();
  });

  it("ignores what dead processes and noise left in the file", async () => {
    const dead = { ...claimOfThisProcess("dead", "dead", "claim"), pid: 2 ** 22 + 1 };
    const earlier = { ...dead, pid: process.pid, startTicks: 1, startedMs: 1 };
    const stale = [dead, earlier, { ...dead, kind: "kernel" }].map((claim) =>
      JSON.stringify(claim),
    );
    fs.writeFileSync(file, `{"torn":\n\0\0\0\n${stale.join("\n")}\n{"pid":`);
    const lock = await lockFile(file, "the heir", using);
    expect(parseClaims(fs.readFileSync(file, "utf8"))).toMatchObject([
      { owner: "the heir", pid: process.pid },
    ]);
    expect(fs.readFileSync(file, "utf8").trim().split("\n").length).toBe(1);
    lock.releaseSync();
    expect(fs.readFileSync(file, "utf8")).toBe("");
  });
});

describe.each(Object.entries(methods))("between processes, with %s", (name, using) => {
  it("names the holder and what to do; SIGKILL frees it", async () => {
    const holder = await start("the other program", name, "stay");
    expect(holder.said).toBe("held");
    const { message, actual, file: named } = await refusal(using);
    const started = /started (\S+Z)/.exec(message)?.[1];
    expect(Math.abs(Date.parse(started!) - Date.now())).toBeLessThan(60_000);
    expect(message).toContain(`held by process ${holder.child.pid} (by the other program`);
    expect(message).toContain(`command: ${process.execPath} ${program}`);
    expect(message).toContain("close it there, or end that process");
    expect([actual, named]).toEqual([holder.child.pid, file]);

    holder.child.kill("SIGKILL");
    await holder.ended;
    const lock = await lockFile(file, "the next", using);
    expect((await start("late", name, "leave")).said).toMatch(
      new RegExp(`^AURA_LOCKED: .* held by process ${process.pid} \\(by the next`),
    );
    lock.releaseSync();
  });

  it("never keeps a process alive, and is free when it ends", async () => {
    const holder = await start("short", name, "leave");
    expect(holder.said).toBe("held");
    expect(await holder.ended).toBe(0);
    (await lockFile(file, "the next", using)).releaseSync();
  });

  it("lets one in at a time", async () => {
    const contenders = Array.from({ length: 4 }, (_, i) =>
      start(`contender ${i}`, name, "contend"),
    );
    const said = (await Promise.all(contenders)).map((one) => one.said);
    expect(said).toEqual(Array(4).fill(expect.stringMatching(/^held [1-9]/)));
    expect(fs.statSync(file).size).toBeLessThan(64 * 1024);
  });
});

describe("between different methods", () => {
  // Native and socket know nothing of each other. The platform's choice takes every one it has.
  it.each([
    ["platform", "claim"],
    ["claim", "platform"],
    ...(bare
      ? []
      : ([
          ["platform", "native"],
          ["native", "platform"],
          ["native", "claim"],
          ["claim", "native"],
        ] as const)),
    ...(onLinux
      ? ([
          ["platform", "socket"],
          ["socket", "platform"],
          ["socket", "claim"],
          ["claim", "socket"],
        ] as const)
      : []),
  ] as const)("%s holds against %s", async (holding, trying) => {
    const holder = await start("the holder", holding, "stay");
    expect(holder.said).toBe("held");
    const error = await refusal(methods[trying]);
    expect(error.message).toContain(`held by process ${holder.child.pid} (by the holder`);
    holder.child.kill("SIGKILL");
    await holder.ended;
    (await lockFile(file, "next", methods[trying])).releaseSync();
  });
});

const noSocket = isMissing(onLinux, "the socket lock needs Linux; it is NOT tested");

describe.skipIf(noSocket)("the socket", () => {
  it("holds even when someone deletes the file", async () => {
    const holder = await start("the holder", "platform", "stay");
    expect(holder.said).toBe("held");
    fs.unlinkSync(file);
    await refusal();
    const own = await start("mine", "platform", "leave");
    expect(own.said).toContain("AURA_LOCKED");
  });

  it("has a name of full length: its padding is not left to the version of Node", async () => {
    const lock = await lockFile(file, "named", methods.socket);
    const sockets = fs.readFileSync("/proc/net/unix", "latin1").split("\n");
    const { dev, ino } = fs.statSync(`${root}/${count}`);
    const mine = sockets.filter((line) => line.includes(`@aura-lock:${dev}:${ino}:`));
    expect(mine.length).toBe(1);
    expect(mine[0]!.slice(mine[0]!.indexOf("@")).length).toBe(108);
    lock.releaseSync();
  });

  it("drops who connects to it", async () => {
    const lock = await lockFile(file, "named", methods.socket);
    const { dev, ino } = fs.statSync(`${root}/${count}`);
    const sockets = fs.readFileSync("/proc/net/unix", "latin1").split("\n");
    const name = sockets.find((line) => line.includes(`@aura-lock:${dev}:${ino}:`))!;
    const { connect } = await import("node:net");
    const client = connect({ path: name.slice(name.indexOf("@")).replace("@", "\0") });
    await new Promise((resolve) => client.once("close", resolve));
    lock.releaseSync();
  });

  it("is not shared by the workers of a cluster", async () => {
    cluster.setupPrimary({
      exec: program,
      args: [file, "a worker", "socket", "stay"],
      silent: true,
    });
    const workers: ClusterWorker[] = [];
    const said: string[] = [];
    for (let i = 0; i < 2; i++) {
      const worker = cluster.fork();
      workers.push(worker);
      said.push(
        await new Promise((resolve) => {
          worker.process.stdout!.setEncoding("utf8").once("data", resolve);
        }),
      );
    }
    expect(said[0]).toBe("held\n");
    expect(said[1]).toContain("AURA_LOCKED");
    for (const worker of workers) worker.process.kill("SIGKILL");
  });
});

describe("trouble", () => {
  function systemError(code: string): Error {
    return Object.assign(new Error(`${code}: it failed`), { code });
  }

  it("without the directory is AURA_NOT_FOUND, and leaves nothing behind", async () => {
    const before = openDescriptors();
    await expect(lockFile(`${root}/none/LOCK`, "x")).rejects.toMatchObject({
      code: "AURA_NOT_FOUND",
    });
    fs.symlinkSync(`${root}/elsewhere`, file);
    await expect(lockFile(file, "x")).rejects.toMatchObject({ code: "AURA_IO" });
    expect(fs.existsSync(`${root}/elsewhere`)).toBe(false);
    expect(openDescriptors()).toBe(before);
  });

  it("with a full disk costs the name, not the lock", async () => {
    const write = vi.spyOn(fs, "writeSync").mockImplementation(() => {
      throw systemError("ENOSPC");
    });
    const lock = await lockFile(file, "nameless");
    lock.releaseSync();
    await expect(lockFile(file, "x", methods.claim)).rejects.toMatchObject({
      code: "AURA_OUT_OF_SPACE",
    });
    write.mockRestore();
    (await lockFile(file, "x", methods.claim)).releaseSync();
  });

  it("with a file that is no LOCK file is overcome by the kernel's lock only", async () => {
    fs.writeFileSync(file, Buffer.alloc(1024 * 1024 + 1, 0x20));
    await expect(lockFile(file, "x", methods.claim)).rejects.toMatchObject({
      code: "AURA_CORRUPTION",
    });
    (await lockFile(file, "x", methods.native)).releaseSync();
    (await lockFile(file, "x", methods.claim)).releaseSync();
  });

  it("with a file system without locks falls back", async () => {
    const noLocks = (): boolean => {
      throw systemError("ENOLCK");
    };
    const lock = await lockFile(file, "x", { native: noLocks, socket: false });
    expect(parseClaims(fs.readFileSync(file, "utf8"))).toMatchObject([{ kind: "claim" }]);
    lock.releaseSync();
  });

  it("with a lock that says held by an error, as Windows does, is a refusal", async () => {
    const busy = (): boolean => {
      throw systemError("EBUSY");
    };
    const { message } = await refusal({ native: busy, socket: false });
    expect(message).toContain("held by another process, which has not entered its name");
  });

  it("with a claim from another host asks a person", async () => {
    const claim = { ...claimOfThisProcess("far", "n", "claim"), host: "far-away" };
    fs.writeFileSync(file, JSON.stringify(claim));
    const { message } = await refusal(methods.claim);
    expect(message).toContain("on host far-away");
    expect(message).toContain("empty the file");
    fs.writeFileSync(file, JSON.stringify({ ...claim, kind: "kernel" }));
    (await lockFile(file, "x", methods.native)).releaseSync();
  });

  it("at release still frees the lock", async () => {
    const lock = await lockFile(file, "x", methods.native);
    const truncate = vi.spyOn(fs, "ftruncateSync").mockImplementation(() => {
      throw systemError("EIO");
    });
    expect(() => lock.releaseSync()).toThrow("release failed");
    truncate.mockRestore();
    (await lockFile(file, "x", methods.native)).releaseSync();
  });
});

describe("without fs-native-extensions", () => {
  afterEach(() => {
    vi.doUnmock("node:module");
    vi.resetModules();
  });

  it("the platform's other guards hold", async () => {
    vi.resetModules();
    vi.doMock("node:module", () => ({
      createRequire: () => (name: string) => {
        throw new Error(`Cannot find module '${name}'`);
      },
    }));
    const bare = await import("../src/node-lock.ts");
    const lock = await bare.lockFile(file, "bare");
    // Another copy of the module: the registry is the same.
    expect((await refusal()).message).toContain("already open in this process (by bare)");
    expect((await start("a child", "platform", "leave")).said).toContain("AURA_LOCKED");
    lock.releaseSync();
    expect((await start("a child", "platform", "stay")).said).toBe("held");
    await expect(bare.lockFile(file, "bare")).rejects.toMatchObject({ code: "AURA_LOCKED" });
  });
});
