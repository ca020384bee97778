/**
 * Layouts of UEFI tables on a 64-bit machine.
 *
 * Source: UEFI specification 2.10: 4.2 EFI_TABLE_HEADER, 4.3 EFI_SYSTEM_TABLE, 4.4 EFI_BOOT_SERVICES, 4.5 EFI_RUNTIME_SERVICES, 12.3 and 12.4 console
 * protocols, 18.4 debug image info table and
 * EFI_SYSTEM_TABLE_POINTER, 9.1 EFI_LOADED_IMAGE_PROTOCOL.
 */

/** `IBI SYST` */
export const SYSTEM_TABLE_SIGNATURE = 0x5453595320494249n;
/** `RUNTSERV` */
export const RUNTIME_SERVICES_SIGNATURE = 0x56524553544e5552n;
/** `BOOTSERV` */
export const BOOT_SERVICES_SIGNATURE = 0x56524553544f4f42n;

/** Size of EFI_TABLE_HEADER: Signature, Revision, HeaderSize, CRC32, Reserved. */
export const TABLE_HEADER_SIZE = 24;

export interface TableField {
  readonly name: string;
  readonly offset: number;
}

function pointerFields(first: number, names: string): readonly TableField[] {
  return names.split(" ").map((name, i) => ({ name, offset: first + i * 8 }));
}

/** The pointers of EFI_SYSTEM_TABLE (FirmwareRevision and NumberOfTableEntries stand in 8 bytes each with their padding). */
export const SYSTEM_TABLE_FIELDS: readonly TableField[] = pointerFields(
  0x18,
  "FirmwareVendor FirmwareRevision ConsoleInHandle ConIn ConsoleOutHandle ConOut StandardErrorHandle StdErr RuntimeServices " +
    "BootServices NumberOfTableEntries ConfigurationTable",
);

/** The services of EFI_BOOT_SERVICES, all pointers to functions but one: Reserved. */
export const BOOT_SERVICES_FIELDS: readonly TableField[] = pointerFields(
  0x18,
  "RaiseTPL RestoreTPL AllocatePages FreePages GetMemoryMap AllocatePool FreePool CreateEvent SetTimer WaitForEvent " +
    "SignalEvent CloseEvent CheckEvent InstallProtocolInterface ReinstallProtocolInterface UninstallProtocolInterface " +
    "HandleProtocol Reserved RegisterProtocolNotify LocateHandle LocateDevicePath InstallConfigurationTable LoadImage " +
    "StartImage Exit UnloadImage ExitBootServices GetNextMonotonicCount Stall SetWatchdogTimer ConnectController " +
    "DisconnectController OpenProtocol CloseProtocol OpenProtocolInformation ProtocolsPerHandle LocateHandleBuffer " +
    "LocateProtocol InstallMultipleProtocolInterfaces UninstallMultipleProtocolInterfaces CalculateCrc32 CopyMem SetMem " +
    "CreateEventEx",
);

/** The services of EFI_RUNTIME_SERVICES (4.5), all pointers to functions. */
export const RUNTIME_SERVICES_FIELDS: readonly TableField[] = pointerFields(
  0x18,
  "GetTime SetTime GetWakeupTime SetWakeupTime SetVirtualAddressMap ConvertPointer GetVariable GetNextVariableName SetVariable " +
    "GetNextHighMonotonicCount ResetSystem UpdateCapsule QueryCapsuleCapabilities QueryVariableInfo",
);

/** EFI_SIMPLE_TEXT_INPUT_PROTOCOL (12.3.1): two functions and an event. */
export const TEXT_INPUT_FIELDS: readonly TableField[] = pointerFields(0, "Reset ReadKeyStroke WaitForKey");

/** EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL (12.4.1): nine functions and a pointer to the mode. */
export const TEXT_OUTPUT_FIELDS: readonly TableField[] = pointerFields(
  0,
  "Reset OutputString TestString QueryMode SetMode SetAttribute ClearScreen SetCursorPosition EnableCursor Mode",
);

/** Fields that hold no function. */
export const NO_FUNCTIONS: ReadonlySet<string> = new Set(["Hdr.Signature", "Reserved", "WaitForKey", "Mode"]);

export const SYSTEM_TABLE_SIZE = 0x78;
export const BOOT_SERVICES_SIZE = TABLE_HEADER_SIZE + BOOT_SERVICES_FIELDS.length * 8;

/** EFI_MEMORY_TYPE (7.2). */
export const MEMORY_TYPES = [
  "EfiReservedMemoryType",
  "EfiLoaderCode",
  "EfiLoaderData",
  "EfiBootServicesCode",
  "EfiBootServicesData",
  "EfiRuntimeServicesCode",
  "EfiRuntimeServicesData",
  "EfiConventionalMemory",
  "EfiUnusableMemory",
  "EfiACPIReclaimMemory",
  "EfiACPIMemoryNVS",
  "EfiMemoryMappedIO",
  "EfiMemoryMappedIOPortSpace",
  "EfiPalCode",
  "EfiPersistentMemory",
  "EfiUnacceptedMemoryType",
] as const;

export const EFI_RUNTIME_SERVICES_CODE = 5;

/** The name of an EFI_MEMORY_TYPE; the ranges for OEMs and loaders are 7.2's, table 7.6. */
export function memoryTypeName(type: number): string {
  const named = MEMORY_TYPES[type];
  if (named !== undefined) return named;
  if (type >= 0x8000_0000) return `OS loader type 0x${type.toString(16)}`;
  if (type >= 0x7000_0000) return `OEM type 0x${type.toString(16)}`;
  return `memory type ${type}`;
}

const ERROR_BIT = 1n << 63n;

/** EFI_STATUS error codes (Appendix D), without the high bit. */
const STATUS_NAMES: Readonly<Record<number, string>> = {
  1: "EFI_LOAD_ERROR",
  2: "EFI_INVALID_PARAMETER",
  3: "EFI_UNSUPPORTED",
  4: "EFI_BAD_BUFFER_SIZE",
  5: "EFI_BUFFER_TOO_SMALL",
  6: "EFI_NOT_READY",
  7: "EFI_DEVICE_ERROR",
  8: "EFI_WRITE_PROTECTED",
  9: "EFI_OUT_OF_RESOURCES",
  14: "EFI_NOT_FOUND",
  15: "EFI_ACCESS_DENIED",
  18: "EFI_TIMEOUT",
  21: "EFI_ABORTED",
  26: "EFI_SECURITY_VIOLATION",
};

/** The name of an EFI_STATUS; undefined for a code without one here. */
export function statusName(status: bigint): string | undefined {
  if (status === 0n) return "EFI_SUCCESS";
  return (status & ERROR_BIT) === 0n ? undefined : STATUS_NAMES[Number(status & ~ERROR_BIT & 0xffff_ffffn)];
}

/** EFI_ERROR(): whether a status stands for a failure. */
export function isError(status: bigint): boolean {
  return (status & ERROR_BIT) !== 0n;
}
