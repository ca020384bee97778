/** The command line: verbs, options and their help. A verb's code is loaded when it runs. */
import { Command } from "commander";
import { EbscopeError } from "../base/error.ts";
import type { SnapshotFlags } from "./commands/capture.ts";
import { DEFAULT_OUT, SHOWN } from "./defaults.ts";
import { blameOptions, count, days, memory, port, seconds, size, symbols } from "./options.ts";
import { printError } from "./output.ts";
import { VERSION } from "./version.ts";

const EXIT_HELP = `
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 the capture is complete and the guest faulted
after the call; 4 timed out before ExitBootServices; 5 a policy is broken.`;

const GDB_HELP = "the stub to attach to: host:port, unix:/path, or replay:FILE of --record";
const RECORD_HELP = "record the session as text (memory is then read through the stub)";
const PCAP_HELP = "record the session for Wireshark (memory is then read through the stub)";

const LISTEN_HELP = "the address to listen on";
const REMOTE_HELP = "listen where other machines can reach it: the token is sent in clear text";
const HOST_HELP = "another name (NAME or NAME:PORT) under which clients may ask for it";
const SOCKET_HELP = "listen on a Unix socket that only its owner may open, not on TCP";
const DATA_HELP = "captures, the log of events and tokens (default: ebscope in the user's data folder)";
const READ_ONLY_HELP = "let nobody control anything: make a token for reading only";

/** Builds the program; `done` is told the exit code of the verb that ran. */
export function buildProgram(done: (code: number) => void): Command {
  const program = new Command("ebscope")
    .description("Shows what ExitBootServices did to an AArch64 QEMU guest, and why it died afterwards.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [verb]", "print the help of a verb")
    .addHelpText("after", EXIT_HELP)
    .configureOutput({ outputError: (text) => printError(usageError(text)) })
    .exitOverride();

  const capture = verb(program, "capture")
    .summary("record a guest before and after ExitBootServices, and show the difference")
    .description(
      "Attaches to a gdbstub (--gdb) or launches QEMU (after --), waits for ExitBootServices, records every register " +
        "and the page tables before and after the call, watches for a fault, writes the capture and prints the diff.",
    )
    .usage("[options] (--gdb ADDRESS | -- qemu-system-aarch64 ...)")
    .argument("[command...]", "QEMU and its options, to launch")
    .option("--gdb <address>", GDB_HELP)
    .option("-o, --out <file>", "the capture to write", DEFAULT_OUT)
    .addOption(seconds("--watch <seconds>", "how long to watch for a fault after the call").default(5))
    .addOption(seconds("--timeout <seconds>", "how long to wait for the call").default(300))
    .addOption(seconds("--find-timeout <seconds>", "how long to wait for the firmware's system table").default(60))
    .addOption(count("--max-tables <count>", "table pages to read for one regime at most").default(16384))
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .addOption(memory())
    .option("--keep", "leave a launched guest running at the end")
    .option("--pause", "leave a guest paused that was attached to, also when it ran")
    .option("--record <file>", RECORD_HELP)
    .option("--pcap <file>", PCAP_HELP)
    .option("-q, --quiet", "no progress on stderr")
    .option("--json", "print the diff as JSON; with --policy the verdict")
    .option("--policy <file>", "hold the capture against a policy, and print the verdict instead of the diff");
  gateOptions(blameOptions(capture)).action(async (command: string[], flags) => {
    const { captureCommand } = await import("./commands/capture.ts");
    done(await captureCommand(command, flags));
  });

  verb(program, "snapshot")
    .summary("record a guest of any kind as it stands now, and let it go on")
    .requiredOption("--gdb <address>", GDB_HELP)
    .requiredOption("-o, --out <file>", "the capture to write")
    .option("--pause", "leave the guest paused, also when it ran")
    .addOption(count("--max-tables <count>", "table pages to read for one regime at most").default(16384))
    .addOption(memory())
    .option("--record <file>", RECORD_HELP)
    .option("--pcap <file>", PCAP_HELP)
    .action(async (flags: SnapshotFlags) => {
      const { snapshotCommand } = await import("./commands/capture.ts");
      done(await snapshotCommand(flags));
    });

  verb(program, "run")
    .summary("run a plan: record what it says, where it says it, and show the differences")
    .description(
      "Attaches to a guest or launches one, as the plan or the command line says (which is the stronger), stops where the plan's points " +
        "are and records what they ask for: a line for each hit, a capture of those with tables. docs/plans.md describes plans.",
    )
    .usage("[options] PLAN [--gdb ADDRESS | -- qemu-system-aarch64 ...]")
    .argument("<plan>", "the plan: YAML or JSON")
    .argument("[command...]", "QEMU and its options, to launch")
    .option("--gdb <address>", "the stub to attach to: host:port, unix:/path")
    .option("-o, --out <file>", "the capture to write (default: the plan's, else none)")
    .option("--records <file>", "write the records as lines of JSON too")
    .addOption(symbols("the plan's"))
    .option("--no-symbols", "name nothing by symbols")
    .addOption(memory("the plan's"))
    .option("--keep", "leave a launched guest running at the end")
    .option("--pause", "leave a guest paused that was attached to, also when it ran")
    .option("-q, --quiet", "no progress on stderr")
    .option("--json", "print lines of JSON: each record, each diff, and how the plan ended")
    .action(async (plan: string, command: string[], flags) => {
      const { runCommand } = await import("./commands/run.ts");
      done(await runCommand(plan, command, flags));
    });

  verb(program, "diff")
    .summary("show what changed between two points of a capture, or what is different in another capture")
    .description(
      "Compares two points of a capture. With a second capture, of another run: what is different in it, point by point, and in " +
        "what the call changed; what only lies at another address is matched by image, section and type of memory.",
    )
    .argument("<file>", "a capture (.ebs)")
    .argument("[other]", "a capture of another run: another firmware, QEMU, size of memory")
    .option("--from <point>", "the first point (default: before)")
    .option("--to <point>", "the second point (default: after; of one capture with --from the last)")
    .option("--at <point>", "two captures: compare them at this point only")
    .option("--all", "list everything, not one screen")
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .option("--json", "print JSON")
    .action(async (file: string, other: string | undefined, flags) => {
      const { diffAcrossCommand, refuseAt } = await import("./commands/diff-across.ts");
      if (other !== undefined) return done(await diffAcrossCommand(file, other, flags));
      refuseAt(flags.at);
      const { diffCommand } = await import("./commands/diff.ts");
      done(await diffCommand(file, flags));
    });

  const check = verb(program, "check")
    .summary("hold a capture against a policy: exit code 0 when it is kept, 5 when it is broken")
    .argument("<file>", "a capture (.ebs)")
    .requiredOption("--policy <file>", "the policy: YAML or JSON, docs/policies.md describes it");
  gateOptions(check)
    .option("--all", "list everything, not one screen")
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .option("--json", "print the verdict as JSON")
    .action(async (file: string, flags) => {
      const { checkCommand } = await import("./commands/check.ts");
      done(await checkCommand(file, flags));
    });

  verb(program, "show")
    .summary("show what a capture holds at a point")
    .argument("<file>", "a capture (.ebs)")
    .argument("<what>", SHOWN.join(", "))
    .option(
      "--at <point>",
      "the point: before, after, fault, later, ... (default: after, else the last; backtrace: fault)",
    )
    .option("--regime <name>", "only this translation regime: EL1&0, EL2, EL2&0, EL3, stage2 (default: those in use)")
    .addOption(count("--cpu <index>", "the vCPU (default: the one the point is about)", 0))
    .option("--wx", "mappings: only those both writable and executable")
    .option("--exec", "mappings: only executable ones")
    .option("--device", "mappings: only Device memory")
    .option("--range <range>", "mappings: only those that touch START-END or START+SIZE")
    .option("--changed", "mappings: only what is another than at the point before (at the first: after)")
    .option("--all", "images, memmap, backtrace, findings: with all details, not one screen")
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .option("--json", "print JSON")
    .action(async (file: string, what: string, flags) => {
      const { showCommand } = await import("./commands/show.ts");
      done(await showCommand(file, what, flags));
    });

  verb(program, "explain")
    .summary("walk the tables for an address, level by level, at each point of a capture")
    .argument("<file>", "a capture (.ebs)")
    .argument("[address]", "a virtual address: 0x40000000, DxeCore+0x1234, gBS->Stall, a symbol")
    .option("--at <name>", "the same, as an option")
    .option("--regime <name>", "EL1&0, EL2, EL2&0, EL3 or stage2, in use or not (default: the one that executes)")
    .addOption(count("--cpu <index>", "the vCPU (default: the one the point is about)", 0))
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .option("--json", "print JSON")
    .action(async (file: string, va: string | undefined, flags) => {
      const { explainCommand } = await import("./commands/explain.ts");
      done(await explainCommand(file, va, flags));
    });

  verb(program, "blame")
    .summary("tell who wrote to the page tables, control registers and watched memory of a capture taken with --blame")
    .description(
      "Who was seen to write between the points of a capture: in short, or the story of one address, register or watched range, each " +
        "write with what it changed and its call chain. docs/blame.md says what is seen and what is not.",
    )
    .argument("<file>", "a capture (.ebs) that was taken with --blame or --watch-write")
    .argument("[what]", "a register (SCTLR_EL1), a watched range (gBS+0xe8), or an address as `explain` takes it")
    .option("--at <name>", "the same, as an option")
    .option("--regime <name>", "EL1&0, EL2, EL2&0, EL3 or stage2 (default: the one that executes)")
    .addOption(count("--cpu <index>", "the vCPU (default: the one the first point is about)", 0))
    .option("--all", "list every event, not one screen")
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .option("--json", "print JSON: every event that tells of it")
    .action(async (file: string, what: string | undefined, flags) => {
      const { blameCommand } = await import("./commands/blame.ts");
      done(await blameCommand(file, what, flags));
    });

  verb(program, "report")
    .summary("write a report of a capture for people who do not have it: an HTML page, Markdown for a bug report")
    .argument("<file>", "a capture (.ebs)")
    .option("--html <out>", "write one HTML page that needs nothing else; - is stdout")
    .option("--markdown [out]", "write Markdown, to stdout without a name")
    .option("--from <point>", "the first point (default: before)")
    .option("--to <point>", "the second point (default: after; with --from the last)")
    .addOption(symbols())
    .option("--no-symbols", "name nothing by symbols")
    .action(async (file: string, flags) => {
      const { reportCommand } = await import("./commands/report.ts");
      done(await reportCommand(file, flags));
    });

  verb(program, "attach")
    .summary("show what happens to a guest as it happens, and share it with other tools")
    .description(
      "Attaches to a guest, prints each stop and what it changed until Ctrl-C, and leaves the guest as it was found. " +
        "With --serve it is shared meanwhile, as `ebscope serve --gdb` does, and a lost guest does not end it.",
    )
    .argument("<address>", "the stub to attach to: host:port or unix:/path")
    .option("--run", "let the guest run, instead of standing still")
    .option("--mappings", "compare the mappings too at each stop, which reads the page tables")
    .option("--all", "list registers of every kind, and every mapping")
    .addOption(memory())
    .option("--json", "print one JSON object a line: the events; with --serve before them where it serves")
    .option("--serve", "share the guest: JSON-RPC over WebSocket, HTTP, a stream of events")
    .addOption(port().default(8624))
    .option("--listen <address>", LISTEN_HELP, "127.0.0.1")
    .option("--allow-remote", REMOTE_HELP)
    .option("--allow-host <name...>", HOST_HELP)
    .option("--socket <path>", SOCKET_HELP)
    .option("--data <folder>", DATA_HELP)
    .option("--read-only", READ_ONLY_HELP)
    .action(async (address: string, flags, command: Command) => {
      const { attachCommand } = await import("./commands/attach.ts");
      const given = Object.keys(flags).filter((name) => command.getOptionValueSource(name) === "cli");
      done(await attachCommand(address, flags, given));
    });

  verb(program, "serve")
    .summary("share guests with any number of tools: JSON-RPC over WebSocket, HTTP, a stream of events")
    .description(
      "Serves guests, their captures and what happens to them until it is stopped, and leaves the guests as they were found. " +
        "Who has the token for control, a file in the data folder, controls them; docs/api.md tells more.",
    )
    .option(
      "--gdb <address...>",
      "stubs to attach to at the start: host:port or unix:/path; where that fails, the bridge ends (others later by Target.attach)",
    )
    .option("--run", "let those guests run, instead of standing still until somebody resumes them")
    .addOption(port().default(8624))
    .option("--listen <address>", LISTEN_HELP, "127.0.0.1")
    .option("--allow-remote", REMOTE_HELP)
    .option("--allow-host <name...>", HOST_HELP)
    .option("--socket <path>", SOCKET_HELP)
    .option("--data <folder>", DATA_HELP)
    .option("--read-only", READ_ONLY_HELP)
    .option("--json", "print where it serves as JSON")
    .action(async (flags) => {
      const { serveCommand } = await import("./commands/serve.ts");
      done(await serveCommand(flags));
    });

  const captures = verb(program, "captures")
    .summary("list or remove the captures that bridges have stored")
    .helpCommand(false);

  verb(captures, "list")
    .summary("list the captures, the newest first")
    .option("--data <folder>", DATA_HELP)
    .option("--json", "print JSON")
    .action(async (flags) => {
      const { listCommand } = await import("./commands/captures.ts");
      done(await listCommand(flags));
    });

  verb(captures, "prune")
    .summary("remove captures, the oldest first, also while a bridge runs")
    .description("Removes the captures that are beyond any of the bounds, and what only they needed.")
    .addOption(count("--keep <count>", "keep so many at most", 0))
    .addOption(days("--older-than <days>", "keep none that is older"))
    .addOption(size("--max-size <size>", "keep what has room in this on the disk: 500M, 2G (1024 to the K)"))
    .option("--dry-run", "only tell what would be removed")
    .option("--data <folder>", DATA_HELP)
    .option("--json", "print JSON")
    .action(async (flags) => {
      const { pruneCommand } = await import("./commands/captures.ts");
      done(await pruneCommand(flags));
    });

  verb(program, "doctor")
    .summary("say what is missing on this machine and how to get it")
    .option("--gdb <address>", "look at this stub too: version, registers, how guest memory can be read")
    .option("--json", "print JSON")
    .action(async (flags) => {
      const { doctorCommand } = await import("./commands/doctor.ts");
      done(await doctorCommand(flags));
    });

  return program;
}

/** What commander has to say, in our own form. */
function usageError(text: string): EbscopeError {
  const said = text.replace(/^error: /, "").replaceAll(/\s*\n\s*/g, " ");
  const swallowed = said.startsWith("missing required argument") && process.argv.includes("--symbols");
  return new EbscopeError("usage", `Cannot understand the command line: ${said.trim()}`, {
    ...(swallowed && { next: "Put --symbols behind FILE: it takes all paths that follow." }),
  });
}

function verb(parent: Command, name: string): Command {
  return parent.command(name).helpOption("-h, --help", "print this help").exitOverride();
}

/** Where a verdict goes besides stdout. */
function gateOptions(command: Command): Command {
  return command
    .option("--baseline <file>", "the capture that the policy's rule same-as compares with")
    .option("--junit <file>", "write the verdict as JUnit XML too; - is stdout")
    .option("--sarif <file>", "write the verdict as SARIF 2.1.0 too; - is stdout")
    .option("--github", "print annotations for GitHub Actions too");
}
