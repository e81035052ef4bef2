/**
 * Where a store runs: a process of its own, so that memory, bytes written and background threads are its
 * alone. While another store has its turn the process is stopped (SIGSTOP): background work of a store
 * costs that store's time and nobody else's. Windows has no such signal: there, it runs on.
 */
import { type ChildProcess, fork } from "node:child_process";
import type { OpsSetup } from "./ops-bench.ts";
import type { StoreName } from "./stores/catalog.ts";
import type { Budget } from "./stores/store.ts";

/** What a store's process needs to begin with. */
export interface HostSetup {
  readonly store: StoreName;
  /** Folder of the database. */
  readonly path: string;
  readonly budget: Budget;
  /** Folder of the data set of the names job. */
  readonly dataFolder?: string;
  /** The workload, of all other jobs. */
  readonly ops?: OpsSetup;
}

/** A call of a method of a bench, as a message to its process. */
export interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** The answer to a call; call 0 is the start of the process. */
export type Reply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string };

type Method = (...args: never[]) => unknown;
type Args<M> = M extends (...args: infer A) => unknown ? A : never;
type Result<M> = M extends Method ? Awaited<ReturnType<M>> : never;

/** A bench of one store, elsewhere. */
export interface BenchHost<B> {
  call<M extends keyof B & string>(method: M, ...args: Args<B[M]>): Promise<Result<B[M]>>;
  /** Lets the store work, or stops all of its threads. */
  resume(): void;
  pause(): void;
  /** Ends the process at once. */
  kill(): Promise<void>;
}

/** Starts a host. */
export type StartHost<B> = (setup: HostSetup) => Promise<BenchHost<B>>;

/** Starts a process; it is ready when it has its data. */
export async function forkHost<B>(setup: HostSetup): Promise<BenchHost<B>> {
  const host = new ForkedHost<B>(setup);
  try {
    await host.started;
  } catch (error) {
    await host.kill();
    throw error;
  }
  return host;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

class ForkedHost<B> implements BenchHost<B> {
  readonly started: Promise<unknown>;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  #lastId = 0;
  #failure: Error | undefined;

  constructor(setup: HostSetup) {
    this.#child = fork(new URL("./worker.js", import.meta.url), [JSON.stringify(setup)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (reply: Reply) => this.#settle(reply));
    this.#exited = new Promise((resolve) => {
      this.#child.on("exit", (code, signal) => {
        this.#failure = new Error(`the process of ${setup.store} ended: ${signal ?? code}`);
        for (const { reject } of this.#pending.values()) reject(this.#failure);
        this.#pending.clear();
        resolve();
      });
    });
    this.started = new Promise((resolve, reject) => {
      this.#pending.set(0, { resolve, reject });
    });
  }

  call<M extends keyof B & string>(method: M, ...args: Args<B[M]>): Promise<Result<B[M]>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    return new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      const call: Call = { id, method, args };
      this.#child.send(call);
    }) as Promise<Result<B[M]>>;
  }

  resume(): void {
    if (process.platform !== "win32") this.#child.kill("SIGCONT");
  }

  pause(): void {
    if (process.platform !== "win32") this.#child.kill("SIGSTOP");
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (pending === undefined) return;
    this.#pending.delete(reply.id);
    if ("error" in reply) pending.reject(new Error(reply.error));
    else pending.resolve(reply.result);
  }
}
