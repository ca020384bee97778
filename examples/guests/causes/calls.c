// Modes that call what is not there any more, or must not be called.
#include "causes.h"

// What a driver forgot to set. Not static: wrong.S loads it.
void (*unset_hook)(void);

static const uint16_t greeting[] = u"Hello from a program that has left boot services\r\n";

void run_null_branch(const struct scene *scene) {
  (void)scene;
  begin("call");
  field("variable", (uint64_t)&unset_hook);
  field("value", (uint64_t)unset_hook);
  field("return-address", call_unset_hook_return);
  end();
  call_unset_hook();
  line("the call came back");
}

// UEFI (7.4.6) has the firmware clear the console fields of the system table.
void run_console(const struct scene *scene) {
  const struct efi_system_table *table = scene->system_table;
  begin("console");
  field("system-table", (uint64_t)table);
  field("con-out", (uint64_t)table->con_out);
  field("offset", offsetof(struct efi_text_output, output_string));
  field("target", (uint64_t)table->con_out + offsetof(struct efi_text_output, output_string));
  field("instruction", print_on_console_load);
  field("return-address", print_on_console_return);
  end();
  print_on_console(table, greeting);
  line("the call came back");
}

void run_el2_register(const struct scene *scene) {
  (void)scene;
  if (current_el() == 2) {
    line("nothing to show at EL2");
    return;
  }
  begin("read-register");
  field_text("name", "HCR_EL2");
  field("instruction", read_hypervisor_register_instruction);
  end();
  read_hypervisor_register();
  line("the read came back");
}

// Takes the right to execute from the page `service` begins in.
static bool forbid_execution(uint64_t service) {
  struct entry entry = find_entry(service);
  uint64_t old = *entry.at, new = old | execute_never();
  if (entry.level != 3 || !(old & DESC_VALID)) {
    line("cannot find a level 3 descriptor of the service");
    return false;
  }
  begin("forbid");
  field("page", service & ~(PAGE_SIZE - 1));
  field("entry", (uint64_t)entry.at);
  field("level", entry.level);
  field("old", old);
  field("new", new);
  end();
  return change_entry(entry, new);
}

void run_runtime_nx(const struct scene *scene) {
  uint64_t service = (uint64_t)scene->runtime_services->get_time;
  uint64_t time[2]; // EFI_TIME, 16 bytes
  if (!forbid_execution(service)) return;
  begin("call service=GetTime");
  field("runtime-services", (uint64_t)scene->runtime_services);
  field("offset", offsetof(struct efi_runtime_services, get_time));
  field("target", service);
  field("instruction", call_get_time_instruction);
  field("return-address", call_get_time_return);
  end();
  call_get_time(scene->runtime_services, time);
  line("the call came back");
}
