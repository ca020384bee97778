// Entry point: finds out what is asked for, leaves boot services and prints the machine's state before and after.
#include "guest.h"

// Room for the memory map. It is not allocated: an allocation would change the map, and with it the key.
static uint64_t memory_map[32 * 1024 / sizeof(uint64_t)];

// --- Options -------------------------------------------------------------------------------------------------------

// Whether the UTF-16 text at `at` is `text`, up to a blank, a NUL or `limit`.
static bool is_word(const uint16_t *at, const uint16_t *limit, const char *text) {
  for (; *text; at++, text++)
    if (at == limit || *at != (uint8_t)*text) return false;
  return at == limit || *at == ' ' || *at == 0;
}

// The text after the first "mode=" in the load options, or `limit`.
static const uint16_t *find_mode_text(const uint16_t *at, const uint16_t *limit) {
  for (; limit - at > 5; at++)
    if (at[0] == 'm' && at[1] == 'o' && at[2] == 'd' && at[3] == 'e' && at[4] == '=') return at + 5;
  return limit;
}

static const struct mode *find_mode(const struct efi_loaded_image *image) {
  if (!image->load_options) return 0;
  const uint16_t *limit = image->load_options + image->load_options_size / 2;
  const uint16_t *text = find_mode_text(image->load_options, limit);
  for (unsigned i = 0; i < mode_count; i++)
    if (is_word(text, limit, modes[i].name)) return &modes[i];
  return 0;
}

static void print_usage(void) {
  line("usage: mode=MODE in the load options");
  for (unsigned i = 0; i < mode_count; i++) {
    begin(" ");
    field_text("mode", modes[i].name);
    word(modes[i].summary);
    end();
  }
}

// --- The exit ------------------------------------------------------------------------------------------------------

struct map_info {
  uint64_t size, key, stride;
};

static efi_status get_map(struct efi_boot_services *services, struct map_info *info) {
  uint32_t version;
  info->size = sizeof memory_map;
  return services->get_memory_map(&info->size, memory_map, &info->key, &info->stride, &version);
}

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

// One call of ExitBootServices(), between two readings of the registers.
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

// An allocation between GetMemoryMap() and ExitBootServices() is what makes a key stale (7.4.6). After a failed
// attempt only memory services may be called, so a second one is right and anything else is not.
static efi_status leave(struct machine *machine, void *handle, const struct mode *mode) {
  struct efi_boot_services *services = machine->boot_services;
  struct map_info info;
  efi_status status = EFI_NOT_FOUND;
  for (unsigned attempt = 1; attempt <= 3 && status != EFI_SUCCESS; attempt++) {
    uint64_t page;
    status = get_map(services, &info);
    if (status != EFI_SUCCESS) return status;
    if (mode->stale_key && attempt == 1) services->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_LOADER_DATA, 1, &page);
    status = try_exit(services, handle, attempt, info.key);
  }
  machine->ram_end = find_ram_end(&info);
  return status;
}

// --- Entry ---------------------------------------------------------------------------------------------------------

static void print_machine(const struct mode *mode, const struct machine *machine, struct efi_system_table *table) {
  begin("start");
  field_text("mode", mode->name);
  field("el", current_el());
  field("e2h", host_extensions());
  end();
  begin("image");
  field("base", machine->image_base);
  field("size", machine->image_size);
  field("system-table", (uint64_t)table);
  field("boot-services", (uint64_t)machine->boot_services);
  end();
}

// The UEFI entry point (4.1.1).
efi_status efi_main(void *handle, struct efi_system_table *table) {
  static const struct efi_guid loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
  struct machine machine = { .boot_services = table->boot_services };
  struct efi_loaded_image *image;
  efi_status status = machine.boot_services->handle_protocol(handle, &loaded_image, (void **)&image);
  if (status != EFI_SUCCESS) return status;
  end(); // the firmware's console may have left the cursor anywhere
  const struct mode *mode = find_mode(image);
  if (!mode) {
    print_usage();
    return EFI_INVALID_PARAMETER;
  }
  machine.image_base = (uint64_t)image->image_base;
  machine.image_size = image->image_size;
  machine.boot_services->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_BOOT_SERVICES_DATA, 1, &machine.data_page);
  print_machine(mode, &machine, table);
  if (leave(&machine, handle, mode) == EFI_SUCCESS) {
    __asm__ volatile("msr daifset, #7"); // no interrupt is wanted any more: SError, IRQ, FIQ
    mode->run(&machine);
    line("done");
  } else {
    line("cannot leave boot services");
  }
  idle();
}
