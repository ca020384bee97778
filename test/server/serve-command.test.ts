/** `ebscope serve`, in this process: what it prints, writes and takes away again. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { dataFolder } from "../../src/base/data-folder.ts";
import { type ServeFlags, serveCommand } from "../../src/cli/commands/serve.ts";
import { startStub } from "../support/scripted-stub.ts";
import { Client, eventually } from "./support/serve.ts";

let folder: string;
let out: string;
let err: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ebscope-serve-"));
  [out, err] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

function flags(more: Partial<ServeFlags> = {}): ServeFlags {
  return { port: 0, listen: "127.0.0.1", data: folder, ...more };
}

/** Runs it until `use` is done, then as Ctrl-C does. */
async function serving(more: Partial<ServeFlags>, use: () => Promise<void>): Promise<number> {
  const done = serveCommand(flags(more));
  await Promise.race([done, eventually(() => out.endsWith("\n"))]);
  await use();
  process.emit("SIGINT");
  return done;
}

describe("ebscope serve", () => {
  it("prints where it serves and where the tokens are, not what they are, and takes them away at the end", async () => {
    const before = process.listenerCount("SIGINT");
    const code = await serving({}, async () => {
      const [, url = ""] = /^serving (ws:\/\/127\.0\.0\.1:\d+\/rpc)$/m.exec(out) ?? [];
      const [, path = ""] = /^token for control: (.*)$/m.exec(out) ?? [];
      const token = (await readFile(path, "utf8")).trim();
      const client = await Client.open(url, token);
      expect((await client.call("Bridge.version")).result.access).toBe("control");
      expect((await client.call("Target.list")).result).toEqual([]);
      const { result } = await client.call("Stream.subscribe", { after: 0 });
      const { params } = await client.until(({ method }) => method === "Stream.event");
      expect(params).toMatchObject({ subscription: result.subscription, event: { seq: 1, kind: "bridge.started" } });
      for (const name of ["control.token", "read.token"]) {
        expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
        expect(out + err).not.toContain((await readFile(join(folder, name), "utf8")).trim());
      }
    });
    expect(code).toBe(0);
    expect((await readdir(folder)).filter((name) => name.endsWith(".token"))).toEqual([]);
    expect(process.listenerCount("SIGINT")).toBe(before);
  });

  it("prints JSON for programs, and makes no token for control when nobody is to have it", async () => {
    const socket = join(folder, "s");
    await serving({ json: true, readOnly: true, socket }, async () => {
      const read = join(folder, "read.token");
      expect(JSON.parse(out)).toEqual({
        urls: [`ws+unix:${socket}:/rpc`],
        tokens: { control: null, read },
        data: folder,
      });
      const client = await Client.open(`ws+unix:${socket}:/rpc`, (await readFile(read, "utf8")).trim());
      expect((await client.call("Bridge.version")).result.access).toBe("read");
      expect((await client.call("Target.attach", { gdb: "localhost:1" })).error?.code).toBe(-32001);
    });
  });

  it("is the only one with its folder, and takes nothing from the one that has it", async () => {
    await serving({}, async () => {
      const token = await readFile(join(folder, "control.token"), "utf8");
      await expect(serveCommand(flags())).rejects.toMatchObject({ code: "store-locked" });
      expect(await readFile(join(folder, "control.token"), "utf8")).toBe(token);
    });
  });

  it("ends with the error of a guest that cannot be attached to, and leaves nothing behind", async () => {
    await expect(serveCommand(flags({ gdb: ["127.0.0.1:1"] }))).rejects.toMatchObject({ code: "connect-failed" });
    expect((await readdir(folder)).filter((name) => name.endsWith(".token"))).toEqual([]);
    expect(await serving({}, async () => undefined)).toBe(0);
  });

  it("tells on stderr that it has no guest, and of guests that come and go", async () => {
    const stub = await startStub({ running: true });
    const gdb = stub.address.kind === "unix" ? `unix:${stub.address.path}` : "";
    await serving({ gdb: [gdb], run: true }, async () => {
      expect(err).not.toContain("no guest");
      await eventually(() => stub.running);
      stub.hangUp();
      await eventually(() => err.includes("lost"));
    });
    expect(
      err
        .replaceAll(/\d\d:\d\d:\d\d\.\d{3}/g, "TIME")
        .split("\n")
        .slice(0, 2),
    ).toEqual([
      `TIME  t1  attached to ${gdb}: QEMU 7.2.22, 2 vCPUs`,
      expect.stringMatching(/^TIME {2}t1 {2}lost: .* \[connection-lost\]$/),
    ]);
    await stub.close();
    [out, err] = ["", ""];
    await serving({}, async () => undefined);
    expect(err).toMatch(/^no guest yet: /);
  });

  it("quotes what it prints for a shell", async () => {
    const data = join(folder, "it's here");
    await serving({ data }, async () => {
      const [, line = ""] = /^try: (.*)$/m.exec(out) ?? [];
      // What the shell would give to curl, which is not on every machine.
      const curl = 'curl() { for each; do printf "%s\\n" "$each"; done; }';
      const { stdout } = await promisify(execFile)("sh", ["-c", `${curl}; ${line}`]);
      const [url = "", option, header = ""] = stdout.trimEnd().split("\n");
      expect(option).toBe("-H");
      const [name = "", value = ""] = header.split(": ");
      expect(await (await fetch(url, { headers: { [name]: value } })).json()).toEqual([]);
    });
  });

  it.each([
    ["a folder that is not there", "none/s", "there is no such folder"],
    ["a path that is too long", "s".repeat(120), "a socket's path has at most"],
  ])("says that it cannot listen on %s, and ends", async (_name, path, why) => {
    await expect(serveCommand(flags({ socket: join(folder, path) }))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(why),
    });
    expect((await readdir(folder)).sort()).toEqual(["captures", "events"]);
  });

  it.each<[string, Partial<ServeFlags>]>([
    ["another address", { listen: "0.0.0.0" }],
    ["an IPv6 address", { listen: "::" }],
    ["a name that only begins like this machine's", { listen: "127.0.0.1.nip.io" }],
  ])("does not listen on %s without --allow-remote, and says how else", async (_name, more) => {
    await expect(serveCommand(flags(more))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("other machines could reach it"),
      next: expect.stringContaining("ssh -L"),
    });
  });

  it("says what it means to listen where other machines can reach it", async () => {
    await serving({ listen: "0.0.0.0", allowRemote: true, allowHost: ["lab.example"] }, async () => {
      expect(err).toContain("the token too, can be read on the way");
      expect(out).toMatch(/^serving ws:\/\/127\.0\.0\.1:\d+\/rpc$/m);
    });
  });

  it("refuses a host to allow that no client would send", async () => {
    await expect(serveCommand(flags({ allowHost: ["*"] }))).rejects.toMatchObject({ code: "usage" });
  });
});

describe("the data folder", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("is the one that was given, else the user's own", () => {
    vi.stubEnv("HOME", "/h");
    vi.stubEnv("XDG_DATA_HOME", "/x");
    expect(dataFolder("/d/e")).toBe("/d/e");
    expect(dataFolder(undefined)).toBe("/x/ebscope");
    vi.stubEnv("XDG_DATA_HOME", "relative");
    expect(dataFolder(undefined)).toBe("/h/.local/share/ebscope");
    vi.stubEnv("XDG_DATA_HOME", "");
    expect(dataFolder(undefined)).toBe("/h/.local/share/ebscope");
  });
});
