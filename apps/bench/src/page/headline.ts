/**
 * The head of the report: how often the first store is ahead of and behind each other one, the best and
 * the worst ratio with the same weight, and all the ratios that this counts.
 */
import { compare, costsOf, type Figure, headlinesOf, storeSpread } from "./figures.ts";
import { type Html, html } from "./html.ts";
import type { PhaseOutline, WorkloadOutline } from "./outline.ts";
import {
  rangeView,
  ratioRange,
  ratioView,
  storeView,
  stripEnd,
  stripView,
  valueRange,
  valueView,
} from "./ratio-view.ts";
import { type Spread, type Verdict, verdictOf } from "./spread.ts";

interface Headline {
  readonly group: string;
  readonly figure: Figure;
  /** One per peer. */
  readonly ratios: readonly (Spread | undefined)[];
  /** Stores that failed in this workload. */
  readonly failed: ReadonlySet<string>;
}

/** Returns the head; of a single store it has values instead of ratios. */
export function headlineView(
  workloads: readonly WorkloadOutline[],
  stores: readonly string[],
): Html | undefined {
  const [subject, ...peers] = stores;
  if (subject === undefined) return undefined;
  const collect = (read: (phase: PhaseOutline) => readonly Figure[]): readonly Headline[] =>
    workloads.flatMap(({ phases, runs }) => {
      const failed = new Set(
        runs.flatMap(({ failure, store }) => (failure === undefined ? [] : [store])),
      );
      return phases.flatMap((phase) =>
        read(phase).map((figure) => ({
          group: groupName(phase.workload, phase.phase),
          figure,
          ratios: peers.map((peer) => compare(figure, subject, peer)),
          failed,
        })),
      );
    });
  const listed = collect(headlinesOf);
  if (listed.length === 0) return undefined;
  if (peers.length === 0) {
    return html`<section id="ratios"><h2>Figures</h2>${scrollView(tableView(listed, subject, peers, 2))}</section>`;
  }
  const counted = [...listed, ...collect(costsOf)];
  const end = stripEnd(listed.flatMap(({ ratios }) => ratios.filter((r) => r !== undefined)));
  return html`<section id="ratios"><h2>Ratios</h2>
${explanation(subject, listed)}
<div class="cards">${peers.map((peer, i) => cardView(counted, subject, peer, i))}</div>
${scrollView(tableView(listed, subject, peers, end))}
<p class="muted small made">The strips are logarithmic and reach from 1/${end} to ${end}; the line in the middle is 1. Amplification, memory, CPU and event-loop delay stand with each workload below.</p>
</section>`;
}

function scrollView(table: Html): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Figures of all workloads">${table}</div>`;
}

/** Returns the name of a phase of a workload. */
export function groupName(workload: string, phase: string): string {
  return workload === phase ? workload : `${workload} · ${phase}`;
}

function explanation(subject: string, listed: readonly Headline[]): Html {
  const single = listed.every(({ ratios }) => ratios.every((ratio) => (ratio?.count ?? 0) < 2));
  if (single) {
    return html`<p class="small muted">A ratio says how many times better ${subject} is: <span class="ahead">above 1 it is ahead ▲</span>, <span class="behind">below 1 it is behind ▼</span>. There was one repeat: how far these ratios wobble is not known.</p>`;
  }
  return html`<p class="small muted">A ratio says how many times better ${subject} is: <span class="ahead">above 1 it is ahead ▲</span>, <span class="behind">below 1 it is behind ▼</span>. It is the median over repeats, each repeat of ${subject} against the same repeat of the other store; the range is that of the repeats. ≈ says that repeats disagree about which store is ahead.</p>`;
}

function cardView(
  headlines: readonly Headline[],
  subject: string,
  peer: string,
  position: number,
): Html {
  const found = headlines.flatMap(({ ratios, ...headline }) => {
    const ratio = ratios[position];
    return ratio === undefined ? [] : [{ ...headline, ratio }];
  });
  if (found.length === 0) {
    return html`<article class="card"><h3>${storeView(peer, position + 1)}</h3><p class="muted small">Nothing to compare.</p></article>`;
  }
  const sorted = [...found].sort((a, b) => a.ratio.median - b.ratio.median);
  const name = ({ group, figure: { topic, title } }: (typeof found)[number]): string =>
    `${group}, ${topic === "p99 latency" ? title : topic}`;
  const [worst, best] = [sorted[0]!, sorted.at(-1)!];
  const topics = [...new Set(found.map(({ figure }) => figure.topic))];
  return html`<article class="card"><h3>${storeView(`${subject} against ${peer}`, position + 1)}</h3>
<div class="tally"><span></span><span class="ahead">ahead ▲</span><span class="behind">behind ▼</span><span class="muted">≈</span>
${topics.map((topic) =>
  tally(
    topic ?? "",
    found.filter(({ figure }) => figure.topic === topic).map(({ ratio }) => ratio),
  ),
)}</div>
<p class="small extremes">Best: ${ratioView(best.ratio)} <span class="muted">${name(best)}</span><br>Worst: ${ratioView(worst.ratio)} <span class="muted">${name(worst)}</span></p></article>`;
}

function tally(title: string, ratios: readonly Spread[]): Html {
  const cell = (verdict: Verdict): Html => {
    const count = ratios.filter((ratio) => verdictOf(ratio) === verdict).length;
    const colour = count === 0 || verdict === "even" ? "muted" : verdict;
    return html`<b class="${colour}">${count}</b>`;
  };
  return html`<span>${title}</span>${cell("ahead")}${cell("behind")}${cell("even")}`;
}

function tableView(
  headlines: readonly Headline[],
  subject: string,
  peers: readonly string[],
  end: number,
): Html {
  const groups = new Map<string, Headline[]>();
  for (const headline of headlines) {
    groups.set(headline.group, [...(groups.get(headline.group) ?? []), headline]);
  }
  const columns = peers.length === 0 ? [subject] : peers;
  const bodies = [...groups].map(
    ([group, rows]) =>
      html`<tbody><tr><th scope="rowgroup" class="group">${group}</th>${columns.map(() => html`<td class="gap"></td>`)}</tr>
${rows.map((row) => rowView(row, subject, peers, end))}</tbody>`,
  );
  const heads = columns.map((store) =>
    peers.length === 0
      ? html`<th scope="col">${storeView(store, 0)}</th>`
      : html`<th scope="col">${storeView(store, 1 + peers.indexOf(store))}<span class="hint">ratio, range · its value</span></th>`,
  );
  const first =
    peers.length === 0
      ? html`<span class="muted">median over repeats</span>`
      : html`${storeView(subject, 0)}<span class="hint">its value, range</span>`;
  return html`<table class="ratios"><thead><tr><th scope="col">${first}</th>${heads}</tr></thead>${bodies}</table>`;
}

function rowView(
  { figure, ratios, failed }: Headline,
  subject: string,
  peers: readonly string[],
  end: number,
): Html {
  if (peers.length === 0) {
    return html`<tr><th scope="row">${figure.title}</th><td>${valueView(figure, subject, 0)}${valueRange(figure, subject)}</td></tr>
`;
  }
  const value = storeSpread(figure, subject);
  const told =
    value === undefined
      ? "–"
      : html`<b>${figure.format(value.median)}</b> ${rangeView(value, figure.format)}`;
  return html`<tr><th scope="row">${figure.title}<span class="own">${told}</span></th>${peers.map(
    (peer, i) =>
      html`<td>${ratioCell(figure, ratios[i], peer, { end, failed: failed.has(peer) })}</td>`,
  )}</tr>
`;
}

function ratioCell(
  figure: Figure,
  ratio: Spread | undefined,
  peer: string,
  { end, failed }: { readonly end: number; readonly failed: boolean },
): Html {
  const value = storeSpread(figure, peer);
  if (value === undefined && failed) return html`<span class="behind">failed</span>`;
  const told = value === undefined ? "–" : figure.format(value.median);
  if (ratio === undefined) return html`<span class="muted">${told}</span>`;
  const range = ratioRange(ratio);
  return html`${ratioView(ratio)}${stripView(ratio, end)}<span class="range">${range}${range === undefined ? undefined : " · "}${told}</span>`;
}
