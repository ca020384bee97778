/** A bridge as its users start it, for the live tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import { need, ROOT, type Running, start } from "./live.ts";

export interface LiveBridge extends AsyncDisposable {
  /** Of /rpc. */
  readonly url: string;
  readonly http: string;
  readonly control: string;
  readonly read: string;
  /** Where these tokens lie. */
  readonly files: { readonly control: string; readonly read: string };
  /** GET with the token for reading. */
  get(path: string): Promise<Response>;
  /** As Ctrl-C does; its exit code. */
  stop(): Promise<number | null>;
}

/** The one that the system's packages are for. */
export const PYTHON = "/usr/bin/python3";
const EBSCOPE = join(ROOT, "dist/src/cli/main.js");

/** `ebscope serve --json` on any free port. */
export async function startBridge(data: string, ...args: readonly string[]): Promise<LiveBridge> {
  need(EBSCOPE);
  const child = spawn(process.execPath, [EBSCOPE, "serve", "--json", "--port", "0", "--data", data, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: ROOT,
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const told = await new Promise<string>((resolve, reject) => {
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      if (stdout.trimEnd().endsWith("}")) resolve(stdout);
    });
    void ended.then((code) => reject(new Error(`ebscope serve ended with ${code}:\n${stderr}`)));
  });
  const { urls, tokens } = JSON.parse(told) as { urls: string[]; tokens: { control: string; read: string } };
  const [url = ""] = urls;
  const http = url.replace(/^ws/, "http").replace(/\/rpc$/, "");
  const [control, read] = [tokens.control, tokens.read].map((path) => readFileSync(path, "utf8").trim()) as [
    string,
    string,
  ];
  const stop = (): Promise<number | null> => {
    child.kill("SIGINT");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    return ended.finally(() => clearTimeout(timer));
  };
  const get = (path: string): Promise<Response> => fetch(http + path, { headers: { authorization: `Bearer ${read}` } });
  return { url, http, control, read, files: tokens, get, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

/** Reads the events up to the first of a kind, in Python. */
export function pythonReader({ url, read }: LiveBridge, last: string): Running {
  return start(PYTHON, [join(ROOT, "test/support/clients/read_events.py"), url, read, last]);
}

/** A program that follows a bridge, and what it has printed so far. */
export class Follower implements Disposable {
  stdout = "";
  readonly #child: ChildProcess;

  constructor(program: string, ...args: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], cwd: ROOT });
    this.#child.stdout?.on("data", (chunk) => {
      this.stdout += chunk;
    });
  }

  /** Waits until it has printed something that matches. */
  async shows(pattern: RegExp): Promise<void> {
    for (let tries = 0; !pattern.test(this.stdout); tries++) {
      if (tries === 600) throw new Error(`no ${pattern} within a minute in:\n${this.stdout.slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

/** The built client and an empty page, for a browser: at http://localhost:PORT/. */
export async function servePage(): Promise<{ readonly origin: string; readonly host: string } & AsyncDisposable> {
  const server: Server = createServer((request, response) => {
    const path = normalize(request.url ?? "/");
    const file = join(ROOT, "dist", path);
    if (path === "/")
      response.writeHead(200, { "content-type": "text/html" }).end("<!DOCTYPE html><title>page</title>");
    else if (path.endsWith(".js") && existsSync(file)) {
      response.writeHead(200, { "content-type": "text/javascript" }).end(readFileSync(file));
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `localhost:${(server.address() as AddressInfo).port}`;
  const close = (): Promise<void> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  return { origin: `http://${host}`, host, [Symbol.asyncDispose]: close };
}
