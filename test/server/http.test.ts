/** The routes of HTTP: the same answers as those of `/rpc`, and the log as a stream. */
import { request } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { MemoryLog, progressEvent } from "./support/memory-log.ts";
import { CAPTURE, eventually, FORMS, RawSocket, type Served, serve } from "./support/serve.ts";

let served: Served;
let log: MemoryLog;
beforeAll(async () => {
  log = new MemoryLog();
  served = await serve({ log, limits: { httpStreams: 3, unsent: 100_000, behind: 500 } });
});
beforeEach(() => {
  expect(log.listeners).toBe(0);
});
afterAll(() => served.stop());

interface Problem {
  readonly error: { readonly code: string; readonly message: string; readonly next: string };
}

async function problem(response: Response): Promise<Problem["error"]> {
  expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
  const { error } = (await response.json()) as Problem;
  expect(Object.keys(error)).toEqual(["code", "message", "next"]);
  return error;
}

describe("the routes", () => {
  it("answer what the methods answer", async () => {
    const client = await served.open();
    for (const [path, method, params] of [
      ["/captures", "Capture.list", {}],
      ["/captures/c1", "Capture.get", { capture: "c1" }],
      ["/captures/c1/findings", "Capture.findings", { capture: "c1" }],
      ["/openrpc.json", "Bridge.describe", {}],
    ] as const) {
      const response = await served.get(path);
      expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
      expect(await response.json()).toEqual((await client.call(method, params)).result);
    }
    client.ws.terminate();
  });

  it("escape in JSON what a terminal or a CI job would act on", async () => {
    expect(await (await served.get("/captures/c1/findings")).text()).toMatch(/^[\x20-\x7e]*\n$/);
  });

  it("hand the points of a diff on", async () => {
    const asked: unknown[] = [];
    const own = await serve({
      handlers: {
        "Capture.diff": async (params) => {
          asked.push(params);
          throw new Error("it is asked only");
        },
      },
    });
    expect((await own.get("/captures/c1/diff?from=before&to=after-2")).status).toBe(500);
    expect((await own.get("/captures/c1/diff")).status).toBe(500);
    expect(asked).toEqual([{ capture: "c1", from: "before", to: "after-2" }, { capture: "c1" }]);
    await own.stop();
  });

  it("give the report a policy that lets nothing run, be loaded, or frame it", async () => {
    const response = await served.get("/captures/c1/report.html");
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toBe(
      "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
    );
    expect(await response.text()).toContain("<p>x");
    expect(await (await served.get("/captures/c1/report.md")).text()).toBe("# c1\n");
  });

  it("give the file byte for byte, to be saved", async () => {
    const response = await served.get("/captures/c1/file");
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
    expect(response.headers.get("content-disposition")).toBe('attachment; filename="c1.ebs"');
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0x45, 0, 0xff]);
  });

  it("give a large file to one who reads slowly, and everybody else what they ask for meanwhile", async () => {
    const file = Uint8Array.from({ length: 24 << 20 }, (_, i) => (i * 7) ^ (i >> 8));
    const own = await serve({ forms: { ...FORMS, file: async () => file } });
    const raw = new RawSocket({ port: own.port });
    raw.socket.pause();
    const asked = `Host: localhost:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\nConnection: close\r\n\r\n`;
    raw.socket.write(`GET /captures/c1/file HTTP/1.1\r\n${asked}`);
    for (let i = 0; i < 5; i++) expect((await own.get("/captures")).status).toBe(200);
    raw.socket.resume();
    await raw.end();
    const body = raw.bytes.subarray(raw.bytes.indexOf("\r\n\r\n") + 4);
    expect(raw.bytes.toString("latin1", 0, 400)).toContain(`content-length: ${file.length}\r\n`);
    expect(body.equals(file)).toBe(true);
    await own.stop();
  });

  it("do not wait for ever for one who asks and takes nothing", async () => {
    const file = new Uint8Array(64 << 20);
    const own = await serve({ forms: { ...FORMS, file: async () => file }, limits: { idle: 1500, httpRequests: 1 } });
    const raw = new RawSocket({ port: own.port });
    raw.socket.pause();
    const asked = `Host: localhost:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\n\r\n`;
    raw.socket.write(`GET /captures/c1/file HTTP/1.1\r\n${asked}`);
    let status = 0;
    // First before it asked, then while it has the one place, then when that was taken from it.
    while (status !== 503) ({ status } = await own.get("/captures"));
    while (status !== 200) ({ status } = await own.get("/captures"));
    raw.socket.destroy();
    await own.stop();
  });

  it("say of /rpc that it is a WebSocket", async () => {
    const response = await served.get("/rpc");
    expect(response.status).toBe(426);
    expect(response.headers.get("upgrade")).toBe("websocket");
    expect((await problem(response)).message).toContain("it is a WebSocket");
  });

  it("are all sent with headers that keep browsers from guessing, framing and keeping, refusals too", async () => {
    for (const path of ["/captures", "/healthz", "/captures/c1/file", "/nothing", "/captures/none", "/openapi.json"]) {
      const { headers } = await served.get(path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
      expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
    }
    const refused = await served.get("/captures", {});
    expect(refused.headers.get("x-content-type-options")).toBe("nosniff");
  });

  it.each([
    ["/nothing", 404, "request-refused"],
    ["/captures/", 400, "request-refused"],
    ["/captures/..%2f..%2fetc%2fpasswd/file", 400, "request-refused"],
    ["/captures/UPPER", 400, "request-refused"],
    [`/captures/${"a".repeat(41)}`, 400, "request-refused"],
    [`/captures/${"a".repeat(101)}`, 414, "request-refused"],
    ["/captures/%ff", 400, "request-refused"],
    ["/captures/none", 404, "no-such-capture"],
    ["/captures/none/report.html", 404, "no-such-capture"],
    ["/captures/c1/diff?point=x", 400, "request-refused"],
    ["/captures?x=1", 400, "request-refused"],
    ["/captures?__proto__=1", 400, "request-refused"],
    ["/events?after=-1", 400, "request-refused"],
    ["/events?after=1e3", 400, "request-refused"],
    ["/events?after=1&after=2", 400, "request-refused"],
    ["/events?kinds=nothing", 400, "request-refused"],
    ["/events?ranges=0x1000", 400, "request-refused"],
    ["/events?ranges=0x2000-0x1000", 400, "request-refused"],
    ["/events.ndjson?after=999999", 410, "events-gone"],
  ])("answer %s with %i and a code", async (path, status, code) => {
    const response = await served.get(path);
    expect(response.status).toBe(status);
    expect((await problem(response)).code).toBe(code);
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])("do not serve %s", async (method) => {
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${served.tokens.control}`, connection: "close" };
      const sent = request({ host: "127.0.0.1", port: served.port, path: "/captures", method, headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on("error", reject);
      sent.end();
    });
    expect(status).toBe(404);
  });

  it("answer no more at once than a bound", async () => {
    let waiting = 0;
    let go: () => void = () => undefined;
    const open = new Promise<void>((resolve) => {
      go = resolve;
    });
    const own = await serve({
      handlers: {
        "Capture.list": async () => {
          waiting++;
          await open;
          return [CAPTURE];
        },
      },
      limits: { httpRequests: 2 },
    });
    const first = [own.get("/captures"), own.get("/captures")];
    await eventually(() => waiting === 2);
    const refused = await own.get("/captures");
    expect(refused.status).toBe(503);
    expect((await problem(refused)).code).toBe("too-many-requests");
    go();
    for (const response of await Promise.all(first)) expect(await response.json()).toEqual([CAPTURE]);
    await eventually(() => true);
    expect((await own.get("/captures")).status).toBe(200);
    await own.stop();
  });

  it("abort what is made for a client that went away", async () => {
    let aborted = false;
    let asked = false;
    const own = await serve({
      handlers: {
        "Capture.list": (_params, { signal }) => {
          asked = true;
          return new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => {
              aborted = true;
              reject(signal.reason);
            });
          });
        },
      },
    });
    const raw = new RawSocket({ port: own.port });
    raw.socket.write(
      `GET /captures HTTP/1.1\r\nHost: localhost:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\n\r\n`,
    );
    await eventually(() => asked);
    raw.socket.destroy();
    await eventually(() => aborted);
    expect(aborted).toBe(true);
    await own.stop();
  });
});

/** A stream, as far as it came. */
class Stream {
  readonly response: Response;
  readonly #abort: AbortController;
  text = "";
  ended = false;

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    void this.#read();
  }

  static async open(path: string, headers: Record<string, string> = {}): Promise<Stream> {
    const abort = new AbortController();
    const response = await fetch(`http://127.0.0.1:${served.port}${path}`, {
      headers: { authorization: `Bearer ${served.tokens.read}`, ...headers },
      signal: abort.signal,
    });
    expect(response.status).toBe(200);
    return new Stream(response, abort);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await eventually(() => log.listeners === 0);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of this.response.body ?? [])
        this.text += decoder.decode(chunk as Uint8Array, { stream: true });
    } catch {
      // It was closed from this side.
    }
    this.ended = true;
  }
}

describe("/events.ndjson", () => {
  it("ends with the last event when it is not to follow", async () => {
    for (let i = 0; i < 600; i++) await log.append(progressEvent(`${i} \n\u2028`));
    const response = await served.get("/events.ndjson?after=0&follow=false");
    expect(response.headers.get("content-type")).toBe("application/x-ndjson; charset=utf-8");
    const events = (await response.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
    expect(events[3].data.text).toBe("3 \n\u2028");
  });

  it("goes on with what comes, through the same filters", async () => {
    const stream = await Stream.open(`/events.ndjson?after=${log.head}&targets=t7,t8&kinds=capture.progress`);
    const { event } = await log.append(progressEvent("here", "t8"));
    await log.append(progressEvent("not here", "t1"));
    await log.append(progressEvent("and here", "t7"));
    await eventually(() => stream.text.split("\n").length === 3);
    expect(JSON.parse(stream.text.split("\n")[0] ?? "")).toEqual(event);
    expect(stream.text).not.toContain("not here");
    await stream.close();
  });

  it("tells a reader that stopped reading what it missed, and ends", async () => {
    const after = log.head;
    const raw = new RawSocket({ port: served.port });
    raw.socket.write(
      `GET /events.ndjson HTTP/1.1\r\nHost: localhost:${served.port}\r\nAuthorization: Bearer ${served.tokens.read}\r\n\r\n`,
    );
    await raw.until((text) => text.includes("\r\n\r\n"));
    raw.socket.pause();
    for (let i = 0; i < 3000; i++) {
      await log.append(progressEvent("x".repeat(20_000)));
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    raw.socket.resume();
    const text = await raw.until((got) => /0\r\n\r\n$/.test(got));
    raw.socket.destroy();
    const [, from, to] = /\{"lagged":\{"from":(\d+),"to":(\d+)\}\}/.exec(text) ?? [];
    const sent = [...text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq));
    expect(sent).toEqual(Array.from({ length: Number(from) - 1 - after }, (_, i) => after + 1 + i));
    expect(Number(to)).toBeGreaterThan(Number(from) + 498);
    await eventually(() => log.listeners === 0);
  }, 30_000);

  it("is let be when nothing happens for longer than a request may take", async () => {
    const own = await serve({ limits: { idle: 50 } });
    const raw = new RawSocket({ port: own.port });
    const asked = `Host: localhost:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\n\r\n`;
    raw.socket.write(`GET /events.ndjson HTTP/1.1\r\n${asked}`);
    await raw.until((text) => text.includes("\r\n\r\n"));
    await new Promise((resolve) => setTimeout(resolve, 250));
    await own.log.append(progressEvent("late"));
    expect(await raw.until((text) => text.includes("late"))).toContain('"text":"late"');
    raw.socket.destroy();
    await own.stop();
  });

  it("has everything for one who reads slowly, and no more than a bound waits in the process", async () => {
    const many = new MemoryLog();
    many.appendAll(Array.from({ length: 2000 }, (_, i) => progressEvent(`${i} ${"x".repeat(20_000)}`)));
    let reads = 0;
    many.beforeRead = () => {
      reads++;
      return undefined;
    };
    many.piece = 10;
    const own = await serve({ log: many, limits: { unsent: 100_000 } });
    const raw = new RawSocket({ port: own.port });
    raw.socket.pause();
    const asked = `Host: localhost:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\nConnection: close\r\n\r\n`;
    raw.socket.write(`GET /events.ndjson?after=0&follow=false HTTP/1.1\r\n${asked}`);
    await eventually(() => reads > 0);
    let before = -1;
    while (before !== reads) {
      before = reads;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // 40 MB are asked for; what it does not take stays in the log, but for what the buffers of the system's sockets hold.
    expect(reads).toBeLessThan(150);
    raw.socket.resume();
    const text = await raw.end();
    const sent = [...text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq));
    expect(sent).toEqual(Array.from({ length: 2000 }, (_, i) => i + 1));
    await own.stop();
  }, 60_000);
});

describe("/events", () => {
  it("sends each event with its sequence number as id, and goes on after Last-Event-ID", async () => {
    const after = log.head;
    const stream = await Stream.open(`/events?after=${after}`);
    expect(stream.response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const logged = [await log.append(progressEvent("one\ntwo")), await log.append(progressEvent("three"))];
    await eventually(() => stream.text.split("\n\n").length === 3);
    expect(stream.text).toBe(logged.map(({ event, json }) => `id: ${event.seq}\ndata: ${json}\n\n`).join(""));
    await stream.close();
    const again = await Stream.open(`/events?after=${after}`, { "last-event-id": String(after + 1) });
    await eventually(() => again.text.endsWith("\n\n"));
    expect(again.text).toMatch(new RegExp(`^id: ${after + 2}\n`));
    await again.close();
  });

  it("refuses an id that is none", async () => {
    const response = await served.get("/events", {
      authorization: `Bearer ${served.tokens.read}`,
      "last-event-id": "x",
    });
    expect(response.status).toBe(400);
  });

  it("shows on a quiet line that it lives", async () => {
    const own = await serve({ limits: { ping: 5 } });
    const raw = new RawSocket({ port: own.port });
    raw.socket.write(
      `GET /events HTTP/1.1\r\nHost: localhost:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\n\r\n`,
    );
    expect(await raw.until((text) => text.includes(":\n\n"))).toContain("\r\n:\n\n\r\n");
    raw.socket.destroy();
    await own.stop();
  });

  it("is open no more often than a bound", async () => {
    const streams = await Promise.all([0, 1, 2].map(() => Stream.open("/events")));
    const refused = await served.get("/events");
    expect(refused.status).toBe(503);
    expect((await problem(refused)).code).toBe("too-many-requests");
    await Promise.all(streams.map((stream) => stream.close()));
  });
});
