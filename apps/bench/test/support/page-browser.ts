/**
 * Chromium without a window, driven by its DevTools protocol over a pipe: JSON messages, each ended by
 * a zero byte, on the file descriptors 3 and 4 of the process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** How a page is looked at. */
export interface View {
  readonly width: number;
  readonly height: number;
  readonly scheme?: "light" | "dark";
  readonly phone?: boolean;
  readonly script?: boolean;
}

/** Returns the path of an installed Chromium, or `undefined`. */
export function findChromium(): string | undefined {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    for (const name of names) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {}
    }
  }
  return undefined;
}

type Message = {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
  readonly sessionId?: string;
};

/** A running browser with one tab. */
export class PageBrowser {
  /** What the page wrote to its console, its errors and the loads that its policy refused. */
  readonly complaints: string[] = [];
  /** Every address that the tab asked for. */
  readonly requests: string[] = [];
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #input: Writable;
  readonly #pending = new Map<number, (message: Message) => void>();
  readonly #waiting = new Map<string, () => void>();
  #session: string | undefined;
  #lastId = 0;

  private constructor(path: string) {
    this.#profile = mkdtempSync(join(tmpdir(), "aura-page-"));
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-extensions",
      "--disable-background-networking",
      "--disable-component-update",
      "--no-first-run",
      "--hide-scrollbars",
      "--remote-debugging-pipe",
      `--user-data-dir=${this.#profile}`,
      "about:blank",
    ];
    this.#process = spawn(path, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.#input = this.#process.stdio[3] as Writable;
    // A browser that is gone has no ear: what waits for it fails by its exit.
    this.#input.on("error", () => {});
    this.#process.on("exit", () => {
      for (const answer of this.#pending.values()) {
        answer({ error: { message: "the browser is gone" } });
      }
    });
    this.#read(this.#process.stdio[4] as Readable);
  }

  /** Starts a browser and waits for its tab. */
  static async start(path: string): Promise<PageBrowser> {
    const browser = new PageBrowser(path);
    const { targetId } = await browser.#send("Target.createTarget", { url: "about:blank" });
    const attached = await browser.#send("Target.attachToTarget", { targetId, flatten: true });
    browser.#session = attached["sessionId"] as string;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) {
      await browser.#send(`${domain}.enable`);
    }
    return browser;
  }

  /** Opens an address and waits until it is loaded. */
  async open(url: string, view: View): Promise<void> {
    const { width, height, scheme = "light", phone = false, script = true } = view;
    this.complaints.length = 0;
    this.requests.length = 0;
    await this.#send("Emulation.setScriptExecutionDisabled", { value: !script });
    await this.#send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: phone ? 2 : 1,
      mobile: phone,
    });
    await this.#send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }],
    });
    const loaded = new Promise<void>((resolve) => {
      this.#waiting.set("Page.loadEventFired", resolve);
    });
    await this.#send("Page.navigate", { url });
    await loaded;
  }

  /** Returns what an expression comes to in the page; a promise is awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = await this.#send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    const failure = answer["exceptionDetails"] as
      | { readonly text: string; readonly exception?: { readonly description?: string } }
      | undefined;
    if (failure !== undefined) throw new Error(failure.exception?.description ?? failure.text);
    return (answer["result"] as { readonly value: T }).value;
  }

  /** Presses and releases a key. */
  async press(key: string): Promise<void> {
    for (const type of ["keyDown", "keyUp"]) {
      await this.#send("Input.dispatchKeyEvent", { type, key, code: key });
    }
  }

  /** Returns the page as PNG: the part in view, or all of it. */
  async screenshot(whole = false): Promise<Buffer> {
    const { data } = await this.#send("Page.captureScreenshot", {
      format: "png",
      captureBeyondViewport: whole,
    });
    return Buffer.from(data as string, "base64");
  }

  /** Ends the browser and removes its profile. */
  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = new Promise((resolve) => this.#process.once("exit", resolve));
      await this.#send("Browser.close", {}, false).catch(() => this.#process.kill("SIGKILL"));
      await gone;
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async #send(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
    toTab = true,
  ): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#lastId;
    const session = this.#session !== undefined && toTab ? { sessionId: this.#session } : {};
    const answered = new Promise<Message>((resolve) => this.#pending.set(id, resolve));
    this.#input.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    const { result = {}, error } = await answered;
    this.#pending.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  #read(output: Readable): void {
    let rest = "";
    output.setEncoding("utf8");
    output.on("data", (chunk: string) => {
      const messages = (rest + chunk).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages) this.#take(JSON.parse(message) as Message);
    });
  }

  #take(message: Message): void {
    if (message.id !== undefined) this.#pending.get(message.id)?.(message);
    const { method = "", params = {} } = message;
    this.#waiting.get(method)?.();
    this.#waiting.delete(method);
    if (method === "Network.requestWillBeSent") {
      this.requests.push((params["request"] as { readonly url: string }).url);
    }
    if (
      method === "Runtime.exceptionThrown" ||
      method === "Runtime.consoleAPICalled" ||
      method === "Log.entryAdded" ||
      method === "Page.javascriptDialogOpening"
    ) {
      this.complaints.push(JSON.stringify(params));
    }
  }
}
