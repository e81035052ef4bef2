/**
 * The end of a recovered history: whether it is a torn tail or damage. It is a torn tail only if
 * nothing says that more was durable:
 *
 * - a durable watermark (in any frame that verifies, also behind a bad one) above the end: damage;
 * - all logs made under the running kernel (no power was lost since): only a last frame is torn that
 *   the file cuts off, or that ends in zeros filled ahead of it; anything else is damage. Half a
 *   watermark may stand at the end of another log: a failed write that could not be cut off either;
 * - a clean close promised exact files and a last sequence number: any difference is damage.
 *
 * Damage refuses the open (AURA_CORRUPTION, file and offset), unless the caller asked to salvage.
 */
import type { FileSystem } from "@aura/base";
import { AuraError, corruption } from "@aura/base";
import { fileName } from "./file-names.ts";
import type { ManifestState } from "./manifest.ts";
import type { OpenLog } from "./old-logs.ts";
import type { ResolvedSettings } from "./settings.ts";

/** How logs are recovered. */
type RecoveryMode = ResolvedSettings["wal"]["recovery"];

/** What the merge of all logs has found of their end. Each was read, and scanned, to its own. */
export interface HistoryEnd {
  readonly state: ManifestState;
  readonly logs: readonly OpenLog[];
  /** The last sequence number of the history that was recovered. */
  readonly cutSeq: number;
  /** Highest sequence number that was given. */
  readonly maxSeen: number;
  /** Highest sequence number that a frame calls durable. */
  readonly durableSeen: number;
  /** Why a log could not be read on though it goes on. */
  readonly gap: string | undefined;
}

/** Why the end of a history was cut, and how many sequence numbers are lost. */
export interface HistoryCut {
  readonly reason: string;
  readonly lostSeqs: number;
}

/** Where and how a history is judged. */
export interface EndPlace {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly mode: RecoveryMode;
  /** Why a log was passed over, to salvage the rest. */
  readonly unreadable: AuraError | undefined;
}

/** Decides what the end is. Throws AURA_CORRUPTION for damage, unless it is to be salvaged. */
export function judgeEnd(end: HistoryEnd, place: EndPlace): HistoryCut | undefined {
  const { mode, unreadable } = place;
  const damage = unreadable ?? damageOf(end, place);
  if (damage !== undefined && mode !== "salvage") throw damage;
  const torn = tornEnd(end);
  const lostSeqs = end.maxSeen - end.cutSeq;
  if (torn === undefined && lostSeqs <= 0 && unreadable === undefined) return undefined;
  const reason = damage?.message ?? torn ?? "later sequence numbers were given";
  if (mode === "absolute") {
    throw new AuraError("AURA_CORRUPTION", `the history is cut (${reason}); recovery: absolute`, {
      ...(damage === undefined ? {} : { cause: damage }),
    });
  }
  return { reason, lostSeqs: Math.max(0, lostSeqs) };
}

/** The logs with groups. */
function histories({ logs }: HistoryEnd): OpenLog[] {
  return logs.filter((log) => !log.preamble.valuesAlone);
}

function damageOf(end: HistoryEnd, { fs, directory, mode }: EndPlace): AuraError | undefined {
  const { state, cutSeq } = end;
  const { clean, version } = state;
  const at = endPlace(end);
  if (clean !== undefined) {
    for (const { name, bytes } of clean.files) {
      const path = `${directory}/${name}`;
      if (!fs.existsSync(path)) return corruption(path, 0, "missing after a clean close");
      const actual = fs.fileBytesSync(path);
      if (actual !== bytes) return corruption(path, Math.min(actual, bytes), "wrong length");
    }
    if (cutSeq < clean.lastSeq || tornEnd(end) !== undefined) {
      return corruption(at.path, at.offset, "damage after a clean close");
    }
  }
  if (end.durableSeen > cutSeq) {
    const what = `history up to ${end.durableSeen} was durable, but ends at ${cutSeq}`;
    return corruption(at.path, at.offset, what);
  }
  const bootId = fs.bootId();
  const sameBoot = !state.syncFailed && end.logs.every((log) => log.preamble.bootId === bootId);
  if (end.logs.length === 0 || (!sameBoot && mode !== "tolerate-tail")) return undefined;
  // Without a power loss only what was not written whole is torn; with one, any last frame may be.
  const isTorn = ({ reader }: OpenLog): boolean =>
    reader.cutOff || (!sameBoot && reader.end?.kind === "bad" && reader.laterFrame === undefined);
  const cutOff = histories(end).filter(isTorn);
  const lost = cutOff.filter(({ reader }) => !reader.cutOffInWatermark);
  const bad = histories(end).some((log) => log.reader.end?.kind === "bad" && !isTorn(log));
  if (bad || end.gap !== undefined || lost.length > 1) {
    const why = sameBoot
      ? "damaged, though no power was lost since it was written"
      : "more than a last frame is torn; recovery: tolerate-tail";
    return corruption(at.path, at.offset, why);
  }
  // A cut-off last frame may carry the numbers behind the end; nothing else may.
  let highest = Math.max(version.flushedSeq, cutSeq);
  for (const log of cutOff) {
    const frame = log.reader.end?.frame;
    if (frame !== undefined) highest = Math.max(highest, frame.first + frame.count - 1);
  }
  if (end.maxSeen > highest) return corruption(at.path, at.offset, "the end of a log is missing");
  return undefined;
}

/** Returns why the history does not end with a whole frame, or undefined. */
function tornEnd(history: HistoryEnd): string | undefined {
  if (history.gap !== undefined) return history.gap;
  const vouched = history.state.clean?.files;
  for (const log of histories(history)) {
    // A clean close names the files that count. Another one is a leftover: its removal failed.
    const name = fileName(log.number, log.kind);
    if (vouched !== undefined && !vouched.some((file) => file.name === name)) continue;
    const end = log.reader.end!;
    const holed = end.kind === "zeros" && log.reader.laterFrame !== undefined;
    if (end.kind === "bad" || end.kind === "truncated" || holed) {
      return `${log.reader.path}: ${end.reason} at offset ${end.offset}`;
    }
  }
  return undefined;
}

function endPlace(end: HistoryEnd): { path: string; offset: number } {
  const logs = histories(end);
  const log =
    logs.find((candidate) => candidate.reader.end?.kind === "bad") ??
    logs.find((candidate) => candidate.reader.end?.kind === "truncated") ??
    logs.at(-1);
  return { path: log?.reader.path ?? "log", offset: log?.reader.end?.offset ?? 0 };
}
