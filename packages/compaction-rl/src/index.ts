export { leveledPolicy } from "./leveled.ts";
export type {
  CompactionChoice,
  CompactionOutcome,
  CompactionPolicy,
  IdleChoice,
  LevelView,
  MergeChoice,
  MergeInput,
  MergeReason,
  MoveChoice,
  RunView,
  SegmentReference,
  TableView,
  TreeView,
} from "./policy.ts";
export { type LeveledSettings, type LeveledShape, leveledShape } from "./settings.ts";
export { chooseForSpace, type SpaceNeed } from "./space.ts";
export { type LevelTargets, levelBytes, levelTargets } from "./targets.ts";
