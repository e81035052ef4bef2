import fs from "node:fs";
import os from "node:os";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FileHandle } from "../src/fs.ts";
import { nodeFileSystem } from "../src/node-fs.ts";
import { codeOf, codeOfAsync } from "./file-system.contract.ts";

const root = fs.mkdtempSync(`${os.tmpdir()}/aura-node-fs-`);
let count = 0;
let directory: string;

beforeEach(() => {
  directory = `${root}/${++count}`;
  fs.mkdirSync(directory);
});

afterEach(() => {
  vi.restoreAllMocks();
});

afterAll(() => fs.rmSync(root, { recursive: true }));

function create(name = "a"): FileHandle {
  return nodeFileSystem.openSync(`${directory}/${name}`, "create");
}

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: the system refused`), { code });
}

function isOpen(fd: number): boolean {
  try {
    fs.fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

const pattern = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);

/** Lets every call move at most `most` bytes, as a signal or a slow device may. */
function shortCalls(most: number): void {
  for (const method of ["readSync", "writeSync", "read", "write"] as const) {
    const real = fs[method] as (...args: unknown[]) => unknown;
    vi.spyOn(fs, method).mockImplementation(((...args: unknown[]) => {
      args[3] = Math.min(args[3] as number, most); // descriptor, bytes, offset, length, position
      return real(...args);
    }) as never);
  }
  for (const method of ["writevSync", "writev"] as const) {
    const real = fs[method] as (...args: unknown[]) => unknown;
    vi.spyOn(fs, method).mockImplementation(((...args: unknown[]) => {
      args[1] = [Buffer.concat(args[1] as Uint8Array[]).subarray(0, most)];
      return real(...args);
    }) as never);
  }
}

describe("short calls", () => {
  it.each([1, 7, 333, 999])("are continued when %i bytes move at a time", async (most) => {
    const parts = [pattern.subarray(0, 100), pattern.subarray(100, 101), pattern.subarray(101)];
    const file = create();
    shortCalls(most);
    file.writeSync(pattern, 0);
    file.writevSync(parts, 1000);
    await file.write(pattern, 2000);
    await file.writev(parts, 3000);
    const target = new Uint8Array(1000);
    for (const at of [0, 1000, 2000, 3000]) {
      expect(file.readSync(target.fill(0), at)).toBe(1000);
      expect(target).toEqual(pattern);
      expect(await file.read(target.fill(0), at)).toBe(1000);
      expect(target).toEqual(pattern);
    }
    expect(file.readSync(target, 3500)).toBe(500);
    expect(await file.read(target, 3500)).toBe(500);
    file.closeSync();
  });

  it("that move nothing are errors, not endless loops", async () => {
    const file = create();
    vi.spyOn(fs, "writeSync").mockReturnValue(0);
    vi.spyOn(fs, "writevSync").mockReturnValue(0);
    const nothing = (...args: unknown[]): void => {
      const then = args.at(-1) as (error: null, bytes: number) => void;
      setImmediate(() => then(null, 0));
    };
    vi.spyOn(fs, "write").mockImplementation(nothing as never);
    vi.spyOn(fs, "writev").mockImplementation(nothing as never);
    expect(() => file.writeSync(pattern, 7)).toThrow("write made no progress");
    expect(codeOf(() => file.writeSync(pattern, 7))).toBe("AURA_IO");
    expect(codeOf(() => file.writevSync([pattern], 7))).toBe("AURA_IO");
    expect(await codeOfAsync(file.write(pattern, 7))).toBe("AURA_IO");
    expect(await codeOfAsync(file.writev([pattern], 7))).toBe("AURA_IO");
    file.closeSync();
  });
});

describe("long calls", () => {
  it("go in pieces that the platform can move", async () => {
    const most = 2 ** 30;
    const huge = new Uint8Array(2 * most + 5); // never touched: no memory behind it
    const file = create();
    const moved: number[] = [];
    const sync = (_: number, __: unknown, ___: number, length: number): number => {
      moved.push(length);
      return length;
    };
    const later = (...args: unknown[]): void => {
      moved.push(args[3] as number);
      setImmediate(() => (args.at(-1) as (e: null, n: number) => void)(null, args[3] as number));
    };
    vi.spyOn(fs, "writeSync").mockImplementation(sync as never);
    vi.spyOn(fs, "readSync").mockImplementation(sync as never);
    vi.spyOn(fs, "write").mockImplementation(later as never);
    vi.spyOn(fs, "read").mockImplementation(later as never);
    vi.spyOn(fs, "writevSync").mockImplementation((_, parts) => {
      const total = parts.reduce((sum, part) => sum + part.byteLength, 0);
      moved.push(total);
      return total;
    });
    for (const call of [
      async () => file.writeSync(huge, 0),
      async () => file.readSync(huge, 0),
      () => file.write(huge, 0),
      () => file.read(huge, 0),
      async () => file.writevSync([huge.subarray(0, 3), huge.subarray(3)], 0),
    ]) {
      moved.length = 0;
      await call();
      expect(moved).toEqual([most, most, 5]);
    }
    file.closeSync();
  });

  it("give no more parts to a call than it takes", () => {
    const file = create();
    const real = fs.writevSync;
    const counts: number[] = [];
    vi.spyOn(fs, "writevSync").mockImplementation((fd, parts, position) => {
      counts.push(parts.length);
      return real(fd, parts, position ?? undefined);
    });
    file.writevSync(Array(2500).fill(Uint8Array.of(1)), 0);
    expect(counts).toEqual([1024, 1024, 452]);
    expect(file.sizeSync()).toBe(2500);
    file.closeSync();
  });

  it("reach positions above 4 GiB", async () => {
    const file = create();
    const far = 5 * 2 ** 30 + 3;
    file.writeSync(pattern, far);
    await file.write(pattern, far + 1000);
    const target = new Uint8Array(2000);
    expect(await file.read(target, far)).toBe(2000);
    expect(target.subarray(1000)).toEqual(pattern);
    expect(file.sizeSync()).toBe(far + 2000);
    file.closeSync();
  });
});

describe("refusals of the system", () => {
  it.each([
    ["ENOSPC", "AURA_OUT_OF_SPACE"],
    ["EDQUOT", "AURA_OUT_OF_SPACE"],
    ["EIO", "AURA_IO"],
    ["ENOENT", "AURA_NOT_FOUND"],
  ])("%s is %s, with the cause and the file", async (name, code) => {
    const file = create();
    const cause = systemError(name);
    const fail = () => {
      throw cause;
    };
    const failLater = (...args: unknown[]) => {
      setImmediate(() => (args.at(-1) as (e: Error) => void)(cause));
    };
    for (const method of [
      "readSync",
      "writeSync",
      "writevSync",
      "fdatasyncSync",
      "ftruncateSync",
      "fstatSync",
    ] as const) {
      vi.spyOn(fs, method).mockImplementation(fail as never);
    }
    for (const method of ["read", "write", "writev", "fdatasync"] as const) {
      vi.spyOn(fs, method).mockImplementation(failLater as never);
    }
    for (const call of [
      async () => file.readSync(pattern, 0),
      async () => file.writeSync(pattern, 0),
      async () => file.writevSync([pattern], 0),
      async () => file.syncSync(),
      async () => file.truncateSync(0),
      async () => file.sizeSync(),
      () => file.read(pattern, 0),
      () => file.write(pattern, 0),
      () => file.writev([pattern], 0),
      () => file.sync(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code, cause, file: file.path });
    }
    file.closeSync();
  });

  it("come as rejections where a promise is due, also for arguments", async () => {
    const file = create();
    expect(await codeOfAsync(file.read("text" as never, 0))).toBe("AURA_IO");
    file.closeSync();
  });

  it("are not left to Node for a position that it would take as the current one", async () => {
    const file = create();
    for (const position of [-1, 1.5, Number.NaN, 2 ** 53, undefined as never, 1n as never]) {
      const wrong = "assertion failed: file position";
      expect(() => file.readSync(pattern, position)).toThrow(wrong);
      expect(() => file.writeSync(pattern, position)).toThrow(wrong);
      expect(() => file.writevSync([pattern], position)).toThrow(wrong);
      await expect(file.read(pattern, position)).rejects.toThrow(wrong);
      await expect(file.write(pattern, position)).rejects.toThrow(wrong);
      await expect(file.writev([pattern], position)).rejects.toThrow(wrong);
    }
    expect(file.sizeSync()).toBe(0);
    file.closeSync();
    expect(isOpen(file.token)).toBe(false);
  });

  it("do not make a file look absent", () => {
    fs.writeFileSync(`${directory}/plain`, "");
    expect(codeOf(() => nodeFileSystem.existsSync(`${directory}/plain/below`))).toBe("AURA_IO");
    vi.spyOn(fs, "statSync").mockImplementation(() => {
      throw systemError("EACCES");
    });
    expect(codeOf(() => nodeFileSystem.existsSync(`${directory}/CURRENT`))).toBe("AURA_IO");
  });

  it("to sync a directory count only where the platform could", async () => {
    vi.spyOn(fs, "fsyncSync").mockImplementation(() => {
      throw systemError("EINVAL");
    });
    vi.spyOn(fs, "fsync").mockImplementation((_, then) => void then(systemError("EINVAL")));
    nodeFileSystem.syncDirSync(directory);
    await nodeFileSystem.syncDir(directory);
    vi.mocked(fs.fsyncSync).mockImplementation(() => {
      throw systemError("EIO");
    });
    vi.mocked(fs.fsync).mockImplementation(
      ((_: number, then: (e: Error) => void) => void then(systemError("EIO"))) as never,
    );
    expect(codeOf(() => nodeFileSystem.syncDirSync(directory))).toBe("AURA_IO");
    expect(await codeOfAsync(nodeFileSystem.syncDir(directory))).toBe("AURA_IO");
  });
});

describe("a directory that is locked", () => {
  it("is synced by a process that has no descriptor left", async () => {
    const lock = await nodeFileSystem.lock(`${directory}/LOCK`, "a test");
    const open = vi.spyOn(fs, "openSync").mockImplementation(() => {
      throw systemError("EMFILE");
    });
    nodeFileSystem.syncDirSync(directory);
    await nodeFileSystem.syncDir(directory);
    lock.releaseSync();
    lock.releaseSync();
    expect(codeOf(() => nodeFileSystem.syncDirSync(directory))).toBe("AURA_IO");
    open.mockRestore();
    nodeFileSystem.syncDirSync(directory);
  });

  it("is closed when it is let go, behind a sync that is under way", async () => {
    const before = fs.readdirSync("/proc/self/fd").length;
    const lock = await nodeFileSystem.lock(`${directory}/LOCK`, "a test");
    const ends: Promise<void>[] = [];
    for (let i = 0; i < 4; i++) ends.push(nodeFileSystem.syncDir(directory));
    const closed = vi.spyOn(fs, "closeSync");
    lock.releaseSync();
    const early = closed.mock.calls.length;
    await Promise.all(ends);
    expect(closed.mock.calls.length).toBeGreaterThan(early);
    expect(fs.readdirSync("/proc/self/fd").length).toBe(before);
  });

  it("tells a failure to all who sync it at the same time", async () => {
    const lock = await nodeFileSystem.lock(`${directory}/LOCK`, "a test");
    // As the system does: what could not be written is told once through each open file.
    const told = new Set<number>();
    const tell = (fd: number): NodeJS.ErrnoException | null => {
      if (told.has(fd)) return null;
      told.add(fd);
      return systemError("EIO");
    };
    vi.spyOn(fs, "fsync").mockImplementation(((fd: number, then: fs.NoParamCallback) => {
      setImmediate(() => then(tell(fd)));
    }) as never);
    vi.spyOn(fs, "fsyncSync").mockImplementation((fd: number) => {
      const failure = tell(fd);
      if (failure !== null) throw failure;
    });
    const onPool = [nodeFileSystem.syncDir(directory), nodeFileSystem.syncDir(directory)];
    const codes = onPool.map((end) => codeOfAsync(end));
    expect(codeOf(() => nodeFileSystem.syncDirSync(directory))).toBe("AURA_IO");
    expect(await Promise.all(codes)).toEqual(["AURA_IO", "AURA_IO"]);
    lock.releaseSync();
  });

  it("tells a failure to nobody who began behind it, though syncs never cease", async () => {
    const lock = await nodeFileSystem.lock(`${directory}/LOCK`, "a test");
    const ends: (() => void)[] = [];
    vi.spyOn(fs, "fsync").mockImplementation(((_: number, then: fs.NoParamCallback) => {
      const failure = ends.length === 0 ? systemError("EIO") : null;
      ends.push(() => then(failure));
    }) as never);
    const codes = [1, 2].map(() => codeOfAsync(nodeFileSystem.syncDir(directory)));
    for (let at = 0; at < ends.length; at++) {
      ends[at]!();
      await new Promise((resolve) => setImmediate(resolve));
      // One is under way all the time.
      if (at < 9) codes.push(codeOfAsync(nodeFileSystem.syncDir(directory)));
    }
    const told = await Promise.all(codes);
    expect(told.length).toBe(11);
    expect(told.map((code) => code === "AURA_IO")).toEqual(told.map((_, at) => at < 2));
    lock.releaseSync();
  });

  it("is let go where it cannot be held", async () => {
    const real = fs.openSync.bind(fs);
    const open = vi.spyOn(fs, "openSync").mockImplementation(((path: string, ...rest: []) => {
      if (path === directory) throw systemError("EMFILE");
      return real(path, ...(rest as unknown as [number]));
    }) as never);
    expect(await codeOfAsync(nodeFileSystem.lock(`${directory}/LOCK`, "a test"))).toBe("AURA_IO");
    open.mockRestore();
    (await nodeFileSystem.lock(`${directory}/LOCK`, "a test")).releaseSync();
  });
});

describe("closing", () => {
  it("waits for operations under way, and only for them", async () => {
    const file = create();
    file.writeSync(pattern, 0);
    const target = new Uint8Array(1000);
    const ends: string[] = [];
    const all = [
      file.read(target, 0).then(() => ends.push("read")),
      file.write(pattern, 1000).then(() => ends.push("write")),
      file.writev([pattern, pattern], 2000).then(() => ends.push("writev")),
      file.sync().then(() => ends.push("sync")),
    ];
    file.closeSync();
    file.closeSync();
    expect(isOpen(file.token)).toBe(true);
    expect(codeOf(() => file.sizeSync())).toBe("AURA_IO");
    expect(await codeOfAsync(file.sync())).toBe("AURA_IO");
    await Promise.all(all);
    expect(ends.sort()).toEqual(["read", "sync", "write", "writev"]);
    expect(target).toEqual(pattern);
    expect(isOpen(file.token)).toBe(false);
    expect(fs.statSync(file.path).size).toBe(4000);
  });

  it("waits for the last piece of an operation that goes in several", async () => {
    shortCalls(10);
    const file = create();
    const write = file.write(pattern, 0);
    await new Promise((resolve) => fs.stat(directory, resolve));
    file.closeSync();
    await write;
    expect(fs.readFileSync(file.path)).toEqual(Buffer.from(pattern));
    expect(isOpen(file.token)).toBe(false);
  });

  it("happens after a failed operation too", async () => {
    const file = create();
    fs.closeSync(file.token); // behind its back
    const write = codeOfAsync(file.write(pattern, 0));
    const fresh = fs.openSync(directory, fs.constants.O_RDONLY);
    expect(await write).toBe("AURA_IO");
    fs.closeSync(fresh);
    expect(codeOf(() => file.closeSync())).toBe("AURA_IO");
    expect(codeOf(() => file.closeSync())).toBe("none");
  });

  it("does not fail for a file that was opened to be read", async () => {
    create("read").closeSync();
    const file = nodeFileSystem.openSync(`${directory}/read`, "read");
    const behind = nodeFileSystem.openSync(`${directory}/read`, "read");
    const close = vi.spyOn(fs, "closeSync").mockImplementation(() => {
      throw systemError("EIO");
    });
    const reading = behind.read(new Uint8Array(1), 0);
    behind.closeSync();
    file.closeSync();
    expect(close.mock.calls.length).toBe(1);
    expect(await reading).toBe(0);
    expect(close.mock.calls.length).toBe(2);
    close.mockRestore();
    for (const { token } of [file, behind]) fs.closeSync(token);
  });

  it("that fails behind an operation rejects it", async () => {
    for (const name of ["write", "sync"] as const) {
      const file = create(name);
      const close = vi.spyOn(fs, "closeSync").mockImplementation(() => {
        throw systemError("EIO");
      });
      const operation = name === "write" ? file.write(pattern, 0) : file.sync();
      file.closeSync();
      expect(await codeOfAsync(operation)).toBe("AURA_IO");
      close.mockRestore();
      fs.closeSync(file.token);
    }
  });
});

describe("names", () => {
  it("are for the owner only", () => {
    const umask = process.umask(0);
    try {
      create("secret").closeSync();
      nodeFileSystem.makeDirectorySync(`${directory}/x/y`);
      expect(fs.statSync(`${directory}/secret`).mode & 0o777).toBe(0o600);
      expect(fs.statSync(`${directory}/x`).mode & 0o777).toBe(0o700);
      expect(fs.statSync(`${directory}/x/y`).mode & 0o777).toBe(0o700);
    } finally {
      process.umask(umask);
    }
  });

  it("that lead elsewhere are not created through", () => {
    fs.symlinkSync(`${directory}/target`, `${directory}/link`);
    expect(codeOf(() => create("link"))).toBe("AURA_IO");
    expect(fs.existsSync(`${directory}/target`)).toBe(false);
  });

  it("of directories are made with their parents, where the system lets them", () => {
    const deep = `${directory}/a/b/c`;
    nodeFileSystem.makeDirectorySync(deep);
    nodeFileSystem.makeDirectorySync(deep);
    expect(fs.statSync(`${directory}/a`).mode & 0o777).toBe(0o700);
    fs.writeFileSync(`${directory}/plain`, "");
    expect(codeOf(() => nodeFileSystem.makeDirectorySync(`${directory}/plain`))).toBe("AURA_IO");
    expect(codeOf(() => nodeFileSystem.makeDirectorySync(`${directory}/plain/a`))).toBe("AURA_IO");
    vi.spyOn(fs, "mkdirSync").mockImplementation(() => {
      throw systemError("EACCES");
    });
    nodeFileSystem.makeDirectorySync(deep);
    expect(codeOf(() => nodeFileSystem.makeDirectorySync(`${deep}/d`))).toBe("AURA_IO");
  });

  it("free bytes are those of the volume", () => {
    const free = nodeFileSystem.freeBytesSync(directory);
    const { bavail, bsize } = fs.statfsSync(directory);
    expect(Math.abs(free - bavail * bsize)).toBeLessThan(2 ** 33);
    expect(codeOf(() => nodeFileSystem.freeBytesSync(`${directory}/no`))).toBe("AURA_NOT_FOUND");
  });

  it("the boot id is the kernel's, asked once, or host and boot time", async () => {
    const path = "/proc/sys/kernel/random/boot_id";
    const name = fs.existsSync(path) ? fs.readFileSync(path, "utf8").trim() : undefined;
    const before = nodeFileSystem.bootId();
    if (name !== undefined) expect(before).toBe(name);
    vi.spyOn(fs, "readFileSync").mockImplementation(() => {
      throw systemError("ENOENT");
    });
    // A process without a free descriptor still runs under the same kernel.
    expect(nodeFileSystem.bootId()).toBe(before);
    vi.resetModules();
    const anew = await import("../src/node-fs.ts");
    expect(anew.nodeFileSystem.bootId()).toMatch(new RegExp(`^${os.hostname()}:\\d{8,}$`));
  });

  it("the boot id is no other one for want of a descriptor to ask with", async () => {
    const path = "/proc/sys/kernel/random/boot_id";
    vi.resetModules();
    const anew = await import("../src/node-fs.ts");
    const read = vi.spyOn(fs, "readFileSync").mockImplementation(() => {
      throw systemError("EMFILE");
    });
    expect(codeOf(() => anew.nodeFileSystem.bootId())).toBe("AURA_IO");
    read.mockRestore();
    const name = fs.existsSync(path) ? fs.readFileSync(path, "utf8").trim() : os.hostname();
    expect(anew.nodeFileSystem.bootId()).toContain(name);
  });
});
