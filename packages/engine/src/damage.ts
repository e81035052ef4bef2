/**
 * Damage: tables and segments in which background work has met bytes that fail their check, or that a
 * later build wrote. It leaves them alone from then on, so that one bad block does not stop the rest; a
 * read that meets such a block is told the file and the offset, all other reads go on. Forgotten when the
 * database closes.
 */
import { hasCode } from "@aura/base";

/** Files that are damaged or not to be understood, by number. */
export class Damage {
  readonly tables: Set<number> = new Set<number>();
  readonly segments: Set<number> = new Set<number>();

  /** Notes the file of an error of corruption, or of a later format. Returns whether it names one. */
  note(error: unknown): boolean {
    if (!hasCode(error, "AURA_CORRUPTION") && !hasCode(error, "AURA_UNSUPPORTED")) return false;
    const { file } = error as { readonly file?: string | undefined };
    const match = /(\d+)\.(sst|vlog|seg)$/.exec(file ?? "");
    if (match === null) return false;
    (match[2] === "sst" ? this.tables : this.segments).add(Number(match[1]));
    return true;
  }
}
