/**
 * The report of a run: one HTML document that needs nothing but itself. It loads nothing (its content
 * policy forbids it), shows every figure without a script, and draws the curves with one. Whatever the
 * result holds is text: see `html.ts`.
 */
import { createHash } from "node:crypto";
import type { BenchResult } from "../result.ts";
import { browserScript, type PageData } from "./browser-script.ts";
import { commandView, conditionsView } from "./conditions-view.ts";
import { headlineView } from "./headline.ts";
import { type Html, html, jsonForScript, trusted } from "./html.ts";
import { outlineOf, storesOf, type WorkloadOutline } from "./outline.ts";
import { DASHES, paletteIndex } from "./palette.ts";
import { type PlotSink, phaseView } from "./phase-view.ts";
import type { Plot } from "./plot.ts";
import { readPlotLibrary } from "./plot-library.ts";
import { styleSheet } from "./style.ts";
import { troubleView } from "./trouble-view.ts";

/** Returns the report as one self-contained HTML document. Reads the plotting library from its package. */
export function renderPage(result: BenchResult): string {
  const infos = storesOf(result);
  const stores = infos.map(({ store }) => store);
  const workloads = outlineOf(result);
  const plots: Plot[] = [];
  const sections = workloads.map((workload, i) =>
    workloadView(workload, i, stores, result.command, {
      add: (plot) => plots.push(plot) - 1,
    }),
  );
  const data: PageData = {
    stores: stores.map((name, i) => ({ name, colour: paletteIndex(i) })),
    dashes: DASHES,
    plots,
  };
  const ratios = headlineView(workloads, stores);
  const library = readPlotLibrary();
  const script = `/*\n${library.licence}\n*/\n${library.script}\n${browserScript()}`;
  const title = titleOf(stores);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policyFor(script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${trusted(library.style)}${trusted(styleSheet())}</style>
</head>
<body>
<a class="skip" href="#main">To the figures</a>
<header class="top"><div class="bar"><nav aria-label="Sections">${ratios === undefined ? undefined : link("ratios", stores.length > 1 ? "Ratios" : "Figures")}${workloads.map(({ workload }, i) => link(`w${i}`, workload))}${link("conditions", "How it was run")}</nav>
<div class="theme" role="group" aria-label="Colours" hidden>${["auto", "light", "dark"].map((theme) => html`<button type="button" data-set="${theme}" aria-pressed="false">${theme}</button>`)}</div></div></header>
<main id="main">
<div class="intro"><h1>${title}</h1>
<ul class="chips small muted">${summaryOf(result).map((text) => html`<li>${text}</li>`)}</ul>
${commandView(result.command)}</div>
<noscript><div class="notice">The curves need a script. All figures stand in the tables.</div></noscript>
${troubleView(result)}
${ratios}
${sections}
${conditionsView(result, infos)}
</main>
<footer class="foot muted small">Curves drawn by ${library.name} ${library.version} (MIT). This page loads nothing.</footer>
<script type="application/json" id="plots">${jsonForScript(data)}</script>
<script>${trusted(script)}</script>
</body>
</html>
`;
  return page.text;
}

function workloadView(
  { workload, phases, runs }: WorkloadOutline,
  position: number,
  stores: readonly string[],
  command: string,
  sink: PlotSink,
): Html {
  const shown = phases.map(
    (phase, i) =>
      html`<div class="phase" id="w${position}p${i}">${phases.length === 1 && phase.phase === workload ? undefined : html`<h3>${phase.phase}</h3>`}${phaseView(phase, stores, command, sink)}</div>`,
  );
  const repeats = stores.map((store) => runs.filter((run) => run.store === store).length);
  const least = Math.min(...repeats);
  const most = Math.max(...repeats);
  const count = least === most ? `${most}` : `${least} to ${most}`;
  return html`<section id="w${position}"><h2>${workload}</h2>
<p class="small muted">${count} ${most === 1 ? "repeat" : "repeats"} of each store</p>
${phases.length === 0 ? html`<p>No phase was completed.</p>` : shown}</section>`;
}

function titleOf(stores: readonly string[]): string {
  const [subject, ...peers] = stores;
  if (subject === undefined) return "Benchmark";
  return peers.length === 0
    ? `Benchmark of ${subject}`
    : `Benchmark of ${subject} against ${peers.join(", ")}`;
}

function summaryOf({ startedAt, commit, machine }: BenchResult): readonly string[] {
  const time = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/.exec(startedAt);
  return [
    time === null ? startedAt : `${time[1]} ${time[2]} UTC`,
    ...(commit === undefined
      ? []
      : [`commit ${commit.length > 20 ? commit.slice(0, 12) : commit}`]),
    ...(machine === undefined
      ? []
      : [`${machine.cpu}, ${machine.cores} cores`, machine.fileSystem]),
  ];
}

/** Only the script of the page may run, only its own style applies, and nothing is loaded. */
function policyFor(script: string): string {
  const hash = createHash("sha256").update(script).digest("base64");
  return `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
}

function link(id: string, text: string): Html {
  return html`<a href="#${id}">${text}</a>`;
}
