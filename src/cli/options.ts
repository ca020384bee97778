/** Options that several verbs have, and what their arguments may be. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { MEMORY_CHOICES } from "../target/memory/channel.ts";

export function symbols(otherwise = "the files that the capture remembers"): Option {
  const kinds = ".debug, .dll, xen-syms, vmlinux, System.map, .map";
  const option = new Option("--symbols <path...>", `files and folders to take symbols from: ${kinds}`);
  return option.default(undefined, otherwise);
}

/** `otherwise`: what is taken without it, in words; auto unless told. */
export function memory(otherwise?: string): Option {
  const option = new Option("--memory <how>", "how guest memory is read").choices(MEMORY_CHOICES);
  return otherwise === undefined ? option.default("auto") : option.default(undefined, otherwise);
}

export function seconds(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < 0 || value > 86_400) {
      throw new InvalidArgumentError("Give seconds, from 0 to 86400.");
    }
    return value;
  });
}

export function port(): Option {
  return new Option("--port <port>", "the TCP port, 0 for any that is free").argParser((text) => {
    if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
      throw new InvalidArgumentError("Give a port, from 0 to 65535.");
    return Number(text);
  });
}

export function count(flags: string, description: string, minimum = 1): Option {
  return new Option(flags, description).argParser((text) => {
    const value = Number(text);
    if (!/^\d{1,9}$/.test(text) || value < minimum) throw new InvalidArgumentError("Give a whole number.");
    return value;
  });
}

export function days(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => {
    if (!/^\d{1,6}(\.\d{1,6})?$/.test(text)) throw new InvalidArgumentError("Give days, such as 30 or 0.5.");
    return Number(text);
  });
}

/** Binary units, as `ls -h` and `du -h` have them. */
const UNITS = ["", "k", "m", "g", "t"];

/** A size; its value is in bytes. */
export function size(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => {
    const [, digits, unit = ""] = /^(\d{1,15}(?:\.\d{1,6})?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
    const bytes = Math.floor(Number(digits) * 1024 ** UNITS.indexOf(unit.toLowerCase()));
    if (digits === undefined || !Number.isSafeInteger(bytes)) {
      throw new InvalidArgumentError("Give a size, such as 500M or 2G.");
    }
    return bytes;
  });
}

/** Who writes: for `capture`. */
export function blameOptions(command: Command): Command {
  return command
    .option("--blame", "record who writes to the page tables and control registers during the call")
    .option("--blame-maintenance", "with --blame: TLBI, DC and IC instructions too")
    .option("--no-blame-backtraces", "record which instruction writes, not who called it: faster")
    .addOption(new Option("--blame-until <point>", "with --blame: how long").choices(["after", "end"]).default("after"))
    .addOption(count("--blame-limit <count>", "writes to record at most; then the watch ends").default(1_000_000))
    .option(
      "--watch-write <range>",
      "record who writes there, from now to the end: gBS+0xe8, gST+0x60,16, 0x40000000..0x40001000; may be repeated",
      (text: string, all: readonly string[] = []) => [...all, text],
    );
}
