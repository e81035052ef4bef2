/**
 * Branches of the core packages that tests reach: `node tools/trust/coverage.mjs [--least 95]
 * [--results docs/reliability/coverage.json]`. Every test of every package counts for each package
 * that it runs, since leaves are tried through the engine too; threads of a bundle do not count.
 *
 * The tests run in parts, whose reports stay in `--folder`: what is there already is passed over, so
 * `--only 3` does one part and a run that was broken off goes on.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addSlice } from "./results.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const CORE = ["wal", "vlog", "memtable", "sst", "engine"];
const PARTS = 16;

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: join(root, "coverage", "parts") },
    only: { type: "string" },
    least: { type: "string", default: "0" },
    results: { type: "string" },
    /** Names the lines of branches that were not taken, of files whose path has this text. */
    show: { type: "string" },
  },
});
const folder = resolve(values.folder);
const reports = join(folder, "blobs");
mkdirSync(reports, { recursive: true });

/** Runs vitest; returns whether all tests passed, after telling what did not. */
function vitest(...args) {
  const command = ["node_modules/vitest/vitest.mjs", "run", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) console.error(`${stdout}${stderr}`.slice(-4000));
  return status === 0;
}

const COVERAGE = ["--coverage.enabled", "--coverage.reportOnFailure"];

/** All tests but the slow ones, dealt out so that each part has some of each package. */
function partsOf() {
  const files = readdirSync(join(root, "packages"))
    .map((name) => join("packages", name, "test"))
    .filter((path) => existsSync(join(root, path)))
    .flatMap((path) => readdirSync(join(root, path)).map((name) => join(path, name)))
    .filter((path) => path.endsWith(".test.ts") && !path.endsWith(".slow.test.ts"));
  return Array.from({ length: PARTS }, (_, part) => files.filter((_, at) => at % PARTS === part));
}

for (const [at, files] of partsOf().entries()) {
  const blob = join(reports, `${at}.json`);
  if (existsSync(blob) || (values.only !== undefined && Number(values.only) !== at)) continue;
  const output = ["--reporter=blob", `--outputFile=${blob}`];
  const own = [
    `--coverage.reportsDirectory=${join(folder, `${at}`)}`,
    "--coverage.reporter=json-summary",
  ];
  const isRight = vitest("--project", "unit", ...output, ...COVERAGE, ...own, ...files);
  console.log(`part ${at} of ${PARTS}: ${files.length} files, ${isRight ? "ok" : "FAILED"}`);
}
if (values.only !== undefined) process.exit(0);

const merged = join(folder, "merged");
const reporters = ["--coverage.reporter=json", `--coverage.reportsDirectory=${merged}`];
const isRight = vitest(`--merge-reports=${reports}`, ...COVERAGE, ...reporters);
const sums = Object.fromEntries(CORE.map((name) => [name, { taken: 0, all: 0 }]));
const all = JSON.parse(readFileSync(join(merged, "coverage-final.json"), "utf8"));
for (const [path, { branchMap, b }] of Object.entries(all)) {
  const file = relative(root, path);
  const sum = sums[file.split("/")[1]];
  if (sum === undefined) continue;
  for (const [id, counts] of Object.entries(b)) {
    counts.forEach((count, way) => {
      sum.all++;
      if (count > 0) sum.taken++;
      else if (values.show !== undefined && file.includes(values.show)) {
        const { type, locations } = branchMap[id];
        console.log(`${file}:${locations[way]?.start?.line ?? "?"} ${type} ${way}`);
      }
    });
  }
}
const branches = {};
for (const [name, { taken, all: count }] of Object.entries(sums)) {
  branches[name] = Math.round((taken / count) * 1000) / 10;
  console.log(`${name}: ${branches[name]} % of ${count} branches`);
}
if (values.results !== undefined) addSlice(values.results, { branches });
const isEnough = Object.values(branches).every((one) => one >= Number(values.least));
process.exitCode = isRight && isEnough ? 0 : 1;
