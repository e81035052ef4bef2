/** What a job is said to take does not depend on who else wants the processor, nor on the device. */
import type { JobContext } from "@aura/base";
import { SimClock, SimFs } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { IoBudget, IoPriority } from "../src/io-budget.ts";
import { BusyTime } from "../src/jobs/busy-time.ts";
import { meteredFs } from "../src/jobs/metered-fs.ts";
import { WorkCounts } from "../src/work-counts.ts";

/** A thread whose time is simulated: what is on a processor, ready, or elsewhere. */
class SimThread {
  readonly clock = new SimClock();
  cpuMs = 3;
  readyMs = 70;

  works(ms: number, waitsForCore = 0): void {
    this.cpuMs += ms;
    this.readyMs += waitsForCore;
    this.clock.moveTo(this.clock.nowMs + ms + waitsForCore);
  }

  /** Blocked: neither at work nor ready. */
  blocks(ms: number): void {
    this.clock.moveTo(this.clock.nowMs + ms);
  }

  context(tells: "all" | "cpu" | "nothing" = "all", fs = new SimFs()): JobContext {
    const { clock } = this;
    const isTold = tells === "all";
    const threadTime = () => ({ cpuMs: this.cpuMs, readyMs: isTold ? this.readyMs : undefined });
    return {
      fs,
      isCancelled: () => false,
      pause: (ms) => this.blocks(ms),
      nowMs: () => clock.monotonicMs(),
      ...(tells === "nothing" ? {} : { threadTime }),
    };
  }
}

describe("a job", () => {
  test("takes the same on a machine with more work than cores", () => {
    for (const waitsForCore of [0, 5, 90]) {
      const thread = new SimThread();
      const busy = new BusyTime(thread.context());
      for (let i = 0; i < 10; i++) thread.works(4, waitsForCore);
      expect(busy.spent).toEqual({ busyMs: 40, deviceMs: 0 });
    }
  });

  test("that waits for the device, for tokens or for a sync is not at work", () => {
    const thread = new SimThread();
    const busy = new BusyTime(thread.context());
    thread.works(8, 2);
    thread.blocks(30);
    busy.pausedIn(() => thread.blocks(1000));
    busy.syncedIn(() => {
      thread.works(1);
      thread.blocks(20);
    });
    expect(busy.spent).toEqual({ busyMs: 9, deviceMs: 50 });
  });

  test("is measured by its processor time where nothing is told about waiting for one", () => {
    const thread = new SimThread();
    const busy = new BusyTime(thread.context("cpu"));
    thread.works(8, 200);
    busy.syncedIn(() => thread.blocks(20));
    expect(busy.spent).toEqual({ busyMs: 8, deviceMs: 20 });
  });

  test("falls back to the wall without what is known to wait", () => {
    const thread = new SimThread();
    const busy = new BusyTime(thread.context("nothing"));
    thread.works(8, 2);
    busy.pausedIn(() => thread.blocks(1000));
    busy.syncedIn(() => thread.blocks(20));
    expect(busy.spent).toEqual({ busyMs: 10, deviceMs: 20 });
  });

  test("falls back when the platform stops telling, and is 0 without a clock", () => {
    const thread = new SimThread();
    let told: { cpuMs: number; readyMs: number } | undefined = { cpuMs: 5, readyMs: 5 };
    const busy = new BusyTime({ ...thread.context(), threadTime: () => told });
    thread.works(7, 1);
    told = undefined;
    expect(busy.spent).toEqual({ busyMs: 8, deviceMs: 0 });
    const inline = new BusyTime({ fs: new SimFs(), isCancelled: () => false });
    expect(inline.spent).toEqual({ busyMs: 0, deviceMs: 0 });
  });

  test("does not count what its file system waits for: syncs and tokens", () => {
    const thread = new SimThread();
    const context = thread.context();
    const busy = new BusyTime(context);
    const budget = new IoBudget(1 << 20);
    const fs = meteredFs(context, budget.mergeShare(1, IoPriority.other), busy);
    const file = fs.openSync("/1.sst", "create");
    for (let i = 0; i < 8; i++) {
      file.writeSync(new Uint8Array(1 << 18), i << 18);
      thread.works(2, 3);
    }
    file.syncSync();
    expect(budget.stats().waitedMs).toBeGreaterThan(500);
    expect(busy.spent.busyMs).toBe(16);
    expect(busy.spent.deviceMs).toBeLessThan(1);
  });
});

test("a byte of merging costs the same under load", () => {
  const measured = [0, 3, 40].map((waitsForCore) => {
    const thread = new SimThread();
    const counts = new WorkCounts(thread.clock);
    for (let job = 0; job < 64; job++) {
      const busy = new BusyTime(thread.context());
      const bytes = 1e6 * (1 + (job % 3));
      // 10 ns per byte, and a device that is slow now and then.
      for (let i = 0; i < 10; i++) thread.works(bytes * 1e-6, waitsForCore * (job % 2));
      thread.blocks(job % 5);
      const work = { bytesRead: bytes, bytesWritten: bytes, bytesRelocated: 0, ...busy.spent };
      counts.noteMerge([], 1, work);
    }
    return counts.mergeCosts.weights![0]!;
  });
  expect(measured[0]).toBeCloseTo(1e-8, 12);
  expect(measured[1]).toBe(measured[0]);
  expect(measured[2]).toBe(measured[0]);
});
