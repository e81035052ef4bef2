/** The thread of a Watchdog: counts the seconds of one input, and ends the process when it hangs. */
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { HEAD_BYTES, Word } from "./watchdog.mjs";

const { memory, hangSeconds } = workerData;
const words = new Int32Array(memory, 0, HEAD_BYTES / 4);
const never = new Int32Array(new SharedArrayBuffer(4));

/** Writes past the main thread, through which `process.stderr` of a worker would go. */
function say(text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(2, bytes, at);
    } catch (error) {
      // A full pipe: whoever reads it is slow.
      if (error.code !== "EAGAIN") return;
      Atomics.wait(never, 0, 0, 10);
    }
  }
}

function sayWhatHangs() {
  const nameBytes = words[Word.nameBytes];
  const bytes = Buffer.from(memory, HEAD_BYTES, nameBytes + words[Word.inputBytes]);
  const input = bytes.subarray(nameBytes);
  say(
    `\nHANG: target ${bytes.toString("utf8", 0, nameBytes)}, seed ${words[Word.seed]}: no end after ` +
      `${hangSeconds} s of an input of ${input.length} bytes, base64:\n${input.toString("base64")}\n`,
  );
}

parentPort.postMessage("watching");
let seen = 0;
let seconds = 0;
for (;;) {
  // Its own seconds are counted, and no clock read: a process that was stopped meanwhile, or a
  // machine that slept, has not hung.
  Atomics.wait(never, 0, 0, 1000);
  const turn = Atomics.load(words, Word.turn);
  seconds = turn === seen && turn % 2 !== 0 ? seconds + 1 : 0;
  seen = turn;
  if (seconds < hangSeconds) continue;
  sayWhatHangs();
  // The whole process: `exit` would end this thread alone.
  process.kill(process.pid, "SIGKILL");
}
