/**
 * Logs every boot service that is called between two points, with its arguments by UEFI's prototypes and its caller.
 *
 *   npx tsx examples/log-boot-services.ts --image BdsDxe --by kernel -- qemu-system-aarch64 -M virt -cpu cortex-a57 -m 1024 -nographic \
 *     -nic none -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd -kernel examples/guests/handoff/handoff.efi -append mode=clean
 *
 * printed, without the guest's console:
 *
 *   from gBS->StartImage, called by BdsDxe+0x973c
 *   gBS->HandleProtocol  Handle=0x7ec9e198 Protocol=EFI_LOADED_IMAGE_PROTOCOL_GUID Interface=0x4773ab88  ← kernel+0x18c0
 *   gBS->OpenProtocol  Handle=0x7ec9e198 Protocol=EFI_LOADED_IMAGE_PROTOCOL_GUID Interface=0x4773ab88 AgentHandle=0x7f623f98 ControllerHandle=0x0 Attributes=0x1  ← kernel+0x18c0
 *   gBS->AllocatePages  Type=0x0 MemoryType=0x4 Pages=0x1 Memory=0x4773ab68  ← kernel+0x1a84
 *   gBS->GetMemoryMap  MemoryMapSize=0x4773aa58 MemoryMap=0x7c415010 MapKey=0x4773aa60 DescriptorSize=0x4773aa68 DescriptorVersion=0x4773aaa8  ← kernel+0x1c20
 *   gBS->AllocatePages  Type=0x0 MemoryType=0x2 Pages=0x1 Memory=0x4773aa50  ← kernel+0x1c48
 *   gBS->ExitBootServices  ImageHandle=0x7ec9e198 MapKey=0x29c  ← kernel+0x1d0c
 *   6 calls
 *
 * HandleProtocol ends with a jump to OpenProtocol, so that this has the same caller. Without `--by` there are a thousand calls: services
 * call each other, and so does the timer's interrupt.
 */
import { type Breakpoint, hex, type Stop } from "ebscope";
import { commandLine, openGuest } from "./lib/guest.ts";

const line = commandLine({ from: "gBS->StartImage", to: "gBS->ExitBootServices", image: "", by: "" });
const { from, to, image, by } = line.options as { from: string; to: string; image: string; by: string };
await using guest = await openGuest(line);

/** The function that has called this one: what x30 holds at its entry. */
async function caller(stop: Stop): Promise<string> {
  const address = stop.general.get("x30") ?? 0n;
  return (await stop.place(address)).image ?? hex(address);
}

/** Whether a call comes from an image; from anywhere where none is named. */
function calledBy(name: string): { condition?: (stop: Stop) => Promise<boolean> } {
  return name === "" ? {} : { condition: async (stop) => (await caller(stop)).startsWith(`${name}+`) };
}

{
  await using start = await guest.breakpoint(from, calledBy(image));
  const stop = await guest.next({ timeoutMs: 120_000 });
  console.log(`from ${start.name}, called by ${await caller(stop)}`);
}

const { address: end } = await guest.place(to);
const services = new Map<bigint, Breakpoint>();
for (const { name, address } of await guest.services("gBS")) {
  if (!services.has(address))
    services.set(address, await guest.breakpoint({ address, name, service: name }, calledBy(by)));
}
if (!services.has(end)) services.set(end, await guest.breakpoint(end));

let calls = 0;
for await (const stop of guest.stops({ timeoutMs: 120_000 })) {
  const { service = to, arguments: list } = await stop.arguments();
  const texts = list.map(({ name, value, text }) => `${name}=${text ?? (value === undefined ? "?" : hex(value))}`);
  console.log(`${service}  ${texts.join(" ")}  ← ${await caller(stop)}`);
  calls++;
  if (stop.pc === end) break;
}
console.log(`${calls} calls`);
