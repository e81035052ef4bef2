/** The benchmark's command line. */

import { parseOptions, UsageError } from "./options.ts";
import { runBench } from "./run.ts";

/** A second signal within this time is the same one: some parents pass theirs on. */
const SAME_SIGNAL_MS = 500;

const interrupt = new AbortController();
let interruptedAt = 0;

/** The first signal ends the job, which then prints what ran; another one ends the process. */
function onSignal(): void {
  if (!interrupt.signal.aborted) {
    interruptedAt = performance.now();
    interrupt.abort(new Error("interrupted"));
  } else if (performance.now() - interruptedAt > SAME_SIGNAL_MS) process.exit(130);
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);

try {
  const options = parseOptions(process.argv.slice(2));
  process.exitCode = await runBench(options, process.stdout, interrupt.signal);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  (error.exitCode === 0 ? process.stdout : process.stderr).write(error.message);
  process.exitCode = error.exitCode;
}
