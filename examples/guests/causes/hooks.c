// Modes that have a say in the exit itself: by a hook of ExitBootServices, as boot loaders and security products have
// one, or by a notification that it is about to happen, as drivers do.
#include "causes.h"

static efi_exit_boot_services old_exit;
static const struct scene *hooked_scene;

static __attribute__((noinline)) efi_status hooked_exit_boot_services(void *image, uint64_t key) {
  return old_exit(image, key);
}

static __attribute__((noinline)) efi_status hooked_exit_with_mmu_off(void *image, uint64_t key) {
  efi_status status = old_exit(image, key);
  if (status == EFI_SUCCESS) turn_mmu_off(hooked_scene);
  return status;
}

// The header's CRC32 is over the table with the field itself as 0 (4.2).
static efi_status update_crc32(struct efi_boot_services *services) {
  uint32_t crc32;
  services->header.crc32 = 0;
  efi_status status = ((struct efi_more_boot_services *)services)
                        ->calculate_crc32(services, services->header.header_size, &crc32);
  if (status == EFI_SUCCESS) services->header.crc32 = crc32;
  return status;
}

static bool hook(const struct scene *scene, efi_exit_boot_services new_exit) {
  struct efi_boot_services *services = scene->boot_services;
  old_exit = services->exit_boot_services;
  hooked_scene = scene;
  begin("hook service=ExitBootServices");
  field("boot-services", (uint64_t)services);
  field("offset", offsetof(struct efi_boot_services, exit_boot_services));
  field("old", (uint64_t)old_exit);
  field("new", (uint64_t)new_exit);
  end();
  services->exit_boot_services = new_exit;
  return update_crc32(services) == EFI_SUCCESS;
}

bool prepare_hooked(const struct scene *scene) { return hook(scene, hooked_exit_boot_services); }

bool prepare_mmu_off_return(const struct scene *scene) { return hook(scene, hooked_exit_with_mmu_off); }

// The firmware's own ExitBootServices() calls this, so that it returns to its caller with the MMU off.
static void turn_mmu_off_at_exit(void *event, void *context) {
  (void)event;
  turn_mmu_off(context);
}

bool prepare_mmu_off_event(const struct scene *scene) {
  efi_create_event create = (efi_create_event)scene->boot_services->create_event;
  void *event;
  begin("notify");
  field("function", (uint64_t)turn_mmu_off_at_exit);
  end();
  return !create(EFI_SIGNAL_EXIT_BOOT_SERVICES, EFI_TPL_CALLBACK, turn_mmu_off_at_exit, (void *)scene, &event);
}
