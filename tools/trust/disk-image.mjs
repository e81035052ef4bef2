/**
 * A disk whose power can be cut: a file system in a file, mounted through a loop device. A copy of
 * the file taken while the system is mounted holds just what has reached the disk: neither the
 * page cache nor what the journal has not written.
 */
import { execFile } from "node:child_process";
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

const MIB = 1024 * 1024;

/** How each file system is made and mounted; the smallest sizes that they take. */
export const FILE_SYSTEMS = {
  ext4: { bytes: 96 * MIB, make: ["mkfs.ext4", "-q", "-F"], options: "loop" },
  "ext4-writeback": {
    bytes: 96 * MIB,
    make: ["mkfs.ext4", "-q", "-F"],
    options: "loop,data=writeback",
  },
  xfs: { bytes: 320 * MIB, make: ["mkfs.xfs", "-q", "-f"], options: "loop,nouuid" },
  btrfs: { bytes: 256 * MIB, make: ["mkfs.btrfs", "-q", "-f"], options: "loop" },
};

const run = (program, ...args) => promisify(execFile)(program, args);

/** A file system in a file. */
export class DiskImage {
  file;
  mountPoint;
  #kind;
  #isMounted = false;

  constructor(file, mountPoint, kind) {
    this.file = file;
    this.mountPoint = mountPoint;
    this.#kind = FILE_SYSTEMS[kind];
  }

  /** Makes an empty one. */
  async make() {
    rmSync(this.file, { force: true });
    writeFileSync(this.file, "");
    truncateSync(this.file, this.#kind.bytes);
    const [program, ...args] = this.#kind.make;
    await run(program, ...args, this.file);
  }

  async mount() {
    mkdirSync(this.mountPoint, { recursive: true });
    await run("mount", "-o", this.#kind.options, this.file, this.mountPoint);
    this.#isMounted = true;
  }

  async unmount() {
    if (!this.#isMounted) return;
    await run("umount", this.mountPoint);
    this.#isMounted = false;
  }

  /** Copies what is on the disk at this moment. */
  async copyTo(file) {
    await run("cp", "--sparse=always", this.file, file);
  }
}

/** Returns why this machine cannot cut the power of such a disk, or undefined when it can. */
export async function whyNot(kind, folder) {
  if (process.platform !== "linux" || process.getuid() !== 0) return "needs root on Linux";
  const image = new DiskImage(`${folder}/probe.img`, `${folder}/probe`, kind);
  try {
    await image.make();
    await image.mount();
    await image.unmount();
    return undefined;
  } catch (error) {
    return String(error.stderr || error.message).trim();
  } finally {
    await image.unmount();
    rmSync(image.file, { force: true });
  }
}
