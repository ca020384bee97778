/** Holds the documents against the program: error codes, the CLI's help, findings, dependencies, and what the project says of itself. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../src/base/error.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { RULES } from "../../src/diagnose/findings.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

describe("docs/errors.md", () => {
  const documented = [...read("docs/errors.md").matchAll(/^### `([a-z0-9-]+)`$/gm)].map(([, code]) => code);

  it("has a section for each error code, and for no other", () => {
    expect([...documented].sort()).toEqual(Object.keys(ERROR_CODES).sort());
  });
});

describe("docs/findings.md", () => {
  const documented = [...read("docs/findings.md").matchAll(/^## `([a-z0-9-]+)`$/gm)].map(([, rule]) => rule);

  it("has a section for each rule, in the order in which findings are shown", () => {
    expect(documented).toEqual(Object.keys(RULES));
  });
});

describe("docs/cli.md", () => {
  const text = read("docs/cli.md");
  const program = buildProgram(() => undefined);
  const verbs = (of: Command, path: string): [string, Command][] =>
    of.commands.flatMap((verb) => {
      const name = `${path} ${verb.name()}`.trimStart();
      return [[name, verb], ...verbs(verb, name)];
    });

  it.each([["", program] as [string, Command], ...verbs(program, "")])(
    "prints the help of `ebscope %s` as it is",
    (_name, verb) => {
      const help = verb.configureHelp({ helpWidth: 100 }).helpInformation().trimEnd();
      expect(help).not.toBe("");
      expect(text).toContain(`\`\`\`\n${help}\n\`\`\``);
    },
  );
});

describe("README.md", () => {
  const text = read("README.md");
  const manifest = JSON.parse(read("package.json")) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
    scripts: Record<string, string>;
  };

  it("gives the reason for each dependency, and for no other", () => {
    const listed = [...text.matchAll(/^\| `([@\w/-]+)` \|/gm)].map(([, name]) => name);
    expect([...listed].sort()).toEqual(Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).sort());
  });

  it("names only npm scripts that exist", () => {
    const named = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name = ""]) => name);
    expect(named.filter((name) => manifest.scripts[name] === undefined)).toEqual([]);
  });

  it("names only files that exist", () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path = ""]) => path);
    expect(links.length).toBeGreaterThan(3);
    for (const path of links) expect(() => readdirOrFile(path)).not.toThrow();
  });
});

const NOT_OURS = new Set([".git", ".cache", "node_modules", "dist", "coverage"]);

function projectFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? projectFiles(path) : [path];
  });
}

function readdirOrFile(path: string): void {
  try {
    read(path);
  } catch {
    readdirSync(join(ROOT, path));
  }
}

describe("the project", () => {
  it("names no path of a machine", () => {
    const files = projectFiles(".");
    expect(files.length).toBeGreaterThan(50);
    const offences = files.filter(
      (file) =>
        !file.endsWith(".efi") && !file.startsWith("test/structure/") && /\/(work|root|home\/\w+)\//.test(read(file)),
    );
    expect(offences).toEqual([]);
  });
});

describe("the error registry", () => {
  it("has no code that nothing raises", () => {
    const sources = projectFiles("src")
      .filter((file) => file !== join("src", "base", "error.ts"))
      .map(read)
      .join("\n");
    expect(Object.keys(ERROR_CODES).filter((code) => !sources.includes(`"${code}"`))).toEqual([]);
  });
});
