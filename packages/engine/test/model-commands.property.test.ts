/**
 * The engine beside a map under commands of fast-check: writes, reads, snapshots, flush, compaction and
 * collection of values, modes, reopens, kills and power losses. What fails comes shrunk, as the few
 * commands that are needed for it; model.property.test.ts does more at a time, and goes much further.
 *
 * AURA_COMMAND_RUNS takes more histories, AURA_COMMAND_SEED others.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { CompactionRequest, Durability } from "../src/index.ts";
import { CommandedDb, CommandModel, type CrashKind } from "./support/commanded.ts";
import { noteCounts } from "./support/counts.ts";
import { bytesOf, type Change, expectSame, NASTY, shown } from "./support/model-state.ts";

const RUNS = Number(process.env["AURA_COMMAND_RUNS"] ?? "25");
const SEED = Number(process.env["AURA_COMMAND_SEED"] ?? "1");

/** All of them take one operation or few to happen. */
const SETTINGS = {
  maxOpenFiles: 16,
  wal: { maxFileSize: 65_536 },
  valueLog: { separationThreshold: 200, maxSegmentSize: 65_536, spaceAmplificationMax: 1.05 },
  memtable: { maxSize: 262_144 },
  table: { maxSize: 16_384, blockSize: 512 },
  compaction: { l0Trigger: 1, baseLevelSize: 65_536, fanout: 2 },
};

/** Histories that the shrinker tries: each is a database, and a failing one has hundreds of smaller. */
const SHRINKS_MAX = 200;

type Command = fc.AsyncCommand<CommandModel, CommandedDb>;

const tally = new Map<string, number>();

/** A command by name; behind each stands the crash that came in it. */
function command(
  name: string,
  act: (model: CommandModel, real: CommandedDb) => Promise<void> | void,
  check: (model: Readonly<CommandModel>) => boolean = () => true,
): Command {
  return {
    check,
    run: async (model, real) => {
      const [word] = name.split(" ") as [string];
      tally.set(word, (tally.get(word) ?? 0) + 1);
      await act(model, real);
      await real.settle(model);
    },
    toString: () => name,
  };
}

const keys = fc.oneof(
  fc.constantFrom(...NASTY.slice(0, -1)),
  fc.nat({ max: 30 }).map((n) => `k${n}`),
);
const levels = fc.constantFrom<Durability>("buffered", "os", "sync");
const values = fc
  .record({ length: fc.constantFrom(0, 1, 20, 199, 200, 201, 3000, 9000), fill: fc.nat(255) })
  .map(({ length, fill }) => Buffer.alloc(length, `${fill}.`));
const pairs = fc.tuple(keys, fc.option(values, { nil: undefined }));

/** A range between two keys, as the caller gives it. */
const ranges = fc
  .uniqueArray(keys, { minLength: 2, maxLength: 2 })
  .map((both) => both.sort() as [string, string])
  .map(
    ([low, high]): Change => ({
      range: { gte: bytesOf(low), lt: bytesOf(high) },
      holds: (key) => key >= low && key < high,
    }),
  );

const told = (changes: readonly Change[]): string =>
  changes
    .map((change) =>
      "range" in change
        ? `range ${shown(Buffer.from(change.range.gte as Buffer).toString("latin1"))}..`
        : `${shown(change[0])}=${change[1]?.length ?? "delete"}`,
    )
    .join(" ");

const modes = fc.constantFrom<CompactionRequest>("leveled", "tiered", "lazy-leveled", {
  levels: [{ runs: 3 }, { runs: 2 }, { runs: 1 }],
});

const writes = fc
  .record({
    changes: fc.oneof(
      { weight: 6, arbitrary: pairs.map((pair): Change[] => [pair]) },
      { weight: 3, arbitrary: fc.array(pairs, { minLength: 1, maxLength: 12 }) },
      { weight: 1, arbitrary: ranges.map((range): Change[] => [range]) },
    ),
    level: levels,
    isSync: fc.boolean(),
  })
  .map(({ changes, level, isSync }) =>
    command(`write ${level} ${told(changes)}`, async (model, real) => {
      // Ahead of the call: an image within it may have the write or not.
      model.writes.push(changes);
      await real.write(changes, level, isSync);
      model.writes.pop();
      model.write(changes, level);
    }),
  );

/** Enough small entries to make tables of several blocks, and levels of several tables. */
const fills = fc
  .record({
    from: fc.nat({ max: 1500 }),
    count: fc.integer({ min: 100, max: 700 }),
    fill: fc.nat(255),
  })
  .map(({ from, count, fill }) =>
    command(`fill ${from} ${count}`, async (model, real) => {
      const changes: Change[] = Array.from({ length: count }, (_, i) => [
        `f${(from + i) % 2000}`,
        i % 7 === 0 ? undefined : Buffer.alloc((i * 37) % 190, `${fill} ${i}.`),
      ]);
      model.writes.push(changes);
      await real.write(changes, "os", fill % 2 === 0);
      model.writes.pop();
      model.write(changes, "os");
    }),
  );

const gets = keys.map((key) =>
  command(`get ${shown(key)}`, async (model, real) => {
    expectSame(await real.db.get(bytesOf(key)), model.now.get(key), key);
    expect(real.db.hasSync(bytesOf(key))).toBe(model.now.has(key));
  }),
);

const durably = (name: string, act: (real: CommandedDb) => Promise<void>): Command =>
  command(name, async (model, real) => {
    await act(real);
    model.makeDurable();
  });

const crashes = fc
  .record({
    kind: fc.constantFrom<CrashKind>("power", "kill"),
    after: fc.nat({ max: 30 }),
    seed: fc.nat({ max: 1000 }),
  })
  .map(({ kind, after, seed }) =>
    command(`crash ${kind} ${after} ${seed}`, (model, real) => real.arm(kind, after, seed, model)),
  );

const taken = command("snapshot", (model, real) => {
  real.hold();
  model.held.push(new Map(model.now));
});

/** One of the snapshots that are held, by any number. */
const held = (
  word: string,
  act: (model: CommandModel, real: CommandedDb, at: number) => Promise<void> | void,
): fc.Arbitrary<Command> =>
  fc.nat({ max: 9 }).map((n) =>
    command(
      `${word} ${n}`,
      (model, real) => act(model, real, n % model.held.length),
      (model) => model.held.length > 0,
    ),
  );

const past = held("past", (model, real, at) => real.compare(model.held[at]!, real.heldAt(at)));
const release = held("release", (model, real, at) => {
  real.release(at);
  model.held.splice(at, 1);
});

const one = (weight: number, arbitrary: fc.Arbitrary<Command>): fc.WeightedArbitrary<Command> => ({
  weight,
  arbitrary,
});
const always = (weight: number, what: Command): fc.WeightedArbitrary<Command> =>
  one(weight, fc.constant(what));

const histories = fc.array(
  fc.oneof(
    one(12, writes),
    one(16, fills),
    one(4, gets),
    one(6, past),
    one(2, release),
    one(1, crashes),
    always(
      3,
      command("scan", (model, real) => real.compare(model.now)),
    ),
    always(4, taken),
    always(
      8,
      durably("flush", (real) => real.db.flush()),
    ),
    always(
      2,
      durably("sync", (real) => real.db.sync()),
    ),
    always(
      1,
      durably("compact", (real) => real.db.compact()),
    ),
    // Merges, relocation and removal of segments go on until nothing is left to do.
    always(
      6,
      command("collect", (_model, real) => real.db.idle()),
    ),
    always(
      1,
      command("reopen", (model, real) => real.reopen(model)),
    ),
    one(
      1,
      modes.map((mode) =>
        command(`mode ${JSON.stringify(mode)}`, (_, real) => real.db.setCompactionMode(mode)),
      ),
    ),
  ),
  { maxLength: 160, size: "max" },
);

test("the engine does what a map does, whatever it is told to", {
  timeout: 1_800_000,
}, async () => {
  let failed = 0;
  const live = async (history: Iterable<Command>, seed: number): Promise<void> => {
    fc.pre(failed === 0 || failed++ < SHRINKS_MAX);
    const model = new CommandModel();
    const real = new CommandedDb(SETTINGS, seed);
    try {
      await real.open();
      await fc.asyncModelRun(() => ({ model, real }), history);
      await real.compare(model.now);
      await real.close();
    } catch (error) {
      failed = Math.max(failed, 1);
      await real.db.close().catch(() => undefined);
      throw error;
    }
  };
  await fc.assert(fc.asyncProperty(histories, fc.nat({ max: 1000 }), live), {
    numRuns: RUNS,
    seed: SEED,
  });
  noteCounts({ commandRuns: RUNS, commands: [...tally.values()].reduce((sum, n) => sum + n, 0) });
  // It means nothing unless each was met.
  for (const name of ["past", "release", "compact", "collect", "mode", "reopen", "crash"]) {
    expect(tally.get(name) ?? 0, name).toBeGreaterThan(RUNS / 4);
  }
});
