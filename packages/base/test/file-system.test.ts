import fs from "node:fs";
import os from "node:os";
import { afterAll } from "vitest";
import { nodeFileSystem } from "../src/node-fs.ts";
import { SimFs } from "../src/testing/index.ts";
import { fileSystemContract } from "./file-system.contract.ts";

const root = fs.mkdtempSync(`${os.tmpdir()}/aura-fs-`);
let count = 0;

afterAll(() => fs.rmSync(root, { recursive: true }));

fileSystemContract("nodeFileSystem", () => {
  const directory = `${root}/${++count}`;
  fs.mkdirSync(directory);
  return { fs: nodeFileSystem, directory };
});

fileSystemContract("SimFs", () => {
  const sim = new SimFs();
  sim.makeDirectorySync("/db");
  return { fs: sim, directory: "/db" };
});
