/**
 * A real browser for the live tests: Chromium without a window, driven by the Chrome DevTools Protocol (chromedevtools.github.io) through two
 * pipes: `--remote-debugging-pipe` reads JSON texts from descriptor 3 and writes them to 4, each with a NUL behind it.
 */
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";

const PROGRAMS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
/** Milliseconds; a machine that emulates another one beside it is slow. */
const PATIENCE = 60_000;

export interface Page extends AsyncDisposable {
  /** What an expression comes to in the page: JSON, and that of a promise when it is one, however long it takes. Rejects when it throws. */
  evaluate<T>(expression: string): Promise<T>;
  close(): Promise<void>;
}

export interface Chromium extends AsyncDisposable {
  /** A page at a URL, when it has been loaded. Pages do not know each other. */
  open(url: string): Promise<Page>;
  /** Ends it, and removes all that it wrote. */
  close(): Promise<void>;
}

/** A page in a browser of its own, which ends with the page. */
export async function openPage(url: string): Promise<Page> {
  const chromium = await startChromium();
  const page = await chromium.open(url).catch(async (error) => {
    await chromium.close();
    throw error;
  });
  const { evaluate } = page;
  return { evaluate, close: chromium.close, [Symbol.asyncDispose]: chromium.close };
}

/** `more`: of Chromium's own flags. */
export async function startChromium(...more: readonly string[]): Promise<Chromium> {
  const profile = mkdtempSync(join(tmpdir(), "ebscope-chromium-"));
  const child = spawn(program(), [...argumentsFor(profile), ...more, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    // The program is a script on some systems, and has children of its own: the group is what can be ended.
    detached: true,
  });
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr = (stderr + chunk).slice(-4000);
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const [, , , input, output] = child.stdio as unknown as [unknown, unknown, unknown, Writable, Readable];
  const wire = new Wire(input, output);
  void ended.then(() => wire.fail(`Chromium ended: ${stderr}`));
  child.once("error", (error) => wire.fail(`Chromium does not start: ${error.message}`));
  const close = async (): Promise<void> => {
    await wire.send("Browser.close").catch(() => undefined);
    const timer = setTimeout(() => killGroup(child.pid), 5000);
    await ended;
    clearTimeout(timer);
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  // Nobody can be left waiting for a browser that did not start.
  await wire.send("Browser.getVersion").catch(async (error) => {
    await close();
    throw error;
  });
  return { open: (url) => pageAt(wire, url), close, [Symbol.asyncDispose]: close };
}

function program(): string {
  for (const name of PROGRAMS) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      const path = join(folder, name);
      if (isProgram(path)) return path;
    }
  }
  throw new Error(
    `This live test cannot run: no ${PROGRAMS[0]} (or chromium) on PATH. Install the package chromium-headless-shell.`,
  );
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function argumentsFor(profile: string): string[] {
  return [
    ...["--headless", "--remote-debugging-pipe", `--user-data-dir=${profile}`],
    ...["--no-first-run", "--no-default-browser-check", "--disable-gpu", "--disable-dev-shm-usage"],
    // Nothing goes out to the network by itself.
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"],
    // Chromium's own sandbox does not work for root.
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ];
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the protocol has.
  readonly params?: any;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** Commands and their answers, and events, over the two pipes. */
class Wire {
  readonly #input: Writable;
  readonly #answers = new Map<number, (message: Message | Error) => void>();
  readonly #events = new Set<(message: Message | Error) => void>();
  #rest = "";
  #count = 0;
  #failure: Error | undefined;

  constructor(input: Writable, output: Readable) {
    this.#input = input;
    input.on("error", () => undefined);
    output.setEncoding("utf8").on("data", (text: string) => this.#take(text));
  }

  /** A command that is answered soon. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the protocol has.
  async send(method: string, params: object = {}, sessionId?: string): Promise<any> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`Chromium does not answer ${method}`)), PATIENCE);
    });
    return Promise.race([this.wait(method, params, sessionId), late]).finally(() => clearTimeout(timer));
  }

  /** A command that takes as long as it takes. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the protocol has.
  async wait(method: string, params: object, sessionId?: string): Promise<any> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = ++this.#count;
    const answer = await new Promise<Message | Error>((resolve) => {
      this.#answers.set(id, resolve);
      this.#input.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`);
    });
    this.#answers.delete(id);
    if (answer instanceof Error) throw answer;
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result;
  }

  /** The next event that fits. */
  next(fits: (message: Message) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (message: Message | Error): void => {
        if (!(message instanceof Error) && !fits(message)) return;
        this.#events.delete(look);
        if (message instanceof Error) reject(message);
        else resolve();
      };
      this.#events.add(look);
    });
  }

  fail(why: string): void {
    this.#failure ??= new Error(why);
    for (const settle of [...this.#answers.values(), ...this.#events]) settle(this.#failure);
  }

  #take(text: string): void {
    const parts = (this.#rest + text).split("\0");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      if (message.id !== undefined) this.#answers.get(message.id)?.(message);
      else for (const look of [...this.#events]) look(message);
    }
  }
}

async function pageAt(wire: Wire, url: string): Promise<Page> {
  const { browserContextId } = await wire.send("Target.createBrowserContext");
  const { targetId } = await wire.send("Target.createTarget", { url: "about:blank", browserContextId });
  const { sessionId } = await wire.send("Target.attachToTarget", { targetId, flatten: true });
  const send = (method: string, params: object = {}) => wire.send(method, params, sessionId);
  await send("Page.enable");
  const load = wire.next((message) => message.sessionId === sessionId && message.method === "Page.loadEventFired");
  // Awaited only when the page could be asked for.
  load.catch(() => undefined);
  const { errorText } = await send("Page.navigate", { url });
  if (errorText !== undefined) throw new Error(`Chromium cannot open ${url}: ${errorText}`);
  await load;
  const evaluate = async <T>(expression: string): Promise<T> => {
    const wanted = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails: thrown } = await wire.wait("Runtime.evaluate", wanted, sessionId);
    if (thrown !== undefined) throw new Error(`In the page: ${thrown.exception?.description ?? thrown.text}`);
    return result.value as T;
  };
  const close = async (): Promise<void> => {
    await wire.send("Target.disposeBrowserContext", { browserContextId });
  };
  return { evaluate, close, [Symbol.asyncDispose]: close };
}
