/** The browser's entry: what it needs at run time, and that it does the same as Node's. A real browser has it in test/live. */
import { readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import * as browser from "../../src/client/browser.ts";
import * as node from "../../src/client/index.ts";
import { progressEvent } from "../server/support/memory-log.ts";
import { eventually, TARGET } from "../server/support/serve.ts";
import { QUICK, rejection, type Served, serve } from "./support.ts";

const SRC = fileURLToPath(new URL("../../src", import.meta.url));

/** What a source imports when it runs: imports of types only are erased (`verbatimModuleSyntax`). */
function runtimeImports(path: string): string[] {
  const code = readFileSync(path, "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/^(?:import|export) type\b[^;]*;/gm, "");
  const found = code.matchAll(
    /^(?:import|export)\s(?:[^;"'()]*?\bfrom\s*)?["']([^"']+)["'];|\bimport\s*\(\s*["']([^"']+)["']/gm,
  );
  return [...found].map(([, from, dynamic]) => from ?? dynamic ?? "");
}

/** Everything that loading a source loads: paths under src, and what is no path as it stands. */
function reached(entry: string): { files: Set<string>; packages: Set<string> } {
  const [files, packages, waiting] = [new Set<string>(), new Set<string>(), [resolve(SRC, entry)]];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (files.has(relative(SRC, path))) continue;
    files.add(relative(SRC, path));
    for (const target of runtimeImports(path)) {
      if (target.startsWith(".")) waiting.push(resolve(dirname(path), target));
      else packages.add(target);
    }
  }
  return { files, packages };
}

describe("what a browser loads", () => {
  const { files, packages } = reached("client/browser.ts");

  it("is files of the client and of base, and nothing of node or of a package", () => {
    expect(files.size).toBeGreaterThan(10);
    expect([...packages]).toEqual([]);
    expect([...files].filter((file) => !/^(client|base)\//.test(file))).toEqual([]);
  });

  it("is told from what Node loads, which is more", () => {
    const inNode = reached("client/index.ts");
    expect(inNode.packages).toContain("ws");
    expect([...inNode.packages].filter((name) => name.startsWith("node:")).length).toBeGreaterThan(0);
  });

  it("of the client is of the API types only, in Node too", () => {
    const { files: inNode, packages: needed } = reached("client/index.ts");
    expect([...inNode].filter((file) => file.startsWith("api/"))).toEqual([]);
    expect([...needed]).not.toContain("typebox");
  });
});

describe("the browser's entry", () => {
  let served: Served;
  beforeEach(async () => {
    served = await serve({ keepTokens: true });
    // The standard's interface and nothing else, as a browser has it.
    vi.stubGlobal("WebSocket", standardOnly());
  });
  afterEach(async () => {
    vi.unstubAllGlobals();
    await served.end();
  });

  const token = (): string => served.tokens().control ?? "";

  it("offers what Node's does", () => {
    expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
    expect(browser.Client).toBe(node.Client);
  });

  it("calls, streams and connects again", async () => {
    await using client = await browser.connect({ url: served.url, token: token(), ...QUICK });
    expect(await client.Target.list()).toEqual([TARGET]);
    const events = client.events({ after: 0 });
    served.log.appendAll([progressEvent("one")]);
    expect((await events.next()).value?.seq).toBe(1);
    served.line.cut();
    served.log.appendAll([progressEvent("two")]);
    expect((await events.next()).value?.seq).toBe(2);
    expect(await client.Target.list()).toEqual([TARGET]);
  });

  it("connects to where the page is from", async () => {
    vi.stubGlobal("location", { origin: `http://127.0.0.1:${served.line.port}` });
    await using client = await browser.connect({ token: token() });
    expect((await client.Bridge.version()).access).toBe("control");
  });

  it("says what may be wrong when it is refused, as the browser does not tell", async () => {
    const error = await rejection(browser.connect({ url: served.url, token: "wrong" }));
    expect(error).toMatchObject({ code: "connect-failed", next: expect.stringContaining("token") });
    vi.stubGlobal("WebSocket", undefined);
    expect(await rejection(browser.connect({ url: served.url, token: "x" }))).toMatchObject({ code: "usage" });
    vi.stubGlobal("location", undefined);
    expect(await rejection(browser.connect({ token: "x" }))).toMatchObject({ code: "usage" });
  });

  it("gives up after a time what may have been refused", async () => {
    const client = await browser.connect({ url: served.url, token: token(), giveUpAfterMs: 30, ...QUICK });
    served.line.up = false;
    served.line.cut();
    await eventually(() => client.state.kind === "closed");
    expect(await rejection(client.Target.list())).toMatchObject({ code: "connect-failed" });
  });
});

/** A class with the members of the standard only, and no words about failures. */
function standardOnly(): unknown {
  return class {
    readonly #ws: WebSocket;
    onopen?: () => void;
    onmessage?: (event: { data: unknown }) => void;
    onerror?: (event: object) => void;
    onclose?: (event: { code: number; reason: string }) => void;

    constructor(url: string, protocols: string[]) {
      this.#ws = new WebSocket(url, protocols);
      this.#ws.onopen = () => this.onopen?.();
      this.#ws.onmessage = ({ data }) => this.onmessage?.({ data });
      this.#ws.onerror = () => this.onerror?.({});
      this.#ws.onclose = ({ code, reason }) => this.onclose?.({ code, reason });
    }

    get protocol(): string {
      return this.#ws.protocol;
    }

    get readyState(): number {
      return this.#ws.readyState;
    }

    send(text: string): void {
      this.#ws.send(text);
    }

    close(code: number, reason: string): void {
      if (code !== 1000 && (code < 3000 || code > 4999)) throw new Error("InvalidAccessError");
      this.#ws.close(code, reason);
    }
  };
}
