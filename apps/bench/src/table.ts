/**
 * A result as tables, one per workload. Values are medians over the repeats, with half their range beside
 * them. A ratio says how many times better the first store is than another one, below 1: worse; it is the median
 * of the ratios of single repeats, whose smallest and largest stand beside it.
 */
import Table from "cli-table3";
import pc from "picocolors";
import { formatRatio } from "./format.ts";
import { type Figure, figuresOf, median } from "./metrics.ts";
import type { BenchResult, RunResult } from "./result.ts";

/** A figure of one store over the repeats. */
interface Row {
  readonly phase: string;
  readonly figure: Figure;
  /** By repeat. */
  readonly values: Map<number, number>;
}

/** Returns the tables of all workloads but those that have one of their own. */
export function renderTables(result: BenchResult, without: readonly string[] = []): string {
  const workloads = [...new Set(result.runs.map(({ workload }) => workload))];
  return workloads
    .filter((workload) => !without.includes(workload))
    .map((workload) => renderWorkload(workload, result))
    .join("\n");
}

/** Figures that are shown: the others stand in the file. */
function isShown({ title, value, kind }: Figure): boolean {
  return kind !== "count" || value > 0 ? !title.endsWith("p99.9") : false;
}

function renderWorkload(workload: string, { runs, stores }: BenchResult): string {
  const own = runs.filter((run) => run.workload === workload);
  const names = stores
    .map(({ store }) => store)
    .filter((name) => own.some((r) => r.store === name));
  const [subject, ...peers] = names;
  if (subject === undefined) return "";
  const rows = new Map(names.map((name) => [name, rowsOf(own.filter((r) => r.store === name))]));
  const titles = new Map<string, Row>();
  for (const name of names) {
    for (const [id, row] of rows.get(name)!) if (!titles.has(id)) titles.set(id, row);
  }
  const table = new Table({
    head: [workload, "", subject, ...peers.flatMap((peer) => [peer, "ratio", "repeats"])],
    colAligns: [
      "left",
      "left",
      "right",
      ...peers.flatMap(() => ["right", "right", "right"] as const),
    ],
    style: { head: [], border: [], compact: true },
  });
  const phases = [...new Set([...titles.values()].map(({ phase }) => phase))];
  const ids = [...titles].sort((a, b) => phases.indexOf(a[1].phase) - phases.indexOf(b[1].phase));
  let shown = "";
  for (const [id, { phase, figure }] of ids) {
    if (!isShown(figure)) continue;
    const mine = rows.get(subject)!.get(id);
    const cells = peers.flatMap((peer) => compare(mine, rows.get(peer)!.get(id)));
    table.push([phase === shown ? "" : phase, figure.title, cellOf(mine), ...cells]);
    shown = phase;
  }
  return table.toString();
}

function rowsOf(runs: readonly RunResult[]): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const { repeat, phases } of runs) {
    for (const phase of phases) {
      for (const figure of figuresOf(phase)) {
        const id = `${phase.name}\n${figure.title}`;
        const row = rows.get(id) ?? { phase: phase.name, figure, values: new Map() };
        row.values.set(repeat, figure.value);
        rows.set(id, row);
      }
    }
  }
  return rows;
}

function cellOf(row: Row | undefined): string {
  if (row === undefined) return "-";
  const values = [...row.values.values()];
  const middle = median(values);
  const shown = row.figure.format(middle);
  if (values.length < 2 || middle === 0) return shown;
  const half = (Math.max(...values) - Math.min(...values)) / 2;
  return `${shown} ±${Math.round((half / middle) * 100)}%`;
}

function compare(own: Row | undefined, other: Row | undefined): string[] {
  const ratios: number[] = [];
  for (const [repeat, value] of own?.values ?? []) {
    const against = other?.values.get(repeat);
    if (against === undefined || own === undefined || value === 0 || against === 0) continue;
    ratios.push(own.figure.better === "more" ? value / against : against / value);
  }
  if (ratios.length === 0) return [cellOf(other), "", ""];
  const ratio = median(ratios);
  const shown = ratio >= 1 ? pc.green(formatRatio(ratio)) : pc.red(formatRatio(ratio));
  if (ratios.length === 1) return [cellOf(other), shown, ""];
  const spread = [Math.min(...ratios), ratio, Math.max(...ratios)];
  return [cellOf(other), shown, spread.map(formatRatio).join(" < ")];
}
