/** Under what conditions figures were made, without which they mean nothing: machine, settings, stores. */
import { formatBytes, formatCount } from "../format.ts";
import type { BenchResult, StoreInfo } from "../result.ts";
import { type Html, html } from "./html.ts";
import { storeView } from "./ratio-view.ts";

/** Names of the machine's fields; others are shown by their own. */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ["cpu", "CPU"],
  ["cores", "cores"],
  ["memoryBytes", "memory"],
  ["system", "system"],
  ["node", "Node.js"],
  ["fileSystem", "file system"],
  ["load", "load before"],
]);

/** Returns the section on machine, settings and stores. */
export function conditionsView(result: BenchResult, stores: readonly StoreInfo[]): Html {
  const machine = Object.entries(result.machine ?? {}).map(
    ([name, value]) => [FIELDS.get(name) ?? name, valueText(name, value)] as const,
  );
  const options = Object.entries(result.options ?? {}).map(
    ([name, value]) => [name, valueText(name, value)] as const,
  );
  return html`<section id="conditions"><h2>How it was run</h2>
${commandView(result.command)}
<div class="pair stores"><div><h3>Machine</h3>${factsView(machine)}</div><div><h3>Settings</h3>${factsView(options)}</div></div>
<div class="pair stores">${stores.map(storeFacts)}</div></section>`;
}

/** Returns a command as it can be copied; its lines break between words only, not at hyphens. */
export function commandView(command: string): Html {
  const words = command.split(" ").map((word, i) => html`${i > 0 ? " " : ""}<span>${word}</span>`);
  return html`<pre aria-label="Command">${words}</pre>`;
}

/** Returns a record as a list of terms. */
function factsView(facts: readonly (readonly [name: string, value: string])[]): Html {
  if (facts.length === 0) return html`<p class="muted small">Not reported.</p>`;
  return html`<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

function storeFacts(info: StoreInfo, position: number): Html {
  const { store, package: name, version, note } = info;
  const flags = Object.entries(info.flags ?? {}).map(
    ([key, value]) => [key, valueText(key, value)] as const,
  );
  const facts = Object.entries(info.facts ?? {}).map(
    ([key, value]) => [key, valueText(key, value)] as const,
  );
  const told = [name === store ? "" : name, version === "" ? "version unknown" : version];
  return html`<div><h3>${storeView(store, position)} <span class="muted small">${told.filter((text) => text !== "").join(" ")}</span></h3>
${note === undefined ? undefined : html`<p class="small">${note}</p>`}
<details open><summary>Flags</summary>${factsView(flags)}</details>
${facts.length === 0 ? undefined : html`<details open><summary>What it says of itself</summary>${factsView(facts)}</details>`}</div>`;
}

function valueText(name: string, value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") {
    if (/bytes/i.test(name) && value >= 1024) return formatBytes(value);
    return Number.isInteger(value) ? formatCount(value) : String(Number(value.toPrecision(3)));
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
