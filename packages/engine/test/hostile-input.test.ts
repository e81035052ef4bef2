/** Keys, values, batches and options that are not what they look like: refused or taken as they are. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test, vi } from "vitest";
import { ByteBuffer } from "../src/byte-buffer.ts";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";

const settings: Settings = { seed: 1, valueLog: { separationThreshold: 300 } };
const refused = expect.objectContaining({ code: "AURA_INVALID_ARGUMENT" });

const open = (fs: SimFs): Promise<AuraDB> =>
  AuraDB.open("/db", settings, { fs, runtime: simRuntime(1) });

/** Opens what a kill leaves, and returns all that is there. */
async function contentAfterKill(fs: SimFs): Promise<Record<string, string>> {
  const db = await open(fs.processKill());
  const content: Record<string, string> = {};
  for (const [key, value] of db.scanSync()) content[key.toString()] = value.toString("latin1");
  await db.close();
  return content;
}

describe("memory that another thread writes to meanwhile", () => {
  test.each([
    ["a put", (db: AuraDB, key: Uint8Array, value: Uint8Array) => db.putSync(key, value)],
    ["a lone put", (db: AuraDB, key: Uint8Array, value: Uint8Array) => void db.put(key, value)],
  ])("%s writes what it has hashed", async (_, put) => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("first", Buffer.alloc(1000));
    const shared = new SharedArrayBuffer(9008);
    const key = new Uint8Array(shared, 0, 3);
    const value = new Uint8Array(shared, 8);
    key.set([0x6b, 0x65, 0x79]);
    value.fill(0x61);
    const other = fs.failAt({
      error: "EIO",
      sticky: true,
      at: (kind) => {
        if (kind === "write") new Uint8Array(shared).fill(0x62);
        return false;
      },
    });
    put(db, key, value);
    other.remove();
    expect(db.getSync("key")?.toString()).toBe("a".repeat(9000));
    expect(await contentAfterKill(fs)).toMatchObject({ key: "a".repeat(9000) });
    await db.close();
  });
});

describe("arrays of subclasses", () => {
  class Longer extends Uint8Array {
    override get length(): number {
      return super.length + 5;
    }
  }
  class Fickle extends Uint8Array {
    static asked = 0;
    override get length(): number {
      return super.length + (Fickle.asked++ % 7);
    }
  }
  class Bent extends Uint8Array {
    override subarray(): Uint8Array<ArrayBuffer> {
      return new Uint8Array(1);
    }
  }

  test.each([Longer, Fickle, Bent])("%o: their bytes count, not what they say", async (Kind) => {
    const fs = new SimFs();
    const db = await open(fs);
    for (const bytes of [10, 100, 400, 70_000]) {
      const value = new Kind(bytes).fill(0x76);
      db.putSync(`put ${bytes}`, value);
      await db.put(`await ${bytes}`, value);
      await Promise.all([db.put("x", ""), db.put(`queued ${bytes}`, value)]);
      await db.write(new WriteBatch().put(`batch ${bytes}`, value));
    }
    db.putSync(new Kind(3).fill(0x6b), "");
    const content = await contentAfterKill(fs);
    for (const bytes of [10, 100, 400, 70_000]) {
      for (const how of ["put", "await", "queued", "batch"]) {
        expect(content[`${how} ${bytes}`]).toBe("v".repeat(bytes));
      }
    }
    expect(content["kkk"]).toBe("");
    await db.close();
  });
});

test("what only looks like an array, a batch or an option is refused", async () => {
  const db = await open(new SimFs());
  const fake = Object.create(Uint8Array.prototype) as Uint8Array;
  for (const bytes of [fake, new Proxy(new Uint8Array(3), {})]) {
    await expect(db.put(bytes, "v")).rejects.toEqual(refused);
    await expect(db.get(bytes)).rejects.toEqual(refused);
    expect(() => db.putSync("k", bytes)).toThrow(refused);
    expect(() => new WriteBatch().put("k", bytes)).toThrow(refused);
  }
  await expect(db.write(Object.create(WriteBatch.prototype))).rejects.toEqual(refused);
  await expect(db.getMany(new Array(1))).rejects.toEqual(refused);
  await expect(db.read("k", null as never)).rejects.toEqual(refused);
  expect(() => db.readSync("k", null as never)).toThrow(refused);
  const bare = Object.create(null) as never;
  const cyclic: Record<string, unknown> = { big: 1n };
  cyclic["self"] = cyclic;
  const silent = { toJSON: () => undefined } as never;
  for (const value of [bare, cyclic, silent, Buffer.alloc(9), new Map()] as never[]) {
    for (const name of ["sync", "durability", "priority", "signal"]) {
      await expect(db.put("k", "v", { [name]: value })).rejects.toEqual(refused);
    }
    await expect(db.read("k", { offset: value })).rejects.toEqual(refused);
    expect(() => [...db.scanSync({ limit: value })]).toThrow(refused);
    const opening = AuraDB.open("/x", { seed: value }, { fs: new SimFs() });
    await expect(opening).rejects.toEqual(refused);
  }
  expect(db.stats().lastSeq).toBe(0);
  await db.close();
});

test("an array whose memory was transferred is no empty value", async () => {
  class Bytes extends Uint8Array {}
  const db = await open(new SimFs());
  for (const bytes of [new Uint8Array(9), Buffer.from(new ArrayBuffer(9)), new Bytes(9)]) {
    structuredClone(bytes, { transfer: [bytes.buffer] });
    expect(() => db.putSync("k", bytes)).toThrow(refused);
    expect(() => db.getSync(bytes)).toThrow(refused);
    await expect(db.put(bytes, "v")).rejects.toEqual(refused);
  }
  for (const empty of [new Uint8Array(0), Buffer.alloc(0), new Bytes(0), ""]) {
    db.putSync(empty, empty);
    expect(db.getSync(empty)?.length).toBe(0);
  }
  await db.close();
});

test("an array whose memory was shrunk is no empty value", async () => {
  const db = await open(new SimFs());
  const memory = new (ArrayBuffer as new (bytes: number, options: object) => ArrayBuffer)(9, {
    maxByteLength: 9,
  });
  const bytes = new Uint8Array(memory, 4, 5);
  (memory as ArrayBuffer & { resize(bytes: number): void }).resize(6);
  expect(() => db.putSync("k", bytes)).toThrow(refused);
  expect(() => db.putSync(bytes, "v")).toThrow(refused);
  await db.close();
});

test("a length of an array's own changes nothing", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("secret", "s".repeat(500));
  for (const length of [1.5, 300, 3, -1, Number.NaN, "4"]) {
    const odd = Buffer.from(`odd${String(length).length}`);
    Object.defineProperty(odd, "length", { value: length });
    const plain = `odd${String(length).length}`;
    db.putSync(odd, odd);
    expect(`${db.getSync(plain)}`).toBe(plain);
    await db.put(odd, "again");
    expect(`${db.getSync(odd)}`).toBe("again");
  }
  await db.close();
  const again = await open(fs);
  expect(`${again.getSync("secret")}`).toBe("s".repeat(500));
  await again.close();
});

test("a batch that finds no memory for an operation is what it was before", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const batch = new WriteBatch().put("a", "1");
  const reserve = ByteBuffer.prototype.reserve;
  const full = vi.spyOn(ByteBuffer.prototype, "reserve").mockImplementation(function (
    this: ByteBuffer,
    more: number,
  ) {
    if (this.length + more > this.bytes.length)
      throw new RangeError("Array buffer allocation failed");
    reserve.call(this, more);
  });
  expect(() => batch.put("b", Buffer.alloc(300))).toThrow(RangeError);
  full.mockRestore();
  await db.write(batch.put("c", "3"));
  expect(await contentAfterKill(fs)).toEqual({ a: "1", c: "3" });
  await db.close();
});

test("groups of settings and components that are null are refused", async () => {
  const fs = new SimFs();
  await expect(AuraDB.open("/db", { wal: null } as never, { fs })).rejects.toEqual(refused);
  await expect(AuraDB.open("/db", {}, null as never)).rejects.toEqual(refused);
  expect(fs.existsSync("/db")).toBe(false);
});
