/** A phase of a workload: its figures for all stores, and its plots, each with a table of what it shows. */
import { formatCount, formatMs, formatRate } from "../format.ts";
import type { Latency, PhaseResult } from "../result.ts";
import { commandView } from "./conditions-view.ts";
import { compare, type Figure, figuresOf, kindsOf, own } from "./figures.ts";
import { type Html, html } from "./html.ts";
import { isCorrected, latencyPlot } from "./latency-plot.ts";
import type { PhaseOutline } from "./outline.ts";
import type { Plot } from "./plot.ts";
import { ratioRange, ratioView, storeView, valueRange, valueView } from "./ratio-view.ts";
import { isNumber, spreadOf } from "./spread.ts";
import { medianRepeat, ratesOf, timePlots } from "./time-plot.ts";

/** Collects the plots of a page: a figure names its own by number. */
export interface PlotSink {
  add(plot: Plot): number;
}

/** Returns the figures and plots of a phase. */
export function phaseView(
  phase: PhaseOutline,
  stores: readonly string[],
  command: string,
  sink: PlotSink,
): Html {
  const latencies = kindsOf(phase).map((kind) =>
    plotView(latencyPlot(phase, kind, stores), sink, command, {
      note: latencyNote(phase, kind),
      table: latencyTable(phase, kind, stores),
    }),
  );
  const times = timePlots(phase, stores).map((plot) =>
    plotView(plot, sink, command, {
      note: repeatsNote(phase, stores),
      table: timeTable(phase, stores, plot),
    }),
  );
  return html`<div class="plots">${latencies}${times}</div>
<div class="scroll figures" tabindex="0" role="region" aria-label="Figures of ${phase.phase}">${figureTable(phase, stores)}</div>`;
}

function figureTable(phase: PhaseOutline, stores: readonly string[]): Html {
  const groups = figuresOf(phase).map(
    ({
      title,
      figures,
    }) => html`<tbody><tr><th scope="rowgroup" class="group">${title}</th>${stores.map(() => html`<td class="gap"></td>`)}</tr>
${figures.map(
  (
    figure,
  ) => html`<tr><th scope="row">${figure.title}${figure.hint === undefined ? undefined : html`<span class="hint">${figure.hint}</span>`}</th>${stores.map((store, i) => html`<td>${figureCell(figure, stores[0]!, store, i)}</td>`)}</tr>
`,
)}</tbody>`,
  );
  return html`<table><thead><tr><th scope="col"><span class="muted">median, range over repeats</span></th>${stores.map((store, i) => html`<th scope="col">${storeView(store, i)}</th>`)}</tr></thead>${groups}</table>`;
}

function figureCell(figure: Figure, subject: string, store: string, position: number): Html {
  const value = valueView(figure, store, position);
  const ratio = position === 0 ? undefined : compare(figure, subject, store);
  if (ratio === undefined) return html`${value}${valueRange(figure, store)}`;
  return html`${value}<span class="beside">${ratioRange(ratio)} ${ratioView(ratio)}</span>`;
}

function plotView(
  plot: Plot | undefined,
  sink: PlotSink,
  command: string,
  { note, table }: { readonly note: string; readonly table: Html },
): Html {
  if (plot === undefined) return html``;
  const kinds = [...new Set(plot.lanes.flatMap(({ works }) => works.map(([, , kind]) => kind)))];
  return html`<figure data-plot="${sink.add(plot)}"><figcaption><h4>${plot.title}</h4><span class="muted small">${note}</span></figcaption>
<div class="plot"></div>
${kinds.length === 0 ? undefined : html`<div class="kinds">Background work, a lane per store: ${kinds.map((kind) => html`<span>${kindSample(kind)} ${kind}</span>`)}</div>`}
<details open><summary>Figures and command</summary><div class="scroll">${table}</div>${commandView(command)}</details></figure>`;
}

/** A piece of a lane, as the script draws it. */
function kindSample(kind: string): Html {
  const shapes: Readonly<Record<string, Html>> = {
    flush: html`<path fill="currentColor" d="M0 2.4H22V5.6H0Z"/>`,
    compaction: html`<path fill="currentColor" opacity="0.4" d="M0 0H22V8H0Z"/>`,
    gc: html`<path fill="none" stroke="currentColor" d="M0 8 8 0M4 8 12 0M8 8 16 0M12 8 20 0M16 8 22 2"/>`,
    drain: html`<path fill="none" stroke="currentColor" d="M.5 .5H21.5V7.5H.5Z"/>`,
  };
  const other = html`<path fill="none" stroke="currentColor" stroke-dasharray="1 1" d="M.5 .5H21.5V7.5H.5Z"/>`;
  return html`<svg width="22" height="8" aria-hidden="true">${own(shapes, kind) ?? other}</svg>`;
}

function latencyNote(phase: PhaseOutline, kind: string): string {
  const many = [...phase.results.values()].some((repeats) => repeats.size > 1);
  const start = isCorrected(phase, kind)
    ? "from the intended start of each operation"
    : "from the actual start of each operation";
  return many ? `${start}; line: median of repeats, band: their range` : start;
}

function latencyTable(phase: PhaseOutline, kind: string, stores: readonly string[]): Html {
  const columns = [
    ["mean", "meanUs"],
    ["p50", "p50Us"],
    ["p90", "p90Us"],
    ["p99", "p99Us"],
    ["p99.9", "p999Us"],
    ["max", "maxUs"],
  ] as const;
  const rows = stores.flatMap((store, i) => {
    const repeats = [...(phase.results.get(store)?.values() ?? [])]
      .map((result) => own<Latency>(result.latency, kind))
      .filter((latency) => latency !== undefined);
    if (repeats.length === 0) return [];
    const median = (key: keyof Latency): string => {
      const value = spreadOf(repeats.map((latency) => latency[key] as number))?.median;
      if (value === undefined) return "–";
      return key === "count" ? formatCount(value) : formatMs(value / 1000);
    };
    return [
      html`<tr><th scope="row">${storeView(store, i)}</th><td>${median("count")}</td>${columns.map(([, key]) => html`<td>${median(key)}</td>`)}</tr>`,
    ];
  });
  return html`<table><thead><tr><th scope="col">median of repeats</th><th scope="col">count</th>${columns.map(([title]) => html`<th scope="col">${title}</th>`)}</tr></thead><tbody>${rows}</tbody></table>`;
}

function repeatsNote(phase: PhaseOutline, stores: readonly string[]): string {
  const many = [...phase.results.values()].some((repeats) => repeats.size > 1);
  if (!many) return "one repeat";
  const shown = stores.flatMap((store) => {
    const repeat = medianRepeat(phase, store)?.repeat;
    return repeat === undefined ? [] : [`${store} ${repeat + 1}`];
  });
  return `the repeats of median throughput: ${shown.join(", ")}`;
}

function timeTable(phase: PhaseOutline, stores: readonly string[], plot: Plot): Html {
  const format = {
    rate: formatRate,
    us: (us: number) => formatMs(us / 1000),
    factor: (value: number) => value.toFixed(2),
  }[plot.y];
  const rows = plot.lines.map(({ store, ys }) => {
    const result = medianRepeat(phase, stores[store]!)!.result;
    const spread = spreadOf(
      plot.y === "rate" ? ratesOf(result).map(([, y]) => y) : ys.filter(isNumber),
    );
    const cells = spread === undefined ? [] : [spread.min, spread.median, spread.max];
    return html`<tr><th scope="row">${storeView(stores[store]!, store)}</th>${cells.map((value) => html`<td>${format(value)}</td>`)}<td>${formatMs(result.ms)}</td><td class="name">${workText(result)}</td></tr>`;
  });
  return html`<table><thead><tr><th scope="col">over slices of time</th><th scope="col">least</th><th scope="col">median</th><th scope="col">most</th><th scope="col">length</th><th scope="col" class="name">background work</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function workText({ background }: PhaseResult): string {
  const sums = new Map<string, { count: number; ms: number }>();
  for (const { kind, fromMs, toMs } of background ?? []) {
    const sum = sums.get(kind) ?? { count: 0, ms: 0 };
    sums.set(kind, { count: sum.count + 1, ms: sum.ms + toMs - fromMs });
  }
  if (sums.size === 0) return "not reported";
  // A store may tell only of the end of a work.
  const parts = [...sums].map(([kind, { count, ms }]) => {
    return ms > 0 ? `${count} × ${kind}, ${formatMs(ms)}` : `${count} × ${kind}`;
  });
  return parts.join("; ");
}
