// The PL011 UART (Arm DDI 0183). QEMU's has no line speed to set.
#include "guest.h"

#define UART_DATA 0x00
#define UART_FLAGS 0x18
#define UART_CONTROL 0x30
#define UART_CONTROL_ENABLE 0x301 // UARTEN, TXE, RXE
#define UART_RECEIVE_EMPTY (1u << 4)
#define UART_TRANSMIT_FULL (1u << 5)

static volatile uint32_t *uart(unsigned offset) { return (volatile uint32_t *)(UART_BASE + offset); }

void start_uart(void) { *uart(UART_CONTROL) = UART_CONTROL_ENABLE; }

static void put(char c) {
  while (*uart(UART_FLAGS) & UART_TRANSMIT_FULL) continue;
  *uart(UART_DATA) = (uint8_t)c;
}

void put_text(const char *text) {
  while (*text) put(*text++);
}

void put_hex(uint64_t value) {
  int shift = 60;
  while (shift > 0 && !(value >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 0xf]);
}

char get(void) {
  while (*uart(UART_FLAGS) & UART_RECEIVE_EMPTY) continue;
  return (char)*uart(UART_DATA);
}
