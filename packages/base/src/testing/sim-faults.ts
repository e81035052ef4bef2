/**
 * Faults and crash points of a simulated file system: when an operation fails, and how.
 */
import { AuraError, ioError } from "../errors.ts";
import type { CrashData, FailedSync } from "./sim-file.ts";

/** Operations that change something. Each counts once, before it takes effect. */
export type SimOperation =
  | "write"
  | "sync"
  | "truncate"
  | "create"
  | "rename"
  | "unlink"
  | "link"
  | "mkdir"
  | "rmdir"
  | "syncDir";

/** Every kind of call; those that are no `SimOperation` are not in `operations`. */
export type SimCall = SimOperation | "open" | "read" | "close" | "stat" | "list" | "lock";

/** Error names of the operating system; any other name works as well. */
export type SimErrorName =
  | "EIO"
  | "ENOSPC"
  | "EDQUOT"
  | "EROFS"
  | "EMFILE"
  | "EACCES"
  | "ENOENT"
  | "EEXIST"
  | "EBADF"
  | "ENOTEMPTY"
  | "ENOTDIR"
  | "EISDIR"
  | "EINVAL";

/** A fault to come. */
export interface SimFault {
  /**
   * Which call fails: a number of an operation (the first is 1), or a test of the kind, the
   * normalised path ("/db/000001.wal") and how many calls of this kind came, this one included.
   * For a rename or link the path is the target.
   */
  readonly at: number | ((kind: SimCall, path: string, nth: number) => boolean);
  /** Left out: the call succeeds (with `flip`, `silent` or `astray`: it lies). */
  readonly error?: SimErrorName;
  /** Fires again: on every operation from the number on, or on every call that the test accepts. */
  readonly sticky?: boolean;
  /** Of a write: bytes that are written before it fails. Default 0. */
  readonly partial?: number;
  /** The operation takes effect, yet reports the error. Not for "sync". */
  readonly happened?: boolean;
  /**
   * What a failed sync leaves. In every mode a later sync succeeds without writing this data, but for
   * the first one through each other handle that was open then: that fails as well.
   * `keep` (the default; ext4, XFS): the cache still shows the new content, the disk has it not.
   * `drop`: content reads as on the disk again, the new size stays.
   * `revert` (btrfs): content and size read as on the disk.
   */
  readonly sync?: FailedSync;
  /** Which of its writes a failed sync brought to the disk all the same. Default "none". */
  readonly reached?: CrashData;
  /**
   * Of a sync, of a file or a directory: reports success and does nothing. What it should have made
   * durable waits in the device, and a power loss may take any of it.
   */
  readonly silent?: boolean;
  /**
   * Of a write: reports success, yet its bytes go astray, so many bytes in front of their place (at the
   * beginning of the file at most) or nowhere. Where they belong stand zeros.
   */
  readonly astray?: number | "nowhere";
  /** Of a read: a bit of the file that reads wrong this time. `offset` is a place in the file. */
  readonly flip?: { readonly offset: number; readonly mask: number };
  /** Of a read: this bit of what it returns is wrong, counted on from its beginning behind its end. */
  readonly flipBit?: number;
  /** Of a read: returns no more than this many bytes, as if the file ended. */
  readonly short?: number;
}

/** A planned fault. */
export interface PlannedFault {
  /** How often it fired. */
  readonly fired: number;
  /** Takes it out of the plan. */
  remove(): void;
}

/** Thrown by every call of a file system that was crashed: the machine is off. */
export class SimCrash extends Error {
  constructor(what: string) {
    super(`the simulated machine is off (${what})`);
    this.name = "SimCrash";
  }
}

/** Returns the error that a file system throws for an error name of the operating system. */
export function systemError(name: string, path: string, what: string): AuraError {
  const cause = Object.assign(new Error(`${name}: ${what} '${path}'`), {
    code: name,
    syscall: what,
    path,
  });
  if (name === "ENOENT") {
    return new AuraError("AURA_NOT_FOUND", `${path}: not found (${what})`, { cause, file: path });
  }
  return ioError(cause, path, what);
}

interface Planned extends PlannedFault {
  readonly fault: SimFault;
  fired: number;
}

/** Counts calls and says which of them fail or stop the machine. */
export class FaultPlan {
  /** Calls so far, by kind. */
  readonly counts: Record<SimCall, number> = {
    write: 0,
    sync: 0,
    truncate: 0,
    create: 0,
    rename: 0,
    unlink: 0,
    link: 0,
    mkdir: 0,
    rmdir: 0,
    syncDir: 0,
    open: 0,
    read: 0,
    close: 0,
    stat: 0,
    list: 0,
    lock: 0,
  };
  operations = 0;
  /** Why the machine is off; undefined while it is on. */
  off: string | undefined;
  /** The point at which it goes off, see `SimFs.crashAt`. 0: none. */
  crashPoint = 0;
  #planned: Planned[] = [];

  add(fault: SimFault): PlannedFault {
    const planned: Planned = {
      fault,
      fired: 0,
      remove: () => {
        this.#planned = this.#planned.filter((other) => other !== planned);
      },
    };
    this.#planned.push(planned);
    return planned;
  }

  clear(): void {
    this.#planned = [];
    this.crashPoint = 0;
  }

  assertOn(): void {
    if (this.off !== undefined) throw new SimCrash(this.off);
  }

  /** Notes a call that changes nothing; returns its fault, throwing the plain ones. */
  access(kind: SimCall, path: string): SimFault | undefined {
    this.assertOn();
    const fault = this.#match(kind, path, 0);
    if (fault?.error !== undefined) throw systemError(fault.error, path, kind);
    return fault;
  }

  /** Notes an operation before its effect; returns its fault. */
  begin(kind: SimOperation, path: string): SimFault | undefined {
    this.assertOn();
    this.operations++;
    const number = this.operations;
    // Also met here when the operation before failed, and so never came to its end.
    if (this.crashPoint !== 0 && this.crashPoint <= 2 * number - 1)
      this.#stop(`before operation ${number}, ${kind} ${path}`);
    return this.#match(kind, path, number);
  }

  /** Notes that the running operation had its effect. */
  end(kind: SimOperation, path: string): void {
    if (this.crashPoint === 2 * this.operations) {
      this.#stop(`after operation ${this.operations}, ${kind} ${path}`);
    }
  }

  #stop(what: string): never {
    this.off = what;
    throw new SimCrash(what);
  }

  #match(kind: SimCall, path: string, number: number): SimFault | undefined {
    this.counts[kind]++;
    const nth = this.counts[kind];
    for (const planned of this.#planned) {
      const { at, sticky } = planned.fault;
      if (planned.fired > 0 && sticky !== true) continue;
      const fits =
        typeof at === "function"
          ? at(kind, path, nth)
          : number === at || (sticky === true && number > at);
      if (!fits) continue;
      planned.fired++;
      return planned.fault;
    }
    return undefined;
  }
}
