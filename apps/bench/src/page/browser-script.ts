/**
 * The script of the page: draws the plots, lets lines be switched off and read by pointer or keys, and
 * switches light and dark. It runs in the reader's browser: `browserScript` returns the source text of the
 * functions of this file, so they use nothing from outside of it but each other and the globals declared
 * here. The types of the browser are cut down to what is used: the rest of the project runs in Node.js.
 */
import type uPlot from "uplot";
import type { Lane, Plot } from "./plot.ts";

/** What the page holds for its script. */
export interface PageData {
  readonly stores: readonly { readonly name: string; readonly colour: number }[];
  readonly dashes: readonly (readonly number[])[];
  readonly plots: readonly Plot[];
}

interface Element {
  readonly dataset: Record<string, string | undefined>;
  readonly style: Record<string, string>;
  readonly clientWidth: number;
  textContent: string | null;
  hidden: boolean;
  open: boolean;
  tabIndex: number;
  querySelector(selector: string): Element | null;
  querySelectorAll(selector: string): Iterable<Element>;
  setAttribute(name: string, value: string): void;
  append(...nodes: (Element | string)[]): void;
  before(...nodes: (Element | string)[]): void;
  addEventListener(type: string, listener: (event: PressedKey) => void): void;
}

interface PressedKey {
  readonly key: string;
  preventDefault(): void;
}

declare const document: Element & {
  readonly documentElement: Element;
  createElement(name: string): Element;
  createElementNS(space: string, name: string): Element;
};
declare const window: { addEventListener(type: string, listener: () => void): void };
declare const localStorage: { getItem(key: string): string | null } & {
  setItem(key: string, value: string): void;
};
declare function getComputedStyle(element: Element): { getPropertyValue(name: string): string };
declare function matchMedia(query: string): {
  addEventListener(type: "change", listener: () => void): void;
};
declare class ResizeObserver {
  constructor(listener: () => void);
  observe(element: Element): void;
}
declare class IntersectionObserver {
  constructor(
    listener: (
      entries: readonly { readonly isIntersecting: boolean; readonly target: Element }[],
    ) => void,
    options: { readonly rootMargin: string },
  );
  observe(element: Element): void;
  unobserve(element: Element): void;
}
/** A path of the canvas, and how it is painted. */
interface Brush {
  fillStyle: string;
  strokeStyle: string;
  lineWidth: number;
  globalAlpha: number;
  save(): void;
  restore(): void;
  beginPath(): void;
  rect(x: number, y: number, width: number, height: number): void;
  clip(): void;
  fill(): void;
  stroke(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  setLineDash(dashes: readonly number[]): void;
}

/** Returns the script as text. It expects `uPlot` as a global, and `PageData` in `#plots`. */
export function browserScript(): string {
  const functions = [
    readColour,
    tickText,
    tailTicks,
    drawWork,
    drawLanes,
    plotOptions,
    lineSample,
    addLegend,
    addKeys,
    drawPlot,
    startTheme,
    startPage,
  ];
  return `${functions.map(String).join("\n")}\n${startPage.name}();`;
}

function readColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A number on an axis or in a legend, with its unit. */
function tickText(value: number, unit: string): string {
  const short = (part: number): string => String(Number(part.toPrecision(3)));
  if (unit === "us") {
    if (value < 1) return `${short(value * 1000)} ns`;
    if (value < 1000) return `${short(value)} µs`;
    return value < 1e6 ? `${short(value / 1000)} ms` : `${short(value / 1e6)} s`;
  }
  if (unit === "rate") {
    if (value < 1000) return short(value);
    return value < 1e6 ? `${short(value / 1000)}k` : `${short(value / 1e6)}M`;
  }
  if (unit === "tail") {
    const percent = 100 - 100 / 10 ** value;
    return percent.toFixed(Math.max(0, Math.ceil(value - 0.01) - 2));
  }
  return short(value);
}

/** Places of 0, 50, 90, 99, 99.9, ... percent, as many as have room. */
function tailTicks(width: number, min: number, max: number): number[] {
  const decade = width / Math.max(max - min, 0.1);
  const step = Math.max(1, Math.ceil(52 / decade));
  const ticks = decade > 90 ? [0, Math.log10(2)] : [0];
  for (let nines = 1; nines <= max; nines += step) ticks.push(nines);
  return ticks.filter((tick) => tick >= min && tick <= max);
}

/** Draws one piece of background work; what overlaps stays visible. */
function drawWork(pen: Brush, kind: string, x: number, y: number, w: number, h: number): void {
  pen.save();
  pen.beginPath();
  if (kind === "flush") {
    pen.rect(x, y + h * 0.3, w, h * 0.4);
    pen.fill();
  } else if (kind === "compaction") {
    pen.rect(x, y, w, h);
    pen.globalAlpha = 0.4;
    pen.fill();
  } else if (kind === "gc") {
    pen.rect(x, y, w, h);
    pen.clip();
    pen.beginPath();
    for (let at = x - h; at < x + w; at += h * 0.45) {
      pen.moveTo(at, y + h);
      pen.lineTo(at + h, y);
    }
    pen.stroke();
  } else {
    const line = pen.lineWidth;
    pen.rect(x + line / 2, y + line / 2, Math.max(w - line, 0), h - line);
    if (kind !== "drain") pen.setLineDash([line, line]);
    pen.stroke();
  }
  pen.restore();
}

/** Draws the lanes of background work between the plot and the numbers of its axis. */
function drawLanes(plot: uPlot, lanes: readonly Lane[], data: PageData, ratio: number): void {
  const pen = plot.ctx as Brush;
  const { left, top, width, height } = plot.bbox;
  lanes.forEach(({ store, works }, i) => {
    const y = top + height + (7 + i * 11) * ratio;
    const h = 8 * ratio;
    pen.save();
    pen.fillStyle = pen.strokeStyle = readColour(`store-${data.stores[store]!.colour}`);
    pen.lineWidth = ratio;
    pen.beginPath();
    pen.rect(left - 16 * ratio, y + h * 0.35, 10 * ratio, h * 0.3);
    pen.fill();
    pen.globalAlpha = 0.12;
    pen.beginPath();
    pen.rect(left, y, width, h);
    pen.fill();
    pen.globalAlpha = 1;
    pen.clip();
    for (const [from, to, kind] of works) {
      const x = plot.valToPos(from, "x", true);
      const w = Math.max(plot.valToPos(to, "x", true) - x, ratio);
      if (x + w >= left && x <= left + width) drawWork(pen, kind, x, y, w, h);
    }
    pen.restore();
  });
}

function plotOptions(
  spec: Plot,
  data: PageData,
  ratio: () => number,
): Omit<uPlot.Options, "width"> {
  const laneSpace = spec.lanes.length === 0 ? 0 : 9 + spec.lanes.length * 11;
  const font = "12px system-ui, sans-serif";
  const paint = { stroke: () => readColour("muted"), font, labelFont: font, labelSize: 18 };
  const grid = { stroke: () => readColour("grid"), width: 1 };
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const { store, low } of spec.lines) {
    const { colour } = data.stores[store]!;
    const stroke = () => readColour(`store-${colour}`);
    const width = store === 0 ? 2.25 : 1.75;
    const dash = [...data.dashes[colour]!];
    const few = spec.xs.length < 3;
    series.push({ stroke, width, dash, spanGaps: true, points: { show: few } });
    if (low === undefined) continue;
    const edge = { stroke: "transparent", width: 0, spanGaps: true, points: { show: false } };
    bands.push({
      series: [series.length + 1, series.length],
      fill: () => `${readColour(`store-${colour}`)}26`,
    });
    series.push(edge, edge);
  }
  const xAxis: uPlot.Axis =
    spec.x === "tail"
      ? { splits: (plot, _axis, min, max) => tailTicks(plot.width - 80, min, max) }
      : { space: 60 };
  // All of it reaches from 0 to the end of the last work; a part that was chosen stays as it is.
  const [first, last] = [spec.xs[0]!, spec.xs[spec.xs.length - 1]!];
  const ends = spec.lanes.flatMap(({ works }) => works.map(([, to]) => to));
  const end = ends.reduce((most, to) => (to > most ? to : most), last);
  const xRange = (_plot: uPlot, min: number, max: number): [number, number] =>
    min <= first && max >= last ? [0, end] : [min, max];
  const decades = (plot: uPlot, splits: number[]): (number | null)[] => {
    const { min = 1, max = 1 } = plot.scales["y"] ?? {};
    const many = spec.logarithmic && Math.log10((max ?? 1) / (min ?? 1)) > 2;
    const isDecade = (y: number) => Math.abs(Math.log10(y) - Math.round(Math.log10(y))) < 1e-6;
    return splits.map((y) => (many && !isDecade(y) ? null : y));
  };
  const yScale: uPlot.Scale = spec.logarithmic
    ? { distr: 3 }
    : { range: (_plot, min, max) => [spec.y === "factor" ? Math.min(1, min) : 0, max * 1.06 || 1] };
  return {
    height: 300 + laneSpace,
    legend: { show: false },
    padding: [8, spec.x === "tail" ? 22 : 12, 0, 0],
    cursor: { drag: { x: true, y: false, dist: 8 }, y: false, points: { size: 7 } },
    scales: { x: { time: false, range: xRange }, y: yScale },
    series,
    bands,
    axes: [
      {
        ...paint,
        ...xAxis,
        grid,
        label: spec.xLabel,
        ticks: { show: laneSpace === 0, stroke: grid.stroke, size: 4, width: 1 },
        gap: 4 + laneSpace,
        size: 24 + laneSpace,
        values: (_plot, splits) =>
          splits.map((x) => tickText(x, spec.x === "tail" ? "tail" : "number")),
      },
      {
        ...paint,
        grid: { ...grid, filter: decades },
        label: spec.yLabel,
        ticks: { show: false },
        size: 54,
        values: (_plot, splits) => splits.map((y) => (y === null ? "" : tickText(y, spec.y))),
      },
    ],
    hooks: { draw: [(plot) => drawLanes(plot, spec.lanes, data, ratio())] },
  };
}

/** A piece of a store's line, for the legend. */
function lineSample(colour: number, dash: readonly number[]): Element {
  const make = (name: string) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const svg = make("svg");
  const line = make("path");
  svg.setAttribute("width", "22");
  svg.setAttribute("height", "4");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", "M0 2H22");
  line.setAttribute("stroke-width", "2.5");
  line.setAttribute("stroke-dasharray", dash.join(" "));
  line.style["stroke"] = `var(--store-${colour})`;
  svg.append(line);
  return svg;
}

/** Adds the legend: a button per store that switches its line, with the value under the cursor. */
function addLegend(holder: Element, plot: uPlot, spec: Plot, data: PageData): () => void {
  const list = document.createElement("ul");
  list.setAttribute("class", "legend");
  const values: { readonly at: number; readonly cell: Element }[] = [];
  let at = 1;
  for (const { store, low } of spec.lines) {
    const { name, colour } = data.stores[store]!;
    const first = at;
    at += low === undefined ? 1 : 3;
    const last = at;
    const item = document.createElement("li");
    const button = document.createElement("button");
    const text = document.createElement("span");
    const cell = document.createElement("output");
    text.textContent = name;
    button.setAttribute("type", "button");
    button.setAttribute("aria-pressed", "true");
    button.append(lineSample(colour, data.dashes[colour]!), text);
    let shown = true;
    button.addEventListener("click", () => {
      shown = !shown;
      button.setAttribute("aria-pressed", String(shown));
      for (let i = first; i < last; i++) plot.setSeries(i, { show: shown });
    });
    item.append(button, " ", cell);
    list.append(item);
    values.push({ at: first, cell });
  }
  const where = document.createElement("li");
  where.setAttribute("class", "where");
  const hint = "point or tap to read";
  where.textContent = hint;
  list.append(where);
  holder.before(list);
  return () => {
    const index = plot.cursor.idx ?? undefined;
    const x = index === undefined ? undefined : plot.data[0][index];
    const unit = spec.x === "tail" ? "%" : "s";
    const kind = spec.x === "tail" ? "tail" : "number";
    where.textContent = x === undefined ? hint : `at ${tickText(x, kind)} ${unit}`;
    for (const { at: line, cell } of values) {
      // Lines of other stores may have their points elsewhere: the last one before counts.
      let from = index ?? -1;
      while (from >= 0 && typeof plot.data[line]![from] !== "number") from--;
      const y = from < 0 ? null : plot.data[line]![from];
      cell.textContent = typeof y === "number" ? tickText(y, spec.y) : "";
    }
  };
}

/** Lets the arrow keys, Home and End move the cursor; Escape takes it away and shows all again. */
function addKeys(holder: Element, plot: uPlot, spec: Plot): void {
  holder.addEventListener("keydown", (event) => {
    const { xs } = spec;
    const now = plot.cursor.idx ?? -1;
    const step = Math.max(1, Math.round(xs.length / 50));
    const goals: Readonly<Record<string, number>> = {
      ArrowRight: now + step,
      ArrowLeft: now - step,
      Home: 0,
      End: xs.length - 1,
    };
    if (event.key === "Escape") {
      plot.setScale("x", { min: xs[0]!, max: xs[xs.length - 1]! });
      plot.setCursor({ left: -10, top: -10 });
      return;
    }
    const goal = goals[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    const index = Math.min(Math.max(goal, 0), xs.length - 1);
    plot.setCursor({ left: plot.valToPos(xs[index]!, "x"), top: 1 });
  });
}

function drawPlot(figure: Element, data: PageData, library: typeof uPlot): uPlot {
  const spec = data.plots[Number(figure.dataset["plot"])]!;
  const holder = figure.querySelector(".plot")!;
  const columns = spec.lines.flatMap(({ ys, low, high }) =>
    low === undefined || high === undefined ? [ys] : [ys, low, high],
  );
  const options = plotOptions(spec, data, () => library.pxRatio);
  const width = Math.max(holder.clientWidth, 200);
  const all = [spec.xs, ...columns] as unknown as uPlot.AlignedData;
  const plot = new library({ ...options, width }, all, holder as unknown as undefined);
  const readOut = addLegend(holder, plot, spec, data);
  plot.hooks.setCursor = [...(plot.hooks.setCursor ?? []), readOut];
  addKeys(holder, plot, spec);
  holder.tabIndex = 0;
  holder.setAttribute("role", "group");
  holder.setAttribute("aria-label", `${spec.title}: plot. Arrow keys read its values.`);
  new ResizeObserver(() => {
    if (holder.clientWidth !== plot.width && holder.clientWidth > 0) {
      plot.setSize({ width: holder.clientWidth, height: plot.height });
    }
  }).observe(holder);
  figure.dataset["drawn"] = "true";
  return plot;
}

/** Makes the switch of light and dark work; "auto" follows the system. */
function startTheme(redraw: () => void): void {
  const root = document.documentElement;
  const choice = document.querySelector(".theme");
  const buttons = [...document.querySelectorAll(".theme button")];
  const set = (theme: string): void => {
    root.dataset["theme"] = theme;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset["set"] === theme));
    }
    redraw();
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const theme = button.dataset["set"] ?? "auto";
      set(theme);
      // A page from a file may have no storage: then the choice lasts as long as the page.
      try {
        localStorage.setItem("aura-bench-theme", theme);
      } catch {}
    });
  }
  let kept: string | null = null;
  try {
    kept = localStorage.getItem("aura-bench-theme");
  } catch {}
  set(kept === "light" || kept === "dark" ? kept : "auto");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (choice !== null) choice.hidden = false;
}

function startPage(): void {
  const library = (globalThis as unknown as { uPlot: typeof uPlot }).uPlot;
  const data = JSON.parse(document.querySelector("#plots")!.textContent ?? "") as PageData;
  const drawn = new Map<Element, uPlot>();
  document.documentElement.dataset["script"] = "on";
  for (const details of document.querySelectorAll("details")) details.open = false;
  startTheme(() => {
    for (const plot of drawn.values()) plot.redraw();
  });
  const draw = (figure: Element): void => {
    if (!drawn.has(figure)) drawn.set(figure, drawPlot(figure, data, library));
  };
  const figures = [...document.querySelectorAll("figure[data-plot]")];
  // A long page has many plots: each is drawn when it comes near.
  const near = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: "900px" },
  );
  for (const figure of figures) near.observe(figure);
  window.addEventListener("beforeprint", () => {
    for (const figure of figures) draw(figure);
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
}
