import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { Kind } from "@aura/base";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMemtable } from "../src/index.ts";
import {
  Control,
  newKey,
  type Order,
  VALUE_BYTES,
  writeKey,
  writeValue,
} from "./concurrent-entries.ts";
import { garbageArena, IMPLEMENTATIONS } from "./memtable-model.ts";

const ENTRIES = 25_000;
const READERS = 2;
const ROUNDS: readonly Order[] = ["front", "spread", "front", "spread"];
const ARENA_BYTES = ENTRIES * 192;

let directory = "";

/** A raw worker cannot read TypeScript: it gets a bundle of the sources as they stand. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "aura-memtable-"));
  await build({
    config: false,
    entry: { reader: fileURLToPath(new URL("reading-worker.ts", import.meta.url)) },
    outDir: directory,
    outExtension: () => ({ js: ".mjs" }),
    format: "esm",
    target: "node20",
    noExternal: [/^@aura\//],
    external: ["xxhash-wasm"],
    esbuildOptions: (options) => {
      options.conditions = ["@aura/source"];
    },
    silent: true,
  });
}, 30_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function startReader(workerData: unknown): Promise<void> {
  const worker = new Worker(pathToFileURL(join(directory, "reader.mjs")), { workerData });
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the reader ended with code ${code}`));
    });
  });
}

describe.each(IMPLEMENTATIONS)("readers of %s in other threads", (implementation) => {
  it("see whole entries in order, and all that were complete, while one thread writes", async () => {
    const buffer = garbageArena(ARENA_BYTES, 7);
    const key = newKey();
    const value = new Uint8Array(VALUE_BYTES);
    for (const [round, order] of ROUNDS.entries()) {
      // The arena is that of the round before: its old nodes must not show through.
      const memtable = createMemtable(implementation, buffer, { seed: round });
      const control = new SharedArrayBuffer(64);
      const words = new Int32Array(control);
      const share = memtable.share();
      const readers = Array.from({ length: READERS }, (_, i) => {
        return startReader({ share, control, seed: round * 100 + i, order });
      });
      const ended = Promise.all(readers);
      ended.catch(() => undefined);
      const limit = process.hrtime.bigint() + 15_000_000_000n;
      while (Atomics.load(words, Control.ready) < READERS && process.hrtime.bigint() < limit) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      expect(Atomics.load(words, Control.ready)).toBe(READERS);
      for (let i = 0; i < ENTRIES; i++) {
        writeKey(key, i, order);
        writeValue(value, key, i + 1);
        const added = memtable.add(i + 1, Kind.value, key, 0, key.length, value, 0, VALUE_BYTES);
        if (!added) throw new Error("the arena is too small for this test");
        // Readers get their share of the work on a machine with few cores.
        if (i % 5_000 === 0) Atomics.wait(words, 15, 0, 1);
      }
      Atomics.store(words, Control.stop, 1);
      await ended;
      expect(Atomics.load(words, Control.walks)).toBeGreaterThanOrEqual(READERS);
      expect(Atomics.load(words, Control.finds)).toBeGreaterThanOrEqual(READERS);
    }
  }, 60_000);
});
