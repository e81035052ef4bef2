/** A block index of piecewise linear models, for the block index port of @aura/sst. */

export {
  type LearnedIndex,
  type LearnedIndexBuilder,
  type LearnedIndexFormat,
  type LearnedIndexSettings,
  learnedIndex,
} from "./learned-index.ts";
