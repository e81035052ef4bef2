/** Edits that do not fit: what the disk says of segments is damage, and no fault of the program. */
import { expect, test } from "vitest";
import { applyEdit } from "../src/edit.ts";
import { emptyVersion } from "../src/version.ts";

const counters = { nextNumber: 9, lastSeq: 5 };
const segment = { number: 4, kind: "seg", totalCount: 3, totalBytes: 300 } as const;

test("more dead values than a segment ever held are damage", () => {
  const held = applyEdit(emptyVersion(), {
    ...counters,
    segmentChanges: [{ ...segment, deadCount: 1, deadBytes: 100 }],
  });
  for (const dead of [
    { deadCount: 3, deadBytes: 10 },
    { deadCount: 1, deadBytes: 201 },
  ]) {
    const segmentChanges = [{ ...segment, totalCount: 0, totalBytes: 0, ...dead }];
    expect(() => applyEdit(held, { ...counters, segmentChanges })).toThrow(
      expect.objectContaining({ code: "AURA_CORRUPTION" }),
    );
  }
});
