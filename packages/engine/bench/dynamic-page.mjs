/**
 * The page of the dynamic benchmark: one HTML file without a script. For each workload it plots, over the
 * operations of a run, throughput, the p99 of rounds, write amplification and debt of each configuration, and
 * for `adaptive` the runs per level and the trigger of level 0, with each decision and its reason.
 */
import { writeFileSync } from "node:fs";

const WIDTH = 900;
const HEIGHT = 150;
const LEFT = 64;
const COLOURS = [
  "#3b76d1",
  "#d1703b",
  "#3ba36b",
  "#a34fc4",
  "#b3922b",
  "#cc4466",
  "#5b8a9b",
  "#777",
];
const SHOWN_LEVELS = 4;

function escaped(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)}k`;
  return value >= 10 ? value.toFixed(0) : value.toFixed(2);
}

/** Where phases begin and end, in operations of the run. */
function bandsOf(run) {
  let from = 0;
  return run.phases.map(({ name, ops }) => {
    from += ops;
    return { name, from: from - ops, to: from };
  });
}

/** One plot: `series` are [name, points [x, y], isStep]. */
function plot(title, run, series, isLog = false) {
  const bands = bandsOf(run);
  const total = bands.at(-1).to;
  const values = series.flatMap(([, points]) => points.map(([, y]) => y)).filter(Number.isFinite);
  if (values.length === 0) return "";
  const most = Math.max(...values, 1e-9);
  const least = isLog ? Math.max(Math.min(...values), most / 1e4) : 0;
  const x = (at) => LEFT + (at / total) * (WIDTH - LEFT);
  const share = (value) =>
    isLog
      ? Math.log(Math.max(value, least) / least) / Math.max(Math.log(most / least), 1e-9)
      : value / most;
  const y = (value) => HEIGHT - 4 - share(value) * (HEIGHT - 24);
  const parts = bands.map(
    ({ name, from, to }, i) =>
      `<rect x="${x(from)}" y="0" width="${x(to) - x(from)}" height="${HEIGHT}" class="band${i % 2}"/>` +
      `<text x="${x(from) + 4}" y="12">${to - from > total / 20 ? escaped(name) : ""}</text>`,
  );
  for (const [i, [, points, isStep]] of series.entries()) {
    const path = points
      .filter(([, value]) => Number.isFinite(value))
      .map(([at, value], k, all) => {
        const step = isStep && k > 0 ? `L${x(at).toFixed(1)},${y(all[k - 1][1]).toFixed(1)}` : "";
        return `${step}${k === 0 ? "M" : "L"}${x(at).toFixed(1)},${y(value).toFixed(1)}`;
      });
    parts.push(`<path d="${path.join("")}" stroke="${COLOURS[i % COLOURS.length]}"/>`);
  }
  for (const value of [least, most]) {
    parts.push(`<text x="${LEFT - 4}" y="${y(value) + 4}" class="axis">${short(value)}</text>`);
  }
  const legend = series.map(
    ([name], i) =>
      `<span><i style="background:${COLOURS[i % COLOURS.length]}"></i>${escaped(name)}</span>`,
  );
  return `<figure><figcaption>${escaped(title)} ${legend.join(" ")}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${parts.join("")}</svg></figure>`;
}

/** [operations, value] of each slice of latencies. */
function slicePoints(run, of) {
  let at = 0;
  let phaseStart = 0;
  return run.phases.flatMap(({ slices, ops }) => {
    at = phaseStart;
    phaseStart += ops;
    return slices.map((slice) => {
      at += slice.ops;
      return [at, of(slice)];
    });
  });
}

/** [operations, value] of each window: windows of a phase are spread evenly over it. */
function windowPoints(run, of) {
  let from = 0;
  return run.phases.flatMap(({ ops, windows: [first, end] }) => {
    const records = run.records.filter(
      ({ observation: { window } }) => window >= first && window < end,
    );
    from += ops;
    return records.map((record, i) => [from - ops + ((i + 1) / records.length) * ops, of(record)]);
  });
}

function writeAmplification(run) {
  let flushed = 0;
  let written = 0;
  return windowPoints(run, ({ observation }) => {
    // Faded, so that a phase shows its own.
    flushed = flushed * 0.9 + observation.flushedBytes;
    written = written * 0.9 + observation.flushedBytes + observation.mergedBytesWritten;
    return flushed === 0 ? Number.NaN : written / flushed;
  });
}

function decisionsOf(run) {
  const changed = run.records.filter(({ decision }) => decision.shape !== undefined);
  const rows = changed.map(({ observation, decision }) => {
    const phase = run.phases.find(
      ({ windows: [from, to] }) => observation.window >= from && observation.window < to,
    );
    const { shape, reason, detail, keptSeconds, predictedSeconds } = decision;
    const runs = shape.levels.map((level) => level.runs).join(",");
    const cells = [observation.window, phase?.name ?? "", `${runs} / ${shape.l0Trigger}`, reason];
    cells.push(`${keptSeconds?.toFixed(3)} to ${predictedSeconds?.toFixed(3)}`, detail);
    return `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`;
  });
  const heads = ["window", "phase", "runs / trigger", "reason", "seconds a window", "detail"];
  return `<details><summary>${changed.length} changes of ${run.records.length} decisions</summary>
<table><tr>${heads.map((head) => `<th>${head}</th>`).join("")}</tr>${rows.join("\n")}</table></details>`;
}

function section(name, runs) {
  const first = runs[0];
  const counted = runs.filter(({ records }) => records.length > 0);
  const each = (of, from = runs) => from.map((run) => [run.config, of(run)]);
  const parts = [
    plot(
      "operations per second",
      first,
      each((run) => slicePoints(run, (s) => (s.ops / s.ms) * 1000)),
    ),
    plot(
      "p99 of a round of 64, ms",
      first,
      each((run) => slicePoints(run, ({ p99 }) => p99)),
      true,
    ),
    plot("write amplification", first, each(writeAmplification, counted)),
    plot(
      "debt, MiB",
      first,
      each(
        (run) => windowPoints(run, ({ observation }) => observation.debtBytes / 2 ** 20),
        counted,
      ),
    ),
  ];
  for (const run of runs.filter(({ config }) => config.startsWith("adaptive"))) {
    const filled = Array.from({ length: 8 }, (_, level) => level).filter(
      (level) =>
        level > 0 && run.records.some(({ observation }) => observation.levels[level]?.bytes > 0),
    );
    const lines = filled
      .slice(0, SHOWN_LEVELS)
      .map((level) => [
        `runs of level ${level}`,
        windowPoints(run, ({ observation }) => observation.levels[level].runsMax),
        true,
      ]);
    const trigger = windowPoints(run, ({ observation }) => observation.levels[0].runsMax);
    lines.push(["trigger of level 0", trigger, true]);
    parts.push(plot(`${run.config}: the shape in force`, run, lines), decisionsOf(run));
  }
  return `<h2>${escaped(name)}</h2>${parts.join("\n")}`;
}

const STYLE = `:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;max-width:960px;margin:2em auto;
padding:0 1em}svg{width:100%;height:auto}path{fill:none;stroke-width:1.3}text{font-size:10px;fill:currentColor}
.axis{text-anchor:end}.band0{fill:#8881}.band1{fill:#8883}figure{margin:1em 0}figcaption span{margin-left:.8em}
figcaption i{display:inline-block;width:.8em;height:.8em;margin-right:.3em}table{border-collapse:collapse;
font-size:12px}td,th{padding:2px 8px;text-align:left;vertical-align:top}`;

/** Writes the page of the first seed of each workload. */
export function writePage(file, results) {
  const groups = new Map();
  for (const result of results) {
    const name = `${result.tree}, ${result.workload}, seed ${result.seed}`;
    if (result.records.length > 0 || result.phases.some(({ slices }) => slices.length > 0))
      groups.set(name, [...(groups.get(name) ?? []), result]);
  }
  const sections = [...groups].map(([name, runs]) => section(name, runs));
  writeFileSync(
    file,
    `<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Dynamic workloads</title><style>${STYLE}</style><h1>Dynamic workloads</h1>
<p>Over the operations of each run; bands are phases.</p>${sections.join("\n")}`,
  );
}
