/**
 * What stands in a LOCK file: who holds the directory, or wants to.
 *
 * The file is a list of lines, JSON each, that are only ever appended: a claim names a process, a
 * withdrawal takes a claim back. The first claim of a live process holds the directory, so two
 * contenders that both append and then read agree on who was first, without help of the kernel. A
 * line that does not parse (torn, overwritten) says nothing. The holder alone shortens the file.
 */
import fs from "node:fs";
import os from "node:os";
import { AuraError } from "./errors.ts";
import { systemRuntime } from "./runtime.ts";

/** How a claim is kept: by the kernel, which frees it at the holder's end, or by the claim alone. */
export type ClaimKind = "kernel" | "claim";

/** A process that holds the directory or wants to. */
export interface Claim {
  /** Tells this claim from all others. */
  readonly nonce: string;
  readonly kind: ClaimKind;
  readonly pid: number;
  readonly host: string;
  /** The running kernel, or "" where it has no name. */
  readonly boot: string;
  /** When the process started, in ticks since the kernel did; 0 where that cannot be had. */
  readonly startTicks: number;
  /** The same in milliseconds since 1970; moves with the clock. */
  readonly startedMs: number;
  /** Program and script, without their arguments: those may hold secrets. */
  readonly command: string;
  /** What the opener calls itself. */
  readonly owner: string;
}

/** More than this is no LOCK file. */
const FILE_BYTES_MAX = 1024 * 1024;
const TEXT_CHARS_MAX = 200;
/** Farthest date that has a name. */
const DATE_MS_MAX = 8.64e15;
/** How often a claim that got lost is entered again. */
const ATTEMPTS_MAX = 3;
/** Two readings of one process's start may differ by the clock's correction. */
const START_TOLERANCE_MS = 2000;

function readText(path: string): string {
  try {
    return fs.readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

interface ProcessState {
  readonly startTicks: number;
  readonly ended: boolean;
}

/** Returns what Linux says of a process; undefined elsewhere, or where it may not be seen. */
function processState(pid: number): ProcessState | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTicks = Number(fields[19]);
  if (!Number.isSafeInteger(startTicks)) return undefined;
  return { startTicks, ended: fields[0] === "Z" || fields[0] === "X" };
}

/** Returns a claim of this process. */
export function claimOfThisProcess(owner: string, nonce: string, kind: ClaimKind): Claim {
  return {
    nonce,
    kind,
    pid: process.pid,
    host: os.hostname(),
    boot: readText("/proc/sys/kernel/random/boot_id").trim(),
    startTicks: processState(process.pid)?.startTicks ?? 0,
    startedMs: Math.round(systemRuntime.clock.wallMs() - process.uptime() * 1000),
    command: process.argv.slice(0, 2).join(" ").slice(0, TEXT_CHARS_MAX),
    owner: owner.slice(0, TEXT_CHARS_MAX),
  };
}

/** Returns false when it is certain that the process of `claim` has ended, seen from `own`. */
export function mayBeAlive(claim: Claim, own: Claim): boolean {
  if (claim.host !== own.host) return true; // cannot be seen from here
  if (claim.boot !== own.boot) return false;
  const ticksKnown = claim.startTicks !== 0;
  if (claim.pid === own.pid) {
    // This process, or one that had its number before (the first process of a container is always 1).
    return ticksKnown && own.startTicks !== 0
      ? claim.startTicks === own.startTicks
      : Math.abs(claim.startedMs - own.startedMs) < START_TOLERANCE_MS;
  }
  try {
    process.kill(claim.pid, 0);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const state = processState(claim.pid);
  if (state === undefined) return true;
  return !state.ended && (!ticksKnown || state.startTicks === claim.startTicks);
}

function parseClaim(line: string): Claim | string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as { readonly [K in keyof Claim | "withdrawn"]?: unknown };
  if (typeof fields.withdrawn === "string") return fields.withdrawn;
  const { nonce, kind, pid, host, boot, startTicks, startedMs, command, owner } = fields;
  if (kind !== "kernel" && kind !== "claim") return undefined;
  if (typeof pid !== "number" || !Number.isInteger(pid) || pid <= 0) return undefined;
  if (typeof startTicks !== "number" || typeof startedMs !== "number") return undefined;
  if (!(Math.abs(startedMs) <= DATE_MS_MAX)) return undefined;
  if (typeof nonce !== "string" || typeof host !== "string" || typeof boot !== "string") {
    return undefined;
  }
  if (typeof command !== "string" || typeof owner !== "string") return undefined;
  return { nonce, kind, pid, host, boot, startTicks, startedMs, command, owner };
}

/** Returns the claims in the text of a LOCK file that were not withdrawn, first one first. */
export function parseClaims(text: string): Claim[] {
  const claims: Claim[] = [];
  const withdrawn = new Set<string>();
  for (const line of text.split("\n")) {
    const parsed = parseClaim(line);
    if (typeof parsed === "string") withdrawn.add(parsed);
    else if (parsed !== undefined) claims.push(parsed);
  }
  return claims.filter((claim) => !withdrawn.has(claim.nonce));
}

/** Reads the claims of an open LOCK file. Throws AURA_CORRUPTION for a file that cannot be one. */
export function readClaims(fd: number, path: string): Claim[] {
  const bytes = Buffer.alloc(Math.min(fs.fstatSync(fd).size, FILE_BYTES_MAX + 1));
  if (bytes.length > FILE_BYTES_MAX) {
    throw new AuraError("AURA_CORRUPTION", `${path}: more than a LOCK file ever holds`, {
      file: path,
      offset: FILE_BYTES_MAX,
    });
  }
  let length = 0;
  while (length < bytes.length) {
    const read = fs.readSync(fd, bytes, length, bytes.length - length, length);
    if (read === 0) break;
    length += read;
  }
  return parseClaims(bytes.toString("utf8", 0, length));
}

/** Appends one line in one write. It begins with a line end, in case what stands before was torn. */
function appendLine(path: string, value: object): void {
  const fd = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_APPEND);
  try {
    fs.writeSync(fd, `\n${JSON.stringify(value)}\n`);
  } finally {
    fs.closeSync(fd);
  }
}

/** Returns the first claim before `own` that stands in its way; undefined when none does. */
function claimInTheWay(claims: readonly Claim[], own: Claim): Claim | undefined {
  for (const claim of claims) {
    if (claim.nonce === own.nonce) return undefined;
    // With the kernel's lock in hand, other claims upon the kernel's lock are stale.
    if (own.kind === "kernel" && claim.kind === "kernel") continue;
    if (mayBeAlive(claim, own)) return claim;
  }
  return undefined;
}

/** What came of a claim. `inTheWay` is undefined when the holder is not known. */
export type ClaimAnswer =
  | { readonly held: true }
  | { readonly held: false; readonly inTheWay: Claim | undefined };

/**
 * Enters `own` in the LOCK file `path`, open for reading and writing as `fd`. Throws errors of the
 * file system as they are; the claim may then stand in the file.
 */
export function placeClaim(fd: number, path: string, own: Claim): ClaimAnswer {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    // Look first: contenders that poll must not make the file grow.
    const holder = claimInTheWay(readClaims(fd, path), own);
    if (holder !== undefined) return { held: false, inTheWay: holder };
    appendLine(path, own);
    const claims = readClaims(fd, path);
    const earlier = claimInTheWay(claims, own);
    if (earlier !== undefined) {
      appendLine(path, { withdrawn: own.nonce });
      return { held: false, inTheWay: earlier };
    }
    if (claims.some((claim) => claim.nonce === own.nonce)) {
      dropStaleClaims(fd, own);
      return { held: true };
    }
    // A holder shortened the file over this claim: it came, or went, at this very moment.
  }
  return { held: false, inTheWay: undefined };
}

/** Leaves `own` alone in the file. Every claim before it is stale; a later one was refused by it. */
function dropStaleClaims(fd: number, own: Claim): void {
  const line = Buffer.from(`${JSON.stringify(own)}\n`);
  try {
    // The copy in front stands before the rest goes: no instant without one.
    const written = fs.writeSync(fd, line, 0, line.length, 0);
    if (written === line.length) fs.ftruncateSync(fd, line.length);
  } catch {
    // It stays long. The claim at its end holds.
  }
}

/** Takes the holder's claim back: empties the file. */
export function removeClaim(fd: number): void {
  fs.ftruncateSync(fd, 0);
}
