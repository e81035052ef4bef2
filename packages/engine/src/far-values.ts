/** Far values: values that stand in logs of values alone, as recovery and feeds meet them. */
import { type FileSystem, hasCode } from "@aura/base";
import { type ValueParts, ValueReader } from "@aura/vlog";
import { filePath } from "./file-names.ts";
import type { OperationReader } from "./operations.ts";

const OPEN_FILES_MAX = 8;
/** A long value is verified in such pieces. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** Reads values by the operations that name them. */
export class FarValues {
  readonly #reader: ValueReader;

  constructor(fs: FileSystem, directory: string) {
    const pathOf = (number: number): string => filePath(directory, number, "vlog");
    this.#reader = new ValueReader(fs, pathOf, OPEN_FILES_MAX);
  }

  /**
   * Whether the value of the operation that `operations` stands on in `bytes` is there, whole and of
   * its key. Throws AURA_IO, AURA_UNSUPPORTED.
   */
  isSound(operations: OperationReader, bytes: Uint8Array): boolean {
    try {
      const value = this.#openSync(operations, bytes);
      for (let at = 0; at < value.bytes; at += PIECE_BYTES) {
        value.readSync(at, Math.min(at + PIECE_BYTES, value.bytes));
      }
      return true;
    } catch (error) {
      if (hasCode(error, "AURA_CORRUPTION") || hasCode(error, "AURA_NOT_FOUND")) return false;
      throw error;
    }
  }

  /** Returns the value of an operation, verified; the caller's own. Its key is `key`, which stays. */
  read(operations: OperationReader, key: Uint8Array): Promise<Buffer> {
    const { file, offset, stored, raw, codec } = operations;
    return this.#reader.read(file, offset, stored, raw, codec, key, 0, key.length);
  }

  /** Lets go of all files. */
  close(): void {
    this.#reader.closeSync();
  }

  #openSync(operations: OperationReader, bytes: Uint8Array): ValueParts {
    const { file, offset, stored, raw, codec, keyStart, keyEnd } = operations;
    return this.#reader.openSync(file, offset, stored, raw, codec, bytes, keyStart, keyEnd);
  }
}
