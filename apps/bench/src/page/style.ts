/** The style sheet of the page. It loads nothing: the fonts are those of the reader's system. */
import { colourProperties } from "./palette.ts";

/** Width below which the page is laid out for a phone. */
const PHONE = "(max-width: 640px)";

/** Returns the style sheet. */
export function styleSheet(): string {
  return `
:root { color-scheme: light; ${colourProperties("light")} }
@media (prefers-color-scheme: dark) {
  :root:not([data-theme="light"]) { color-scheme: dark; ${colourProperties("dark")} }
}
:root[data-theme="dark"] { color-scheme: dark; ${colourProperties("dark")} }
${LAYOUT}
${TABLES}
${PLOTS}`;
}

const LAYOUT = `
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 4rem; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif; }
main, .bar, .foot { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
h1, h2, h3, h4 { line-height: 1.25; margin: 0; overflow-wrap: anywhere; text-wrap: balance; }
h1 { font-size: 1.75rem; letter-spacing: -0.015em; }
h2 { font-size: 1.3rem; letter-spacing: -0.01em; }
h3 { font-size: 1.05rem; }
h4 { font-size: 0.9rem; font-weight: 600; }
p { margin: 0; max-width: 46rem; }
code, pre { font: 0.8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
a { color: var(--store-0); text-underline-offset: 0.15em; }
:focus-visible { outline: 2px solid var(--store-0); outline-offset: 2px; border-radius: 2px; }
.muted { color: var(--muted); }
.small { font-size: 0.8125rem; line-height: 1.45; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: 0.5rem; z-index: 9; background: var(--ground); padding: 0.5rem; }
header.top { position: sticky; top: 0; z-index: 5; background: var(--ground);
  border-bottom: 1px solid var(--rule); }
.bar { display: flex; align-items: center; gap: 1rem; min-height: 3rem; }
.bar nav { flex: 1; min-width: 0; overflow-x: auto; white-space: nowrap; scrollbar-width: none;
  padding-right: 1.5rem; mask-image: linear-gradient(to right, #000 calc(100% - 1.75rem), transparent); }
.bar nav a { color: var(--muted); text-decoration: none; font-size: 0.875rem; padding: 0.5rem 0;
  margin-right: 1.1rem; display: inline-block; }
.bar nav a:hover { color: var(--text); text-decoration: underline; }
.theme { display: flex; flex: none; border: 1px solid var(--rule); border-radius: 6px; overflow: hidden; }
.theme[hidden] { display: none; }
.theme button { border: 0; background: none; color: var(--muted); font: inherit; font-size: 0.75rem;
  padding: 0.3rem 0.6rem; cursor: pointer; }
.theme button[aria-pressed="true"] { background: var(--raised); color: var(--text); font-weight: 600; }
.theme button:focus-visible { outline-offset: -2px; }
.intro { padding: 2rem 0 0; display: grid; gap: 0.75rem; }
.chips { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; list-style: none; margin: 0; padding: 0; }
section { margin-top: 2.5rem; }
section > h2 { padding-bottom: 0.5rem; border-bottom: 1px solid var(--rule); margin-bottom: 1rem; }
section > p { margin-bottom: 1rem; }
.phase { margin-top: 1.75rem; }
.phase > h3 { margin-bottom: 0.75rem; }
.notice { border: 1px solid var(--warn-rule); border-left-width: 4px; background: var(--warn);
  border-radius: 6px; padding: 0.75rem 1rem; margin-top: 1rem; overflow-wrap: anywhere; }
.notice.bad { border-color: var(--behind); background: var(--bad); }
.notice ul { margin: 0.35rem 0 0; padding-left: 1.1rem; }
.cards { display: grid; gap: 1rem; margin-bottom: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.card { border: 1px solid var(--rule); border-radius: 8px; padding: 0.9rem 1rem; min-width: 0; }
.card h3 { margin-bottom: 0.6rem; display: flex; align-items: center; gap: 0.5rem; }
.tally { display: grid; grid-template-columns: auto repeat(3, 1fr); gap: 0.2rem 0.6rem; margin: 0;
  font-variant-numeric: tabular-nums; font-size: 0.875rem; }
.tally > * { text-align: right; white-space: nowrap; align-self: baseline; }
.tally > :nth-child(4n + 1) { text-align: left; }
.tally b { font-size: 1rem; }
.tally b.muted { font-weight: 400; }
.extremes { margin-top: 0.6rem; }
pre { background: var(--raised); border: 1px solid var(--rule); border-radius: 6px; margin: 0;
  padding: 0.6rem 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre span { display: inline-block; max-width: 100%; }
.made { margin-top: 0.75rem; }
details { margin-top: 0.5rem; }
summary { cursor: pointer; font-size: 0.8125rem; color: var(--muted); width: fit-content; padding: 0.15rem 0; }
summary:hover { color: var(--text); }
details > .scroll, details > pre { margin-top: 0.5rem; }
.foot { padding-top: 2.5rem; padding-bottom: 3rem; }
@media ${PHONE} {
  body { font-size: 15px; }
  main, .bar, .foot { padding: 0 1rem; }
  .foot { padding-top: 2rem; padding-bottom: 2rem; }
  h1 { font-size: 1.4rem; }
  .theme button { padding: 0.3rem 0.45rem; }
}
@media print { header.top { position: static; } .theme, .bar nav { display: none; } }
`;

const TABLES = `
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 8px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.8125rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.75rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-top: 1px solid var(--grid); }
thead th { border-top: 0; background: var(--raised); font-weight: 600; vertical-align: bottom; }
tbody th { text-align: left; font-weight: 400; white-space: normal; position: sticky; left: 0; z-index: 1;
  background: var(--ground); min-width: 8.5rem; max-width: 15rem; overflow-wrap: break-word; }
thead th:first-child { text-align: left; white-space: normal; position: sticky; left: 0; z-index: 2; }
tbody th.group { background: var(--raised); font-weight: 600; white-space: nowrap; }
td.gap { background: var(--raised); }
td.name, th.name { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
td .hint, th .hint { display: block; color: var(--muted); font-size: 0.75rem; font-weight: 400; }
.ratio { font-weight: 650; font-size: 0.9375rem; }
.ahead { color: var(--ahead); }
.behind { color: var(--behind); }
.range { color: var(--muted); font-size: 0.75rem; font-weight: 400; }
td > .range { display: block; }
.beside { display: flex; justify-content: end; align-items: baseline; gap: 0.5rem; }
.beside .ratio { font-size: 0.8125rem; min-width: 4.1rem; }
.own { display: block; color: var(--muted); font-size: 0.8125rem; }
.own .range { white-space: nowrap; }
.own b { font-weight: 600; color: var(--text); }
svg.strip { display: block; margin: 0.1rem 0 0.1rem auto; width: 8.5rem; height: 0.875rem; overflow: visible; }
svg.strip .axis { stroke: var(--rule); } svg.strip .one { stroke: var(--muted); }
svg.strip .ahead { stroke: var(--ahead); fill: var(--ahead); }
svg.strip .behind { stroke: var(--behind); fill: var(--behind); }
svg.strip .open { fill: var(--ground); }
svg.size { display: block; margin: 0.15rem 0 0.15rem auto; width: 5.5rem; height: 4px; }
svg.size .rest { fill: var(--grid); }
.swatch { display: inline-block; vertical-align: -0.05em; flex: none; }
dl.facts { display: grid; grid-template-columns: minmax(7rem, max-content) minmax(0, 1fr); gap: 0.25rem 1.25rem;
  margin: 0; font-size: 0.875rem; }
dl.facts dt { color: var(--muted); overflow-wrap: anywhere; }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.pair { display: grid; gap: 1.5rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.pair h3 { margin-bottom: 0.6rem; }
.figures { margin-top: 1.25rem; }
.stores { margin-top: 1.5rem; }
@media ${PHONE} { th, td { padding: 0.35rem 0.5rem; } tbody th { min-width: 6rem; max-width: 7.5rem; }
  thead th:first-child { min-width: 6rem; max-width: 7.5rem; }
  .beside { flex-direction: column-reverse; align-items: end; gap: 0; }
  svg.size { width: 4.5rem; }
  td > .range { white-space: normal; } }
`;

const PLOTS = `
.plots { display: grid; gap: 1.25rem 2rem; margin-top: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { margin-bottom: 0.35rem; }
figcaption .muted { display: block; }
[data-script] .plot { min-height: 300px; }
.plot { touch-action: pan-y pinch-zoom; }
.plot .uplot { width: 100%; }
.plot .u-select { background: color-mix(in srgb, var(--store-0) 14%, transparent); }
.plot .u-hz .u-cursor-x, .plot .u-hz .u-cursor-y { border-color: var(--muted); }
.legend { display: flex; flex-wrap: wrap; gap: 0.15rem 0.5rem; list-style: none; margin: 0 0 0.25rem; padding: 0;
  font-size: 0.8125rem; }
.legend button { display: inline-flex; align-items: center; gap: 0.4rem; border: 0; background: none;
  color: var(--text); font: inherit; padding: 0.15rem 0; cursor: pointer; min-height: 1.6rem; max-width: 100%; }
.legend button span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.legend button[aria-pressed="false"] { color: var(--muted); text-decoration: line-through; }
.legend button[aria-pressed="false"] svg { opacity: 0.3; }
.legend output { display: inline-block; color: var(--muted); font-variant-numeric: tabular-nums; min-width: 4.4em; text-align: left; }
.legend .where { color: var(--muted); align-self: center; font-variant-numeric: tabular-nums; min-height: 1.6rem;
  line-height: 1.6rem; min-width: 7.5em; }
.kinds { display: flex; flex-wrap: wrap; gap: 0.1rem 0.9rem; font-size: 0.75rem; color: var(--muted); }
.kinds span { display: inline-flex; align-items: center; gap: 0.35rem; }
@media print { .plot { break-inside: avoid; } }
`;
