/**
 * A control, not a store: the bytes of each write go as one piece to the end of a plain file, and a read is
 * one read of the piece from where it stands. What a disk-bound figure of a store costs beyond
 * that is the store's own. It knows no order, keeps where things stand in memory only, and so cannot scan nor
 * be opened again.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Budget, Found, Store, StoreKind } from "./store.ts";

/** A piece begins in a new file from this size on. */
const FILE_BYTES_MAX = 256 * 2 ** 20;

async function open(path: string, budget: Budget): Promise<Store> {
  mkdirSync(path, { recursive: true });
  const files: number[] = [];
  /** File, offset and length of the value of each key. */
  const places = new Map<string, readonly [file: number, at: number, length: number]>();
  let length = FILE_BYTES_MAX;
  let piece = Buffer.alloc(1 << 16);
  let syncs = 0;

  const begin = (bytes: number): void => {
    if (bytes > piece.length) piece = Buffer.alloc(bytes * 2);
    if (length < FILE_BYTES_MAX) return;
    files.push(openSync(join(path, `${files.length}.raw`), "w+"));
    length = 0;
  };
  /** Places one entry into the piece; returns where the next one begins. */
  const place = (at: number, key: Uint8Array, value: Uint8Array): number => {
    piece.set(key, at);
    piece.set(value, at + key.length);
    const where = [files.length - 1, length + at + key.length, value.length] as const;
    places.set(nameOf(key), where);
    return at + key.length + value.length;
  };
  const end = (bytes: number): void => {
    const file = files.at(-1)!;
    for (let done = 0; done < bytes; ) {
      done += writeSync(file, piece, done, bytes - done, length + done);
    }
    length += bytes;
    if (budget.durability !== "sync") return;
    fdatasyncSync(file);
    syncs++;
  };
  const put = (key: Uint8Array, value: Uint8Array): void => {
    begin(key.length + value.length);
    end(place(0, key, value));
  };
  const get = (key: Uint8Array): Found => {
    const where = places.get(nameOf(key));
    if (where === undefined) return undefined;
    const value = Buffer.allocUnsafe(where[2]);
    readSync(files[where[0]]!, value, 0, where[2], where[1]);
    return value;
  };
  return {
    write: async ({ keys, values }) => {
      let bytes = 0;
      for (let i = 0; i < keys.length; i++) bytes += keys[i]!.length + values[i]!.length;
      begin(bytes);
      let at = 0;
      for (let i = 0; i < keys.length; i++) at = place(at, keys[i]!, values[i]!);
      end(bytes);
    },
    put: async (key, value) => put(key, value),
    get: async (key) => get(key),
    getMany: async (keys) => keys.map(get),
    delete: async (key) => void places.delete(nameOf(key)),
    scan: () => {
      throw new Error("the control cannot scan");
    },
    getSync: get,
    putSync: put,
    drain: async () => {},
    close: async () => {
      for (const file of files) closeSync(file);
    },
    facts: {},
    counts: () => ({ syncs }),
  };
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

export const raw: StoreKind = {
  name: "(plain files)",
  version: process.version,
  durabilities: ["os", "sync"],
  compressions: ["none"],
  note: "a control: the same bytes in the same pieces, written to and read from plain files",
  flags: () => ({}),
  open,
};
