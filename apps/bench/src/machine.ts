/** On what a run was made: stands beside its results, since figures without it mean nothing. */
import { spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os";

/** The machine and the runtime. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly fileSystem: string;
  /** Runnable threads over the last minute, before the run. */
  readonly load: number;
}

/** `f_type` of statfs(2) on Linux. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  26985: "isofs",
  16914836: "tmpfs (memory, no disk)",
  1481003842: "xfs",
  2035054128: "overlayfs",
  2435016766: "btrfs",
  801189825: "zfs",
  4076150800: "f2fs",
};

/** Returns what is known of the machine; `folder` is where the stores will be. */
export function describeMachine(folder: string): Machine {
  const kind = statfsSync(folder).type;
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${type()} ${release()} ${process.arch}`,
    node: process.version,
    fileSystem: FILE_SYSTEMS[kind] ?? `type ${kind}`,
    load: loadavg()[0] ?? 0,
  };
}

/** Returns the commit of the working tree, `+` behind it when it was changed; `undefined` without git. */
export function readCommit(): string | undefined {
  const git = (...args: string[]): string | undefined => {
    const { status, stdout } = spawnSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
    });
    return status === 0 ? stdout.trim() : undefined;
  };
  const commit = git("rev-parse", "--short=12", "HEAD");
  if (commit === undefined) return undefined;
  return git("status", "--porcelain", "--untracked-files=no") === "" ? commit : `${commit}+`;
}

/** Returns the bytes that are free in the file system of a folder. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
