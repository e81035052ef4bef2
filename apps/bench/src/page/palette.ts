/**
 * Colours, in light and dark. Lines use the palette of Okabe and Ito (Color Universal Design, 2008), darkened on
 * white and lightened on black until text-sized strokes have a contrast of 3:1; dashes tell the stores
 * apart where colours cannot. Ahead and behind differ in brightness and carry a sign, too.
 */

/** A colour by name: in light, in dark. */
type Shades = readonly [light: string, dark: string];

const STORES: readonly Shades[] = [
  ["#0072b2", "#56b4e9"],
  ["#d55e00", "#ff9a4d"],
  ["#008a64", "#2ccf9f"],
  ["#a8437f", "#e79ac9"],
  ["#806000", "#e9d94a"],
  ["#555b63", "#c4c9cf"],
  ["#7047c9", "#b9a1ff"],
  ["#8a3b12", "#d9a285"],
];

/** Dashes of the stores, in CSS pixels; none is a solid line. */
export const DASHES: readonly (readonly number[])[] = [
  [],
  [9, 3],
  [3, 3],
  [10, 3, 3, 3],
  [6, 2, 2, 2, 2, 2],
  [1, 3],
  [12, 2, 2, 2, 2, 2],
  [4, 7],
];

const COLOURS: Readonly<Record<string, Shades>> = {
  ground: ["#ffffff", "#12161a"],
  raised: ["#f6f7f9", "#1a1f25"],
  text: ["#1b2026", "#e7eaed"],
  muted: ["#59616b", "#9ba4ae"],
  rule: ["#dde1e6", "#303840"],
  grid: ["#e8ebef", "#272e35"],
  ahead: ["#0a7045", "#53cf93"],
  behind: ["#c0262d", "#ff8d88"],
  warn: ["#fff4e0", "#3a2c12"],
  "warn-rule": ["#d08700", "#c9952c"],
  bad: ["#fdebeb", "#401d1f"],
};

/** Returns the declarations of all colours as custom properties. */
export function colourProperties(theme: "light" | "dark"): string {
  const shade = theme === "light" ? 0 : 1;
  const named = Object.entries(COLOURS).map(([name, shades]) => `--${name}:${shades[shade]};`);
  const stores = STORES.map((shades, i) => `--store-${i}:${shades[shade]};`);
  return [...named, ...stores].join("");
}

/** Returns the number of the colour and of the dashes of a store. */
export function paletteIndex(store: number): number {
  return store % STORES.length;
}
