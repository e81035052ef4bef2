/** Totals of runs of the dynamic benchmark: counts times what a unit takes, and wall time. */

/** What units take when no run has measured it, seconds. */
const TYPICAL = {
  read: 1e-6,
  probe: 2e-7,
  blockRead: 1e-6,
  seek: 2e-6,
  scanEntry: 2e-7,
  flushedByte: 1e-8,
  mergedByte: 1e-8,
};

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What a unit takes: of each run the median of its windows, of all runs the median. */
export function medianCosts(results) {
  const costs = {};
  for (const [name, typical] of Object.entries(TYPICAL)) {
    const measured = results.flatMap(({ records }) => {
      const own = records
        .map(({ observation }) => observation.costs[name])
        .filter((one) => one > 0);
      return own.length === 0 ? [] : [median(own)];
    });
    costs[name] = measured.length === 0 ? typical : median(measured);
  }
  return costs;
}

/** Seconds of one window of observation. */
function windowCost(observation, costs) {
  const probes = observation.levels.reduce((sum, level) => sum + level.probes, 0);
  return {
    reads:
      observation.reads * costs.read +
      probes * costs.probe +
      observation.blockReads * costs.blockRead,
    scans: observation.seeks * costs.seek + observation.scanEntries * costs.scanEntry,
    flushes: observation.flushedBytes * costs.flushedByte,
    merges: observation.mergedBytesRead * costs.mergedByte,
    delays: observation.delaySeconds,
  };
}

const PARTS = ["reads", "scans", "flushes", "merges", "delays"];

/** Cost of a run, and of its phases. Merges behind the last window are in the total. */
export function costOf(result, costs) {
  const sum = (records) => {
    const parts = Object.fromEntries(PARTS.map((part) => [part, 0]));
    for (const { observation } of records) {
      const window = windowCost(observation, costs);
      for (const part of PARTS) parts[part] += window[part];
    }
    return parts;
  };
  const total = sum(result.records);
  const { flushedBytes, mergedBytesRead, delayMs } = result.facts;
  if (flushedBytes !== undefined) {
    total.flushes = flushedBytes * costs.flushedByte;
    total.merges = mergedBytesRead * costs.mergedByte;
    total.delays = delayMs / 1000;
  }
  const all = (parts) => PARTS.reduce((seconds, part) => seconds + parts[part], 0);
  const phases = result.phases.map(({ name, windows: [from, to] }) => {
    const parts = sum(
      result.records.filter(({ observation: { window } }) => window >= from && window < to),
    );
    return { name, ...parts, total: all(parts) };
  });
  return { ...total, total: all(total), phases };
}

function wallOf({ phases, drainMs }) {
  return phases.reduce((sum, { ms }) => sum + ms, drainMs) / 1000;
}

/** The worst p99 of a round over all windows of a run, over its best. */
function worstP99(result) {
  return Math.max(...result.phases.flatMap(({ slices }) => slices.map(({ p99 }) => p99)));
}

const isStatic = ({ config }) => /\d\/\d/.test(config);
const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "-");

/** A table per tree and workload: configurations down, medians over seeds and ratios across. */
export function summarize(results) {
  const lines = [];
  const costsOf = new Map();
  for (const tree of new Set(results.map((one) => one.tree))) {
    const costs = medianCosts(results.filter((one) => one.tree === tree));
    costsOf.set(tree, costs);
    const units = Object.entries(costs).map(([name, seconds]) => {
      return name.endsWith("Byte")
        ? `${name} ${(seconds * 1e9).toFixed(2)} ns`
        : `${name} ${(seconds * 1e6).toFixed(2)} us`;
    });
    lines.push(`${tree}, unit costs: ${units.join(", ")}`);
  }
  const groups = new Map();
  for (const result of results) {
    const name = `${result.tree} ${result.workload}`;
    groups.set(name, [...(groups.get(name) ?? []), result]);
  }
  for (const [name, group] of groups) {
    lines.push(`\n${name}`, ...table(group, costsOf.get(group[0].tree)));
  }
  return lines.join("\n");
}

function table(group, costs) {
  const configs = [...new Set(group.map(({ config }) => config))];
  const seeds = [...new Set(group.map(({ seed }) => seed))];
  const of = (config, seed) => group.find((one) => one.config === config && one.seed === seed);
  const costBy = new Map(group.map((one) => [one, costOf(one, costs).total]));
  /** Cost of the best of some configurations with one seed, over that of a configuration. */
  const against = (config, isPeer, value) =>
    seeds.flatMap((seed) => {
      const own = of(config, seed);
      const peers = group.filter((one) => one.seed === seed && isPeer(one));
      if (own === undefined || peers.length === 0) return [];
      return [Math.min(...peers.map(value)) / value(own)];
    });
  const cost = (one) => costBy.get(one);
  const phases = group[0].phases.map((phase) => phase.name);
  const lines = [
    `| | cost s | wall s | CPU s | best static / it: cost (least) | wall (least) | oracle / it | ${phases.join(" | ")} | p99 worst ms | WA | changes | deciding |`,
    `|${"---|".repeat(11 + phases.length)}`,
  ];
  for (const config of configs) {
    const own = group.filter((one) => one.config === config);
    const costRatio = against(config, isStatic, cost);
    const wallRatio = against(config, isStatic, wallOf);
    const oracle = against(config, (one) => one.config === "oracle", cost);
    const isCounted = own[0].records.length > 0;
    const amplification = own.map(({ facts }) =>
      isCounted ? (facts.flushedBytes + facts.mergedBytesWritten) / facts.flushedBytes : Number.NaN,
    );
    const changes = own.map(({ facts }) => facts.steering?.changes ?? Number.NaN);
    const deciding = own.map(
      (one) => (one.facts.steering?.spentMs ?? Number.NaN) / wallOf(one) / 10,
    );
    const ratio = (ratios) =>
      isCounted && ratios.length > 0
        ? `${fixed(median(ratios))} (${fixed(Math.min(...ratios))})`
        : "-";
    const cells = [
      isCounted ? fixed(median(own.map(cost))) : "-",
      fixed(median(own.map(wallOf))),
      fixed(median(own.map(({ cpuMs }) => cpuMs / 1000)), 1),
      ratio(costRatio),
      `${fixed(median(wallRatio))} (${fixed(Math.min(...wallRatio))})`,
      ratio(oracle),
      ...phases.map((_, i) => fixed(median(own.map((one) => one.phases[i].ms / 1000)))),
      fixed(median(own.map(worstP99)), 1),
      fixed(median(amplification), 1),
      fixed(median(changes), 0),
      isCounted ? `${fixed(median(deciding), 2)} %` : "-",
    ];
    lines.push(`| ${config} | ${cells.join(" | ")} |`);
  }
  return lines;
}
