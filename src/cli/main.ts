#!/usr/bin/env node
/** The program `ebscope`. */
import { CommanderError } from "commander";
import { asEbscopeError } from "../base/error.ts";
import { EXIT, exitCodeOf } from "./exit-code.ts";
import { ignoreClosedPipes, printError } from "./output.ts";
import { buildProgram } from "./program.ts";

/** Runs one command line (without node and script); returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  let code: number = EXIT.done;
  const program = buildProgram((result) => {
    code = result;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    // Help and version are printed by commander itself, as are its words about wrong usage.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const failure = asEbscopeError(error);
    printError(failure);
    return exitCodeOf(failure);
  }
}

ignoreClosedPipes();
process.exitCode = await main(process.argv.slice(2));
