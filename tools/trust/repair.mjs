/**
 * Repairs a damaged database: `node tools/trust/repair.mjs DIRECTORY`. Take a copy of it before. Prints
 * what was lost, as JSON. Needs the built packages (`npm run build`).
 */
import { repair } from "@aura/engine";

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  console.error("usage: node tools/trust/repair.mjs DIRECTORY");
  process.exitCode = 2;
} else {
  const report = await repair(directory);
  console.log(JSON.stringify(report, undefined, 2));
  process.exitCode = report.problems.length === 0 ? 0 : 1;
}
