/**
 * What UEFI's services are called with: the parameters of their prototypes.
 *
 * Source: UEFI specification 2.10, chapters 7 (boot services) and 8 (runtime services). AAPCS64 6.8.2: the first eight integers and pointers come
 * in x0 to x7; what stands above a narrower type's bits is of no meaning.
 */

export interface Parameter {
  readonly name: string;
  /** As the specification writes it: `UINTN`, `EFI_GUID*`. */
  readonly type: string;
  /** How many bits of the register count. */
  readonly bits: 8 | 32 | 64;
}

export interface Prototype {
  readonly parameters: readonly Parameter[];
  /** More come that no prototype names. */
  readonly variadic: boolean;
}

const BOOT_SERVICES: Readonly<Record<string, string>> = {
  RaiseTPL: "EFI_TPL NewTpl",
  RestoreTPL: "EFI_TPL OldTpl",
  AllocatePages: "EFI_ALLOCATE_TYPE Type, EFI_MEMORY_TYPE MemoryType, UINTN Pages, EFI_PHYSICAL_ADDRESS* Memory",
  FreePages: "EFI_PHYSICAL_ADDRESS Memory, UINTN Pages",
  GetMemoryMap:
    "UINTN* MemoryMapSize, EFI_MEMORY_DESCRIPTOR* MemoryMap, UINTN* MapKey, UINTN* DescriptorSize, UINT32* DescriptorVersion",
  AllocatePool: "EFI_MEMORY_TYPE PoolType, UINTN Size, VOID** Buffer",
  FreePool: "VOID* Buffer",
  CreateEvent: "UINT32 Type, EFI_TPL NotifyTpl, EFI_EVENT_NOTIFY NotifyFunction, VOID* NotifyContext, EFI_EVENT* Event",
  SetTimer: "EFI_EVENT Event, EFI_TIMER_DELAY Type, UINT64 TriggerTime",
  WaitForEvent: "UINTN NumberOfEvents, EFI_EVENT* Event, UINTN* Index",
  SignalEvent: "EFI_EVENT Event",
  CloseEvent: "EFI_EVENT Event",
  CheckEvent: "EFI_EVENT Event",
  InstallProtocolInterface: "EFI_HANDLE* Handle, EFI_GUID* Protocol, EFI_INTERFACE_TYPE InterfaceType, VOID* Interface",
  ReinstallProtocolInterface: "EFI_HANDLE Handle, EFI_GUID* Protocol, VOID* OldInterface, VOID* NewInterface",
  UninstallProtocolInterface: "EFI_HANDLE Handle, EFI_GUID* Protocol, VOID* Interface",
  HandleProtocol: "EFI_HANDLE Handle, EFI_GUID* Protocol, VOID** Interface",
  RegisterProtocolNotify: "EFI_GUID* Protocol, EFI_EVENT Event, VOID** Registration",
  LocateHandle:
    "EFI_LOCATE_SEARCH_TYPE SearchType, EFI_GUID* Protocol, VOID* SearchKey, UINTN* BufferSize, EFI_HANDLE* Buffer",
  LocateDevicePath: "EFI_GUID* Protocol, EFI_DEVICE_PATH_PROTOCOL** DevicePath, EFI_HANDLE* Device",
  InstallConfigurationTable: "EFI_GUID* Guid, VOID* Table",
  LoadImage:
    "BOOLEAN BootPolicy, EFI_HANDLE ParentImageHandle, EFI_DEVICE_PATH_PROTOCOL* DevicePath, VOID* SourceBuffer, UINTN SourceSize, EFI_HANDLE* ImageHandle",
  StartImage: "EFI_HANDLE ImageHandle, UINTN* ExitDataSize, CHAR16** ExitData",
  Exit: "EFI_HANDLE ImageHandle, EFI_STATUS ExitStatus, UINTN ExitDataSize, CHAR16* ExitData",
  UnloadImage: "EFI_HANDLE ImageHandle",
  ExitBootServices: "EFI_HANDLE ImageHandle, UINTN MapKey",
  GetNextMonotonicCount: "UINT64* Count",
  Stall: "UINTN Microseconds",
  SetWatchdogTimer: "UINTN Timeout, UINT64 WatchdogCode, UINTN DataSize, CHAR16* WatchdogData",
  ConnectController:
    "EFI_HANDLE ControllerHandle, EFI_HANDLE* DriverImageHandle, EFI_DEVICE_PATH_PROTOCOL* RemainingDevicePath, BOOLEAN Recursive",
  DisconnectController: "EFI_HANDLE ControllerHandle, EFI_HANDLE DriverImageHandle, EFI_HANDLE ChildHandle",
  OpenProtocol:
    "EFI_HANDLE Handle, EFI_GUID* Protocol, VOID** Interface, EFI_HANDLE AgentHandle, EFI_HANDLE ControllerHandle, UINT32 Attributes",
  CloseProtocol: "EFI_HANDLE Handle, EFI_GUID* Protocol, EFI_HANDLE AgentHandle, EFI_HANDLE ControllerHandle",
  OpenProtocolInformation:
    "EFI_HANDLE Handle, EFI_GUID* Protocol, EFI_OPEN_PROTOCOL_INFORMATION_ENTRY** EntryBuffer, UINTN* EntryCount",
  ProtocolsPerHandle: "EFI_HANDLE Handle, EFI_GUID*** ProtocolBuffer, UINTN* ProtocolBufferCount",
  LocateHandleBuffer:
    "EFI_LOCATE_SEARCH_TYPE SearchType, EFI_GUID* Protocol, VOID* SearchKey, UINTN* NoHandles, EFI_HANDLE** Buffer",
  LocateProtocol: "EFI_GUID* Protocol, VOID* Registration, VOID** Interface",
  InstallMultipleProtocolInterfaces: "EFI_HANDLE* Handle, ...",
  UninstallMultipleProtocolInterfaces: "EFI_HANDLE Handle, ...",
  CalculateCrc32: "VOID* Data, UINTN DataSize, UINT32* Crc32",
  CopyMem: "VOID* Destination, VOID* Source, UINTN Length",
  SetMem: "VOID* Buffer, UINTN Size, UINT8 Value",
  CreateEventEx:
    "UINT32 Type, EFI_TPL NotifyTpl, EFI_EVENT_NOTIFY NotifyFunction, VOID* NotifyContext, EFI_GUID* EventGroup, EFI_EVENT* Event",
};

const RUNTIME_SERVICES: Readonly<Record<string, string>> = {
  GetTime: "EFI_TIME* Time, EFI_TIME_CAPABILITIES* Capabilities",
  SetTime: "EFI_TIME* Time",
  GetWakeupTime: "BOOLEAN* Enabled, BOOLEAN* Pending, EFI_TIME* Time",
  SetWakeupTime: "BOOLEAN Enable, EFI_TIME* Time",
  SetVirtualAddressMap:
    "UINTN MemoryMapSize, UINTN DescriptorSize, UINT32 DescriptorVersion, EFI_MEMORY_DESCRIPTOR* VirtualMap",
  ConvertPointer: "UINTN DebugDisposition, VOID** Address",
  GetVariable: "CHAR16* VariableName, EFI_GUID* VendorGuid, UINT32* Attributes, UINTN* DataSize, VOID* Data",
  GetNextVariableName: "UINTN* VariableNameSize, CHAR16* VariableName, EFI_GUID* VendorGuid",
  SetVariable: "CHAR16* VariableName, EFI_GUID* VendorGuid, UINT32 Attributes, UINTN DataSize, VOID* Data",
  GetNextHighMonotonicCount: "UINT32* HighCount",
  ResetSystem: "EFI_RESET_TYPE ResetType, EFI_STATUS ResetStatus, UINTN DataSize, VOID* ResetData",
  UpdateCapsule: "EFI_CAPSULE_HEADER** CapsuleHeaderArray, UINTN CapsuleCount, EFI_PHYSICAL_ADDRESS ScatterGatherList",
  QueryCapsuleCapabilities:
    "EFI_CAPSULE_HEADER** CapsuleHeaderArray, UINTN CapsuleCount, UINT64* MaximumCapsuleSize, EFI_RESET_TYPE* ResetType",
  QueryVariableInfo:
    "UINT32 Attributes, UINT64* MaximumVariableStorageSize, UINT64* RemainingVariableStorageSize, UINT64* MaximumVariableSize",
};

/** Types of less than 64 bits; enumerations are of 32 (UEFI 2.10, 2.3.1). */
const NARROW: ReadonlyMap<string, 8 | 32> = new Map([
  ...(["BOOLEAN", "UINT8"] as const).map((type) => [type, 8] as const),
  ...[
    ...["UINT32", "EFI_ALLOCATE_TYPE", "EFI_MEMORY_TYPE", "EFI_TIMER_DELAY", "EFI_INTERFACE_TYPE"],
    ...["EFI_LOCATE_SEARCH_TYPE", "EFI_RESET_TYPE"],
  ].map((type) => [type, 32] as const),
]);

/** The prototype of `gBS->Stall`, `gRT->GetTime`; undefined for what is no service with a prototype. */
export function servicePrototype(service: string): Prototype | undefined {
  const [, table, name = ""] = /^(gBS|gRT)->(\w+)$/.exec(service) ?? [];
  const prototypes = table === "gBS" ? BOOT_SERVICES : table === "gRT" ? RUNTIME_SERVICES : {};
  const text = Object.hasOwn(prototypes, name) ? prototypes[name] : undefined;
  if (text === undefined) return undefined;
  const parts = text.split(", ");
  return { parameters: parts.filter((part) => part !== "...").map(parameterOf), variadic: parts.includes("...") };
}

function parameterOf(text: string): Parameter {
  const [type = "", name = ""] = text.split(" ");
  return { name, type, bits: NARROW.get(type) ?? 64 };
}
