/**
 * Finds the blocks of a table: through its model when it has one that this program knows, else
 * through its separators. A model is trusted with nothing: where a block's own bounds contradict
 * it, the table loads its separators and the model is not used again.
 */
import { AuraError, hasCode } from "@aura/base";
import type { BlockIndex, BlockIndexFormat } from "./block-index.ts";
import { separatorIndex } from "./separator-index.ts";
import type { TableFile } from "./table-file.ts";

/** Bisection over the blocks of one table. One search at a time. */
export class BlockLocator {
  /** Range of the running search; `block` is the one to look at. */
  low = 0;
  high = 0;
  block = 0;
  readonly #file: TableFile;
  #index: BlockIndex | undefined;
  #exact = false;
  #indexName = separatorIndex.name;

  /** Loads the model `indexName` if it is there and one of `formats`, else the separators. */
  constructor(file: TableFile, indexName: string, formats: readonly BlockIndexFormat[]) {
    this.#file = file;
    const { model, blockCount } = file.footer;
    const format = formats.find(({ name }) => name === indexName);
    if (model.bytes > 0 && format !== undefined) {
      try {
        this.#index = format.decode(file.sectionSync(model), blockCount);
        this.#indexName = indexName;
      } catch (error) {
        // A damaged model costs memory, not answers. What the file system refused is an error.
        if (hasCode(error, "AURA_IO")) throw error;
      }
    }
    if (this.#index === undefined) this.loadSeparatorsSync();
  }

  /** The separators are in use: `start` leads to the right block or the table is damaged. */
  get exact(): boolean {
    return this.#exact;
  }

  /** Name of the index in use. */
  get indexName(): string {
    return this.#indexName;
  }

  get residentBytes(): number {
    return this.#index!.residentBytes;
  }

  /** Begins a search; `block` is the first one to look at. */
  start(key: Uint8Array, keyStart: number, keyEnd: number): void {
    const index = this.#index!;
    index.locate(key, keyStart, keyEnd);
    if (this.#exact) {
      this.block = this.low = this.high = index.first;
      return;
    }
    const blockMax = this.#file.blockCount - 1;
    // A damaged model may say anything, NaN included.
    const low = index.first >= 0 && index.first <= blockMax ? Math.floor(index.first) : 0;
    const high = index.last >= low && index.last <= blockMax ? Math.floor(index.last) : blockMax;
    this.low = low;
    this.high = high;
    // Of two blocks the later one: a model wavers where a key is the bound between two blocks.
    this.block = (low + high + 1) >>> 1;
  }

  /** Takes up a search where it waited for `block`. */
  resume(low: number, high: number, block: number): void {
    this.low = low;
    this.high = high;
    this.block = block;
  }

  /** Goes on to the block behind, for further versions of the last key of `block`. */
  follow(): void {
    this.block = this.low = this.high = this.block + 1;
  }

  /**
   * Goes on to the other blocks of the range on one side (-1 or 1) of `block`. Returns false when
   * there are none: the index was wrong.
   */
  turn(side: number): boolean {
    if (side < 0) this.high = this.block - 1;
    else this.low = this.block + 1;
    if (this.low > this.high) return false;
    this.block = (this.low + this.high) >>> 1;
    return true;
  }

  loadSeparatorsSync(): void {
    if (!this.#exact) this.#useSeparators(this.#file.sectionSync(this.#file.footer.separators));
  }

  async loadSeparators(): Promise<void> {
    if (!this.#exact) this.#useSeparators(await this.#file.section(this.#file.footer.separators));
  }

  #useSeparators(bytes: Uint8Array): void {
    const { path, footer, blockCount } = this.#file;
    try {
      this.#index = separatorIndex.decode(bytes, blockCount);
    } catch (cause) {
      throw separatorsDamaged(path, footer.separators.offset, cause as Error);
    }
    this.#exact = true;
    this.#indexName = separatorIndex.name;
  }
}

function separatorsDamaged(file: string, offset: number, cause: Error): AuraError {
  const message = `${file}: ${cause.message} at offset ${offset}`;
  return new AuraError("AURA_CORRUPTION", message, { cause, file, offset });
}
