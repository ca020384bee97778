/**
 * Names of signal numbers. The numbers of the protocol are GDB's own, whatever the host's or the guest's are: 10 is SIGBUS here and SIGUSR1
 * on Linux.
 *
 * Quirk: LLDB's stubs that say `native-signals+` in qSupported use the numbers of the target's system: these names are not theirs.
 *
 * Source: "Debugging with GDB", appendix E, Stop Reply Packets, which refers to include/gdb/signals.def; the order of `info signals`.
 */
const FIRST =
  "0 HUP INT QUIT ILL TRAP ABRT EMT FPE KILL BUS SEGV SYS PIPE ALRM TERM URG STOP TSTP CONT CHLD TTIN TTOU IO XCPU XFSZ VTALRM PROF WINCH LOST USR1 USR2 PWR POLL WIND PHONE WAITING LWP DANGER GRANT RETRACT MSG SOUND SAK PRIO".split(
    " ",
  );

const OTHERS: ReadonlyMap<number, string> = new Map([
  [0, "0"],
  [76, "SIGCANCEL"],
  [77, "SIG32"],
  [142, "SIGINFO"],
  [145, "EXC_BAD_ACCESS"],
  [146, "EXC_BAD_INSTRUCTION"],
  [147, "EXC_ARITHMETIC"],
  [148, "EXC_EMULATION"],
  [149, "EXC_SOFTWARE"],
  [150, "EXC_BREAKPOINT"],
  [151, "SIGLIBRT"],
]);

/** `SIGTRAP` for 5, as GDB prints it; `signal 200` for a number that has no name. */
export function signalName(signal: number): string {
  const other = OTHERS.get(signal);
  if (other !== undefined) return other;
  const first = FIRST[signal];
  if (first !== undefined) return `SIG${first}`;
  // Real-time signals: 33 to 63 came first, 32 and 64 to 127 were added behind SIGCANCEL.
  if (signal >= 45 && signal <= 75) return `SIG${signal - 12}`;
  if (signal >= 78 && signal <= 141) return `SIG${signal - 14}`;
  return `signal ${signal}`;
}
