/** What the examples' command lines have in common: `[options] ADDRESS` attaches, `[options] -- QEMU…` launches. */
import { parseArgs } from "node:util";
import { attach, launch, type Session, type SessionOptions } from "ebscope";

export interface CommandLine {
  /** Options by name. */
  readonly options: Readonly<Record<string, string>>;
  /** What stands before `--`. */
  readonly words: readonly string[];
  /** What stands behind it: a QEMU command. */
  readonly command: readonly string[];
}

/** `defaults`: the options that there are. */
export function commandLine(defaults: Readonly<Record<string, string>>): CommandLine {
  const all = process.argv.slice(2);
  const dashes = all.includes("--") ? all.indexOf("--") : all.length;
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, { type: "string", default: value } as const]),
  );
  const { values, positionals } = parseArgs({ args: all.slice(0, dashes), options, allowPositionals: true });
  return { options: values as Record<string, string>, words: positionals, command: all.slice(dashes + 1) };
}

/** The guest's console goes to stderr. */
export function openGuest({ words, command }: CommandLine, options: SessionOptions = {}): Promise<Session> {
  if (command.length === 0) return attach(words[0] ?? "localhost:1234", options);
  return launch(command, { ...options, onLine: (line) => console.error(`guest| ${line}`) });
}
