import { describe, expect, it } from "vitest";
import type { FileHandle } from "../src/fs.ts";
import { SimCrash, SimFs, type SimOperation } from "../src/testing/index.ts";

function bytes(length: number, value = 1): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function put(fs: SimFs, path: string, content: Uint8Array): FileHandle {
  const handle = fs.openSync(path, "create");
  handle.writeSync(content, 0);
  return handle;
}

function codeOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    const { code, cause } = error as { code: unknown; cause?: { code?: unknown } };
    return cause?.code === undefined ? code : `${code} ${cause.code}`;
  }
  return "no error";
}

describe("files and names", () => {
  it("writes at positions, reads short at the end only, and reads gaps as zeros", () => {
    const fs = new SimFs();
    const handle = fs.openSync("/a", "create");
    handle.writevSync([bytes(3, 7), bytes(2, 8)], 5000);
    expect(handle.sizeSync()).toBe(5005);
    const target = bytes(10, 9);
    expect(handle.readSync(target, 4998)).toBe(7);
    expect([...target]).toEqual([0, 0, 7, 7, 7, 8, 8, 9, 9, 9]);
    handle.truncateSync(5002);
    handle.truncateSync(6000);
    expect(fs.readFile("a").subarray(4999, 5006)).toEqual(Buffer.from([0, 7, 7, 0, 0, 0, 0]));
    expect(fs.fileBytesSync("/a")).toBe(6000);
  });

  it("copies what it is given", () => {
    const fs = new SimFs();
    const content = bytes(4, 1);
    const handle = put(fs, "/a", content);
    content.fill(2);
    expect(fs.readFile("/a")).toEqual(Buffer.from([1, 1, 1, 1]));
    handle.syncSync();
    handle.writeSync(content, 0);
    content.fill(3);
    for (const data of ["all", "prefix", "any"] as const) {
      for (let seed = 0; seed < 20; seed++) {
        expect(fs.crash({ seed, data, names: "all" }).readFile("/a")[0]).toBeLessThan(3);
      }
    }
  });

  it("throws the errors of FileSystem", () => {
    const fs = new SimFs({ maxOpenFiles: 2 });
    fs.makeDirectorySync("/d/e");
    const handle = put(fs, "/d/a", bytes(1));
    expect(codeOf(() => fs.openSync("/d/a", "create"))).toBe("AURA_IO EEXIST");
    expect(codeOf(() => fs.openSync("/d/b", "read"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(codeOf(() => fs.openSync("/x/b", "create"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(codeOf(() => fs.fileBytesSync("/d/b"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(codeOf(() => fs.listSync("/x"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(codeOf(() => fs.unlinkSync("/d/b"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(codeOf(() => fs.renameSync("/d/b", "/d/c"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(codeOf(() => fs.removeDirectorySync("/d"))).toBe("AURA_IO ENOTEMPTY");
    const reader = fs.openSync("/d/a", "read");
    expect(codeOf(() => reader.writeSync(bytes(1), 0))).toBe("AURA_IO EBADF");
    expect(codeOf(() => fs.openSync("/d/a", "read"))).toBe("AURA_IO EMFILE");
    reader.closeSync();
    reader.closeSync();
    expect(fs.openPaths()).toEqual(["/d/a"]);
    handle.closeSync();
    expect(codeOf(() => handle.sizeSync())).toBe("AURA_IO EBADF");
    expect(codeOf(() => fs.syncTokenSync(handle.token))).toBe("AURA_IO EBADF");
    expect(fs.openHandles).toBe(0);
    expect(fs.listSync("/d")).toEqual(["a", "e"]);
  });

  it("keeps an unlinked file for its handle, and gives its room back after", () => {
    const fs = new SimFs({ capacity: 16384 });
    const handle = put(fs, "/a", bytes(10000));
    expect(fs.usedBytes).toBe(12288);
    fs.unlinkSync("/a");
    expect(handle.readSync(bytes(4), 0)).toBe(4);
    expect(fs.freeBytesSync("/")).toBe(4096);
    handle.closeSync();
    expect(fs.freeBytesSync("/")).toBe(16384);
  });

  it("links, renames over, and lists", () => {
    const fs = new SimFs();
    put(fs, "/a", bytes(1, 1)).closeSync();
    put(fs, "/b", bytes(1, 2)).closeSync();
    fs.linkSync("/a", "/c");
    fs.renameSync("/a", "/b");
    expect(fs.listSync("/")).toEqual(["b", "c"]);
    expect(fs.readFile("/b")[0]).toBe(1);
    fs.makeDirectorySync("/d/e");
    fs.makeDirectorySync("/d/e");
    put(fs, "/d/e/f", bytes(1)).closeSync();
    expect(fs.list()).toEqual(["/b", "/c", "/d/e/f"]);
    fs.renameSync("/d", "/x");
    expect(fs.existsSync("/x/e/f")).toBe(true);
  });

  it("reaches far offsets without their room", () => {
    const fs = new SimFs({ capacity: 65536 });
    const handle = fs.openSync("/a", "create");
    handle.writeSync(bytes(3, 5), 6_000_000_000);
    expect(handle.sizeSync()).toBe(6_000_000_003);
    expect(fs.usedBytes).toBe(4096);
    handle.syncSync();
    const image = fs.crash({ names: "all" });
    expect(image.fileBytesSync("/a")).toBe(6_000_000_003);
    const target = bytes(4);
    expect(image.openSync("/a", "read").readSync(target, 5_999_999_999)).toBe(4);
    expect([...target]).toEqual([0, 5, 5, 5]);
  });
});

describe("power loss", () => {
  it("keeps synced content, and a name only after syncDir", () => {
    const fs = new SimFs();
    const handle = put(fs, "/a", bytes(100));
    handle.syncSync();
    expect(fs.crash({ names: "none", data: "all" }).list()).toEqual([]);
    fs.syncDirSync("/");
    const image = fs.crash({ names: "none", data: "none" });
    expect(image.readFile("/a").length).toBe(100);
    fs.renameSync("/a", "/b");
    expect(fs.crash({ names: "none" }).list()).toEqual(["/a"]);
    expect(fs.crash({ names: "all" }).list()).toEqual(["/b"]);
  });

  it("loses a directory whose parent was not synced, with all in it", () => {
    const fs = new SimFs();
    fs.makeDirectorySync("/d");
    put(fs, "/d/a", bytes(1)).syncSync();
    fs.syncDirSync("/d");
    expect(fs.crash({ names: "none" }).existsSync("/d")).toBe(false);
    fs.syncDirSync("/");
    expect(fs.crash({ names: "none" }).list()).toEqual(["/d/a"]);
  });

  it("brings an unlinked name back", () => {
    const fs = new SimFs();
    fs.writeFile("/a", bytes(10, 3));
    fs.unlinkSync("/a");
    expect(fs.crash({ names: "none" }).readFile("/a")).toEqual(Buffer.alloc(10, 3));
    expect(fs.processKill().existsSync("/a")).toBe(false);
    expect(fs.processKill().crash({ names: "none" }).readFile("/a").length).toBe(10);
    fs.syncDirSync("/");
    expect(fs.crash({ names: "none" }).list()).toEqual([]);
  });

  /** A file that was moved from one directory to another, beside one that was not. */
  function moved(): SimFs {
    const fs = new SimFs();
    fs.makeDirectorySync("/s");
    fs.makeDirectorySync("/t");
    fs.syncDirSync("/");
    put(fs, "/s/a", bytes(1)).closeSync();
    fs.syncDirSync("/s");
    put(fs, "/s/other", bytes(1)).closeSync();
    fs.renameSync("/s/a", "/t/b");
    return fs;
  }

  it("makes a rename between directories durable whole through the old one", () => {
    const fs = moved();
    fs.syncDirSync("/s");
    expect(fs.crash({ names: "none" }).list()).toEqual(["/s/other", "/t/b"]);
  });

  it("may leave the old name of a rename where only the new directory was synced", () => {
    const fs = moved();
    fs.syncDirSync("/t");
    expect(fs.crash({ names: "none" }).list()).toEqual(["/s/a", "/t/b"]);
    const seen = new Set<string>();
    for (let seed = 0; seed < 60; seed++) seen.add(fs.crash({ seed, names: "any" }).list().join());
    const [both, other] = ["/s/a,/t/b", "/s/a,/s/other,/t/b"];
    expect([...seen].sort()).toEqual([other, both, "/s/other,/t/b", "/t/b"].sort());
    fs.syncDirSync("/s");
    expect(fs.crash({ names: "none" }).list()).toEqual(["/s/other", "/t/b"]);
  });

  it("tears a write only between sectors, and shows every outcome over the seeds", () => {
    const fs = new SimFs();
    fs.writeFile("/a", bytes(2048, 1));
    fs.openSync("/b", "create").closeSync();
    fs.unlinkSync("/a");
    const handle = put(fs, "/c", bytes(2048, 1));
    handle.syncSync();
    fs.syncDirSync("/");
    handle.writeSync(bytes(1536, 2), 256);
    const seen = new Set<string>();
    for (let seed = 0; seed < 1200; seed++) {
      const content = fs.crash({ seed, data: seed % 2 === 0 ? "prefix" : "any" }).readFile("/c");
      expect(content.length).toBe(2048);
      let shape = "";
      for (let sector = 0; sector < 4; sector++) {
        const piece = content.subarray(sector * 512, sector * 512 + 512);
        const from = sector === 0 ? 256 : 0;
        const to = sector === 3 ? 256 : 512;
        const isNew = piece[from] === 2;
        expect(piece.subarray(from, to).every((b) => b === (isNew ? 2 : 1))).toBe(true);
        expect(piece.subarray(0, from).every((b) => b === 1)).toBe(true);
        expect(piece.subarray(to).every((b) => b === 1)).toBe(true);
        shape += isNew ? "n" : "o";
      }
      seen.add(shape);
      const whole = fs.crash({ seed, data: "any", torn: false }).readFile("/c");
      expect(["111", "222"]).toContain([whole[256], whole[1000], whole[1791]].join(""));
    }
    expect(seen.size).toBe(16);
  });

  it("fills gaps with garbage when asked", () => {
    const fs = new SimFs();
    const handle = fs.openSync("/a", "create");
    fs.syncDirSync("/");
    for (let i = 0; i < 8; i++) handle.writeSync(bytes(512, 1), i * 512);
    let garbage = 0;
    for (let seed = 0; seed < 50; seed++) {
      const zeros = fs.crash({ seed, data: "any" }).readFile("/a");
      expect(zeros.every((b) => b <= 1)).toBe(true);
      const content = fs.crash({ seed, data: "any", gaps: "garbage" }).readFile("/a");
      if (content.some((b) => b > 1)) garbage++;
    }
    expect(garbage).toBeGreaterThan(5);
  });

  it("gives the same image for the same seed, and leaves the running one alone", () => {
    const fs = new SimFs();
    const handle = fs.openSync("/a", "create");
    fs.syncDirSync("/");
    for (let i = 0; i < 20; i++) handle.writeSync(bytes(700, i), i * 650);
    const before = fs.readFile("/a");
    const one = fs.crash({ seed: 5 });
    const two = fs.crash({ seed: 5 });
    expect(one.readFile("/a")).toEqual(two.readFile("/a"));
    const writer = one.openSync("/b", "create");
    writer.writeSync(bytes(9), 0);
    expect(fs.readFile("/a")).toEqual(before);
    expect(fs.existsSync("/b")).toBe(false);
    expect(one.bootId()).not.toBe(fs.bootId());
    expect(fs.processKill().bootId()).toBe(fs.bootId());
    handle.writeSync(bytes(100, 200), 0);
    expect(one.readFile("/a")).toEqual(two.readFile("/a"));
  });

  it("keeps everything over a process kill, still not durable", () => {
    const fs = new SimFs();
    put(fs, "/a", bytes(10)).closeSync();
    const killed = fs.processKill();
    expect(killed.readFile("/a").length).toBe(10);
    expect(killed.openHandles).toBe(0);
    const writer = fs.openSync("/b", "create");
    fs.syncDirSync("/");
    const early = fs.processKill();
    writer.writeSync(bytes(10), 0);
    for (let seed = 0; seed < 20; seed++) {
      expect(early.crash({ seed, data: "any" }).readFile("/b").length).toBe(0);
    }
    expect(killed.crash({ names: "none" }).list()).toEqual([]);
    expect(killed.crash({ names: "all", data: "none" }).readFile("/a").length).toBe(0);
  });

  it("stops before or after any operation, and stays off", async () => {
    const run = (fs: SimFs): void => {
      const handle = fs.openSync("/a", "create");
      handle.writeSync(bytes(10), 0);
      handle.syncSync();
      fs.syncDirSync("/");
      handle.closeSync();
    };
    const whole = new SimFs();
    run(whole);
    expect(whole.operations).toBe(4);
    const outcomes: string[] = [];
    for (let point = 1; point <= 8; point++) {
      const fs = new SimFs();
      fs.crashAt(point);
      expect(() => run(fs)).toThrow(SimCrash);
      expect(fs.isOff).toBe(true);
      expect(() => fs.existsSync("/a")).toThrow(SimCrash);
      await expect(fs.syncDir("/")).rejects.toThrow(SimCrash);
      const size = (image: SimFs) => (image.existsSync("/a") ? image.fileBytesSync("/a") : -1);
      const most = size(fs.crash({ data: "all", names: "all" }));
      const least = size(fs.crash({ data: "none", names: "none" }));
      outcomes.push(`${least}..${most}`);
    }
    expect(outcomes).toEqual([
      "-1..-1",
      "-1..0",
      "-1..0",
      "-1..10",
      "-1..10",
      "-1..10",
      "-1..10",
      "10..10",
    ]);
  });
});

describe("faults", () => {
  it("stops at a crash point whose operation failed", () => {
    const fs = new SimFs();
    fs.crashAt(2);
    expect(codeOf(() => fs.unlinkSync("/a"))).toBe("AURA_NOT_FOUND ENOENT");
    expect(() => fs.openSync("/a", "create")).toThrow(SimCrash);
    expect(fs.existsSync).toThrow();
    expect(fs.crash({ names: "all" }).list()).toEqual([]);
  });

  it("fails the operation with the number, once or from there on", () => {
    for (const sticky of [false, true]) {
      const fs = new SimFs();
      const handle = fs.openSync("/a", "create");
      const fault = fs.failAt({ at: 3, error: "EIO", sticky });
      handle.writeSync(bytes(1), 0);
      expect(codeOf(() => handle.writeSync(bytes(1), 1))).toBe("AURA_IO EIO");
      expect(codeOf(() => handle.writeSync(bytes(1), 1))).toBe(sticky ? "AURA_IO EIO" : "no error");
      expect(fault.fired).toBe(sticky ? 2 : 1);
      fault.remove();
      handle.writeSync(bytes(1), 1);
      expect(fs.operations).toBe(5);
    }
  });

  it("fails by kind, path and count", () => {
    const fs = new SimFs();
    fs.makeDirectorySync("/d");
    const fault = fs.failAt({
      at: (kind, path, nth) => kind === "create" && path === "/d/b" && nth >= 2,
      error: "EMFILE",
    });
    fs.openSync("/d/a", "create");
    expect(codeOf(() => fs.openSync("/d/./b", "create"))).toBe("AURA_IO EMFILE");
    expect(fs.existsSync("/d/b")).toBe(false);
    fs.openSync("/d/b", "create");
    expect(fault.fired).toBe(1);
  });

  it("writes a part before it fails, and lets an effect happen that is reported as failed", () => {
    const fs = new SimFs();
    const handle = fs.openSync("/a", "create");
    fs.failAt({ at: 2, error: "ENOSPC", partial: 5 });
    expect(codeOf(() => handle.writevSync([bytes(3), bytes(9)], 0))).toBe(
      "AURA_OUT_OF_SPACE ENOSPC",
    );
    expect(fs.readFile("/a").length).toBe(5);
    fs.failAt({ at: 3, error: "EIO", happened: true });
    expect(codeOf(() => fs.renameSync("/a", "/b"))).toBe("AURA_IO EIO");
    expect(fs.list()).toEqual(["/b"]);
    fs.failAt({ at: 4, error: "EIO", happened: true });
    expect(codeOf(() => handle.writeSync(bytes(9), 0))).toBe("AURA_IO EIO");
    expect(fs.readFile("/b").length).toBe(9);
  });

  it("runs full, with a short write first, and goes on when there is room", () => {
    const fs = new SimFs({ capacity: 8192 });
    const handle = fs.openSync("/a", "create");
    expect(codeOf(() => handle.writeSync(bytes(10000), 100))).toBe("AURA_OUT_OF_SPACE ENOSPC");
    expect(handle.sizeSync()).toBe(8192);
    handle.writeSync(bytes(8192, 2), 0);
    expect(codeOf(() => handle.writeSync(bytes(1), 8192))).toBe("AURA_OUT_OF_SPACE ENOSPC");
    handle.truncateSync(4096);
    handle.writeSync(bytes(1), 8000);
  });

  it("loses what a failed sync did not write, in each of the three ways", () => {
    const outcome = (sync: "keep" | "drop" | "revert"): (string | number)[] => {
      const fs = new SimFs();
      const handle = put(fs, "/a", bytes(1024, 1));
      handle.syncSync();
      fs.syncDirSync("/");
      handle.writeSync(bytes(1024, 2), 512);
      fs.failAt({ at: fs.operations + 1, error: "EIO", sync });
      expect(codeOf(() => handle.syncSync())).toBe("AURA_IO EIO");
      const shape = (from: SimFs) => {
        const content = from.readFile("/a");
        return `${content.length} ${content[0]}${content[600]}${content[1100] ?? "-"}`;
      };
      const shown = shape(fs);
      handle.syncSync();
      const disk = shape(fs.crash());
      fs.dropCaches();
      return [shown, disk, shape(fs)];
    };
    expect(outcome("keep")).toEqual(["1536 122", "1536 110", "1536 110"]);
    expect(outcome("drop")).toEqual(["1536 110", "1536 110", "1536 110"]);
    expect(outcome("revert")).toEqual(["1024 11-", "1024 11-", "1024 11-"]);
  });

  it("writes a lost sector after all when it is dirtied again", () => {
    const fs = new SimFs();
    const handle = put(fs, "/a", bytes(1024, 1));
    fs.syncDirSync("/");
    fs.failAt({ at: fs.operations + 1, error: "EIO", sync: "keep" });
    expect(codeOf(() => handle.syncSync())).toBe("AURA_IO EIO");
    handle.writeSync(bytes(1, 7), 600);
    const torn = fs.crash({ data: "all" }).readFile("/a");
    handle.syncSync();
    const content = fs.crash({ data: "none" }).readFile("/a");
    expect(content).toEqual(torn);
    expect([content.length, content[0], content[512], content[600]]).toEqual([1024, 0, 1, 7]);
  });

  it("may bring data to the disk although the sync failed", () => {
    const fs = new SimFs();
    const handle = put(fs, "/a", bytes(100, 1));
    fs.syncDirSync("/");
    fs.failAt({ at: fs.operations + 1, error: "EIO", reached: "all" });
    expect(codeOf(() => handle.syncSync())).toBe("AURA_IO EIO");
    expect(fs.crash({ data: "none" }).readFile("/a").length).toBe(100);
  });

  it("lies about syncs: what they should have covered waits for the next", () => {
    const fs = new SimFs();
    const handle = put(fs, "/a", bytes(100, 1));
    fs.failAt({ at: (kind) => kind === "sync", silent: true });
    const names = fs.failAt({ at: (kind) => kind === "syncDir", silent: true });
    handle.syncSync();
    fs.syncDirSync("/");
    expect(names.fired).toBe(1);
    expect(fs.crash({ names: "none" }).existsSync("/a")).toBe(false);
    expect(fs.crash({ data: "none", names: "all" }).readFile("/a").length).toBe(0);
    handle.syncSync();
    fs.syncDirSync("/");
    const durable = fs.crash({ data: "none", names: "none" }).readFile("/a");
    expect(durable).toEqual(Buffer.from(bytes(100, 1)));
  });

  it("loses writes, and brings them to another place", () => {
    const fs = new SimFs();
    const handle = put(fs, "/a", bytes(100, 1));
    fs.failAt({ at: (kind) => kind === "write", astray: "nowhere" });
    handle.writeSync(bytes(10, 2), 100);
    fs.failAt({ at: (kind) => kind === "write", astray: 30 });
    handle.writeSync(bytes(10, 3), 110);
    const content = fs.readFile("/a");
    expect([content.length, content[79], content[80], content[89]]).toEqual([120, 1, 3, 3]);
    expect([content[90], content[100], content[110]]).toEqual([1, 0, 0]);
  });

  it("fails, cuts and falsifies reads", () => {
    const fs = new SimFs();
    fs.writeFile("/d/a", bytes(100, 1));
    const handle = fs.openSync("/d/a", "read");
    const target = bytes(50, 0);
    fs.failAt({ at: (kind) => kind === "read", error: "EIO" });
    expect(codeOf(() => handle.readSync(target, 0))).toBe("AURA_IO EIO");
    fs.failAt({ at: (kind) => kind === "read", flip: { offset: 20, mask: 4 } });
    handle.readSync(target, 10);
    expect(target[10]).toBe(5);
    handle.readSync(target, 10);
    expect(target[10]).toBe(1);
    fs.failAt({ at: (kind) => kind === "read", short: 7 });
    expect(handle.readSync(target, 0)).toBe(7);
    fs.failAt({ at: (kind) => kind === "read", flipBit: 50 * 8 + 9 });
    handle.readSync(target, 0);
    expect(target[1]).toBe(3);
    fs.failAt({ at: (kind) => kind === "close", error: "EIO" });
    handle.closeSync();
    fs.flipBits("/d/a", 3, 0x80);
    expect(fs.crash({ names: "none", data: "none" }).readFile("/d/a")[3]).toBe(0x81);
  });

  it("counts calls by kind, and bytes", () => {
    const fs = new SimFs();
    fs.makeDirectorySync("/d/e");
    const handle = put(fs, "/d/a", bytes(10));
    handle.readSync(bytes(4), 0);
    fs.linkSync("/d/a", "/d/b");
    fs.unlinkSync("/d/a");
    fs.removeDirectorySync("/d/e");
    handle.truncateSync(3);
    const kinds: SimOperation[] = [
      "mkdir",
      "create",
      "write",
      "link",
      "unlink",
      "rmdir",
      "truncate",
    ];
    expect(kinds.map((kind) => fs.counts[kind])).toEqual([2, 1, 1, 1, 1, 1, 1]);
    expect([fs.operations, fs.bytesRead, fs.bytesWritten]).toEqual([8, 4, 10]);
  });
});

describe("async calls and locks", () => {
  it("has its effect when scheduled", async () => {
    const tasks: (() => void)[] = [];
    const fs = new SimFs({ schedule: (task) => tasks.push(task) });
    const handle = fs.openSync("/a", "create");
    const done = handle.write(bytes(3), 0);
    expect(handle.sizeSync()).toBe(0);
    tasks.shift()?.();
    await done;
    expect(handle.sizeSync()).toBe(3);
    const read = handle.read(bytes(8), 1);
    tasks.shift()?.();
    expect(await read).toBe(2);
  });

  it("rejects with the error of the sync form", async () => {
    const fs = new SimFs();
    const handle = fs.openSync("/a", "create");
    fs.failAt({ at: 2, error: "ENOSPC" });
    await expect(handle.writev([bytes(1)], 0)).rejects.toMatchObject({ code: "AURA_OUT_OF_SPACE" });
    await handle.sync();
    await fs.syncDir("/");
    fs.syncTokenSync(handle.token);
    expect(fs.counts.sync).toBe(2);
  });

  it("locks once, names the holder, and frees at release, kill and crash", async () => {
    const fs = new SimFs();
    const lock = await fs.lock("/LOCK", "pid 1");
    await expect(fs.lock("/LOCK", "pid 2")).rejects.toMatchObject({
      code: "AURA_LOCKED",
      message: expect.stringContaining("pid 1"),
    });
    await (await fs.processKill().lock("/LOCK", "pid 3")).releaseSync();
    lock.releaseSync();
    const again = await fs.lock("/LOCK", "pid 2");
    lock.releaseSync();
    await expect(fs.lock("/LOCK", "pid 4")).rejects.toMatchObject({ code: "AURA_LOCKED" });
    again.releaseSync();
    expect(fs.existsSync("/LOCK")).toBe(true);
  });
});
