// Entry point: finds out what is asked for, prepares it, leaves boot services and does it. Lines and registers are
// printed as by the guest `handoff`.
#include "causes.h"

static const struct cause causes[] = {
  { "null-branch", "call through a function pointer of its own that is NULL", 0, run_null_branch },
  { "unmapped-read", "read an address that is not mapped", 0, run_unmapped_read },
  { "unmapped-write", "write to an address that is not mapped", 0, run_unmapped_write },
  { "console", "print through gST->ConOut, which is NULL now", 0, run_console },
  { "unaligned", "turn the MMU off, then read an unaligned number", 0, run_unaligned },
  { "el2-register", "read HCR_EL2, at EL1 too", 0, run_el2_register },
  { "runtime-nx", "make gRT->GetTime execute-never, then call it", 0, run_runtime_nx },
  { "tables-reused", "overwrite a live translation table", prepare_tables_reused, run_tables_reused },
  { "vectors-reused", "overwrite the exception vectors, then take an exception", 0, run_vectors_reused },
  { "stack-unmapped", "push on a stack that is not mapped", 0, run_stack_unmapped },
  { "vbar-unmapped", "take an exception with vectors that are not mapped", 0, run_vbar_unmapped },
  { "wx-null", "map the page at 0, writable and executable, and use it", 0, run_wx_null },
  { "hooked", "leave through a hook of ExitBootServices", prepare_hooked, 0 },
  { "other-cpu", "have vCPU 1 branch to an address that is not mapped", 0, run_other_cpu },
  { "mmu-off-return", "leave through a hook that turns the MMU off", prepare_mmu_off_return, 0 },
  { "mmu-off-event", "leave with a notification that turns the MMU off", prepare_mmu_off_event, 0 },
};
#define CAUSES (sizeof causes / sizeof *causes)

// Room for the memory map. It is not allocated: an allocation would change the map, and with it the key.
static uint64_t memory_map[32 * 1024 / sizeof(uint64_t)];

// --- Options -------------------------------------------------------------------------------------------------------

// The UTF-16 text after `prefix` where `at` begins with it, or null.
static const uint16_t *skip(const uint16_t *at, const uint16_t *limit, const char *prefix) {
  for (; *prefix; at++, prefix++)
    if (at >= limit || *at != (uint8_t)*prefix) return 0;
  return at;
}

static const struct cause *find_named(const uint16_t *text, const uint16_t *limit) {
  for (unsigned i = 0; i < CAUSES; i++) {
    const uint16_t *rest = skip(text, limit, causes[i].name);
    if (rest && (rest == limit || *rest == ' ' || *rest == 0)) return &causes[i];
  }
  return 0;
}

static const struct cause *find_cause(const struct efi_loaded_image *image) {
  const uint16_t *at = image->load_options;
  if (!at) return 0;
  const uint16_t *limit = at + image->load_options_size / 2;
  for (; at < limit; at++) {
    const uint16_t *text = skip(at, limit, "mode=");
    if (text) return find_named(text, limit);
  }
  return 0;
}

static void print_usage(void) {
  line("usage: mode=MODE in the load options");
  for (unsigned i = 0; i < CAUSES; i++) {
    begin(" ");
    field_text("mode", causes[i].name);
    word(causes[i].summary);
    end();
  }
}

// --- The exit ------------------------------------------------------------------------------------------------------

struct map_info {
  uint64_t size, key, stride;
};

// The end of the highest range that is not device memory.
static uint64_t find_ram_end(const struct map_info *info) {
  uint64_t end = 0;
  for (uint64_t at = 0; at < info->size; at += info->stride) {
    const struct efi_memory_descriptor *range = (const void *)((const char *)memory_map + at);
    uint64_t range_end = range->physical_start + range->number_of_pages * PAGE_SIZE;
    if (range->type == EFI_MEMORY_MAPPED_IO || range->type == EFI_MEMORY_MAPPED_IO_PORTS) continue;
    if (range_end > end) end = range_end;
  }
  return end;
}

static void print_state(const char *when, const struct registers *r) {
  begin(when);
  print_registers(r);
  end();
}

// One call of ExitBootServices(), through the table as it is now, between two readings of the registers.
static efi_status try_exit(struct efi_boot_services *services, void *handle, unsigned attempt, uint64_t key) {
  struct registers before, after;
  read_registers(&before);
  print_state("before", &before);
  efi_status status = services->exit_boot_services(handle, key);
  read_registers(&after);
  begin("exit");
  field("attempt", attempt);
  field("key", key);
  field("status", status);
  end();
  if (status == EFI_SUCCESS) print_state("after", &after);
  return status;
}

static efi_status leave(struct scene *scene, void *handle) {
  struct map_info info;
  efi_status status = EFI_NOT_FOUND;
  for (unsigned attempt = 1; attempt <= 3 && status != EFI_SUCCESS; attempt++) {
    uint32_t version;
    info.size = sizeof memory_map;
    status = scene->boot_services->get_memory_map(&info.size, memory_map, &info.key, &info.stride, &version);
    if (status != EFI_SUCCESS) return status;
    status = try_exit(scene->boot_services, handle, attempt, info.key);
  }
  scene->ram_end = find_ram_end(&info);
  return status;
}

// --- Entry ---------------------------------------------------------------------------------------------------------

static void print_scene(const struct cause *cause, const struct scene *scene) {
  begin("start");
  field_text("mode", cause->name);
  field("el", current_el());
  field("e2h", host_extensions());
  end();
  begin("image");
  field("base", scene->image_base);
  field("size", scene->image_size);
  field("system-table", (uint64_t)scene->system_table);
  field("boot-services", (uint64_t)scene->boot_services);
  field("runtime-services", (uint64_t)scene->runtime_services);
  end();
}

static _Noreturn void go_through(const struct cause *cause, struct scene *scene, void *handle) {
  print_scene(cause, scene);
  if (cause->prepare && !cause->prepare(scene)) {
    line("cannot prepare this mode");
    idle();
  }
  if (leave(scene, handle) != EFI_SUCCESS) {
    line("cannot leave boot services");
    idle();
  }
  __asm__ volatile("msr daifset, #7"); // no interrupt is wanted any more: SError, IRQ, FIQ
  if (cause->run) cause->run(scene);
  line("done");
  idle();
}

// The UEFI entry point (4.1.1).
efi_status efi_main(void *handle, struct efi_system_table *table) {
  static const struct efi_guid loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
  struct efi_loaded_image *image;
  efi_status status = table->boot_services->handle_protocol(handle, &loaded_image, (void **)&image);
  if (status != EFI_SUCCESS) return status;
  end(); // the firmware's console may have left the cursor anywhere
  const struct cause *cause = find_cause(image);
  if (!cause) {
    print_usage();
    return EFI_INVALID_PARAMETER;
  }
  struct scene scene = {
    .system_table = table,
    .boot_services = table->boot_services,
    .runtime_services = table->runtime_services,
    .image_base = (uint64_t)image->image_base,
    .image_size = image->image_size,
  };
  go_through(cause, &scene, handle);
}
