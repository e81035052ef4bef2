import { describe, expect, test } from "vitest";
import type { Clock } from "../src/clock.ts";
import { Expectation } from "../src/expectation.ts";
import { createKeys } from "../src/key-table.ts";
import { type Calls, OpsDriver, type Recorder } from "../src/ops-driver.ts";
import { Random } from "../src/random.ts";
import type { Store } from "../src/stores/store.ts";
import { ValuePool } from "../src/value-pool.ts";
import { KIND, type PhasePlan, type Records } from "../src/workloads/workload.ts";
import { smallBudget, temporaryFolder } from "./support/folder.ts";
import { mapStore } from "./support/map-store.ts";

const COUNT = 100;
const VALUE_BYTES = 50;

/** Time that passes only where somebody waits, or where a store says so. */
class FakeClock implements Clock {
  ms = 0;
  now(): number {
    return this.ms;
  }
  async sleep(ms: number): Promise<void> {
    this.ms += ms;
  }
  async turn(): Promise<void> {
    this.ms += 0.01;
  }
}

interface Noted {
  readonly startMs: number;
  readonly endMs: number;
}

const reads: PhasePlan = {
  name: "run",
  ops: 1000,
  source: (random) => ({
    next: (op) => {
      op.kind = KIND.read;
      op.index = random.below(COUNT);
    },
  }),
};

async function drive(
  calls: Calls,
  delay: (call: number, clock: FakeClock) => void,
  ops = 1000,
): Promise<{ readonly noted: readonly Noted[]; readonly wrong: number; readonly ms: number }> {
  const clock = new FakeClock();
  const keys = createKeys({
    kind: "synthetic",
    file: undefined,
    order: "hashed",
    bytes: 23,
    count: COUNT,
    seed: 1,
  });
  const values = new ValuePool({ seed: 1, valueBytesMax: VALUE_BYTES, compressible: 0 });
  const expected = new Expectation({ keys, values, valueBytes: VALUE_BYTES, inFlight: 1 });
  const inner = await mapStore().open(temporaryFolder(), smallBudget);
  for (let i = 0; i < COUNT; i++) await inner.put(keys.at(i), expected.put(i));
  expected.settle();
  let call = 0;
  const store: Store = {
    ...inner,
    get: async (key) => {
      delay(call++, clock);
      return inner.get(key);
    },
    getSync: (key) => {
      delay(call++, clock);
      return inner.getSync!(key);
    },
  };
  const noted: Noted[] = [];
  const recorder: Recorder = {
    note: (_kind, startMs, endMs) => void noted.push({ startMs, endMs }),
    noteBatch: () => {},
    resume: () => {},
    // Drawing and checking take time that is nobody's.
    pause: () => {
      clock.ms += 500;
    },
  };
  const records: Records = { count: COUNT, countMax: COUNT };
  const driver = new OpsDriver({
    store,
    keys,
    expected,
    clock,
    calls,
    plan: reads,
    source: reads.source(new Random(1), records),
    recorder,
    entryBytes: 73,
    checks: true,
  });
  const { wrong, ms } = await driver.slice({ ops });
  return { noted, wrong, ms };
}

const latencies = (noted: readonly Noted[]): number[] => noted.map((n) => n.endMs - n.startMs);

describe("a paced run", () => {
  // 1000 operations per second; each takes 0.1 ms; number 200 takes 100 ms.
  const stall = (call: number, clock: FakeClock): void => {
    clock.ms += call === 200 ? 100 : 0.1;
  };

  test.each([false, true])(
    "a stall shows in all operations that were due meanwhile (sync: %s)",
    async (sync) => {
      const { noted, wrong } = await drive({ sync, inFlight: 1, rate: 1000 }, stall);
      expect(wrong).toBe(0);
      for (const [i, { startMs }] of noted.entries()) expect(startMs).toBeCloseTo(i, 6);
      const late = latencies(noted).filter((ms) => ms > 2);
      // 100 ms late, then each one 0.9 ms less: about 111 operations, not one.
      expect(late.length).toBeGreaterThan(100);
      expect(late.length).toBeLessThan(120);
      const sorted = latencies(noted).sort((a, b) => a - b);
      expect(sorted[950]!).toBeGreaterThan(40);
      expect(sorted.at(-1)!).toBeCloseTo(100, 0);
    },
  );

  test("without a rate the same stall is one slow operation", async () => {
    const { noted } = await drive({ sync: false, inFlight: 1, rate: undefined }, stall);
    expect(latencies(noted).filter((ms) => ms > 2)).toHaveLength(1);
  });

  test("keeps the rate, and the schedule stands while the driver works", async () => {
    const quick = (_: number, clock: FakeClock): void => {
      clock.ms += 0.01;
    };
    const { noted, ms } = await drive({ sync: false, inFlight: 8, rate: 2000 }, quick, 6000);
    expect(ms).toBeGreaterThan(2998);
    expect(ms).toBeLessThan(3003);
    expect(Math.max(...latencies(noted))).toBeLessThan(2);
  });
});

test("the clock runs only while the store works", async () => {
  const half = (_: number, clock: FakeClock): void => {
    clock.ms += 0.5;
  };
  for (const calls of [
    { sync: false, inFlight: 1, rate: undefined },
    { sync: true, inFlight: 1, rate: undefined },
    { sync: false, inFlight: 16, rate: undefined },
  ]) {
    const { noted, ms, wrong } = await drive(calls, half, 5000);
    expect(wrong).toBe(0);
    expect(noted).toHaveLength(5000);
    expect(ms).toBeGreaterThan(2499);
    expect(ms).toBeLessThan(2501);
  }
});
