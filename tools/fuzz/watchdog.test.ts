/** What never ends is ended, and its input told; what ends is left alone. */
import { spawn } from "node:child_process";
import { describe, expect, test } from "vitest";

const watchdog = new URL("watchdog.mjs", import.meta.url).href;

/** Runs a program that has a `watchdog`; returns how it ended and what it said. */
async function runProgram(hangSeconds: number, body: string) {
  const program = `
    import { Watchdog } from ${JSON.stringify(watchdog)};
    const watchdog = new Watchdog({ hangSeconds: ${hangSeconds} });
    await watchdog.ready();
    ${body}
    await watchdog.close();
    console.log("through");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program]);
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => {
    said.stdout += String(bytes);
  });
  child.stderr.on("data", (bytes) => {
    said.stderr += String(bytes);
  });
  return new Promise<typeof said & { status: number | null; signal: string | null }>((resolve) => {
    child.on("close", (status, signal) => resolve({ ...said, status, signal }));
  });
}

// They wait more than they work.
describe.concurrent("a watchdog", () => {
  test("tells of an input that never ends, and ends the process", async () => {
    const { status, signal, stdout, stderr } = await runProgram(
      1,
      `for (let i = 0; i < 1000; i++) {
        watchdog.begin("sound", 6, Buffer.from("sound"));
        watchdog.end();
      }
      watchdog.begin("a target", 7, Buffer.from("the input that hangs"));
      for (;;);`,
    );
    expect([status, signal, stdout]).toEqual([null, "SIGKILL", ""]);
    expect(stderr).toContain("HANG: target a target, seed 7");
    expect(stderr).toContain(Buffer.from("the input that hangs").toString("base64"));
  });

  test("tells a megabyte whole, and of what waits for a promise that never settles", async () => {
    const { stderr, signal } = await runProgram(
      1,
      `setInterval(() => {}, 1000);
      watchdog.begin("long", 1, Buffer.alloc(1 << 20, "input"));
      await new Promise(() => {});`,
    );
    const shown = Buffer.alloc(1 << 20, "input").toString("base64");
    expect(stderr.includes(shown), `${stderr.length} bytes`).toBe(true);
    expect(signal).toBe("SIGKILL");
  });

  test("leaves alone inputs that end, and none at all, however long they take in sum", async () => {
    const { status, stdout, stderr } = await runProgram(
      2,
      `const word = new Int32Array(new SharedArrayBuffer(4));
      Atomics.wait(word, 0, 0, 3200);
      for (let i = 0; i < 32; i++) {
        watchdog.begin("slow", i, Buffer.from("slow"));
        Atomics.wait(word, 0, 0, 100);
        watchdog.end();
      }`,
    );
    expect([status, stdout, stderr]).toEqual([0, "through\n", ""]);
  });
});
