import { describe, expect, it } from "vitest";
import {
  askSupported,
  attachedOrCreated,
  hasFeature,
  MAX_PACKET_SIZE,
  mustReplyEmpty,
  type StubFeatures,
  startNoAckMode,
} from "../../../src/rsp/commands/queries.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");

function features(text: string): StubFeatures {
  const reply = askSupported().decode(wire(text));
  if (reply.kind !== "ok") throw new Error(`read as ${reply.kind}`);
  return reply.value;
}

describe("qSupported", () => {
  it("tells what we support", () => {
    expect(askSupported().payload).toBe("qSupported");
    expect(askSupported(["multiprocess+", "xmlRegisters=i386,aarch64", "swbreak-"]).payload).toBe(
      "qSupported:multiprocess+;xmlRegisters=i386,aarch64;swbreak-",
    );
  });

  it.each(["multiprocess", "", "a;b+", "a?", "a=b;c+", "a=$", "a b+"])("refuses %j as a feature of ours", (feature) => {
    expect(() => askSupported([feature])).toThrowError(expect.objectContaining({ code: "usage" }));
  });

  it("reads what QEMU 7.2 says", () => {
    const { all, packetSize } = features("PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+");
    expect(packetSize).toBe(4096);
    expect([...all.keys()]).toEqual(["PacketSize", "qXfer:features:read", "vContSupported", "multiprocess"]);
  });

  it.each<[string, number | undefined]>([
    ["PacketSize=47ff", 0x47ff], // gdbserver 13
    ["PacketSize=20020", 0x20020], // QEMU 10.2
    ["PacketSize=131072", 131072], // lldb-server 14, in decimal
    ["PacketSize=1000", 0x1000],
    ["PacketSize=10000", 0x10000],
    ["PacketSize=00001000", 0x1000],
    ["PacketSize=20", 32],
    ["PacketSize=1f", undefined],
    ["PacketSize=0", undefined],
    ["PacketSize=ffffffff", MAX_PACKET_SIZE],
    ["PacketSize=1000000000000", undefined],
    ["PacketSize=-1", undefined],
    ["PacketSize=zz", undefined],
    ["PacketSize=", undefined],
    ["PacketSize+", undefined],
    ["vContSupported+", undefined],
  ])("finds the packet size in %s", (text, size) => expect(features(text).packetSize).toBe(size));

  it("tells a feature that is there from one that is not, or not known", () => {
    const all = features("a+;b-;c?;d=1;e=-");
    expect(["a", "b", "c", "d", "f", "constructor"].map((name) => hasFeature(all, name))).toEqual([
      true,
      false,
      false,
      true,
      false,
      false,
    ]);
  });

  it("takes an answer without any feature for malformed", () => {
    expect(askSupported().decode(wire("OK")).kind).toBe("malformed");
    expect(askSupported().decode(wire(";;;")).kind).toBe("malformed");
    expect(askSupported().decode(wire("a+;".repeat(100_000))).kind).toBe("malformed");
  });

  it("is unsupported when the reply is empty", () => {
    expect(askSupported().decode(wire(""))).toEqual({ kind: "unsupported" });
  });
});

describe("QStartNoAckMode", () => {
  it("is done with OK, and unsupported in QEMU", () => {
    expect(startNoAckMode().payload).toBe("QStartNoAckMode");
    expect(startNoAckMode().decode(wire("OK"))).toEqual({ kind: "ok", value: "OK" });
    expect(startNoAckMode().decode(wire(""))).toEqual({ kind: "unsupported" });
  });
});

describe("vMustReplyEmpty", () => {
  it("is unsupported by every stub that does as it must", () => {
    expect(mustReplyEmpty().payload).toBe("vMustReplyEmpty");
    expect(mustReplyEmpty().decode(wire(""))).toEqual({ kind: "unsupported" });
  });

  it("is malformed when an old gdbserver says OK", () => {
    expect(mustReplyEmpty().decode(wire("OK"))).toEqual({ kind: "malformed", text: "OK" });
  });
});

describe("qAttached", () => {
  it("names a process when there are several", () => {
    expect(attachedOrCreated().payload).toBe("qAttached");
    expect(attachedOrCreated(0x9cdn).payload).toBe("qAttached:9cd");
  });

  it.each([
    ["1", { kind: "ok", value: "attached" }],
    ["0", { kind: "ok", value: "created" }],
    ["", { kind: "unsupported" }],
    ["E01", { kind: "error", code: 1, text: "E01" }],
    ["2", { kind: "malformed", text: "2" }],
    ["10", { kind: "malformed", text: "10" }],
    ["OK", { kind: "malformed", text: "OK" }],
  ])("reads %j", (reply, read) => expect(attachedOrCreated().decode(wire(reply))).toEqual(read));
});
