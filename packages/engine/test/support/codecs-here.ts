/**
 * Which codecs compress in this run: all of them, but where it keeps optional native modules away
 * (`npm run test:nodes`). What such a run does without stands in its log.
 */
import * as zlib from "node:zlib";
import type { CodecName } from "@aura/base";

const isBare = process.env["AURA_NATIVES"] === "absent";

/** The codecs that nothing compresses with here. Any other that does not is a failure. */
export const ABSENT: readonly CodecName[] = isBare
  ? // Node 22.15 has a zstd of its own.
    ["lz4", "snappy", ...("zstdCompressSync" in zlib ? [] : (["zstd"] as const))]
  : [];

if (ABSENT.length > 0) {
  process.stderr.write(
    `\n*** no ${ABSENT.join(", ")} here: where it does not matter which codec, deflate stands in ***\n\n`,
  );
}

/** Returns the codec, or where it is absent the one that needs no module. */
export function codecHere(codec: CodecName): CodecName {
  return ABSENT.includes(codec) ? "deflate" : codec;
}

/** Returns whether the codec is absent, for what has to be skipped then; says that `what` is NOT tested. */
export function isAbsent(codec: CodecName, what: string): boolean {
  const isMissing = ABSENT.includes(codec);
  if (isMissing) {
    process.stderr.write(`\n*** SKIPPED: no ${codec} here; NOT tested: ${what} ***\n\n`);
  }
  return isMissing;
}
