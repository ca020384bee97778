import { describe, expect, it } from "vitest";
import { monitorCommand } from "../../../src/rsp/commands/monitor.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");
const hex = (text: string): string => Buffer.from(text).toString("hex");

/** Runs one command against `O` packets and a final reply. */
function run(outputs: readonly string[], final: string, maxBytes?: number) {
  const command = maxBytes === undefined ? monitorCommand("info version") : monitorCommand("info version", maxBytes);
  for (const output of outputs) command.onOutput?.(output);
  return command.decode(wire(final));
}

const text = (value: string) => ({ kind: "ok", value: { text: value, truncated: false } });

describe("qRcmd", () => {
  it("goes out in hex", () => {
    expect(monitorCommand("info version").payload).toBe("qRcmd,696e666f2076657273696f6e");
    expect(monitorCommand("ü").payload).toBe("qRcmd,c3bc");
  });

  it("refuses an empty command", () => {
    expect(() => monitorCommand("")).toThrowError(expect.objectContaining({ code: "usage" }));
  });

  it("reads what QEMU answers to info version", () => {
    const output = "372e322e323244656269616e20313a372e322b646673672d372b64656231327531382b62330d0a";
    expect(run([output], "OK")).toEqual(text("7.2.22Debian 1:7.2+dfsg-7+deb12u18+b3\n"));
  });

  it("joins the packets, also inside a line and inside a character", () => {
    // The first three are gdbserver's.
    const outputs = ["202020204f7074696f6e733a20616c6c2c206e6f6e65", "2c2074696d657374616d70", "0a", "c3", "bc"];
    expect(run(outputs, "OK")).toEqual(text("    Options: all, none, timestamp\nü"));
  });

  it("reads output in the final reply", () => {
    expect(run([], hex("done\n"))).toEqual(text("done\n"));
    expect(run([hex("a")], hex("b"))).toEqual(text("ab"));
  });

  it("reads no output", () => expect(run([], "OK")).toEqual(text("")));

  it("is unsupported or an error when the stub says so", () => {
    expect(run([], "")).toEqual({ kind: "unsupported" });
    expect(run([hex("Unknown monitor command.\n")], "E01")).toEqual({ kind: "error", code: 1, text: "E01" });
  });

  it("makes escape sequences visible, and keeps lines and tabs", () => {
    expect(run([hex("a\tb\r\n\x1b[2J\r\r\nc\rd")], "OK")).toEqual(text("a\tb\n\\x1b[2J\nc\\x0dd"));
  });

  it("takes output that is no hex for malformed", () => {
    expect(run(["zz"], "OK").kind).toBe("malformed");
    expect(run(["414"], "OK").kind).toBe("malformed");
    expect(run([], "done").kind).toBe("malformed");
  });

  it("keeps no more than its bound, and says so", () => {
    expect(run([hex("abcdef")], "OK", 6)).toEqual({ kind: "ok", value: { text: "abcdef", truncated: false } });
    expect(run([hex("abcdef")], "OK", 4)).toEqual({ kind: "ok", value: { text: "abcd", truncated: true } });
    expect(run([hex("abc"), hex("def")], hex("g"), 4)).toEqual({
      kind: "ok",
      value: { text: "abcd", truncated: true },
    });
  });

  it("does not mix the output of two runs", () => {
    const command = monitorCommand("info version");
    command.onOutput?.("zz");
    command.decode(wire("OK"));
    command.onOutput?.(hex("b"));
    expect(command.decode(wire("OK"))).toEqual(text("b"));
  });
});
