/** The example of docs/rsp.md, run as its readers run it: as it stands there, and against each real stub with the guest as a witness. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { tableBytes } from "../support/conformance/guest.ts";
import { disposePrograms, programFor, STUBS } from "../support/conformance/stubs.ts";
import { ROOT, sleep, start } from "../support/live.ts";

const EXAMPLE = "examples/rsp-client.ts";

afterAll(disposePrograms);

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A port that nobody listens on just now. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "localhost", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

describe("examples/rsp-client.ts", () => {
  it.each(STUBS)("sees with $name what the guest itself counts and holds", async (kind) => {
    const program = programFor(kind);
    await using stub = await kind.start(program);
    const addresses = ["table", "tick", "counter"].map((symbol) => `0x${program.address(symbol).toString(16)}`);
    const run = await start(process.execPath, ["--import", "tsx", EXAMPLE, stub.address, ...addresses], 30_000)
      .finished;
    expect(run.stderr).toBe("");
    expect(run.code).toBe(0);
    const lines = run.stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^signal; acknowledging: (strict|none|implied)$/);
    expect(lines[1]).toBe(`1000 pieces, SHA-256 ${sha256(tableBytes(0, 64_000))}`);
    expect(lines.slice(2)).toEqual([1, 2, 3, 4, 5].map((hit) => `${hit}: SIGTRAP, counter ${hit - 1}`));
  });

  it("prints what docs/rsp.md shows, run as it is shown there", async () => {
    const shown = /^```\n\$ ([^\n]+) &\n\$ ([^\n]+)\n([\s\S]*?)^```$/m.exec(
      readFileSync(join(ROOT, "docs/rsp.md"), "utf8"),
    );
    const [, machine = "", client = "", output] = shown ?? [];
    const port = await freePort();
    const words = (command: string): string[] => command.replace("localhost:1234", `localhost:${port}`).split(" ");
    const [qemu = "", ...options] = words(machine);
    const guest = start(qemu, options, 60_000);
    try {
      await listening(port);
      const [node = "", ...args] = words(client);
      const run = await start(node === "node" ? process.execPath : node, args, 30_000).finished;
      expect(run.stderr).toBe("");
      expect(run.stdout).toBe(output);
      // There is nothing but zeros where the machine has no firmware.
      expect(run.stdout).toContain(sha256(new Uint8Array(64_000)));
    } finally {
      guest.child.kill("SIGKILL");
      await guest.finished;
    }
  });
});

/** Waits until somebody listens on a port, as the kernel lists it: to connect would be a session. */
async function listening(port: number): Promise<void> {
  const digits = port.toString(16).toUpperCase().padStart(4, "0");
  for (let tries = 0; tries < 400; tries++) {
    const lists = ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFileSync(path, "latin1")).join("\n");
    if (new RegExp(`:${digits} [0-9A-F:]+ 0A `).test(lists)) return;
    await sleep(25);
  }
  throw new Error("QEMU's stub did not listen within 10 s");
}
