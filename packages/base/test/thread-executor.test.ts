import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { JobQueue, Lane } from "../src/executor.ts";
import { threadExecutor } from "../src/thread-executor.ts";
import { isUnstarted } from "../src/thread-protocol.ts";
import { isMissing } from "./support/requirements.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(`${tmpdir()}/aura-threads-`);
  await build({
    config: false,
    entry: [
      fileURLToPath(new URL("./fixtures/job-worker.ts", import.meta.url)),
      fileURLToPath(new URL("./fixtures/idle-program.ts", import.meta.url)),
    ],
    outDir: folder,
    outExtension: () => ({ js: ".mjs" }),
    format: "esm",
    target: "node20",
    splitting: false,
    clean: false,
    silent: true,
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

let pools = 0;

/** A worker URL that no other test has: its pool starts from nothing. */
function workerUrl(file = "job-worker.mjs"): URL {
  pools++;
  return new URL(`?pool=${pools}`, pathToFileURL(`${folder}/${file}`));
}

function openQueue(): JobQueue {
  return threadExecutor({ workerUrl: workerUrl() }).open();
}

interface Submitted {
  /** Outputs, and errors as they are. */
  readonly seen: unknown[];
  readonly done: Promise<unknown>;
  cancel(): void;
}

function submit(queue: JobQueue, lane: Lane, name: string, input?: unknown): Submitted {
  const seen: unknown[] = [];
  let settle: (value: unknown) => void = () => undefined;
  const done = new Promise((resolve) => {
    settle = resolve;
  });
  const take = (value: unknown): void => {
    seen.push(value);
    settle(value);
  };
  const job = queue.submit(lane, name, input, take, take);
  return { seen, done, cancel: () => job.cancel() };
}

/** Calls `poll` without a turn of the event loop until it has an effect. */
function pollUntil(queue: JobQueue, isDone: () => boolean): void {
  const end = performance.now() + 15_000;
  while (!isDone() && performance.now() < end) queue.poll();
}

function words(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8));
}

/** Waits, without a turn of the event loop, until another thread changed the word. */
function untilSet(shared: Int32Array, word: number): void {
  const end = performance.now() + 15_000;
  while (Atomics.load(shared, word) === 0 && performance.now() < end) {
    Atomics.wait(shared, word, 0, 5);
  }
}

function release(gate: Int32Array): void {
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
}

const noVanishing = isMissing(
  process.platform === "linux",
  "a worker that vanishes while waitSync waits needs Linux; it is NOT tested",
);

describe("while the event loop never turns", () => {
  it("runs the first job and later ones in every lane under poll", () => {
    const queue = openQueue();
    const jobs: Submitted[] = [];
    for (const lane of ["flush", "merge", "sync"] as const) {
      for (let i = 0; i < 3; i++) jobs.push(submit(queue, lane, "echo", { lane, i }));
    }
    pollUntil(queue, () => queue.outstanding === 0);
    expect(jobs.flatMap(({ seen }) => seen)).toHaveLength(9);
    expect(jobs[8]?.seen).toEqual([{ lane: "sync", i: 2 }]);
    for (let i = 0; i < 100; i++) {
      const job = submit(queue, "flush", "echo", i);
      pollUntil(queue, () => job.seen.length > 0);
      expect(job.seen).toEqual([i]);
    }
  });

  it("blocks in waitSync until a completion ran or the time is over", () => {
    const queue = openQueue();
    expect(queue.waitSync(1000)).toBe(false);
    const job = submit(queue, "flush", "echo", "a");
    expect(queue.waitSync(15_000)).toBe(true);
    expect(job.seen).toEqual(["a"]);
    const gate = words();
    submit(queue, "flush", "block", gate);
    const before = performance.now();
    expect(queue.waitSync(30)).toBe(false);
    expect(performance.now() - before).toBeGreaterThan(25);
    release(gate);
    expect(queue.waitSync(15_000)).toBe(true);
  });

  it("keeps completions of other queues for their own poll or turn", async () => {
    const executor = threadExecutor({ workerUrl: workerUrl() });
    const [mine, other, third] = [executor.open(), executor.open(), executor.open()];
    const theirs = submit(other, "flush", "echo", 1);
    const thirds = submit(third, "flush", "echo", 2);
    const own = submit(mine, "flush", "echo", 3);
    while (own.seen.length === 0) mine.waitSync(15_000);
    expect([theirs.seen, thirds.seen]).toEqual([[], []]);
    other.poll();
    expect([theirs.seen, thirds.seen]).toEqual([[1], []]);
    expect(await thirds.done).toBe(2);
    expect(own.seen).toEqual([3]);
  });

  it("runs completions in the order in which the jobs ended, over all lanes", () => {
    const queue = openQueue();
    const order: string[] = [];
    const [flush, sync] = [words(), words()];
    const note = (name: string) => () => order.push(name);
    queue.submit("flush", "block", flush, note("flush"), note("error"));
    queue.submit("sync", "block", sync, note("sync"), note("error"));
    // Jobs behind show that those before them have ended; nothing is read until both have.
    const passed = (["flush", "sync"] as const).map((lane) => {
      const mark = words();
      release(mark);
      submit(queue, lane, "block", mark);
      return mark;
    });
    release(sync);
    untilSet(passed[1] as Int32Array, 1);
    release(flush);
    untilSet(passed[0] as Int32Array, 1);
    queue.poll();
    expect(order).toEqual(["sync", "flush"]);
  });

  it("cancels a running job between slices, and one long slice by its own look", () => {
    const queue = openQueue();
    const counted = words();
    const job = submit(queue, "flush", "count", counted);
    untilSet(counted, 0);
    job.cancel();
    expect(queue.waitSync(15_000)).toBe(true);
    expect(job.seen).toMatchObject([{ code: "AURA_ABORTED" }]);
    const shared = words();
    const long = submit(queue, "flush", "long", shared);
    untilSet(shared, 0);
    long.cancel();
    expect(queue.waitSync(15_000)).toBe(true);
    expect([long.seen, shared[1]]).toEqual([["ended early"], 1]);
  });

  it("drops a job that waits behind another at once", () => {
    const queue = openQueue();
    const gate = words();
    const first = submit(queue, "merge", "block", gate);
    untilSet(gate, 1);
    const counted = words();
    const second = submit(queue, "merge", "count", counted);
    const third = submit(queue, "merge", "echo", 3);
    second.cancel();
    second.cancel();
    expect(second.seen).toEqual([]);
    queue.poll();
    expect(second.seen).toMatchObject([{ code: "AURA_ABORTED" }]);
    release(gate);
    pollUntil(queue, () => queue.outstanding === 0);
    expect([first.seen, third.seen, counted[0]]).toEqual([["released"], [3], 0]);
    expect(second.seen).toHaveLength(1);
  });

  it("sees a worker that ended itself, and starts another for the next job", () => {
    const queue = openQueue();
    const [done, dead, next] = [
      submit(queue, "flush", "echo", 1),
      submit(queue, "flush", "exit"),
      submit(queue, "flush", "echo", 2),
    ];
    pollUntil(queue, () => queue.outstanding === 0);
    expect(done.seen).toEqual([1]);
    expect(dead.seen).toMatchObject([{ code: "AURA_WORKER", unstarted: false }]);
    expect(next.seen).toMatchObject([{ code: "AURA_WORKER", unstarted: true, unloadable: false }]);
    const again = submit(queue, "flush", "echo", 3);
    expect(queue.waitSync(15_000)).toBe(true);
    expect(again.seen).toEqual([3]);
  });

  it.skipIf(noVanishing)("sees in waitSync a worker that vanished", () => {
    const queue = openQueue();
    const [done, dead, next] = [
      submit(queue, "flush", "echo", 1),
      submit(queue, "flush", "vanish"),
      submit(queue, "flush", "echo", 2),
    ];
    while (queue.waitSync(15_000));
    expect(done.seen).toEqual([1]);
    expect(dead.seen).toMatchObject([{ code: "AURA_WORKER", unstarted: false }]);
    expect(next.seen).toMatchObject([{ code: "AURA_WORKER", unstarted: true, unloadable: false }]);
    const again = submit(queue, "flush", "echo", 3);
    expect(queue.waitSync(15_000)).toBe(true);
    expect(again.seen).toEqual([3]);
  });

  it("gives up a worker that does not come up", async () => {
    await writeFile(`${folder}/throws.mjs`, `import "./nowhere.mjs";`);
    for (const file of ["missing.mjs", "throws.mjs"]) {
      const executor = threadExecutor({ workerUrl: workerUrl(file), startTimeoutMs: 300 });
      const queue = executor.open();
      const jobs = [submit(queue, "flush", "echo", 1), submit(queue, "merge", "echo", 2)];
      const before = performance.now();
      while (queue.waitSync(15_000));
      expect(performance.now() - before).toBeLessThan(10_000);
      for (const { seen } of jobs) {
        expect(seen).toMatchObject([{ code: "AURA_WORKER", unstarted: true, unloadable: true }]);
        expect(isUnstarted(seen[0])).toBe(true);
      }
    }
  });
});

describe("with turns of the event loop", () => {
  it("runs completions without any poll", async () => {
    const queue = openQueue();
    const jobs = [1, 2, 3].map((n) => submit(queue, "sync", "echo", n));
    expect(await Promise.all(jobs.map(({ done }) => done))).toEqual([1, 2, 3]);
    expect(queue.outstanding).toBe(0);
  });

  it("brings errors over as what they are", async () => {
    const queue = openQueue();
    const errorOf = (name: string, input?: unknown) => submit(queue, "flush", name, input).done;
    const bad = (await errorOf("fail", "aura")) as Error;
    expect(bad).toMatchObject({
      name: "AuraError",
      code: "AURA_CORRUPTION",
      message: "bad block",
      file: "/a",
      offset: 6_000_000_000,
      expected: 1,
      actual: "two",
    });
    expect(bad.stack).toContain("job-worker");
    const full = await errorOf("fail", "full");
    expect(full).toMatchObject({ code: "AURA_OUT_OF_SPACE", cause: { code: "ENOSPC" } });
    expect(await errorOf("fail", "plain")).toMatchObject({ name: "TypeError", message: "a bug" });
    expect(await errorOf("nothing")).toMatchObject({ code: "AURA_INVALID_ARGUMENT" });
    expect(await errorOf("unclonable")).toMatchObject({ name: "DataCloneError" });
    expect(() => submit(queue, "flush", "echo", () => 0)).toThrow();
    expect(queue.outstanding).toBe(0);
    expect(isUnstarted(full)).toBe(false);
  });

  it("gives jobs the worker's files and shares memory", async () => {
    const queue = openQueue();
    expect(await submit(queue, "flush", "files", "/a").done).toEqual(["a"]);
    const shared = words();
    const job = submit(queue, "flush", "count", shared);
    untilSet(shared, 0);
    job.cancel();
    expect(await job.done).toMatchObject({ code: "AURA_ABORTED" });
  });

  it("gives the memory of native modules back between slices", async () => {
    const queue = openQueue();
    const compressed = submit(queue, "merge", "compress");
    await compressed.done;
    const [grown] = compressed.seen;
    // Without turns it grows by all that was compressed: seen 112 MiB.
    expect(grown).toBeLessThan(64 * 2 ** 20);
    await queue.close();
  });

  it("lets merges stand back, and nothing else", async () => {
    const queue = openQueue();
    const [flush, merge, assist] = await Promise.all([
      submit(queue, "flush", "nice").done,
      submit(queue, "merge", "nice").done,
      submit(queue, "assist", "nice").done,
    ]);
    if (process.platform === "linux") expect(merge).toBe(Math.max(5, flush as number));
    expect(assist).toBe(flush);
  });

  it("sees a worker that vanished", async () => {
    const queue = openQueue();
    const dead = submit(queue, "flush", "vanish");
    const next = submit(queue, "flush", "echo", 2);
    expect(await dead.done).toMatchObject({ code: "AURA_WORKER", unstarted: false });
    expect(await next.done).toMatchObject({ code: "AURA_WORKER", unstarted: true });
    expect(await submit(queue, "flush", "echo", 3).done).toBe(3);
  });

  it("reports a worker that cannot be loaded", async () => {
    const queue = threadExecutor({ workerUrl: workerUrl("missing.mjs") }).open();
    const error = await submit(queue, "flush", "echo", 1).done;
    expect(error).toMatchObject({ code: "AURA_WORKER", unstarted: true, unloadable: true });
    expect((error as Error).cause).toMatchObject({ code: "MODULE_NOT_FOUND" });
    const remote = threadExecutor({ workerUrl: new URL("http://localhost/worker.mjs") }).open();
    const refused = submit(remote, "flush", "echo", 1);
    expect(remote.waitSync(5_000)).toBe(true);
    expect(refused.seen).toMatchObject([{ unstarted: true, unloadable: true }]);
  });

  it("closes when nothing of the queue runs any more, and leaves others alone", async () => {
    const executor = threadExecutor({ workerUrl: workerUrl() });
    const [queue, other] = [executor.open(), executor.open()];
    const shared = words();
    const running = submit(queue, "merge", "count", shared);
    untilSet(shared, 0);
    const waiting = submit(queue, "merge", "echo", 1);
    const theirs = submit(other, "merge", "echo", 2);
    const closing = queue.close();
    expect(() => submit(queue, "merge", "echo", 3)).toThrow(/closed/);
    await closing;
    expect([running.seen, waiting.seen]).toMatchObject([
      [{ code: "AURA_ABORTED" }],
      [{ code: "AURA_ABORTED" }],
    ]);
    const stopped = shared[0];
    expect(await theirs.done).toBe(2);
    expect(shared[0]).toBe(stopped);
    await queue.close();
  });

  it("shares the threads of one worker entry", async () => {
    const url = workerUrl();
    const queues = [0, 1].map(() => threadExecutor({ workerUrl: new URL(url.href) }).open());
    const gate = words();
    const first = submit(queues[0] as JobQueue, "flush", "block", gate);
    untilSet(gate, 1);
    const second = submit(queues[1] as JobQueue, "flush", "echo", 2);
    expect((queues[1] as JobQueue).waitSync(100)).toBe(false);
    release(gate);
    expect(await Promise.all([first.done, second.done])).toEqual(["released", 2]);
  });

  it("goes on when a completion throws, and lets one submit and wait", async () => {
    const queue = openQueue();
    const inner = new Promise((resolve) => {
      queue.submit(
        "flush",
        "echo",
        1,
        () => {
          const job = submit(queue, "sync", "echo", 2);
          while (job.seen.length === 0) queue.waitSync(1000);
          resolve(job.seen);
          throw new Error("from the owner");
        },
        () => undefined,
      );
    });
    const next = submit(queue, "flush", "echo", 3);
    expect(() => pollUntil(queue, () => queue.outstanding === 0)).toThrow("from the owner");
    expect(await inner).toEqual([2]);
    expect(await next.done).toBe(3);
  });
});

describe("the process", () => {
  it("stays for jobs, and ends by itself when the workers are idle", async () => {
    const run = promisify(execFile);
    const program = `${folder}/idle-program.mjs`;
    const worker = pathToFileURL(`${folder}/job-worker.mjs`).href;
    const { stdout } = await run(process.execPath, [program, worker], { timeout: 15_000 });
    expect(stdout).toBe("last");
    const text = `process.argv[2] = ${JSON.stringify(worker)};
      await import(${JSON.stringify(pathToFileURL(program).href)});`;
    const typed = await run(process.execPath, ["--input-type=module", "-e", text, "x", "y"], {
      timeout: 15_000,
    });
    expect(typed.stdout).toBe("last");
  });

  it.each([
    ["of its heap", "--max-old-space-size=512"],
    ["of V8", "--stack-trace-limit=20"],
    ["of the process", "--title=aura"],
    ["that threads take, too", "--enable-source-maps"],
  ])("may be started with options %s", async (_, option) => {
    const run = promisify(execFile);
    const program = `${folder}/idle-program.mjs`;
    const worker = pathToFileURL(`${folder}/job-worker.mjs`).href;
    const { stdout } = await run(process.execPath, [option, program, worker], { timeout: 15_000 });
    expect(stdout).toBe("last");
    const text = `process.argv[2] = ${JSON.stringify(worker)};
      await import(${JSON.stringify(pathToFileURL(program).href)});`;
    const words = [option, "--input-type=module", "-e", text, "x", "y"];
    expect((await run(process.execPath, words, { timeout: 15_000 })).stdout).toBe("last");
    const env = { ...process.env, NODE_OPTIONS: `--input-type=module ${option}` };
    const given = { timeout: 15_000, env };
    expect((await run(process.execPath, ["-e", text, "x", "y"], given)).stdout).toBe("last");
  });
});
