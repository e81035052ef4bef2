/** The benchmark's command line. */
import { runNames } from "./names-run.ts";
import { parseOptions, UsageError } from "./options.ts";

const interrupt = new AbortController();
process.on("SIGINT", () => {
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort(new Error("interrupted"));
});

try {
  const options = parseOptions(process.argv.slice(2));
  process.exitCode = await runNames(options, process.stdout, interrupt.signal);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  (error.exitCode === 0 ? process.stdout : process.stderr).write(error.message);
  process.exitCode = error.exitCode;
}
