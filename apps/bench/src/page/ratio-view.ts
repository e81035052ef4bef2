/**
 * How values and ratios look in tables: the number, whether it is ahead or behind (colour, sign and
 * side of the middle line all say the same), and its range over repeats. Drawn as static SVG, so they are
 * there without a script.
 */
import { formatRatio } from "../format.ts";
import { type Figure, storeSpread } from "./figures.ts";
import { type Html, html } from "./html.ts";
import { paletteIndex } from "./palette.ts";
import type { Spread } from "./spread.ts";
import { verdictOf } from "./spread.ts";

const STRIP_WIDTH = 136;
const STRIP_MIDDLE = 7;

/** The ratio that a strip shows at its ends, and its inverse: the largest of all, 2 at least, 32 at most. */
export function stripEnd(ratios: readonly Spread[]): number {
  const far = Math.max(2, ...ratios.flatMap(({ min, max }) => [1 / min, max]));
  return Math.min(32, 2 ** Math.ceil(Math.log2(far) - 1e-9));
}

/** A ratio with its sign: `1.92×` and up, down, or neither where the repeats do not agree. */
export function ratioView(ratio: Spread): Html {
  const side = ratio.median >= 1 ? "ahead" : "behind";
  return html`<span class="ratio ${side}">${formatRatio(ratio.median)}×&nbsp;${signView(ratio)}</span>`;
}

/** The range of a ratio over repeats. */
export function ratioRange(ratio: Spread): Html | undefined {
  return rangeView(ratio, formatRatio);
}

/** A ratio on a logarithmic strip, with 1 in the middle: the range as a line, the median as a dot. */
export function stripView(ratio: Spread, end: number): Html {
  const place = (value: number): string => {
    const part = Math.log2(value) / Math.log2(end);
    const x = STRIP_WIDTH / 2 + Math.max(-1, Math.min(1, part)) * (STRIP_WIDTH / 2 - 5);
    return x.toFixed(1);
  };
  const side = ratio.median >= 1 ? "ahead" : "behind";
  const open = verdictOf(ratio) === "even" ? " open" : "";
  const half = STRIP_WIDTH / 2;
  return html`<svg class="strip" viewBox="0 0 ${STRIP_WIDTH} 14" stroke-width="1.5" aria-hidden="true"><path class="axis" d="M0 ${STRIP_MIDDLE}H${STRIP_WIDTH}"/><path class="one" d="M${half} 0V14"/><path class="${side}" d="M${place(ratio.min)} ${STRIP_MIDDLE}H${place(ratio.max)}M${place(ratio.min)} 3.5V10.5M${place(ratio.max)} 3.5V10.5"/><circle class="${side}${open}" cx="${place(ratio.median)}" cy="${STRIP_MIDDLE}" r="2.5"/></svg>`;
}

/** A store's value: the median, and a bar beside the largest of all stores. */
export function valueView(figure: Figure, store: string, position: number): Html {
  const value = storeSpread(figure, store);
  if (value === undefined) return html`<span class="muted">–</span>`;
  const all = [...figure.values.keys()].map((name) => storeSpread(figure, name)?.median ?? 0);
  const largest = Math.max(...all);
  const width = largest > 0 ? (100 * value.median) / largest : 0;
  const bar = html`<svg class="size" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="rest" width="100" height="4"/><rect width="${width.toFixed(1)}" height="4" style="fill:var(--store-${paletteIndex(position)})"/></svg>`;
  return html`${figure.format(value.median)}${figure.values.size > 1 ? bar : undefined}`;
}

/** The range of a store's value over repeats, where it has one. */
export function valueRange(figure: Figure, store: string): Html | undefined {
  const value = storeSpread(figure, store);
  return value === undefined ? undefined : rangeView(value, figure.format);
}

/** The range of a value over repeats, where it has one: `37.2–41.6 µs`. */
export function rangeView(value: Spread, format: (value: number) => string): Html | undefined {
  const [min, max] = [format(value.min), format(value.max)];
  if (value.count < 2 || min === max) return undefined;
  const unit = (text: string): string => text.replace(/^[\d.,]+/, "");
  const low = unit(min) === unit(max) ? min.slice(0, min.length - unit(min).length) : min;
  return html`<span class="range">${low}–${max}</span>`;
}

/** A store's colour and name. */
export function storeView(store: string, position: number): Html {
  const colour = paletteIndex(position);
  return html`<svg class="swatch" width="10" height="10" aria-hidden="true"><rect width="10" height="10" rx="2" style="fill:var(--store-${colour})"/></svg> ${store}`;
}

function signView(ratio: Spread): Html {
  const verdict = verdictOf(ratio);
  if (verdict === "even") return html`<span title="repeats disagree">≈</span>`;
  return verdict === "ahead"
    ? html`<span title="better">▲</span>`
    : html`<span title="worse">▼</span>`;
}
