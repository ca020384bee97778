/**
 * The registry of everything that can go wrong, and the one error class. A message says what was being done and what went
 * wrong ("Cannot <action> <what>: <state>"); `next` says what to do about it. docs/errors.md documents each code, and a
 * test holds the two against each other.
 */

/** Every code with the advice that holds wherever it is raised. */
export const ERROR_CODES = {
  // Reaching the stub
  "connect-failed": "Check the address, and that QEMU runs with -s or -gdb ADDRESS.",
  "connect-timeout": "Check the address and whether a firewall stands between.",
  "stub-silent":
    "QEMU serves one debugger at a time: close the other one (gdb, an IDE, another ebscope). The guest may stand still when it leaves, because of this attempt: resume it then (monitor: cont). Otherwise check that this is the gdbstub's port.",
  "not-a-gdbstub": "Use the address given to QEMU's -gdb (or port 1234 with -s).",
  "connection-lost": "The guest or QEMU ended, or the connection was cut. Start it again and capture again.",
  "protocol-error":
    "The stub broke the remote protocol. If this is a current QEMU, please report it with the stub's version.",
  "stub-unsupported": "This stub lacks what is needed; use QEMU's gdbstub (system emulation).",
  "stub-refused": "The stub refused the request; the message names it.",
  "memory-unavailable":
    "Leave --memory out to read guest memory through the stub where nothing else can be had; `ebscope doctor --gdb ADDRESS` says what can.",
  // The guest
  "not-aarch64": "ebscope reads AArch64 guests: attach to a qemu-system-aarch64.",
  "launch-failed": "Run the command by itself to see why it ends; its own words, if it had any, stand above.",
  "guest-ended": "The guest or QEMU ended before the work was done; its last words stand above.",
  "no-system-table":
    "No UEFI firmware was seen in the guest's RAM. `ebscope snapshot` records a guest of any kind as it stands.",
  "already-exited":
    "The guest has left boot services. `ebscope snapshot --out FILE` still shows its registers, mappings and tables; to see the handoff, attach earlier or restart the guest.",
  "bad-boot-services":
    "The boot services table could not be trusted; the message says what was wrong. Attach later, or take an `ebscope snapshot`.",
  "timed-out": "The guest did not call ExitBootServices in time. Raise --timeout, or start the OS loader in the guest.",
  interrupted: "What had been captured until then was written, if anything had.",
  // Reading the machine
  "outside-memory": "The address lies in no RAM or ROM of the machine; devices are never read.",
  "not-mapped": "The guest itself could not read this address: no translation exists for it.",
  "read-failed": "The stub could not read this memory.",
  "not-captured": "This page was not recorded in the capture.",
  "register-missing": "The stub does not offer a register that is needed here.",
  "register-hidden":
    "The stub shows another register under this name (QEMU 10.2 and newer do at EL2 with HCR_EL2.E2H = 1): stop the guest at EL1 or EL0 to see its own.",
  "regime-not-decoded":
    "This translation regime is not decoded; its registers are in the capture, and the root pages of its tables raw.",
  "constrained-unpredictable":
    "The translation registers hold values that the Arm ARM leaves open (CONSTRAINED UNPREDICTABLE): what the machine makes of them cannot be told from outside.",
  "extension-not-decoded":
    "The tables use an architecture extension that is not decoded; its registers are in the capture, and the root pages of its tables raw.",
  "too-many-tables":
    "The tables are larger than a bound, or refer to each other from very many places; raise --max-tables if they are real.",
  // The bridge
  "no-such-target": "`Target.list` has the guests of this bridge; attach one with `Target.attach`.",
  "no-such-breakpoint": "`Breakpoint.list` has the breakpoints of a guest.",
  "no-such-capture": "`Capture.list` has the captures of this bridge.",
  "no-such-subscription": "The subscription has ended, or is another connection's.",
  "target-running": "The guest runs: stop it first (`Target.interrupt`).",
  "target-busy": "A capture has the guest: wait for it (`Capture.wait`), or end it (`Capture.cancel`).",
  "events-gone": "Events that old are not kept any more: subscribe after `oldest` - 1.",
  "store-full": "The disk is full: make room (`ebscope captures prune`). What is there can still be read.",
  "store-corrupt":
    "The store's contents are damaged: what could be read is there; move the damaged file away to go on.",
  "bad-document": "Mend the lines that are named; docs has a page on each kind of document.",
  "bad-expression": "docs/plans.md has the language.",
  "no-such-place": "Give an address, or symbols (--symbols), or look at `ebscope show FILE images`.",
  "store-locked": "Another bridge uses this folder: end it, or give --data another one.",
  // Who asks the bridge
  "host-refused":
    "Use the address that `ebscope serve` printed, with that port. `--allow-host NAME` adds a name, for a proxy or another machine.",
  "origin-refused": "Pages of other origins are not served. Use a program, or a page that this bridge serves itself.",
  "token-refused":
    "Send `Authorization: Bearer TOKEN` with the token in the file that `ebscope serve` named; a browser's WebSocket offers the subprotocols `ebscope.v1` and `ebscope.token.TOKEN`. A token in the URL is not taken.",
  "access-refused": "This needs the token for control; what was given is the one for reading.",
  "request-refused": "docs/api.md has what this bridge serves, and /openapi.json.",
  "too-many-requests": "Wait for answers before asking on, and close what is not needed.",
  "answer-too-large": "Ask for less: one vCPU, one regime, fewer names.",
  // Files
  "symbols-unreadable":
    "Give an AArch64 ELF file with its symbol table (edk2's .debug, xen-syms, vmlinux), a System.map, or a linker's .map.",
  "file-unreadable": "Check the path and its permissions.",
  "file-unwritable": "Check that the folder exists, is writable and has room.",
  "not-a-capture": "Give a file that `ebscope capture` or `ebscope snapshot` wrote.",
  "capture-truncated": "The file ends early: copy it again, or capture again.",
  "capture-corrupt": "The file's contents are damaged: copy it again, or capture again.",
  "capture-newer": "This file was written by a newer ebscope: update ebscope.",
  "not-a-transcript": "Give a file that --record wrote (docs/transcripts.md describes it).",
  "transcript-truncated":
    "The recording stops here: the program that recorded was killed, or its disk was full. What came before was replayed.",
  "transcript-diverged":
    "The recording holds other requests: replay it with the command, options and version of ebscope that its first lines name.",
  "no-blame":
    "Capture again with `ebscope capture --blame`, or with `--watch-write gBS+0xe8` for memory; nothing can be said of what was not watched.",
  "no-such-point": "List the points with `ebscope show FILE points`.",
  // The user
  usage: "See `ebscope help`.",
  internal: "This is a defect of ebscope; please report it with the message.",
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

/** Every failure that ebscope raises on purpose. `message` and `next` are for people, `code` is for programs. */
export class EbscopeError extends Error {
  override readonly name = "EbscopeError";
  readonly code: ErrorCode;
  /** What to do next: the registry's advice unless the place that raised it knew better. */
  readonly next: string;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; next?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.next = options.next ?? ERROR_CODES[code];
  }
}

/** Anything thrown, as an EbscopeError: what is not one already is a defect, and is said to be one. */
export function asEbscopeError(error: unknown): EbscopeError {
  if (error instanceof EbscopeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new EbscopeError("internal", `Unexpected failure: ${message}`, { cause: error });
}
