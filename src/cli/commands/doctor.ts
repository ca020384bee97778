/** `ebscope doctor`: what is on this machine, what is missing and how to get it; with --gdb, what a stub offers. */
import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { printable } from "../../base/text.ts";
import { EXIT } from "../exit-code.ts";
import { hostMemoryRights } from "../host-memory.ts";
import { jsonText, printData } from "../output.ts";
import { style, table } from "../render/style.ts";
import { renderStub, reportStub } from "../stub-report.ts";
import { VERSION } from "../version.ts";

export interface Check {
  readonly name: string;
  readonly found: string | null;
  /** Whether ebscope cannot do its main job without it. */
  readonly needed: boolean;
  readonly purpose: string;
  /** How to get it; null when it is there. */
  readonly get: string | null;
}

const FIRMWARE = [
  "/usr/share/AAVMF/AAVMF_CODE.fd",
  "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
  "/usr/share/edk2/aarch64/QEMU_EFI.fd",
  "/usr/share/edk2/aarch64/QEMU_CODE.fd",
  "/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
  "/usr/local/share/qemu/edk2-aarch64-code.fd",
] as const;

const OLDEST_NODE = [20, 19] as const;

export interface DoctorFlags {
  readonly gdb?: string;
  readonly json?: boolean;
}

export async function doctorCommand({ gdb, json }: DoctorFlags): Promise<number> {
  const stub = gdb === undefined ? undefined : await reportStub(gdb);
  const checks = await runChecks();
  const healthy = checks.every(({ found, needed }) => found !== null || !needed);
  if (json) printData(jsonText({ ebscope: VERSION, healthy, checks, ...(stub !== undefined && { stub }) }));
  else
    printData([...renderChecks(checks, healthy), ...(stub === undefined ? [] : ["", ...renderStub(stub)])].join("\n"));
  return healthy ? EXIT.done : EXIT.failed;
}

async function runChecks(): Promise<readonly Check[]> {
  return [
    nodeCheck(),
    await programCheck("qemu-system-aarch64", true, "runs the guest", "apt install qemu-system-arm"),
    await firmwareCheck(),
    await programCheck("gdb-multiarch", false, "to look further by hand", "apt install gdb-multiarch"),
    await memoryCheck(),
  ];
}

function nodeCheck(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const enough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  const found = `v${process.versions.node}`;
  return {
    name: "Node.js",
    found: enough ? found : null,
    needed: true,
    purpose: `runs ebscope (${OLDEST_NODE.join(".")} or newer)`,
    get: enough ? null : `this is ${found}: install Node.js 20.19 or newer`,
  };
}

async function programCheck(name: string, needed: boolean, purpose: string, get: string): Promise<Check> {
  const found = await versionOf(name);
  return { name, found: found ?? null, needed, purpose, get: found === undefined ? get : null };
}

/** The first line that `name --version` prints; undefined when there is no such program. */
function versionOf(name: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(name, ["--version"], { timeout: 5000 }, (error, stdout) => {
      const line = printable(stdout.split("\n")[0] ?? "", 80);
      resolve(error === null ? line : undefined);
    });
  });
}

async function firmwareCheck(): Promise<Check> {
  const found: string[] = [];
  for (const path of FIRMWARE) {
    if (await readable(path)) found.push(path);
  }
  return {
    name: "AArch64 UEFI firmware",
    found: found[0] ?? null,
    needed: true,
    purpose: "the guest's firmware (AAVMF, QEMU_EFI)",
    get: found.length > 0 ? null : "apt install qemu-efi-aarch64",
  };
}

async function memoryCheck(): Promise<Check> {
  const { allowed, limit } = await hostMemoryRights();
  return {
    name: "QEMU's memory",
    found: allowed === undefined ? null : `${allowed}${limit === undefined ? "" : ` (${limit})`}`,
    needed: false,
    purpose: "to read guest memory fast (--memory process)",
    get: allowed === undefined ? `${limit}; the stub is read instead` : null,
  };
}

function readable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function renderChecks(checks: readonly Check[], healthy: boolean): string[] {
  const rows = checks.map(({ name, found, needed, purpose, get }) => [
    found !== null ? style.good("ok") : needed ? style.bad("missing") : style.warn("optional"),
    name,
    found ?? get ?? "",
    style.quiet(purpose),
  ]);
  const verdict = healthy
    ? "Everything ebscope needs is here."
    : "Install what is missing (package names as in Debian and Ubuntu), then run this again.";
  return [`ebscope ${VERSION}`, ...table(rows), verdict];
}
