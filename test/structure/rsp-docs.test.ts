/** Holds docs/rsp.md against the client; what it says of real stubs is held by test/live/conformance*.test.ts. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../src/base/error.ts";
import * as rsp from "../../src/rsp/index.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DOCUMENT = join(ROOT, "docs/rsp.md");
const text = readFileSync(DOCUMENT, "utf8");
const example = readFileSync(join(ROOT, "examples/rsp-client.ts"), "utf8");

/** A section of the document, without its heading. */
function section(heading: string): string {
  const body = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0];
  if (body === undefined) throw new Error(`docs/rsp.md has no section "${heading}"`);
  return body;
}

/** What stands between backticks. */
function quoted(body: string): string[] {
  return [...body.matchAll(/`([^`\n]+)`/g)].map(([, inner = ""]) => inner);
}

describe("docs/rsp.md", () => {
  it("shows the code of examples/rsp-client.ts as it is, but for the comment at its head", () => {
    const [block, ...others] = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
    expect(others).toEqual([]);
    expect(example.replace(/^\/\*\*.*\*\/\n/, "")).toBe(block);
  });

  it("shows no more than twenty lines of it, imports, comments and blank lines aside", () => {
    const lines = example
      .split("\n")
      .filter((line) => line.trim() !== "" && !/^(import|\/\*\*|\/\/)/.test(line.trim()));
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.length).toBeLessThanOrEqual(20);
  });

  it("names only functions that there are, in the table of commands", () => {
    const table = section("Commands").split("\n\n")[0] ?? "";
    const names = quoted(table).filter((name) => /^(client\.)?[a-z]{3,}[A-Z]\w*(\(.*\))?$/.test(name));
    expect(names.length).toBeGreaterThan(30);
    const known = (name: string): boolean => {
      const bare = name.replace(/\(.*$/, "");
      return bare.startsWith("client.") ? bare.slice(7) in rsp.RspClient.prototype : bare in rsp;
    };
    // Packets that look like names.
    const packets = /^q[A-Z]|^v[A-Z]/;
    expect(names.filter((name) => !packets.test(name) && !known(name))).toEqual([]);
  });

  it("names every command that the client has, but for parts of them", () => {
    const commands = Object.entries(rsp).filter(([name, value]) => typeof value === "function" && /^[a-z]/.test(name));
    const helpers =
      /Payload$|Piece$|^(isAnnex|(first|next)Threads|encodePacket|parseStopReply|parseStubAddress|stubAddressText|connectTransport|tapped)$/;
    const missing = commands.map(([name]) => name).filter((name) => !helpers.test(name) && !text.includes(`\`${name}`));
    expect(missing).toEqual([]);
  });

  it("names only error codes that there are", () => {
    const codes = quoted(section("How errors come")).filter((name) => /^[a-z]+(-[a-z]+)+$/.test(name));
    const kinds = ["thread-exited", "no-resumed"];
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => !(code in ERROR_CODES) && !kinds.includes(code))).toEqual([]);
  });

  it("names only options that there are", () => {
    const sources = ["client", "connection", "link", "commands/transfer", "commands/threads"];
    const declared = sources.map((name) => readFileSync(join(ROOT, `src/rsp/${name}.ts`), "utf8")).join("\n");
    const options = quoted(section("Bounds")).filter((name) => /^[a-z]+[A-Z]\w*$/.test(name) && !(name in rsp));
    expect(options.length).toBeGreaterThan(5);
    const members = Object.getOwnPropertyNames(rsp.RspClient.prototype);
    expect(options.filter((name) => !declared.includes(`${name}?:`) && !members.includes(name))).toEqual([]);
  });

  it("links only to what there is", () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, path = ""]) => path);
    expect(links.length).toBeGreaterThan(2);
    for (const link of links) expect(existsSync(join(dirname(DOCUMENT), link)), link).toBe(true);
  });

  it("stays short", () => {
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(200);
  });
});
