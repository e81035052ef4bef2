export type {
  AgentAlgorithm,
  AgentDecision,
  AgentSettings,
  AgentWeights,
  CompactionAgent,
  DecisionReason,
  LevelObservation,
  SafetyLimits,
  UnitCosts,
  WindowObservation,
  WindowSeconds,
} from "./agent.ts";
export { AGENT_ALGORITHMS, createAgent } from "./agents.ts";
export { flexiblePolicy } from "./flexible.ts";
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
  SpaceNeed,
  TableView,
  TreeView,
} from "./policy.ts";
export { type TreeGeometry, type TreeSettings, treeGeometry } from "./settings.ts";
export {
  activeCapacity,
  type CompactionMode,
  type LevelShape,
  modeShape,
  type Reception,
  receptionOf,
  reshaped,
  runsMax,
  type ShapeChange,
  type TreeShape,
} from "./shape.ts";
export { type LevelTargets, levelBytes, levelTargets, targetsOf } from "./targets.ts";
export { type Choices, choicesOf } from "./tree-setting.ts";
export { Trial, type TrialSettings, type TrialVerdict } from "./trial.ts";
export {
  type KnownCosts,
  knownCosts,
  nonsenseIn,
  TYPICAL_COSTS,
  windowSeconds,
} from "./window-seconds.ts";
