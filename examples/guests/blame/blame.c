// Entry point: finds out what is asked for, prepares it, and leaves boot services; the mode runs on the way, as a
// notification of ExitBootServices(). What belongs to the exit is printed as by the guest `handoff`.
#include "blame.h"

#define DEFAULT_COUNT 100000

static const struct scenario scenarios[] = {
  { "flips", "change the attributes of pages by different functions", 0, run_flips },
  { "forms", "store to descriptors by instructions of every form", 0, run_forms },
  { "newtable", "have a new table take a block's place", 0, run_newtable },
  { "switch", "switch TTBR0 to a copy of the tables", 0, run_switch },
  { "registers", "write to control registers", 0, run_registers },
  { "notlbi", "change mappings with too little TLB maintenance", 0, run_notlbi },
  { "hook", "overwrite gBS->Stall, before the exit and on the way", prepare_hook, run_hook },
  { "many", "store to one descriptor n times", 0, run_many },
  { "twocpus", "store to descriptors on two vCPUs, n times each", 0, run_twocpus },
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

// Room for the memory map. It is not allocated: an allocation would change the map, and with it the key.
static uint64_t memory_map[32 * 1024 / sizeof(uint64_t)];

static const struct scenario *chosen;
static struct scene scene;

// --- Options -------------------------------------------------------------------------------------------------------

struct text {
  const uint16_t *at, *limit; // UTF-16
};

// The text after `prefix` where it begins with it; `at` is null otherwise.
static struct text skip(struct text text, const char *prefix) {
  for (; *prefix; text.at++, prefix++)
    if (text.at >= text.limit || *text.at != (uint8_t)*prefix) return (struct text){ 0, 0 };
  return text;
}

// What follows `key` at the start of an option; `at` is null if there is none.
static struct text find_option(const struct efi_loaded_image *image, const char *key) {
  struct text text = { image->load_options, image->load_options + image->load_options_size / 2 };
  for (bool start = true; text.at && text.at < text.limit; start = *text.at++ == ' ') {
    struct text rest = skip(text, key);
    if (start && rest.at) return rest;
  }
  return (struct text){ 0, 0 };
}

static const struct scenario *find_scenario(const struct efi_loaded_image *image) {
  struct text text = find_option(image, "mode=");
  if (!text.at) return 0;
  for (unsigned i = 0; i < SCENARIOS; i++) {
    struct text rest = skip(text, scenarios[i].name);
    if (rest.at && (rest.at == rest.limit || *rest.at == ' ' || *rest.at == 0)) return &scenarios[i];
  }
  return 0;
}

static uint64_t find_number(const struct efi_loaded_image *image, const char *key, uint64_t otherwise) {
  struct text text = find_option(image, key);
  uint64_t value = 0;
  if (!text.at) return otherwise;
  for (; text.at < text.limit && *text.at >= '0' && *text.at <= '9'; text.at++) value = value * 10 + (*text.at - '0');
  return value;
}

static void print_usage(void) {
  line("usage: mode=MODE [n=COUNT] in the load options");
  for (unsigned i = 0; i < SCENARIOS; i++) {
    begin(" ");
    field_text("mode", scenarios[i].name);
    word(scenarios[i].summary);
    end();
  }
}

// --- The exit ------------------------------------------------------------------------------------------------------

// The firmware's own ExitBootServices() calls this.
static void run_at_exit(void *event, void *context) {
  (void)event;
  chosen->run(context);
}

static bool ask_for_notification(struct efi_boot_services *services) {
  efi_create_event create = (efi_create_event)services->create_event;
  void *event;
  begin("notify");
  field("function", (uint64_t)run_at_exit);
  end();
  return create(EFI_SIGNAL_EXIT_BOOT_SERVICES, EFI_TPL_CALLBACK, run_at_exit, &scene, &event) == EFI_SUCCESS;
}

static void print_state(const char *when) {
  struct registers r;
  read_registers(&r);
  begin(when);
  print_registers(&r);
  end();
}

static efi_status leave(struct efi_boot_services *services, void *handle) {
  uint64_t size = sizeof memory_map, key, stride;
  uint32_t version;
  efi_status status = services->get_memory_map(&size, memory_map, &key, &stride, &version);
  if (status != EFI_SUCCESS) return status;
  print_state("before");
  status = services->exit_boot_services(handle, key);
  begin("exit");
  field("attempt", 1);
  field("key", key);
  field("status", status);
  end();
  if (status == EFI_SUCCESS) print_state("after");
  return status;
}

// --- Entry ---------------------------------------------------------------------------------------------------------

static void print_start(const struct efi_loaded_image *image, const struct efi_system_table *table) {
  begin("start");
  field_text("mode", chosen->name);
  field("el", current_el());
  field("e2h", host_extensions());
  end();
  begin("image");
  field("base", (uint64_t)image->image_base);
  field("size", image->image_size);
  field("system-table", (uint64_t)table);
  field("boot-services", (uint64_t)table->boot_services);
  end();
  begin("area");
  field("pages", area.pages);
  field("block", area.block);
  field("pool", area.pool);
  end();
}

static const char *go_through(const struct efi_loaded_image *image, struct efi_system_table *table, void *handle) {
  if (!make_area(table->boot_services)) return "cannot have memory of its own";
  print_start(image, table);
  if (chosen->prepare && !chosen->prepare(&scene)) return "cannot prepare this mode";
  if (!ask_for_notification(table->boot_services)) return "cannot ask for a notification";
  if (leave(table->boot_services, handle) != EFI_SUCCESS) return "cannot leave boot services";
  return "done";
}

// The UEFI entry point (4.1.1).
efi_status efi_main(void *handle, struct efi_system_table *table) {
  static const struct efi_guid loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
  struct efi_loaded_image *image;
  efi_status status = table->boot_services->handle_protocol(handle, &loaded_image, (void **)&image);
  if (status != EFI_SUCCESS) return status;
  end(); // the firmware's console may have left the cursor anywhere
  chosen = find_scenario(image);
  if (!chosen) {
    print_usage();
    return EFI_INVALID_PARAMETER;
  }
  scene = (struct scene){ table->boot_services, { find_number(image, "n=", DEFAULT_COUNT) } };
  blame_line(go_through(image, table, handle));
  __asm__ volatile("msr daifset, #7"); // no interrupt is wanted any more: SError, IRQ, FIQ
  idle();
}
