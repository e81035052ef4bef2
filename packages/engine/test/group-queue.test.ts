/** The queue of groups that have not left. */
import { expect, test } from "vitest";
import { Group } from "../src/group.ts";
import { GroupQueue } from "../src/group-queue.ts";
import { ValueSlabs } from "../src/value-slabs.ts";

const MIB = 1024 * 1024;

test("is full of groups without bytes, too", () => {
  for (const groupBytesMax of [MIB, 8 * MIB]) {
    const slabs = new ValueSlabs();
    const queue = new GroupQueue({ newGroup: () => new Group(() => 64, 20, slabs), groupBytesMax });
    const { signal } = new AbortController();
    let opened = 0;
    for (; !queue.isFull && opened < 100_000; opened++) queue.open(0, signal);
    expect(opened).toBeGreaterThan(512);
    expect(opened).toBeLessThanOrEqual(Math.max(2 * MIB, groupBytesMax) / 2048 + 1);
    while (queue.first !== undefined) queue.shift();
    expect(queue.isFull).toBe(false);
  }
});
