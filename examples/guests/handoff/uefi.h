// The part of the UEFI interface this application uses, written from the UEFI Specification 2.10. Services that are
// not called are `void *` place holders: the tables' offsets are what counts, and they are asserted below.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint64_t efi_status; // UINTN, 64 bits wide here (2.3.1); the top bit marks an error (appendix D)

#define EFI_SUCCESS 0
#define EFI_INVALID_PARAMETER 0x8000000000000002
#define EFI_NOT_FOUND 0x800000000000000e

struct efi_guid {
  uint32_t a;
  uint16_t b, c;
  uint8_t d[8];
};

// 9.1.1
#define EFI_LOADED_IMAGE_PROTOCOL_GUID \
  { 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } }

// 7.2.1, EFI_ALLOCATE_TYPE and EFI_MEMORY_TYPE
enum { EFI_ALLOCATE_ANY_PAGES = 0 };
enum { EFI_LOADER_DATA = 2, EFI_BOOT_SERVICES_DATA = 4, EFI_MEMORY_MAPPED_IO = 11, EFI_MEMORY_MAPPED_IO_PORTS = 12 };

// 7.2.3. Step by the size GetMemoryMap() reports, not by sizeof: later versions may append fields.
struct efi_memory_descriptor {
  uint32_t type;
  uint64_t physical_start, virtual_start, number_of_pages, attribute;
};

// 4.2.1
struct efi_table_header {
  uint64_t signature;
  uint32_t revision, header_size, crc32, reserved;
};

// 4.4.1, up to the last service used
struct efi_boot_services {
  struct efi_table_header header;
  void *raise_tpl, *restore_tpl;
  efi_status (*allocate_pages)(uint32_t how, uint32_t type, uint64_t pages, uint64_t *address);
  void *free_pages;
  efi_status (*get_memory_map)(uint64_t *size, void *map, uint64_t *key, uint64_t *stride, uint32_t *version);
  void *allocate_pool, *free_pool;
  void *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
  void *install_protocol_interface, *reinstall_protocol_interface, *uninstall_protocol_interface;
  efi_status (*handle_protocol)(void *handle, const struct efi_guid *protocol, void **interface);
  void *reserved, *register_protocol_notify, *locate_handle, *locate_device_path, *install_configuration_table;
  void *load_image, *start_image, *exit, *unload_image;
  efi_status (*exit_boot_services)(void *image, uint64_t key);
  void *get_next_monotonic_count;
  efi_status (*stall)(uint64_t microseconds);
};

// 4.3.1, up to the boot services
struct efi_system_table {
  struct efi_table_header header;
  const uint16_t *firmware_vendor;
  uint32_t firmware_revision;
  void *console_in_handle, *con_in, *console_out_handle, *con_out, *standard_error_handle, *std_err;
  void *runtime_services;
  struct efi_boot_services *boot_services;
};

// 9.1.1, up to the image's size
struct efi_loaded_image {
  uint32_t revision;
  void *parent_handle;
  struct efi_system_table *system_table;
  void *device_handle, *file_path, *reserved;
  uint32_t load_options_size; // in bytes
  const uint16_t *load_options;
  void *image_base;
  uint64_t image_size;
};

_Static_assert(offsetof(struct efi_system_table, boot_services) == 0x60, "system table");
_Static_assert(offsetof(struct efi_boot_services, get_memory_map) == 0x38, "boot services");
_Static_assert(offsetof(struct efi_boot_services, handle_protocol) == 0x98, "boot services");
_Static_assert(offsetof(struct efi_boot_services, exit_boot_services) == 0xe8, "boot services");
_Static_assert(offsetof(struct efi_boot_services, stall) == 0xf8, "boot services");
_Static_assert(offsetof(struct efi_loaded_image, image_base) == 0x40, "loaded image");
