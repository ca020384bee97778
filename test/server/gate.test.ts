/** Who is let in: every Origin with every Host with every token, by raw sockets, against a server that listens. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawSocket, type Served, serve } from "./support/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve({ limits: { connections: 4096 } });
});
afterAll(() => served.stop());

/** What stands for the port of the server, and for its tokens. */
type Fill = (text: string) => string;

interface Choice {
  readonly name: string;
  readonly lines: readonly string[];
  readonly ok: boolean;
  /** The status of what is refused. */
  readonly status?: number;
}

function good(name: string, ...lines: string[]): Choice {
  return { name, lines, ok: true };
}

function bad(status: number, name: string, ...lines: string[]): Choice {
  return { name, lines, ok: false, status };
}

const host = (value: string): Choice => bad(403, `Host: ${value}`, `Host: ${value}`);

const HOSTS: readonly Choice[] = [
  good("127.0.0.1", "Host: 127.0.0.1:PORT"),
  good("localhost", "Host: localhost:PORT"),
  good("[::1]", "Host: [::1]:PORT"),
  bad(403, "no Host"),
  bad(400, "two Hosts", "Host: 127.0.0.1:PORT", "Host: evil.example"),
  bad(400, "the same Host twice", "Host: 127.0.0.1:PORT", "hOST: 127.0.0.1:PORT"),
  host(""),
  host("evil.example"),
  host("evil.example:PORT"),
  host("localhost.evil.example:PORT"),
  host("127.0.0.1.nip.io:PORT"),
  host("LOCALHOST:PORT"),
  host("localhost.:PORT"),
  host("127.0.0.1.:PORT"),
  host("user@127.0.0.1:PORT"),
  host("127.0.0.1:PORT@evil.example"),
  host("127.0.0.1:PORT, evil.example"),
  host("127.0.0.1"),
  host("localhost"),
  host("127.0.0.1:1"),
  host("127.0.0.1:0PORT"),
  host("127.0.0.2:PORT"),
  host("127.1:PORT"),
  host("2130706433:PORT"),
  host("0x7f000001:PORT"),
  host("0.0.0.0:PORT"),
  host("[::ffff:127.0.0.1]:PORT"),
  host("[0:0:0:0:0:0:0:1]:PORT"),
  host("::1:PORT"),
  host("localhost:PORT/"),
];

const origin = (value: string): Choice => bad(403, `Origin: ${value}`, `Origin: ${value}`);

const ORIGINS: readonly Choice[] = [
  good("no Origin"),
  good("its own", "Origin: http://127.0.0.1:PORT"),
  good("its own by name", "Origin: http://localhost:PORT"),
  origin("null"),
  origin(""),
  origin("http://evil.example"),
  origin("http://localhost.evil.example:PORT"),
  origin("http://127.0.0.1:PORT.evil.example"),
  origin("https://127.0.0.1:PORT"),
  origin("http://127.0.0.1"),
  origin("http://127.0.0.1:1"),
  origin("http://127.0.0.1:PORT/"),
  origin("http://127.0.0.1:PORT http://evil.example"),
  origin("file://"),
  bad(400, "two Origins", "Origin: http://127.0.0.1:PORT", "Origin: http://evil.example"),
];

const TOKENS: readonly Choice[] = [
  good("control", "Authorization: Bearer CONTROL"),
  good("read", "authorization: bearer READ"),
  good("a browser's", "Sec-WebSocket-Protocol: ebscope.v1, ebscope.token.READ"),
  bad(401, "none"),
  bad(401, "another", `Authorization: Bearer ${"A".repeat(43)}`),
  bad(401, "empty", "Authorization: Bearer "),
  bad(401, "of another scheme", "Authorization: Basic CONTROL"),
  bad(401, "bare", "Authorization: CONTROL"),
  bad(401, "with more behind it", "Authorization: Bearer CONTROLx"),
  bad(401, "two in two places", "Authorization: Bearer CONTROL", "Sec-WebSocket-Protocol: ebscope.v1, ebscope.token.x"),
  bad(400, "two", "Authorization: Bearer CONTROL", "Authorization: Bearer x"),
  bad(401, "in a cookie", "Cookie: token=CONTROL"),
];

function filler(): Fill {
  const { port, tokens } = served;
  return (text) =>
    text
      .replaceAll("PORT", String(port))
      .replaceAll("CONTROL", tokens.control ?? "")
      .replaceAll("READ", tokens.read);
}

const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** The status line, and the body of what was refused. */
async function ask(request: readonly string[]): Promise<{ status: number; text: string }> {
  const raw = new RawSocket({ port: served.port });
  raw.socket.write(`${request.map(filler()).join("\r\n")}\r\n\r\n`);
  const text = await raw.until((got) => /^HTTP\/1.1 (101|200)/.test(got));
  raw.socket.destroy();
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]), text };
}

/** As a list of one check after the other would have it. */
function expected(...choices: readonly Choice[]): number | undefined {
  return choices.find(({ ok }) => !ok)?.status;
}

function everyChoice(): { host: Choice; origin: Choice; token: Choice }[] {
  return HOSTS.flatMap((each) =>
    ORIGINS.flatMap((from) => TOKENS.map((token) => ({ host: each, origin: from, token }))),
  );
}

/** The requests that were answered otherwise than they should have been. */
async function offences(line: string, more: readonly string[], welcome: number): Promise<string[]> {
  const found: string[] = [];
  const all = everyChoice();
  for (let i = 0; i < all.length; i += 32) {
    const some = all.slice(i, i + 32).map(async (choice) => {
      const parts = [choice.host, choice.origin, choice.token];
      const { status, text } = await ask([line, ...parts.flatMap(({ lines }) => lines), ...more]);
      const wanted = expected(...parts) ?? welcome;
      const told = wanted === welcome || /"code":"[a-z-]+".*"message":".{20,}","next":".{20,}"/.test(text);
      if (status !== wanted || !told)
        found.push(`${parts.map(({ name }) => name).join(" | ")}: ${status}, not ${wanted}`);
    });
    await Promise.all(some);
  }
  return found;
}

describe("the gate", () => {
  it("lets 27 of 5,400 combinations of Host, Origin and token through to /rpc, and refuses the others before the upgrade", async () => {
    expect(everyChoice().length).toBe(5400);
    expect(everyChoice().filter((c) => expected(c.host, c.origin, c.token) === undefined).length).toBe(27);
    expect(await offences("GET /rpc HTTP/1.1", UPGRADE, 101)).toEqual([]);
  }, 60_000);

  it("lets the same ones through to the routes of HTTP", async () => {
    expect(await offences("GET /captures HTTP/1.1", [], 200)).toEqual([]);
  }, 60_000);

  const OK = ["Host: 127.0.0.1:PORT", "Authorization: Bearer CONTROL"];

  it.each(["/rpc?token=CONTROL", "/captures?token=CONTROL", "/captures?access_token=READ"])(
    "takes no token from the URL: %s",
    async (path) => {
      const { status, text } = await ask([
        `GET ${path} HTTP/1.1`,
        "Host: 127.0.0.1:PORT",
        ...(path.startsWith("/rpc") ? UPGRADE : []),
      ]);
      expect(status).toBe(401);
      expect(text).toContain("A token in the URL is not taken");
    },
  );

  it.each([
    ["http://127.0.0.1:PORT/captures", 400],
    ["http://evil.example/captures", 400],
    ["*", 400],
  ])("refuses the request target %s, which would stand above Host", async (target, status) => {
    expect((await ask([`GET ${target} HTTP/1.1`, ...OK])).status).toBe(status);
  });

  it.each(["GET / HTTP/1.1", "GET /rpc/ HTTP/1.1", "GET /captures HTTP/1.1", "GET //rpc HTTP/1.1"])(
    "upgrades nothing but /rpc: %s",
    async (line) => {
      expect((await ask([line, ...OK, ...UPGRADE])).status).toBe(404);
    },
  );

  it.each([
    ["h2c", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"], 404],
    ["a WebSocket without a key", UPGRADE.slice(0, 3), 400],
    ["a WebSocket of another version", [...UPGRADE.slice(0, 2), "Sec-WebSocket-Version: 12", ...UPGRADE.slice(3)], 400],
    ["a token's subprotocol alone", [...UPGRADE, "Sec-WebSocket-Protocol: chat"], 400],
  ])("does not upgrade to %s", async (_name, lines, status) => {
    const answer = await ask(["GET /rpc HTTP/1.1", ...OK, ...lines]);
    expect(answer.status).toBe(status);
    expect(answer.text).toContain('"code":"request-refused"');
  });

  it("selects its own subprotocol, and never sends the token's back", async () => {
    const lines = ["Host: localhost:PORT", "Sec-WebSocket-Protocol: ebscope.token.READ, ebscope.v1"];
    const { status, text } = await ask(["GET /rpc HTTP/1.1", ...lines, ...UPGRADE]);
    expect(status).toBe(101);
    expect(text).toMatch(/^sec-websocket-protocol: ebscope\.v1\r$/im);
    expect(text).not.toContain(served.tokens.read);
  });

  it("asks for no token at /healthz, but for Host and Origin", async () => {
    const health = (...lines: string[]) => ask(["GET /healthz HTTP/1.1", ...lines]);
    expect((await health("Host: 127.0.0.1:PORT")).status).toBe(200);
    expect((await health("Host: evil.example")).status).toBe(403);
    expect((await health("Host: 127.0.0.1:PORT", "Origin: null")).status).toBe(403);
    expect((await ask(["GET /healthz/../captures HTTP/1.1", "Host: 127.0.0.1:PORT"])).status).toBe(401);
    expect((await ask(["GET /HEALTHZ HTTP/1.1", "Host: 127.0.0.1:PORT"])).status).toBe(401);
  });

  it("asks whoever has no token for one, in the way of HTTP, and never allows another origin anything", async () => {
    const { text } = await ask(["GET /captures HTTP/1.1", "Host: 127.0.0.1:PORT"]);
    expect(text).toMatch(/^www-authenticate: Bearer\r$/im);
    const preflight = ["OPTIONS /captures HTTP/1.1", ...OK, "Access-Control-Request-Method: GET", "Connection: close"];
    for (const each of [text, (await ask(preflight)).text, (await ask(["GET /captures HTTP/1.1", ...OK])).text]) {
      expect(each.toLowerCase()).not.toContain("access-control-allow");
      expect(each.toLowerCase()).not.toContain("set-cookie");
    }
  });
});
