import { describe, expect, it } from "vitest";
import type { AuraError } from "../src/errors.ts";
import type { FileHandle, FileSystem } from "../src/fs.ts";

/** A file system under test, and an empty directory in it. */
export interface FileSystemSubject {
  readonly fs: FileSystem;
  readonly directory: string;
}

/** Returns the code of what `run` throws, "none" if it does not. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as AuraError).code;
  }
  return "none";
}

/** Returns the code of what a promise rejects with, "none" if it does not. */
export async function codeOfAsync(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: AuraError) => error.code,
  );
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function content(file: FileHandle): number[] {
  const target = new Uint8Array(file.sizeSync());
  expect(file.readSync(target, 0)).toBe(target.length);
  return [...target];
}

/** What every `FileSystem` does. */
export function fileSystemContract(name: string, make: () => FileSystemSubject): void {
  describe(`${name}: files`, () => {
    it("reads what was written, at every position, short only at the end", async () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      file.writeSync(bytes(1, 2, 3, 4), 0);
      await file.write(bytes(9, 8), 2);
      file.writevSync([bytes(), bytes(5), bytes(6, 7)], 4);
      await file.writev([bytes(10, 11), bytes(), bytes(12)], 9);
      expect(content(file)).toEqual([1, 2, 9, 8, 5, 6, 7, 0, 0, 10, 11, 12]);
      for (const read of [
        async (target: Uint8Array, at: number) => file.readSync(target, at),
        (target: Uint8Array, at: number) => file.read(target, at),
      ]) {
        const target = new Uint8Array(4).fill(0xaa);
        expect(await read(target, 1)).toBe(4);
        expect([...target]).toEqual([2, 9, 8, 5]);
        target.fill(0xaa);
        expect(await read(target, 10)).toBe(2);
        expect([...target]).toEqual([11, 12, 0xaa, 0xaa]);
        expect(await read(target, 12)).toBe(0);
        expect(await read(target, 1000)).toBe(0);
        expect(await read(new Uint8Array(0), 0)).toBe(0);
      }
      file.closeSync();
      const again = fs.openSync(`${directory}/a`, "read");
      expect(content(again).length).toBe(12);
      again.closeSync();
    });

    it("writes nothing when given nothing", async () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      file.writeSync(bytes(), 5);
      file.writevSync([], 5);
      file.writevSync([bytes(), bytes()], 5);
      await file.write(bytes(), 5);
      await file.writev([bytes()], 5);
      expect(file.sizeSync()).toBe(0);
      file.closeSync();
    });

    it("copies many parts in order", async () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      const parts = Array.from({ length: 5000 }, (_, i) => bytes(i, i >> 8).subarray(0, i % 3));
      const whole = [...Buffer.concat(parts)];
      file.writevSync(parts, 0);
      expect(content(file)).toEqual(whole);
      await file.writev(parts, whole.length);
      expect(content(file)).toEqual([...whole, ...whole]);
      file.closeSync();
    });

    it("syncs, truncates and grows", async () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      file.writeSync(bytes(1, 2, 3), 0);
      file.syncSync();
      await file.sync();
      fs.syncTokenSync(file.token);
      file.truncateSync(2);
      expect(content(file)).toEqual([1, 2]);
      file.truncateSync(4);
      expect(content(file)).toEqual([1, 2, 0, 0]);
      expect(fs.fileBytesSync(`${directory}/a`)).toBe(4);
      file.closeSync();
    });

    it("creates only what is not there, and reads only what is", () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      expect(file.path).toBe(`${directory}/a`);
      expect(codeOf(() => fs.openSync(`${directory}/a`, "create"))).toBe("AURA_IO");
      expect(codeOf(() => fs.openSync(`${directory}/b`, "read"))).toBe("AURA_NOT_FOUND");
      expect(codeOf(() => fs.openSync(`${directory}/no/b`, "create"))).toBe("AURA_NOT_FOUND");
      const second = fs.openSync(`${directory}/a`, "read");
      expect(codeOf(() => second.writeSync(bytes(1), 0))).toBe("AURA_IO");
      second.closeSync();
      file.closeSync();
    });

    it("refuses every call on a closed file, and closes twice", async () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      file.closeSync();
      file.closeSync();
      for (const call of [
        () => file.readSync(bytes(1), 0),
        () => file.writeSync(bytes(1), 0),
        () => file.writevSync([bytes(1)], 0),
        () => file.syncSync(),
        () => file.truncateSync(0),
        () => file.sizeSync(),
      ]) {
        expect(codeOf(call)).toBe("AURA_IO");
      }
      for (const call of [
        () => file.read(bytes(1), 0),
        () => file.write(bytes(1), 0),
        () => file.writev([bytes(1)], 0),
        () => file.sync(),
      ]) {
        expect(await codeOfAsync(call())).toBe("AURA_IO");
      }
    });

    it("keeps an unlinked file for who has it open", () => {
      const { fs, directory } = make();
      const file = fs.openSync(`${directory}/a`, "create");
      file.writeSync(bytes(1, 2), 0);
      fs.unlinkSync(`${directory}/a`);
      expect(fs.existsSync(`${directory}/a`)).toBe(false);
      expect(content(file)).toEqual([1, 2]);
      file.closeSync();
    });
  });

  describe(`${name}: names`, () => {
    it("makes directories with their parents, lists sorted, removes when empty", async () => {
      const { fs, directory } = make();
      fs.makeDirectorySync(`${directory}/x/y`);
      fs.makeDirectorySync(`${directory}/x/y`);
      for (const name of ["b", "a", "000010", "000009"]) {
        fs.openSync(`${directory}/x/${name}`, "create").closeSync();
      }
      expect(fs.listSync(`${directory}/x`)).toEqual(["000009", "000010", "a", "b", "y"]);
      expect(codeOf(() => fs.removeDirectorySync(`${directory}/x`))).toBe("AURA_IO");
      fs.removeDirectorySync(`${directory}/x/y`);
      fs.syncDirSync(`${directory}/x`);
      await fs.syncDir(`${directory}/x`);
      expect(codeOf(() => fs.listSync(`${directory}/x/y`))).toBe("AURA_NOT_FOUND");
      expect(codeOf(() => fs.syncDirSync(`${directory}/x/y`))).toBe("AURA_NOT_FOUND");
      expect(await codeOfAsync(fs.syncDir(`${directory}/x/y`))).toBe("AURA_NOT_FOUND");
      expect(codeOf(() => fs.makeDirectorySync(`${directory}/x/a`))).toBe("AURA_IO");
    });

    it("renames over, links and unlinks", () => {
      const { fs, directory } = make();
      const [a, b, c] = [`${directory}/a`, `${directory}/b`, `${directory}/c`];
      for (const [path, value] of [
        [a, 1],
        [b, 2],
      ] as const) {
        const file = fs.openSync(path, "create");
        file.writeSync(bytes(value), 0);
        file.closeSync();
      }
      fs.linkSync(a, c);
      expect(codeOf(() => fs.linkSync(a, b))).toBe("AURA_IO");
      fs.renameSync(a, b);
      expect([fs.existsSync(a), fs.existsSync(b), fs.existsSync(c)]).toEqual([false, true, true]);
      const file = fs.openSync(b, "read");
      expect(content(file)).toEqual([1]);
      file.closeSync();
      fs.unlinkSync(c);
      for (const call of [
        () => fs.renameSync(a, b),
        () => fs.linkSync(a, c),
        () => fs.unlinkSync(a),
        () => fs.removeDirectorySync(a),
        () => fs.fileBytesSync(a),
      ]) {
        expect(codeOf(call)).toBe("AURA_NOT_FOUND");
      }
    });

    it("says how much room there is, and which kernel runs", () => {
      const { fs, directory } = make();
      expect(fs.freeBytesSync(directory)).toBeGreaterThan(0);
      expect(fs.bootId()).toMatch(/./);
      expect(fs.bootId()).toBe(fs.bootId());
    });

    it("locks for one handle, names it, and frees at release", async () => {
      const { fs, directory } = make();
      const path = `${directory}/LOCK`;
      const lock = await fs.lock(path, "first opener");
      await expect(fs.lock(path, "second")).rejects.toMatchObject({
        code: "AURA_LOCKED",
        message: expect.stringContaining("first opener"),
      });
      lock.releaseSync();
      lock.releaseSync();
      expect(fs.existsSync(path)).toBe(true);
      const next = await fs.lock(path, "third");
      lock.releaseSync();
      expect(await codeOfAsync(fs.lock(path, "fourth"))).toBe("AURA_LOCKED");
      next.releaseSync();
      expect(await codeOfAsync(fs.lock(`${directory}/no/LOCK`, "none"))).toBe("AURA_NOT_FOUND");
    });
  });
}
