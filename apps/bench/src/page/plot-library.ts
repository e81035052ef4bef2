/** The plotting library, uPlot, as a page holds it: script, style sheet and licence, read from the installed package. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { packageVersion } from "../package-version.ts";

/** Files of the library, as text. */
export interface PlotLibrary {
  readonly name: string;
  readonly version: string;
  readonly script: string;
  readonly style: string;
  readonly licence: string;
}

/** Returns the library. Throws when it is not installed, or when it could not stand inside a page. */
export function readPlotLibrary(): PlotLibrary {
  const folder = dirname(createRequire(import.meta.url).resolve("uplot"));
  const read = (...path: string[]): string => readFileSync(join(folder, ...path), "utf8").trim();
  const library = {
    name: "uPlot",
    version: packageVersion("uplot"),
    script: read("uPlot.iife.min.js"),
    style: read("uPlot.min.css"),
    licence: read("..", "LICENSE"),
  };
  for (const text of [library.script, library.style, library.licence]) {
    if (/<\/|<!--|\*\/\s*</.test(text)) throw new Error("uPlot: holds markup, cannot stand inline");
  }
  return library;
}
