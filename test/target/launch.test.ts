import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connectTransport } from "../../src/rsp/transport.ts";
import { type Launched, type LaunchOptions, launchQemu } from "../../src/target/launch.ts";
import { failure } from "../support/failure.ts";

/** A temporary folder of the test's own, so that it sees what is left behind. */
let scratch = "";
const cleanup: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "launch-"));
  vi.stubEnv("TMPDIR", scratch);
});
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
  vi.unstubAllEnvs();
  rmSync(scratch, { recursive: true, force: true });
});

async function launch(command: readonly string[], options?: LaunchOptions): Promise<Launched> {
  const guest = await launchQemu(command, options);
  cleanup.push(() => guest.end());
  return guest;
}

/** A shell script in QEMU's place: $1 is -S, $2 -gdb, $3 the socket's description. */
const shell = (script: string): string[] => ["sh", "-c", script, "qemu"];

/** A program that listens as QEMU would, and then does `more`. */
function listener(more = ""): string[] {
  const code = `
    const args = process.argv.slice(1);
    const path = /^unix:(.*),server=on,wait=off$/.exec(args[args.indexOf("-gdb") + 1])[1];
    require("node:net").createServer((socket) => socket.end("hello")).listen(path);
    ${more}`;
  return [process.execPath, "-e", code, "--"];
}

function lines(): { readonly seen: string[]; readonly onLine: NonNullable<LaunchOptions["onLine"]> } {
  const seen: string[] = [];
  return { seen, onLine: (source, line) => seen.push(`${source}: ${line}`) };
}

/** Whether a process runs: one that has ended but was not waited for by its parent does not. Needs no `ps`, which may not be there. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (!existsSync("/proc/self/stat")) return true;
  try {
    return !readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z ");
  } catch {
    return false;
  }
}

describe("launchQemu", () => {
  it("starts the command with a paused machine and a private socket, and connects", async () => {
    const { seen, onLine } = lines();
    const guest = await launch(listener("console.log(JSON.stringify(args))"), { onLine });
    if (guest.address.kind !== "unix") throw new Error("not a unix socket");
    expect(guest.pid).toBeGreaterThan(0);
    await vi.waitFor(() =>
      expect(seen).toEqual([
        `stdout: ["-S","-gdb","unix:${(guest.address as { path: string }).path},server=on,wait=off"]`,
      ]),
    );
    const transport = await connectTransport(guest.address);
    let received = "";
    transport.start({ data: (chunk) => (received += Buffer.from(chunk).toString()), closed: () => undefined });
    await vi.waitFor(() => expect(received).toBe("hello"));
    await transport.close();
  });

  it("ends the process and leaves nothing behind", async () => {
    const guest = await launchQemu(listener());
    expect(readdirSync(scratch)).toHaveLength(1);
    await guest.end();
    expect(alive(guest.pid)).toBe(false);
    expect(readdirSync(scratch)).toEqual([]);
    await guest.end();
  });

  it("ends a process that takes no notice of SIGTERM", { timeout: 10_000 }, async () => {
    const guest = await launchQemu(listener('process.on("SIGTERM", () => undefined)'));
    await guest.end();
    expect(alive(guest.pid)).toBe(false);
  });

  it("ends what a script started too", async () => {
    const { seen, onLine } = lines();
    const guest = await launch(shell('sleep 600 & echo $!; touch "$(echo "$3" | sed "s/^unix://;s/,.*//")"; wait'), {
      onLine,
    });
    await vi.waitFor(() => expect(seen).toHaveLength(1));
    const sleeper = Number(seen[0]?.replace("stdout: ", ""));
    expect(alive(sleeper)).toBe(true);
    await guest.end();
    await vi.waitFor(() => expect(alive(sleeper)).toBe(false));
  });

  it("says that there is no such program, and what to do", async () => {
    const error = await failure(launch(["qemu-system-aarch65", "-M", "virt"]));
    expect(error).toMatchObject({
      code: "launch-failed",
      message: "Cannot start qemu-system-aarch65: no such program",
    });
    expect(error.next).toContain("ebscope doctor");
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("says that a program may not be executed", async () => {
    expect(await failure(launch(["/etc/passwd"]))).toMatchObject({
      code: "launch-failed",
      message: "Cannot start /etc/passwd: EACCES",
    });
  });

  it.each([[""], ["a\0b"]])("refuses %j as a program, and leaves nothing behind", async (program) => {
    expect((await failure(launch([program]))).code).toBe("launch-failed");
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("says how a program ended that ends at once", async () => {
    expect((await failure(launch(["false"]))).message).toBe("Cannot start false: it ended with status 1");
    expect((await failure(launch(shell("kill -9 $$")))).message).toBe("Cannot start sh: ended by SIGKILL");
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("tells the last words of a program before it says how it ended", async () => {
    const { seen, onLine } = lines();
    const script =
      "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo qemu: no such machine >&2; exit 1";
    const error = await failure(launch(shell(script), { onLine }));
    expect(error.code).toBe("launch-failed");
    expect(seen).toContain("stdout: line 1999");
    expect(seen).toContain("stderr: qemu: no such machine");
  });

  it("says how a program ended although somebody holds its output open", async () => {
    const started = performance.now();
    const error = await failure(launch(shell("sleep 5 & exit 3")));
    expect(error.message).toBe("Cannot start sh: it ended with status 3");
    expect(performance.now() - started).toBeLessThan(3000);
  });

  it("gives up on a program that never listens, and ends it", async () => {
    const { seen, onLine } = lines();
    const started = performance.now();
    const error = await failure(launch(shell("echo $$; exec sleep 600"), { onLine, startTimeoutMs: 300 }));
    expect(error).toMatchObject({
      code: "launch-failed",
      message: "Cannot start sh: its gdbstub did not listen within 0.3 s",
    });
    expect(performance.now() - started).toBeLessThan(3000);
    expect(alive(Number(seen[0]?.replace("stdout: ", "")))).toBe(false);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("stops on request, and ends the program", async () => {
    const { seen, onLine } = lines();
    const controller = new AbortController();
    const launching = failure(launch(shell("echo $$; exec sleep 600"), { onLine, signal: controller.signal }));
    await vi.waitFor(() => expect(seen).toHaveLength(1));
    controller.abort();
    expect((await launching).code).toBe("interrupted");
    expect(alive(Number(seen[0]?.replace("stdout: ", "")))).toBe(false);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it.each(["-s", "-S", "-gdb", "--gdb", "--s", "--S", "-daemonize", "--daemonize"])(
    "refuses %s, and starts nothing",
    async (option) => {
      const error = await failure(launch(["touch", join(scratch, "started"), option, "tcp::1234"]));
      expect(error.code).toBe("usage");
      expect(error.message).toContain(option);
      expect(error.next).toContain("--gdb ADDRESS");
      expect(readdirSync(scratch)).toEqual([]);
    },
  );

  it("refuses an empty command", async () => {
    expect((await failure(launch([]))).code).toBe("usage");
  });

  it("takes options that only look like those", async () => {
    const guest = await launch([...listener(), "-smp", "2", "-snapshot", "-device", "x,gdb=-s"]);
    expect(alive(guest.pid)).toBe(true);
  });

  it("ends with this program, however this program ends", { timeout: 20_000 }, async () => {
    const module = new URL("../../src/target/launch.ts", import.meta.url).href;
    const code = `
      const { launchQemu } = await import(${JSON.stringify(module)});
      const guest = await launchQemu(${JSON.stringify(listener())});
      console.log(guest.pid, guest.address.path);
      process.exit(5);`;
    const cwd = fileURLToPath(new URL("../..", import.meta.url));
    const run = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
      cwd,
      encoding: "utf8",
    });
    expect(run.stderr).toBe("");
    expect(run.status).toBe(5);
    const [pid, path = ""] = run.stdout.trim().split(" ");
    await vi.waitFor(() => expect(alive(Number(pid))).toBe(false));
    expect(existsSync(dirname(path))).toBe(false);
  });
});

describe("the output of a launched command", () => {
  /** What is told of a program's output, up to its end. */
  async function told(script: string): Promise<string[]> {
    const { seen, onLine } = lines();
    await failure(launch(shell(script), { onLine }));
    return seen;
  }

  it("comes line by line, with the stream it came from", async () => {
    expect((await told("echo one; echo; printf 'two\\r\\nthree'; echo four >&2")).sort()).toEqual([
      "stderr: four",
      "stdout: one",
      "stdout: three",
      "stdout: two",
    ]);
  });

  it("has no colours and cursor movements, and shows other control characters as text", async () => {
    expect(
      await told(
        String.raw`printf '\033[2J\033[01;01H\033[0mUEFI \033[31mred\033[0m\n\033]0;title\007x\n\000\302\233y\342\200\256z\n'`,
      ),
    ).toEqual(["stdout: UEFI red", String.raw`stdout: \x1b]0;title\x07x`, String.raw`stdout: \x00\x9by\u{202e}z`]);
  });

  it("keeps a character that arrives in two pieces", async () => {
    expect(await told(String.raw`printf 'gr\303'; sleep 0.1; printf '\274n\n'`)).toEqual(["stdout: grün"]);
  });

  it("is cut where a line does not end", async () => {
    const seen = await told("head -c 1000000 /dev/zero | tr '\\0' a");
    expect(seen.length).toBeGreaterThan(0);
    for (const line of seen) expect(line).toMatch(/^stdout: a{1,400}…?$/);
  });

  it("goes nowhere when the process is left to live on", async () => {
    const { seen, onLine } = lines();
    const guest = await launch(
      listener('setInterval(() => process.stdout.write("x\\n"), 5); process.stdout.on("error", () => undefined)'),
      {
        onLine,
      },
    );
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(0));
    guest.leave();
    const before = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(seen.length).toBe(before);
    expect(alive(guest.pid)).toBe(true);
  });
});
