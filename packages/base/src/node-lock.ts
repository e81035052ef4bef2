/**
 * The lock of a directory, for one handle of one process.
 *
 * Four guards, each for what the others cannot see:
 * 1. a registry on `globalThis`: two handles in one thread, also from two copies of this package;
 * 2. a lock on the open LOCK file (`fs-native-extensions`, where installed): all processes that
 *    see the file, other containers included;
 * 3. an abstract unix socket named after the directory (Linux): all processes of one network
 *    namespace, even when someone deleted the LOCK file;
 * 4. the claims in the LOCK file (lock-claims.ts): the holder's name for the error message, and
 *    the lock itself where 2 and 3 cannot be had.
 * The kernel frees 2 and 3 when the process ends, however it ends. A claim of a dead process
 * counts for nothing. The LOCK file is never unlinked.
 */
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { AuraError } from "./errors.ts";
import type { FileLock } from "./fs.ts";
import {
  type Claim,
  type ClaimAnswer,
  claimOfThisProcess,
  mayBeAlive,
  placeClaim,
  readClaims,
  removeClaim,
} from "./lock-claims.ts";
import { systemError } from "./system-error.ts";
import { xxh32 } from "./xxh32.ts";

/** Locks an open file. Returns false when another open file holds it; throws where it cannot. */
export type NativeLock = (fd: number) => boolean;

/** Which of the kernel's locks are used. */
export interface LockMethods {
  readonly native: NativeLock | undefined;
  readonly socket: boolean;
}

/** Windows locks bytes against reading too; this one is behind any content, so that the claims stay readable. */
const WINDOWS_LOCK_AT = 0x40000000;

/** Length of an abstract socket name. Padded to it, it is the same for every version of Node. */
const SOCKET_NAME_BYTES = 108;

type TryLock = (fd: number, offset: number, length: number) => boolean;

function loadNativeLock(): NativeLock | undefined {
  try {
    const { tryLock } = createRequire(import.meta.url)("fs-native-extensions") as {
      tryLock: TryLock;
    };
    return process.platform === "win32"
      ? (fd) => tryLock(fd, WINDOWS_LOCK_AT, 1)
      : (fd) => tryLock(fd, 0, 0);
  } catch {
    return undefined; // not installed, or not for this platform
  }
}

let platformMethods: LockMethods | undefined;

function methodsOfPlatform(): LockMethods {
  platformMethods ??= { native: loadNativeLock(), socket: process.platform === "linux" };
  return platformMethods;
}

/** Directories held in this thread. The key and the shape of the registry never change. */
function registry(): Map<string, string> {
  const key = Symbol.for("@aura/base:locks");
  const holder = globalThis as { [key]?: Map<string, string> };
  holder[key] ??= new Map();
  return holder[key];
}

function code(cause: unknown): unknown {
  return (cause as { code?: unknown } | undefined)?.code;
}

const ADVICE =
  "A directory belongs to one handle of one process: close it there, or end that process, " +
  "which frees the lock however it ends. Deleting the file does not help.";

function lockedHere(file: string, owner: string): AuraError {
  return new AuraError(
    "AURA_LOCKED",
    `${file}: the directory is already open in this process (by ${owner}). ` +
      "A directory belongs to one handle of one process: close that handle first, or share it.",
    { file, actual: process.pid },
  );
}

function lockedBy(file: string, holder: Claim | undefined, own: Claim): AuraError {
  if (holder === undefined) {
    return new AuraError(
      "AURA_LOCKED",
      `${file}: the directory is held by another process, which has not entered its name. ${ADVICE}`,
      { file },
    );
  }
  const started = new Date(holder.startedMs).toISOString();
  const elsewhere = holder.host === own.host ? "" : ` on host ${holder.host}`;
  const unseen =
    elsewhere === "" || holder.kind === "kernel"
      ? ""
      : " Whether a process of another host still runs cannot be seen from here: if it surely does " +
        "not, empty the file.";
  return new AuraError(
    "AURA_LOCKED",
    `${file}: the directory is held by process ${holder.pid}${elsewhere} (by ${holder.owner}; ` +
      `started ${started}; command: ${holder.command}). ${ADVICE}${unseen}`,
    { file, actual: holder.pid },
  );
}

/** Returns whether the native lock was taken; undefined where the file system has none. */
function tryNative(native: NativeLock, fd: number): boolean | undefined {
  try {
    return native(fd);
  } catch (cause) {
    // Windows says EBUSY. Anything else: no locks on this file system.
    return code(cause) === "EBUSY" || code(cause) === "EACCES" ? false : undefined;
  }
}

/** Returns the listening server, false when the name is taken, undefined where there are no such names. */
function tryListen(name: string): Promise<net.Server | false | undefined> {
  return new Promise((resolve) => {
    const server = net.createServer((connection) => connection.destroy());
    server.unref();
    server.on("error", (cause) => resolve(code(cause) === "EADDRINUSE" ? false : undefined));
    // Exclusive: else the workers of a cluster would share the name, and the lock.
    server.listen({ path: name, exclusive: true }, () => resolve(server));
  });
}

/** What a held lock consists of. */
interface Held {
  readonly file: string;
  readonly id: string;
  readonly fd: number;
  server: net.Server | undefined;
}

function letGo(held: Held): void {
  registry().delete(held.id);
  held.server?.close();
  fs.closeSync(held.fd);
}

class NodeLock implements FileLock {
  #held: Held | undefined;

  constructor(held: Held) {
    this.#held = held;
  }

  releaseSync(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    try {
      removeClaim(held.fd);
    } catch (cause) {
      throw systemError(cause, held.file, "release");
    } finally {
      letGo(held);
    }
  }
}

function openLockFile(file: string): number {
  const { O_CREAT, O_RDWR } = fs.constants;
  const noFollow = (fs.constants as { O_NOFOLLOW?: number }).O_NOFOLLOW ?? 0;
  try {
    return fs.openSync(file, O_CREAT | O_RDWR | noFollow, 0o600);
  } catch (cause) {
    throw systemError(cause, file, "lock");
  }
}

/** Names the directory of `file`, and the file in it: the same through every path that leads there. */
function identify(file: string): string {
  const stat = fs.statSync(path.dirname(file), { bigint: true });
  const name = Buffer.from(path.basename(file));
  return `${stat.dev}:${stat.ino}:${xxh32(name, 0, name.length, 0).toString(16)}`;
}

async function takeKernelLocks(
  held: Held,
  methods: LockMethods,
): Promise<"taken" | "refused" | "none"> {
  const native = methods.native === undefined ? undefined : tryNative(methods.native, held.fd);
  if (native === false) return "refused";
  if (methods.socket) {
    const name = `\0aura-lock:${held.id}:`.padEnd(SOCKET_NAME_BYTES, "-");
    const server = await tryListen(name);
    if (server === false) return "refused";
    held.server = server;
  }
  return native === true || held.server !== undefined ? "taken" : "none";
}

/** Returns who holds the lock that the kernel refused, as far as the file tells. */
function namedHolder(held: Held, own: Claim): Claim | undefined {
  try {
    return readClaims(held.fd, held.file).findLast((claim) => mayBeAlive(claim, own));
  } catch {
    return undefined; // it is locked all the same
  }
}

/** Enters `own` in the file, or throws AURA_LOCKED. */
function enterClaim(held: Held, own: Claim): void {
  let answer: ClaimAnswer;
  try {
    answer = placeClaim(held.fd, held.file, own);
  } catch (cause) {
    // With the kernel's lock in hand only the name for the error is missing: a full disk, say.
    if (own.kind === "kernel") return;
    throw cause;
  }
  if (!answer.held) throw lockedBy(held.file, answer.inTheWay, own);
}

/**
 * Takes the exclusive lock of the directory of `file`; `owner` is what the opener calls itself, for
 * the error of the next one. Throws AURA_LOCKED, naming the holder; AURA_NOT_FOUND without the
 * directory. Never keeps the process alive.
 */
export async function lockFile(
  file: string,
  owner: string,
  methods: LockMethods = methodsOfPlatform(),
): Promise<FileLock> {
  const fd = openLockFile(file);
  let held: Held | undefined;
  try {
    const id = identify(file);
    const holder = registry().get(id);
    if (holder !== undefined) throw lockedHere(file, holder);
    registry().set(id, owner);
    held = { file, id, fd, server: undefined };
    const kernel = await takeKernelLocks(held, methods);
    const own = claimOfThisProcess(owner, randomUUID(), kernel === "none" ? "claim" : "kernel");
    if (kernel === "refused") throw lockedBy(file, namedHolder(held, own), own);
    enterClaim(held, own);
    return new NodeLock(held);
  } catch (cause) {
    if (held === undefined) fs.closeSync(fd);
    else letGo(held);
    throw systemError(cause, file, "lock");
  }
}
