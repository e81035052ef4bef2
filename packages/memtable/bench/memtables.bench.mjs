/**
 * The implementations beside a plain skip list in typed arrays: fixed work, fixed seeds, one process
 * per subject, family and round, the subjects in turn; medians. The geometric mean over all phases
 * and families of processor time, relative to the plain skip list, chooses the default
 * (docs/rfcs/0003-memtables.md): wall time says more about what else the machine was doing.
 *
 *   node packages/memtable/bench/memtables.bench.mjs [entries] [rounds] [families] [subjects]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsup";
import { keyFamilies } from "./key-families.mjs";

const ENTRIES = Number(process.argv[2] ?? 200_000);
const ROUNDS = Number(process.argv[3] ?? 3);
const families = process.argv[4]?.split(",") ?? Object.keys(keyFamilies);
const subjects = process.argv[5]?.split(",") ?? ["plain", "skiplist", "art", "btree", "hash-runs"];

const directory = mkdtempSync(join(tmpdir(), "aura-bench-"));
await build({
  config: false,
  entry: { bundle: fileURLToPath(new URL("../src/index.ts", import.meta.url)) },
  outDir: directory,
  format: "esm",
  outExtension: () => ({ js: ".mjs" }),
  target: "node20",
  noExternal: [/./],
  esbuildOptions: (options) => {
    options.conditions = ["@aura/source"];
  },
  silent: true,
});
const bundle = pathToFileURL(join(directory, "bundle.mjs")).href;
const script = fileURLToPath(new URL("subject.mjs", import.meta.url));

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

const row = (cells) => console.log(`| ${cells.join(" | ")} |`);
const ratios = new Map(subjects.map((subject) => [subject, []]));
console.log(`${ENTRIES} entries, values of 100 B, ${ROUNDS} rounds, node ${process.version}`);
console.log("ns per operation: wall (processor); a scan: seek and 50 entries on average\n");
for (const family of families) {
  const runs = new Map(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const subject of subjects) {
      const output = execFileSync(
        process.execPath,
        [script, bundle, subject, family, String(ENTRIES), String(round + 1)],
        { encoding: "utf8" },
      );
      runs.get(subject).push(JSON.parse(output));
    }
  }
  const phases = Object.keys(runs.get(subjects[0])[0].ns);
  row([family, ...subjects]);
  row(["---", ...subjects.map(() => "---")]);
  const wall = (subject, phase) => median(runs.get(subject).map((run) => run.ns[phase]));
  const cpu = (subject, phase) => median(runs.get(subject).map((run) => run.cpuNs[phase]));
  for (const phase of phases) {
    row([
      phase,
      ...subjects.map((s) => `${wall(s, phase).toFixed(0)} (${cpu(s, phase).toFixed(0)})`),
    ]);
    for (const subject of subjects) {
      ratios.get(subject).push(Math.log(cpu(subjects[0], phase) / cpu(subject, phase)));
    }
  }
  row([
    "bytes per entry",
    ...subjects.map((s) => median(runs.get(s).map((run) => run.bytes)).toFixed(1)),
  ]);
  console.log("");
}
rmSync(directory, { recursive: true });
row(["all phases and families", ...subjects]);
row(["---", ...subjects.map(() => "---")]);
row([
  `times the speed of ${subjects[0]}, geometric mean of processor time`,
  ...subjects.map((subject) => {
    const logs = ratios.get(subject);
    return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length).toFixed(2);
  }),
]);
