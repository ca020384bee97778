import { describe, expect, it } from "vitest";
import { readTargetDescription, type TargetDescription } from "../../src/target/target-xml.ts";
import { failure } from "../support/failure.ts";

/** Reads a description from documents in memory; tells what was fetched. */
async function read(documents: Readonly<Record<string, string>>): Promise<TargetDescription & { fetched: string[] }> {
  const fetched: string[] = [];
  const description = await readTargetDescription(async (annex) => {
    fetched.push(annex);
    return documents[annex] ?? "<feature/>";
  });
  return { ...description, fetched };
}

const target = (inside: string): Record<string, string> => ({
  "target.xml": `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>aarch64</architecture>${inside}</target>`,
});

const numbers = ({ registers }: TargetDescription): [string, number][] =>
  registers.map(({ stubName, number }) => [stubName, number]);

describe("readTargetDescription", () => {
  it("numbers registers on from the one before, or as regnum says", async () => {
    const description = await read(
      target(
        '<feature name="f"><reg name="a" bitsize="64"/><reg name="b" bitsize="32"/>' +
          '<reg name="c" bitsize="64" regnum="70"/><reg name="d" bitsize="64"/></feature>',
      ),
    );
    expect(description.architecture).toBe("aarch64");
    expect(numbers(description)).toEqual([
      ["a", 0],
      ["b", 1],
      ["c", 70],
      ["d", 71],
    ]);
    expect(description.registers[1]).toEqual({ name: "b", stubName: "b", number: 1, bits: 32, feature: "f" });
  });

  it("numbers across the documents in the order of their inclusion, depth first", async () => {
    const description = await read({
      ...target('<xi:include href="one.xml"/><xi:include href="three.xml"/>'),
      "one.xml": '<feature name="one"><reg name="a" bitsize="64"/><xi:include href="two.xml"/></feature>',
      "two.xml": '<feature name="two"><reg name="b" bitsize="64"/></feature>',
      "three.xml": '<feature name="three"><reg name="c" bitsize="64"/></feature>',
    });
    expect(description.fetched).toEqual(["target.xml", "one.xml", "two.xml", "three.xml"]);
    expect(description.registers.map(({ stubName, number, feature }) => [stubName, number, feature])).toEqual([
      ["a", 0, "one"],
      ["b", 1, "two"],
      ["c", 2, "three"],
    ]);
  });

  it("fetches each document once, though they include one another", async () => {
    const description = await read({
      ...target('<xi:include href="a.xml"/><xi:include href="target.xml"/>'),
      "a.xml":
        '<feature name="f"><reg name="r" bitsize="64"/><xi:include href="a.xml"/><xi:include href="target.xml"/></feature>',
    });
    expect(description.fetched).toEqual(["target.xml", "a.xml"]);
    expect(numbers(description)).toEqual([["r", 0]]);
  });

  it("keeps the stub's name beside the canonical one", async () => {
    const { registers } = await read(target('<feature name="f"><reg name="VBAR" bitsize="64"/></feature>'));
    expect(registers[0]).toMatchObject({ name: "VBAR_EL1", stubName: "VBAR" });
  });

  it("does not take a register in a comment or an entity of the document's own", async () => {
    const comment = await read(target('<!-- <reg name="x" bitsize="64"/> -->'));
    expect(comment.registers).toEqual([]);
    const bomb =
      '<!DOCTYPE t [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><target><architecture>&b;</architecture></target>';
    expect((await failure(read({ "target.xml": bomb }))).code).toBe("protocol-error");
  });

  const reg = (attributes: string): string => `<feature name="f"><reg ${attributes}/></feature>`;
  it.each([
    ["text that is no XML", "<reg", "is no XML"],
    ["a register without a name", reg('bitsize="64"'), "no usable name"],
    ["a name with control characters", reg('name="x&#x202e;" bitsize="64"'), "no usable name"],
    ["a name that is too long", reg(`name="${"x".repeat(65)}" bitsize="64"`), "no usable name"],
    ["no size", reg('name="x"'), "no usable size"],
    ["a size of 0", reg('name="x" bitsize="0"'), "no usable size"],
    ["a size that is no number", reg('name="x" bitsize="many"'), "no usable size"],
    ["a size that is too large", reg('name="x" bitsize="99999999"'), "no usable size"],
    ["a negative number", reg('name="x" bitsize="64" regnum="-1"'), "no usable number"],
    ["half a number", reg('name="x" bitsize="64" regnum="1.5"'), "no usable number"],
    ["an empty number", reg('name="x" bitsize="64" regnum=""'), "no usable number"],
    ["a number that is too large", reg('name="x" bitsize="64" regnum="65536"'), "no usable number"],
    [
      "too many registers",
      `<feature name="f">${Array.from({ length: 4097 }, (_, i) => `<reg name="r${i}" bitsize="64"/>`).join("")}</feature>`,
      "too many registers",
    ],
    [
      "too many documents",
      Array.from({ length: 64 }, (_, i) => `<xi:include href="d${i}.xml"/>`).join(""),
      "too many documents",
    ],
  ])("refuses %s", async (_, inside, says) => {
    const error = await failure(read(target(inside)));
    expect(error.code).toBe("protocol-error");
    expect(error.message).toContain(says);
  });
});
