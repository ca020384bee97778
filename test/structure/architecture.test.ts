/** Holds the table of rooms in docs/architecture.md against the imports that are there. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SRC = join(ROOT, "src");

interface Room {
  readonly name: string;
  readonly may: readonly string[];
}

/** Reads the rows `| `room` | what it holds | what it may import |` of the document. */
function documentedRooms(document: string): Room[] {
  const rows = [...document.matchAll(/^\| `(\w+)` \|[^|]*\|([^|]*)\|$/gm)];
  return rows.map(([, name = "", imports = ""]) => ({
    name,
    may: [...imports.matchAll(/`(\w+)`|\ball\b/g)].map((m) => m[1] ?? "all"),
  }));
}

const rooms = documentedRooms(readFileSync(join(ROOT, "docs/architecture.md"), "utf8"));

function sourceFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sourceFiles(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

/** Every module that a source imports or exports from, statically or with import(). */
function importsOf(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const found = [
    ...code.matchAll(/\b(?:import|export)\b[^'"`;]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g),
  ];
  return found.map(([, from, bare]) => from ?? bare ?? "");
}

/** The room of a path under src, `data` for the folder symbols/ at the top level, or "" for src/index.ts. */
function roomOf(path: string): string {
  const inSrc = relative(SRC, path);
  if (inSrc.startsWith("..")) return relative(ROOT, path).split(/[/\\]/)[0] === "symbols" ? "data" : "outside";
  const parts = inSrc.split(/[/\\]/);
  return parts.length > 1 ? (parts[0] ?? "") : "";
}

const files = sourceFiles(SRC);

describe("the rooms of src", () => {
  it("are read: the document lists them and the tree has sources", () => {
    expect(rooms.length).toBeGreaterThan(10);
    expect(files.length).toBeGreaterThan(40);
  });

  it("are all documented", () => {
    const folders = readdirSync(SRC).filter((name) => statSync(join(SRC, name)).isDirectory());
    expect(folders.filter((name) => !rooms.some((room) => room.name === name))).toEqual([]);
  });

  it("import only what the document allows them to", () => {
    const offences: string[] = [];
    let seen = 0;
    for (const file of files) {
      const from = roomOf(file);
      const room = rooms.find(({ name }) => name === from);
      for (const target of importsOf(readFileSync(file, "utf8")).filter((each) => each.startsWith("."))) {
        seen++;
        const to = roomOf(resolve(dirname(file), target));
        const allowed =
          from === "" || to === from || (room?.may.includes(to) ?? false) || (room?.may.includes("all") ?? false);
        if (!allowed) offences.push(`${relative(ROOT, file)} imports ${target}`);
      }
    }
    expect(seen).toBeGreaterThan(100);
    expect(offences).toEqual([]);
  });

  it("import packages only where the package belongs", () => {
    const owners: Record<string, readonly string[]> = {
      "@alexaltea": ["code"],
      commander: ["cli"],
      picocolors: ["cli"],
      saxes: ["rsp", "target"],
      typebox: ["api", "document", "snapshot"],
      elfy: ["symbols"],
      fastify: ["server"],
      ws: ["server", "client"],
      yaml: ["document"],
    };
    const offences: string[] = [];
    for (const file of files) {
      for (const target of importsOf(readFileSync(file, "utf8"))) {
        if (target.startsWith(".") || target.startsWith("node:") || builtinModules.includes(target)) continue;
        const name = target.split("/")[0] ?? "";
        if (!owners[name]?.includes(roomOf(file))) offences.push(`${relative(ROOT, file)} imports ${target}`);
      }
    }
    expect(offences).toEqual([]);
  });

  it("reach node's network and processes only in rsp, target, cli and where the tools for source lines are run", () => {
    const guarded = ["node:net", "node:child_process", "node:http", "node:tls", "node:dgram"];
    const offences = files.filter(
      (file) =>
        !["rsp", "target", "cli", "server"].includes(roomOf(file)) &&
        relative(SRC, file) !== join("symbols", "tools.ts") &&
        importsOf(readFileSync(file, "utf8")).some((target) => guarded.includes(target)),
    );
    expect(offences.map((file) => relative(ROOT, file))).toEqual([]);
  });
});

describe("the import reader", () => {
  it("sees every form of import", () => {
    const source = `import a from "./a.ts";\nimport type { B } from "./b.ts";\nimport "./c.ts";\nexport * from "./d.ts";\nawait import("./e.ts");\nimport {\n  f,\n} from "./f.ts";`;
    expect(importsOf(source)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts"]);
  });
});
