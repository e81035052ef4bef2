/** Runs a list of windows on a simulated tree, steered by somebody, and adds up the seconds. */
import { WINDOW_OPERATIONS } from "./scenarios.mjs";

/** Returns the shape with the same K everywhere. */
function shapeOf(agent, geometry, runs, trigger) {
  const levels = Array.from({ length: geometry.levelCount - 1 }, () => ({ runs }));
  return agent.reshaped(agent.modeShape("leveled", geometry, trigger), { levels });
}

/** The static hull, by name. */
export function hullOf(agent, geometry) {
  const { runs, triggers } = agent.choicesOf(geometry);
  return Object.fromEntries(
    triggers.flatMap((trigger) =>
      runs.map((k) => [`k${k} t${trigger}`, shapeOf(agent, geometry, k, trigger)]),
    ),
  );
}

/**
 * Runs the windows. `steer(observation, shape, window)` returns the next shape or undefined. At the
 * end the tree is brought to rest in the shape it began with: what was put off is paid.
 * Returns seconds in all, by phase, and of deciding.
 */
export function run(agent, settings, windows, steer, start = settings.shape) {
  const simulator = new agent.Simulator({ ...settings, shape: start });
  const phases = [];
  let total = 0;
  let debt = 0;
  let decidingMs = 0;
  let changes = 0;
  const p = { stalls: 0 };
  for (const [i, { phase, mix }] of windows.entries()) {
    const observation = simulator.window(mix, WINDOW_OPERATIONS);
    const seconds = agent.windowSeconds(observation, settings.costs, debt);
    debt = observation.debtBytes;
    total += seconds.total;
    p.stalls += seconds.stalls;
    phases[phase] = (phases[phase] ?? 0) + seconds.total;
    const begin = performance.now();
    const next = steer(observation, simulator.policy.shape, windows[i + 1]);
    decidingMs += performance.now() - begin;
    if (next === undefined) continue;
    simulator.reshape(next);
    changes++;
  }
  tally.windows += windows.length;
  const before = simulator.tree.mergedBytesRead;
  simulator.policy.reshape(settings.shape);
  simulator.tree.settle();
  total += (simulator.tree.mergedBytesRead - before - debt) * settings.costs.mergedByte;
  return { total, phases, decidingMs, changes, stalls: p.stalls, simulator };
}

/** Windows that were run so far. */
export const tally = { windows: 0 };

/** Keeps the shape that it begins with. */
export const staysAs = () => undefined;
