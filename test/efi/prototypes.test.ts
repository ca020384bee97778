import { describe, expect, it } from "vitest";
import { servicePrototype } from "../../src/efi/prototypes.ts";
import { RUNTIME_SERVICE_NAMES, SERVICES } from "../support/firmware.ts";

describe("prototypes of services", () => {
  it.each(SERVICES.filter((name) => name !== "Reserved"))("there is one of gBS->%s", (name) => {
    expect(servicePrototype(`gBS->${name}`)?.parameters.length).toBeGreaterThan(0);
  });

  it.each(RUNTIME_SERVICE_NAMES)("there is one of gRT->%s", (name) => {
    expect(servicePrototype(`gRT->${name}`)?.parameters.length).toBeGreaterThan(0);
  });

  it("no service has more parameters than registers pass", () => {
    const all = [...SERVICES.map((name) => `gBS->${name}`), ...RUNTIME_SERVICE_NAMES.map((name) => `gRT->${name}`)];
    for (const service of all)
      expect(servicePrototype(service)?.parameters.length ?? 0, service).toBeLessThanOrEqual(8);
  });

  it("parameters have the names and widths of the specification", () => {
    expect(servicePrototype("gBS->ExitBootServices")).toEqual({
      parameters: [
        { name: "ImageHandle", type: "EFI_HANDLE", bits: 64 },
        { name: "MapKey", type: "UINTN", bits: 64 },
      ],
      variadic: false,
    });
    expect(servicePrototype("gBS->LoadImage")?.parameters[0]).toEqual({ name: "BootPolicy", type: "BOOLEAN", bits: 8 });
    expect(servicePrototype("gRT->ResetSystem")?.parameters[0]).toMatchObject({ name: "ResetType", bits: 32 });
    expect(servicePrototype("gBS->InstallMultipleProtocolInterfaces")).toMatchObject({ variadic: true });
  });

  it.each(["gBS->Reserved", "gBS->constructor", "gRT->Stall", "gST->ConOut", "Stall", "gBS->", "gBS->__proto__"])(
    "%s has none",
    (service) => {
      expect(servicePrototype(service)).toBeUndefined();
    },
  );
});
