/** gdb and lldb on the same stubs: what they see of the guest, against which the client's answers are held. */
import { spawnSync } from "node:child_process";
import { LLDB_SERVER, programFor, type RunningStub, type StubKind } from "./stubs.ts";

/** What another debugger sees at `mark`: the registers that it prints, and some bytes of `table` as words. */
export interface Witness {
  readonly registers: ReadonlyMap<string, bigint>;
  readonly words: readonly number[];
}

/** Lets gdb, or lldb where gdb cannot talk to the stub, run the guest to `mark`. */
export function witnessAtMark(kind: StubKind, stub: RunningStub, words: number): Witness {
  const program = programFor(kind);
  const [mark, table] = ["mark", "table"].map((symbol) => `0x${program.address(symbol).toString(16)}`);
  const printed =
    kind === LLDB_SERVER
      ? runDebugger("lldb-14", ["--no-lldbinit", "-b"], "-o", [
          ...[`gdb-remote ${stub.gdbAddress}`, `breakpoint set -a ${mark}`, "continue", "register read"],
          `memory read -fx -s4 -c${words} ${table}`,
        ])
      : runDebugger("gdb-multiarch", ["-nx", "-batch"], "-ex", [
          ...[`set architecture ${program.architecture.gdb}`, `target remote ${stub.gdbAddress}`],
          ...[`break *${mark}`, "continue", "info registers", `x/${words}wx ${table}`],
        ]);
  const registers = printed.matchAll(/^ *(\w+) +(?:= )?(0x[0-9a-f]+)\b/gm);
  const dumped = printed.matchAll(/^0x[0-9a-f]+[^:]*:((?:\s+0x[0-9a-f]{8})+)$/gm);
  return {
    registers: new Map([...registers].map(([, name = "", value = "0"]) => [name, BigInt(value)])),
    words: [...dumped].flatMap(([, line = ""]) => line.trim().split(/\s+/).map(Number)),
  };
}

function runDebugger(program: string, args: readonly string[], option: string, commands: readonly string[]): string {
  const options = commands.flatMap((command) => [option, command]);
  const run = spawnSync(program, [...args, ...options], { encoding: "utf8", timeout: 60_000 });
  if (run.status !== 0) {
    throw new Error(`${program} ended with ${run.status}: ${run.error?.message ?? ""}\n${run.stdout}\n${run.stderr}`);
  }
  return run.stdout;
}
