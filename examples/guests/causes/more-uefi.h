// More of the UEFI interface than the guest `handoff` uses, written from the UEFI Specification 2.10.
#pragma once

#include "../handoff/uefi.h"

// 7.2.1
enum { EFI_ALLOCATE_ADDRESS = 2 };
enum { EFI_LOADER_CODE = 1 };

// 7.1.1 and 7.1.8
#define EFI_SIGNAL_EXIT_BOOT_SERVICES 0x201
#define EFI_TPL_CALLBACK 8

// 4.4.1, the services after those of handoff/uefi.h, up to the last one used
struct efi_more_boot_services {
  struct efi_boot_services first;
  void *set_watchdog_timer, *connect_controller, *disconnect_controller;
  void *open_protocol, *close_protocol, *open_protocol_information, *protocols_per_handle, *locate_handle_buffer;
  void *locate_protocol, *install_multiple, *uninstall_multiple;
  efi_status (*calculate_crc32)(const void *data, uint64_t size, uint32_t *crc32);
};

typedef efi_status (*efi_free_pages)(uint64_t address, uint64_t pages);
typedef void (*efi_event_notify)(void *event, void *context);
typedef efi_status (*efi_create_event)(uint32_t type, uint64_t tpl, efi_event_notify notify, void *context, void **event);
typedef efi_status (*efi_exit_boot_services)(void *image, uint64_t key);

// 4.5.1, up to the first service
struct efi_runtime_services {
  struct efi_table_header header;
  void *get_time;
};

// 12.4.1, up to the second service
struct efi_text_output {
  void *reset, *output_string;
};

_Static_assert(offsetof(struct efi_more_boot_services, calculate_crc32) == 0x158, "boot services");
_Static_assert(offsetof(struct efi_runtime_services, get_time) == 0x18, "runtime services");
_Static_assert(offsetof(struct efi_system_table, con_out) == 0x40, "system table");
_Static_assert(offsetof(struct efi_text_output, output_string) == 8, "text output");
