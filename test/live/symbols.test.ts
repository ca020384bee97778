/**
 * Symbols on real guests, held against gdb with the same files: Xen at EL1, where it dies, and at EL2, where it moves to the addresses it
 * was linked at; a small EFI application with its linker's map; and what ebscope says of files that hold no symbols.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { studyCapture } from "../../src/diagnose/study.ts";
import { readCapture } from "../../src/snapshot/store.ts";
import {
  ebscope,
  ebscopeJson,
  type Finished,
  failure,
  Guest,
  guestLine,
  LINUX,
  machine,
  need,
  ROOT,
  start,
  temporaryFolder,
  XEN,
} from "../support/live.ts";
import { plainMachine, readPlainCapture } from "../support/plain-capture.ts";
import { Random } from "../support/random.ts";
import { type MappingOutput, mappingOf, outputOf, pauseAt } from "../support/witness.ts";

const XEN_SYMS = join(ROOT, ".cache/guests/xen/xen-syms");
/** Where xen-syms was linked (xen/arch/arm/include/asm/config.h of 4.17: XEN_VIRT_START), as `readelf -l` shows it. */
const XEN_LINKED = 0x20_0000n;

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

/** A disk that the firmware boots Xen from by itself, with a kernel for dom0. */
function xenDisk(): string[] {
  need(XEN, XEN_SYMS, LINUX);
  const boot = join(folder.path, "disk/EFI/BOOT");
  mkdirSync(boot, { recursive: true });
  copyFileSync(XEN, join(boot, "BOOTAA64.EFI"));
  copyFileSync(LINUX, join(boot, "vmlinuz"));
  const options = "options=console=dtuart noreboot dom0_mem=512M\nkernel=vmlinuz console=hvc0 earlycon=xenboot\n";
  writeFileSync(join(boot, "BOOTAA64.cfg"), `[global]\ndefault=dom0\n\n[dom0]\n${options}`);
  const drive = `file=fat:rw:${join(folder.path, "disk")},format=raw,if=none,id=d`;
  return ["-drive", drive, "-device", "virtio-blk-device,drive=d"];
}

interface ImageOutput {
  readonly name: string | null;
  readonly base: string;
  readonly found: string;
  readonly symbols: { readonly file: string } | null;
}

interface FrameOutput {
  readonly pc: string;
  readonly call: string | null;
  readonly image: string | null;
  readonly symbol: string | null;
}

async function imageNamed(file: string, name: string): Promise<ImageOutput> {
  const images = await ebscopeJson<ImageOutput[]>("show", file, "images");
  const found = images.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no image ${name} among ${images.map((each) => each.name).join(", ")}`);
  return found;
}

async function framesAt(file: string, point: string, ...more: string[]): Promise<readonly FrameOutput[]> {
  const args = ["show", file, "backtrace", "--at", point, ...more] as const;
  return (await ebscopeJson<{ callChain: { frames: FrameOutput[] } }>(...args)).callChain.frames;
}

/** Runs gdb on files alone. */
async function gdbScript(commands: readonly string[]): Promise<string[]> {
  const script = join(folder.path, "commands.gdb");
  writeFileSync(script, ["set width 0", "set confirm off", ...commands].join("\n"));
  const { code, stdout, stderr } = await start("gdb-multiarch", ["-nx", "-batch", "-x", script], 60_000).finished;
  if (code !== 0) throw new Error(`gdb ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout.split("\n");
}

/** `name+0x…` of what gdb finds at each address in xen-syms moved by `bias`; undefined for `No symbol matches`. */
async function gdbNames(addresses: readonly bigint[], bias: bigint): Promise<(string | undefined)[]> {
  const lines = await gdbScript([
    `add-symbol-file ${XEN_SYMS} -o ${bias}`,
    ...addresses.map((address) => `info symbol ${address}`),
  ]);
  const answers = lines.filter((line) => / in section |^No symbol matches/.test(line));
  expect(answers.length).toBe(addresses.length);
  return answers.map((line) => {
    const [, name, offset] = /^(\S+)(?: \+ (\d+))? in section/.exec(line) ?? [];
    return name && nameAndOffset(name, BigInt(offset ?? 0));
  });
}

function nameAndOffset(name: string, offset: bigint): string {
  return offset === 0n ? name : `${name}+0x${offset.toString(16)}`;
}

/** gdb takes the number behind a function that the compiler cloned (`.isra.0`) for a part of an Ada name and leaves it out. */
function asGdbPrints(name: string | undefined): string | undefined {
  return name?.replace(/\.\d+(?=\+|$)/, "");
}

/** The names that gdb has another for, or another offset in. Labels at one address are all right: then gdb says where ours is. */
async function differences(named: readonly (readonly [bigint, string | undefined])[], bias: bigint): Promise<string[]> {
  const theirs = await gdbNames(
    named.map(([address]) => address),
    bias,
  );
  const wrong: string[] = [];
  for (const [i, [address, name]] of named.entries()) {
    if (asGdbPrints(name) === theirs[i] || (await isAlias(name, address, bias))) continue;
    wrong.push(`0x${(address - bias).toString(16)}: ebscope ${name}, gdb ${theirs[i]}`);
  }
  return wrong;
}

async function isAlias(name: string | undefined, address: bigint, bias: bigint): Promise<boolean> {
  const [, stem, offset] = /^([A-Za-z_][A-Za-z0-9_]*)(?:\+(0x[0-9a-f]+))?$/.exec(name ?? "") ?? [];
  if (stem === undefined) return false;
  const said = await gdbScript([`add-symbol-file ${XEN_SYMS} -o ${bias}`, `info address ${stem}`]);
  const at = /^Symbol "\S+" is at (0x[0-9a-f]+) /.exec(said.find((line) => line.startsWith("Symbol ")) ?? "")?.[1];
  return at !== undefined && BigInt(at) + BigInt(offset ?? 0) === address;
}

/** Random addresses of instructions in .text and .init.text (`readelf -S xen-syms` of 4.17), in which Xen stands at `base`. */
function codeAddresses(base: bigint, count: number): bigint[] {
  const random = new Random(4_17);
  return Array.from({ length: count }, (_, i) => {
    const [offset, size] = i % 4 === 0 ? [0xa_1000, 0x1_b654] : [0, 0x7_476c];
    return base + BigInt(offset + 4 * random.below(size / 4));
  });
}

describe("Xen 4.17 at EL1, captured with --symbols xen-syms", () => {
  const file = join(folder.path, "xen.ebs");
  const symbols = join(folder.path, "symbols/xen-syms");
  let run: Finished;
  let base = 0n;

  beforeAll(async () => {
    const disk = xenDisk();
    mkdirSync(join(folder.path, "symbols"));
    copyFileSync(XEN_SYMS, symbols);
    const command = machine({ extra: disk });
    run = await ebscope("capture", "-q", "--symbols", symbols, "-o", file, "--", ...command);
    base = BigInt((await imageNamed(file, "BOOTAA64")).base);
  });

  it("names Xen's function in the cause and in the fault", () => {
    expect(run.code, run.stderr).toBe(3);
    expect(run.stderr).toBe("");
    expect(run.stdout).toMatch(
      /^✗ efi_xen_start\+0x28 \(BOOTAA64\+0x[0-9a-f]+\) executed TLBI ALLE2, .*virtualization=on/m,
    );
  });

  it.each(["before", "after", "fault"])("has gdb's names and offsets in every frame of Xen at %s", async (point) => {
    const frames = (await framesAt(file, point)).filter(({ image }) => image?.startsWith("BOOTAA64+"));
    const named = frames.map(({ pc, call, symbol }) => [BigInt(call ?? pc), symbol ?? undefined] as const);
    expect(named.map(([, name]) => name?.replace(/\+.*/, ""))).toEqual([
      point === "fault" ? "efi_xen_start" : "efi_start",
    ]);
    expect(await differences(named, base - XEN_LINKED)).toEqual([]);
  });

  it("has gdb's names and offsets at 200 random addresses of its code", async () => {
    const { names } = await studyCapture(await readCapture(file));
    const named = codeAddresses(base, 200).map((address) => [address, names.place(address).symbol] as const);
    expect(new Set(named.map(([, name]) => name?.replace(/\+.*/, ""))).size).toBeGreaterThan(100);
    expect(await differences(named, base - XEN_LINKED)).toEqual([]);
  });

  it("remembers the file, for the other verbs too, until --no-symbols", async () => {
    const remembered = await ebscope("diff", file);
    expect([remembered.code, remembered.stderr]).toEqual([0, ""]);
    expect(remembered.stdout).toContain("efi_xen_start+0x28");
    expect((await imageNamed(file, "BOOTAA64")).symbols?.file).toBe(symbols);
    const without = await ebscope("diff", file, "--no-symbols");
    expect([without.code, without.stderr]).toEqual([0, ""]);
    expect(without.stdout).toMatch(/^✗ BOOTAA64\+0x5cc executed TLBI ALLE2/m);
    expect(without.stdout).not.toContain("efi_xen_start");
  });

  it("says so when the file is gone, and names image and offset", async () => {
    const moved = `${symbols}.moved`;
    renameSync(symbols, moved);
    try {
      const { code, stdout, stderr } = await ebscope("diff", file);
      expect(code).toBe(0);
      expect(stderr).toBe(`no symbols of ${symbols}: it is not on this machine\n`);
      expect(stdout).toMatch(/^✗ BOOTAA64\+0x5cc executed TLBI ALLE2/m);
      expect(stdout).not.toContain("efi_xen_start");
    } finally {
      renameSync(moved, symbols);
    }
  });
});

describe("Xen 4.17 at EL2", () => {
  const file = join(folder.path, "xen-el2.ebs");
  const running = join(folder.path, "dom0.ebs");
  let guest: Guest;
  let capture: Finished;

  beforeAll(async () => {
    guest = await new Guest({ machine: "virt,virtualization=on,acpi=off", extra: xenDisk() }, true).listening();
    capture = await ebscope("capture", "-q", "--gdb", guest.address, "--watch", "1", "--symbols", XEN_SYMS, "-o", file);
    await guest.monitor("cont");
    await guest.shows(/Booting Linux on physical CPU/);
    await pauseAt(guest, 1);
    await ebscope("snapshot", "--pause", "--gdb", guest.address, "-o", running);
  });

  afterAll(() => guest?.[Symbol.asyncDispose]());

  it("has its vectors where gdb has hyp_traps_vector in the file as linked", async () => {
    expect(capture.code, capture.stderr).toBe(0);
    const registers = await ebscopeJson<{ name: string; value: string }[]>("show", file, "registers", "--at", "later");
    const vectors = BigInt(registers.find(({ name }) => name === "VBAR_EL2")?.value ?? 0);
    expect(await gdbNames([vectors], 0n)).toEqual(["hyp_traps_vector"]);
  });

  it("is found by name where the firmware loaded it and where it runs later", async () => {
    const base = BigInt((await imageNamed(file, "BOOTAA64")).base);
    const bias = base - XEN_LINKED;
    const linked = await gdbScript([`add-symbol-file ${XEN_SYMS}`, "info address hyp_traps_vector"]);
    const vectors = BigInt(/is at (0x[0-9a-f]+)/.exec(linked.join("\n"))?.[1] ?? 0);
    const { stdout, stderr } = await ebscope("explain", file, "hyp_traps_vector");
    for (const address of [vectors, vectors + bias]) expect(stdout + stderr).toContain(`0x${address.toString(16)}`);
    // Xen stays in the pages that the firmware put it into.
    const mappings = await ebscopeJson<MappingOutput[]>("show", file, "mappings", "--at", "later", "--regime", "EL2");
    const mapping = mappingOf(mappings, vectors);
    expect(mapping && outputOf(mapping, vectors)).toBe(vectors + bias);
  });

  it("runs dom0's kernel, which is found by its header where the vCPU executes", async () => {
    const image = await imageNamed(running, "Linux arm64 Image");
    expect(image.found).toBe("header");
    const [innermost] = await framesAt(running, "now", "--symbols", XEN_SYMS);
    expect(innermost?.image).toMatch(/^Linux arm64 Image\+0x[0-9a-f]+$/);
    expect(innermost?.symbol).toBeNull();
  });
});

/** `name` → address as linked, of lld-link's map: section:offset, name, address, object. */
function mapAddresses(path: string): Map<string, bigint> {
  const rows = readFileSync(path, "utf8").matchAll(/^ \d{4}:[0-9a-f]{8} +(\S+) +([0-9a-f]{16}) +\S+\.obj\r?$/gm);
  return new Map([...rows].map(([, name = "", address]) => [name, BigInt(`0x${address}`)]));
}

describe("the guest causes with lld's map", () => {
  const efi = join(folder.path, "causes.efi");
  const map = join(folder.path, "causes.map");
  const file = join(folder.path, "null-branch.ebs");
  let run: Finished;
  let base = 0n;
  let linked: ReadonlyMap<string, bigint>;

  const addressOf = (name: string): bigint => base + (linked.get(name) ?? -base) - 0x1_4000_0000n;

  beforeAll(async () => {
    execFileSync(join(ROOT, "examples/guests/causes/build"), [efi, map]);
    linked = mapAddresses(map);
    const command = machine({ kernel: efi, append: "mode=null-branch" });
    run = await ebscope("capture", "--watch", "2", "--symbols", map, "-o", file, "--", ...command);
    base = BigInt(guestLine(run.stderr, "image").base ?? 0);
  });

  it("names the functions of the call chain, with the map's offsets", async () => {
    expect(run.code, run.stderr).toBe(3);
    const frames = (await framesAt(file, "fault")).filter(({ image }) => image?.startsWith("kernel+"));
    const names = frames.map(({ symbol }) => symbol?.replace(/\+.*/, ""));
    expect(names).toEqual(["call_unset_hook", "run_null_branch", "go_through", "efi_main"]);
    for (const { pc, call, symbol } of frames) {
      const [name = "", offset = "0"] = symbol?.split("+") ?? [];
      expect(addressOf(name) + BigInt(offset)).toBe(BigInt(call ?? pc));
    }
    // Where the call would have come back to, as the guest knows it.
    const back = BigInt(guestLine(run.stderr, "call")["return-address"] ?? 0);
    expect(frames[0]).toMatchObject({ call: `0x${(back - 4n).toString(16)}` });
    expect(run.stdout).toContain(
      `call_unset_hook+0x${(back - 4n - addressOf("call_unset_hook")).toString(16)} (kernel+`,
    );
  });

  it.each([
    [["--at", "call_unset_hook"], 0n],
    [["call_unset_hook"], 0n],
    [["call_unset_hook+4"], 4n],
    [["call_unset_hook+0x10"], 16n],
  ] as const)("explains %j, where the map has it", async (words, offset) => {
    const { va } = await ebscopeJson<{ va: string }>("explain", file, ...words);
    expect(BigInt(va)).toBe(addressOf("call_unset_hook") + offset);
  });

  it("shows the mapping of a name and a size", async () => {
    const mappings = await ebscopeJson<MappingOutput[]>("show", file, "mappings", "--range", "call_unset_hook+0x10");
    expect(mappings.length).toBe(1);
    const at = addressOf("call_unset_hook");
    expect(mappingOf(mappings, at)).toMatchObject({ read: true, execute: true });
    expect(mappingOf(mappings, at + 15n)).toBe(mappings[0]);
  });

  it("without symbols has the services of the boot services table, and images with an offset", async () => {
    const word = plainMachine(readPlainCapture(file), "before").word;
    // EFI_BOOT_SERVICES: Stall is the 28th function behind the header of 24 bytes (UEFI 2.10, 4.4).
    const stall = word(BigInt(guestLine(run.stderr, "image")["boot-services"] ?? 0) + 0xf8n);
    expect(stall).toBeGreaterThan(0x4000_0000n);
    const explained = async (name: string) => {
      const { va } = await ebscopeJson<{ va: string }>("explain", file, name, "--no-symbols");
      return BigInt(va);
    };
    expect(await explained("gBS->Stall")).toBe(stall);
    expect(await explained("gBS->Stall+0x8")).toBe((stall ?? 0n) + 8n);
    const dxeCore = BigInt((await imageNamed(file, "DxeCore")).base);
    expect(await explained("DxeCore+0x1234")).toBe(dxeCore + 0x1234n);
    // "MZ": an image starts there.
    expect((word(dxeCore) ?? 0n) & 0xffffn).toBe(0x5a4dn);
    const unknown = failure(await ebscope("explain", file, "call_unset_hook", "--no-symbols"));
    expect(unknown).toEqual({ exit: 2, code: "usage" });
  });

  /** What ebscope says of a path that holds no symbols for this capture. */
  const USELESS: readonly (readonly [string, (path: string) => void, RegExp])[] = [
    ["that is missing", () => {}, /no such file or folder/],
    ["of a folder with nothing in it", (path) => mkdirSync(path), /no file in it is called like a symbol file/],
    [
      "of a folder that leads to itself",
      (path) => {
        mkdirSync(join(path, "a"), { recursive: true });
        symlinkSync(path, join(path, "a/loop"));
      },
      /no file in it is called like a symbol file/,
    ],
    ["of a link to itself", (path) => symlinkSync(path, path), /no symbols of .*: a link leads round in a circle/],
    ["of a picture", (path) => writeFileSync(path, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin1"), /it is no ELF file/],
    ["of a 32-bit program", (path) => writeFileSync(path, elf32()), /it is a 32-bit ELF file/],
    ["of a device that never ends", (path) => symlinkSync("/dev/zero", path), /it is no regular file/],
    ["of a pipe that nobody writes to", (path) => execFileSync("mkfifo", [path]), /it is no regular file/],
    ["of another guest's symbols", (path) => copyFileSync(XEN_SYMS, path), /fit no image of the capture/],
  ];

  it.each(USELESS)("tells of a path %s, and gives the diff without names", async (title, make, why) => {
    const path = join(folder.path, `useless ${title}`);
    make(path);
    const { code, stdout, stderr } = await ebscope("diff", file, "--symbols", path);
    expect([code, stderr.trimEnd().split("\n").length], stderr).toEqual([0, 1]);
    expect(stderr).toMatch(why);
    expect(stderr).toContain("useless");
    expect(stdout).toMatch(/^✗ kernel\+0x1010 called a NULL pointer/m);
  });

  it("refuses --symbols that took the file for a path", async () => {
    expect(failure(await ebscope("diff", "--symbols", map, file))).toEqual({ exit: 2, code: "usage" });
  });
});

function elf32(): Buffer {
  const header = Buffer.alloc(256);
  header.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  return header;
}
