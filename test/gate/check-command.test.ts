/** `ebscope check`, in this process: exit codes, where verdicts go, and what is refused before anything is read. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Errors } from "typebox/schema";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { VerdictJson } from "../../src/api/policy.ts";
import { asEbscopeError } from "../../src/base/error.ts";
import { EXIT, exitCodeOf } from "../../src/cli/exit-code.ts";
import { printError } from "../../src/cli/output.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { FIXTURE } from "../cli/run.ts";

vi.setConfig({ testTimeout: 60_000 });

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ebscope-check-"));
  copyFileSync(FIXTURE, join(folder, "good.ebs"));
  policy("kept.yaml", "exit-succeeded: {}");
  policy("broken.yaml", "not-faulted: {}");
  policy("same.yaml", "same-as: { baseline: good.ebs }");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function at(name: string): string {
  return join(folder, name);
}

function policy(name: string, rules: string): string {
  writeFileSync(at(name), `ebscope: 1\nrules: { ${rules} }\n`);
  return at(name);
}

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** As main.ts runs a command line. */
async function run(...args: readonly string[]): Promise<Ran> {
  let [out, err, code] = ["", "", 0];
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    out += String(chunk);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    err += String(chunk);
    return true;
  });
  try {
    await buildProgram((result) => {
      code = result;
    }).parseAsync([...args], { from: "user" });
  } catch (error) {
    printError(asEbscopeError(error));
    code = exitCodeOf(asEbscopeError(error));
  }
  vi.restoreAllMocks();
  return { code, out, err };
}

describe("ebscope check", () => {
  it("ends with 0 when the policy is kept and with 5 when it is broken, and says so in its first line", async () => {
    const kept = await run("check", FIXTURE, "--policy", at("kept.yaml"));
    expect([kept.code, kept.out.split("\n")[0]]).toEqual([EXIT.done, "✓ The policy is kept: 1 rule"]);
    const broken = await run("check", FIXTURE, "--policy", at("broken.yaml"));
    expect([broken.code, broken.out.split("\n")[0]]).toEqual([5, "✗ The policy is broken: 1 of 1 rule is broken"]);
  });

  it("ends with 1 for a policy or a capture that cannot be read, with place and cure", async () => {
    writeFileSync(at("bad.yaml"), "ebscope: 1\nrules:\n  not-faultd: {}\n");
    const bad = await run("check", FIXTURE, "--policy", at("bad.yaml"));
    expect([bad.code, bad.out]).toEqual([EXIT.failed, ""]);
    expect(bad.err).toContain(`bad.yaml:3:3: "not-faultd" is not known here. Did you mean not-faulted?`);
    expect((await run("check", at("none.ebs"), "--policy", at("kept.yaml"))).code).toBe(EXIT.failed);
    expect((await run("check", FIXTURE, "--policy", at("none.yaml"))).err).toContain("[file-unreadable]");
  });

  it("prints JSON as its schema says", async () => {
    const { code, out } = await run("check", FIXTURE, "--policy", at("broken.yaml"), "--json");
    expect([code, Errors(VerdictJson as never, JSON.parse(out))[1]]).toEqual([5, []]);
  });

  it("writes JUnit and SARIF to files beside the text, and annotations below it", async () => {
    const args = ["--junit", at("v.xml"), "--sarif", at("v.sarif"), "--github"];
    const { code, out } = await run("check", FIXTURE, "--policy", at("broken.yaml"), ...args);
    expect(code).toBe(5);
    expect(out).toMatch(/^✗ The policy is broken.*\n::error file=[^\n]+\n$/s);
    expect(readFileSync(at("v.xml"), "utf8")).toContain("<testsuites");
    expect(JSON.parse(readFileSync(at("v.sarif"), "utf8"))).toMatchObject({ version: "2.1.0" });
  });

  it("gives stdout to a form that is told -", async () => {
    const { out } = await run("check", FIXTURE, "--policy", at("broken.yaml"), "--junit", "-");
    expect(out).toMatch(/^<\?xml .*<\/testsuites>\n$/s);
  });

  it.each([
    ["two forms on stdout", ["--json", "--github"]],
    ["two forms on stdout", ["--junit", "-", "--sarif", "-"]],
    ["a file for two forms", ["--junit", "same.out", "--sarif", "./same.out"]],
    ["a capture in the way", ["--junit", "other.ebs"]],
    ["a form without a name", ["--sarif", ""]],
    ["a baseline that no rule asks for", ["--baseline", FIXTURE]],
  ])("refuses %s: %s", async (_, args) => {
    const { code, err } = await run("check", FIXTURE, "--policy", at("kept.yaml"), ...args);
    expect([code, err]).toEqual([EXIT.usage, expect.stringContaining("[usage]")]);
  });

  it("does not write over the policy, or into a folder that is not there", async () => {
    const over = await run("check", FIXTURE, "--policy", at("kept.yaml"), "--junit", at("kept.yaml"));
    expect(over.code).toBe(EXIT.usage);
    const nowhere = await run("check", FIXTURE, "--policy", at("kept.yaml"), "--junit", at("none/v.xml"));
    expect([nowhere.code, nowhere.err]).toEqual([EXIT.failed, expect.stringContaining("[file-unwritable]")]);
  });
});

describe("the rule same-as", () => {
  it("takes the baseline of the policy's folder, or the one that the command line names", async () => {
    expect((await run("check", FIXTURE, "--policy", at("same.yaml"))).code).toBe(EXIT.done);
    policy("any.yaml", "same-as: {}");
    expect((await run("check", FIXTURE, "--policy", at("any.yaml"), "--baseline", FIXTURE)).code).toBe(EXIT.done);
    const none = await run("check", FIXTURE, "--policy", at("any.yaml"));
    expect([none.code, none.err]).toEqual([EXIT.usage, expect.stringContaining("any.yaml:2:10")]);
  });

  it("does not follow a link out of the folder", async () => {
    symlinkSync(FIXTURE, at("link.ebs"));
    policy("link.yaml", "same-as: { baseline: link.ebs }");
    const { code, err } = await run("check", FIXTURE, "--policy", at("link.yaml"));
    expect([code, err]).toEqual([EXIT.usage, expect.stringContaining("a link leads out of it")]);
  });
});

describe("ebscope capture", () => {
  it("refuses what goes with --policy without it, before it touches a guest", async () => {
    for (const args of [["--junit", "x.xml"], ["--sarif", "x.sarif"], ["--github"], ["--baseline", "x.ebs"]]) {
      const { code, err } = await run("capture", "--gdb", "localhost:1", ...args);
      expect([code, err]).toEqual([EXIT.usage, expect.stringContaining("go with --policy")]);
    }
  });

  it("reads the policy before it touches a guest", async () => {
    const { code, err } = await run("capture", "--gdb", "localhost:1", "--policy", at("bad.yaml"));
    expect([code, err]).toEqual([EXIT.failed, expect.stringContaining("bad.yaml:3:3")]);
  });
});
