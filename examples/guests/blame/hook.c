// Mode `hook`: gBS->Stall is overwritten, the field two behind gBS->ExitBootServices; by two functions before the exit,
// each with the header's CRC32 made good (4.2), and by a third inside it, which puts the firmware's own pointer back.
#include "blame.h"

typedef efi_status (*efi_stall)(uint64_t microseconds);

static efi_stall firmware_stall;

static efi_status counted_stall(uint64_t microseconds) { return firmware_stall(microseconds); }
static efi_status other_stall(uint64_t microseconds) { return firmware_stall(microseconds + 1); }

static void log_memory(const struct deed *deed, const char *what, uint64_t at, uint64_t old, uint64_t now) {
  begin_deed(deed, "memory", what);
  field("old", old);
  field("new", now);
  field("at", at);
  end_deed(deed);
}

// CRC32 of the table with the field itself as 0. It is 4 bytes, and shares a doubleword with a reserved field.
SEPARATE static void update_crc32(struct efi_boot_services *services) {
  const struct efi_more_boot_services *more = (const struct efi_more_boot_services *)services;
  uint32_t *at = &services->header.crc32, old = *at, crc32 = 0;
  uint64_t pc;
  __asm__ volatile("adr %0, 0f\n0:\n\tstr wzr, [%1]" : "=&r"(pc) : "r"(at) : "memory");
  log_memory(HERE(pc), "gBS+0x10", (uint64_t)at, old, 0);
  more->calculate_crc32(services, services->header.header_size, &crc32);
  __asm__ volatile("adr %0, 0f\n0:\n\tstr %w2, [%1]" : "=&r"(pc) : "r"(at), "r"(crc32) : "memory");
  log_memory(HERE(pc), "gBS+0x10", (uint64_t)at, 0, crc32);
}

SEPARATE static void hook_stall(struct efi_boot_services *services) {
  uint64_t pc, at = (uint64_t)&services->stall, old = (uint64_t)services->stall;
  STORE(pc, at, (uint64_t)counted_stall);
  log_memory(HERE(pc), "gBS+0xf8", at, old, (uint64_t)services->stall);
  update_crc32(services);
}

SEPARATE static void hook_stall_again(struct efi_boot_services *services) {
  uint64_t pc, at = (uint64_t)&services->stall, old = (uint64_t)services->stall;
  STORE(pc, at, (uint64_t)other_stall);
  log_memory(HERE(pc), "gBS+0xf8", at, old, (uint64_t)services->stall);
  update_crc32(services);
}

SEPARATE static void restore_stall(struct efi_boot_services *services) {
  uint64_t pc, at = (uint64_t)&services->stall, old = (uint64_t)services->stall;
  STORE(pc, at, (uint64_t)firmware_stall);
  log_memory(HERE(pc), "gBS+0xf8", at, old, (uint64_t)services->stall);
  update_crc32(services);
}

bool prepare_hook(const struct scene *scene) {
  firmware_stall = scene->boot_services->stall;
  hook_stall(scene->boot_services);
  hook_stall_again(scene->boot_services);
  return true;
}

void run_hook(const struct scene *scene) { restore_stall(scene->boot_services); }
