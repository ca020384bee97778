import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SymbolResolver } from "../../src/symbols/resolver.ts";
import { parseLines, sourceLines } from "../../src/symbols/source-lines.ts";
import { readSymbolFile } from "../../src/symbols/symbol-file.ts";
import { findTool } from "../../src/symbols/tools.ts";
import { FOLDER, fixture } from "./files.ts";

const MODULE = `${FOLDER}Module.debug`;

let path = "";
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "ebscope-tools-"));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

function tool(name: string, script: string): void {
  writeFileSync(join(path, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(path, name), 0o755);
}

/** What binutils' addr2line said of the module, by address: the first function and place of each. */
function known(): Map<bigint, string> {
  const parts = fixture("addr2line.txt").split(/^(?=0x)/m);
  return new Map(
    parts.flatMap((part) => {
      const [address = "", name, place = ""] = part.split("\n");
      return place.startsWith("??") ? [] : [[BigInt(address), `${name} ${place.replace(/ \(.*/, "")}`]];
    }),
  );
}

describe("source lines", () => {
  it("are what the tool says, innermost function first", () => {
    const addresses = Array.from({ length: 0xd0 / 4 }, (_, i) => 0x1000n + BigInt(i * 4));
    const lines = parseLines(fixture("addr2line.txt"), addresses);
    const told = new Map(
      [...lines].map(([address, { function: name, file, line }]) => [address, `${name} ${file}:${line}`]),
    );
    expect(told.size).toBeGreaterThan(40);
    expect(told).toEqual(known());
  });

  it("leave out what the tool does not know", () => {
    const output = "0x0000000000001000\n??\n??:0\n0x0000000000001004\nmain\na.c:?\n0x0000000000001008\n??\na.c:7:12\n";
    expect(parseLines(output, [0x1000n, 0x1004n, 0x1008n])).toEqual(
      new Map([[0x1008n, { file: "a.c", line: 7, function: undefined }]]),
    );
  });

  it("stay with their addresses when a function is called like an address or an answer is missing", () => {
    const output = "0x1000\n0x1004\na.c:1\n0x1008\nmain\nb.c:2\n";
    expect(parseLines(output, [0x1000n, 0x1008n])).toEqual(
      new Map([
        [0x1000n, { file: "a.c", line: 1, function: "0x1004" }],
        [0x1008n, { file: "b.c", line: 2, function: "main" }],
      ]),
    );
    expect(parseLines(output, [0x1004n, 0x1008n]).get(0x1004n)).toBeUndefined();
    expect(parseLines("", [0x1000n])).toEqual(new Map());
  });

  it("are printable", () => {
    const lines = parseLines("0x1000\n\x1b[31mred\n/tmp/\u202eevil.c:3\n", [0x1000n]);
    expect(lines.get(0x1000n)).toEqual({ file: "/tmp/\\u{202e}evil.c", line: 3, function: "\\x1b[31mred" });
  });
});

describe("the tool", () => {
  it("gets the path and the addresses as arguments of its own, whatever is in them", async () => {
    tool("addr2line", `printf '%s\\n' "$@" >"${path}/arguments"`);
    await sourceLines("/tmp/a b;$(touch x)\"'.elf", [0x1000n, 0xffff_8000_0000_0000n, 0x1000n], { path });
    expect(readFileSync(join(path, "arguments"), "utf8").split("\n")).toEqual([
      ...["-a", "-f", "-i", "-e", "/tmp/a b;$(touch x)\"'.elf", "0x1000", "0xffff800000000000", ""],
    ]);
  });

  it("gets no path that it could take for an option, and no address of a debuginfod server", async () => {
    process.env.DEBUGINFOD_URLS = "https://example.invalid";
    tool("llvm-symbolizer", `printf '%s\\n' "$@" "urls:$DEBUGINFOD_URLS" >"${path}/arguments"`);
    await sourceLines("--version", [0x1000n], { path });
    delete process.env.DEBUGINFOD_URLS;
    const given = readFileSync(join(path, "arguments"), "utf8");
    expect(given).toContain("/--version\n");
    expect(given).not.toMatch(/^--version$/m);
    expect(given).toContain("\nurls:\n");
  });

  it("that is not there leaves the lines unknown, and a relative entry of PATH does not count", async () => {
    const why = "neither llvm-symbolizer nor addr2line is on PATH";
    expect(await sourceLines(MODULE, [0x1000n], { path })).toEqual({ state: "unknown", why });
    expect(await sourceLines(MODULE, [0x1000n], { path: ".:bin:" })).toEqual({ state: "unknown", why });
  });

  it("that fails, hangs or floods leaves them unknown and says how", async () => {
    tool("addr2line", "exit 3");
    expect(await sourceLines(MODULE, [0x1000n], { path })).toMatchObject({
      why: "addr2line failed: it ended with status 3",
    });
    tool("addr2line", "exec sleep 60");
    const hanging = await sourceLines(MODULE, [0x1000n], { path, timeout: 200 });
    expect(hanging).toMatchObject({ why: "addr2line failed: it took longer than 0.2 s" });
    tool("addr2line", "exec yes");
    expect(await sourceLines(MODULE, [0x1000n], { path })).toMatchObject({
      why: "addr2line failed: it printed too much",
    });
  });

  it("is not run when there is nothing to ask", async () => {
    tool("addr2line", "exit 3");
    expect(await sourceLines(MODULE, [], { path })).toMatchObject({ state: "known", lines: new Map() });
  });
});

const real = await findTool(["llvm-symbolizer", "aarch64-linux-gnu-addr2line", "llvm-addr2line", "addr2line"]);

describe("a tool of this machine", () => {
  it.skipIf(real === undefined)("tells the lines that addr2line told when the module was made", async () => {
    const answer = await sourceLines(MODULE, [...known().keys()]);
    expect(answer.state).toBe("known");
    const told = answer.state === "known" ? answer.lines : new Map();
    for (const [address, line] of known()) {
      const { function: name, file, line: number } = told.get(address);
      expect(`${name} ${file}:${number}`).toBe(line);
    }
  });

  it.skipIf(real === undefined)("is asked by a resolver with addresses as linked", async () => {
    const resolver = new SymbolResolver();
    resolver.add({ name: "Module" }, await readSymbolFile(MODULE), 0x7c40_0000n);
    const [inside, outside] = await resolver.resolveLines([0x7c40_1018n, 0x10n]);
    expect(inside).toMatchObject({ symbol: "shown", line: { file: "/module/first.c", line: 13 } });
    expect(outside).toBeUndefined();
  });
});
