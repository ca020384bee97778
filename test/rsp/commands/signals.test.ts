import { describe, expect, it } from "vitest";
import { signalName } from "../../../src/rsp/commands/signals.ts";

describe("signalName", () => {
  // include/gdb/signals.def: the ends of each run, and those that Linux numbers otherwise.
  it.each([
    [0, "0"],
    [1, "SIGHUP"],
    [2, "SIGINT"],
    [5, "SIGTRAP"],
    [7, "SIGEMT"],
    [9, "SIGKILL"],
    [10, "SIGBUS"],
    [11, "SIGSEGV"],
    [17, "SIGSTOP"],
    [20, "SIGCHLD"],
    [23, "SIGIO"],
    [30, "SIGUSR1"],
    [32, "SIGPWR"],
    [44, "SIGPRIO"],
    [45, "SIG33"],
    [75, "SIG63"],
    [76, "SIGCANCEL"],
    [77, "SIG32"],
    [78, "SIG64"],
    [141, "SIG127"],
    [142, "SIGINFO"],
    [145, "EXC_BAD_ACCESS"],
    [150, "EXC_BREAKPOINT"],
    [151, "SIGLIBRT"],
    [143, "signal 143"],
    [144, "signal 144"],
    [200, "signal 200"],
  ])("calls %i %s", (signal, name) => expect(signalName(signal)).toBe(name));
});
