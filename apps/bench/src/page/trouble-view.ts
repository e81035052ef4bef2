/** What went wrong in a run, at the head of its report: nobody has to look for it. */
import { formatCount } from "../format.ts";
import { type BenchResult, RESULT_FORMAT } from "../result.ts";
import { groupName } from "./headline.ts";
import { type Html, html } from "./html.ts";

/** Returns the notices of a result; nothing when all went well. */
export function troubleView(result: BenchResult): readonly Html[] {
  const notices: Html[] = [];
  if (result.format !== RESULT_FORMAT) {
    notices.push(
      noticeView(
        `The result has format ${String(result.format)}, this page reads ${RESULT_FORMAT}: figures may be missing.`,
      ),
    );
  }
  if (result.interrupted === true) {
    notices.push(
      noticeView("The run was interrupted: this page shows what was measured until then."),
    );
  }
  const failures = result.runs.flatMap(({ failure, ...run }) =>
    failure === undefined
      ? []
      : [html`<li><b>${run.store}</b>, ${run.workload}, repeat ${run.repeat + 1}: ${failure}</li>`],
  );
  if (failures.length > 0)
    notices.push(listView(countText(failures.length, "run", "failed"), failures));
  const wrong = result.runs.flatMap((run) =>
    run.phases
      .filter((phase) => (phase.wrong ?? 0) > 0)
      .map(
        (phase) =>
          html`<li><b>${run.store}</b>, ${groupName(run.workload, phase.name)}, repeat ${run.repeat + 1}: ${formatCount(phase.wrong ?? 0)} of ${formatCount(phase.ops)}</li>`,
      ),
  );
  if (wrong.length > 0) notices.push(listView("A store gave wrong answers", wrong));
  if (result.runs.length === 0) notices.push(noticeView("Nothing was measured."));
  return notices;
}

function countText(count: number, noun: string, verb: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"} ${verb}`;
}

function noticeView(text: string): Html {
  return html`<div class="notice" role="note">${text}</div>`;
}

function listView(title: string, items: readonly Html[]): Html {
  return html`<div class="notice bad" role="note"><b>${title}</b><ul>${items}</ul></div>`;
}
