/** The benchmark of the stream, shortened, for what does not depend on the machine: nothing is lost, nothing comes twice, memory is bounded. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

interface Found {
  readonly servers: readonly {
    readonly name: string;
    readonly events: number;
    readonly lost: number;
    readonly twice: number;
    readonly lagged: number;
    readonly comebacks: number;
  }[];
  readonly grownMiB: number;
  readonly stalledConnections: number;
}

const SHORT = ["--clients", "40", "--rate", "100", "--seconds", "6", "--turn", "1.5", "--stalled", "20", "--alone"];

describe("40 clients of a server with 100 events a second that go away at random and resume", () => {
  let found: Found;
  beforeAll(async () => {
    const args = ["--import", "tsx", "bench/stream.ts", ...SHORT, "--json"];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT, timeout: 110_000 });
    found = JSON.parse(stdout) as Found;
  }, 120_000);

  it.each(["ebscope", "beside stalled readers"])("lose nothing and see nothing twice: %s", (name) => {
    const server = found.servers.find((each) => each.name === name);
    expect(server).toMatchObject({ lost: 0, twice: 0, lagged: 0 });
    // 100 a second for 3 s, for 40 clients: half of that on a machine that is too busy.
    expect(server?.events).toBeGreaterThan(6000);
    expect(server?.comebacks).toBeGreaterThan(0);
  });

  it("cost less than 64 MiB more beside 20 readers that asked for all events and read none", () => {
    expect(found.stalledConnections).toBeGreaterThanOrEqual(20);
    expect(found.grownMiB).toBeLessThan(64);
  });
});
