// Lines on the PL011 UART (Arm DDI 0183), which the firmware has already set up. It is driven directly, because the
// firmware's console is gone after ExitBootServices().
#include "guest.h"

#define UART_DATA 0x00
#define UART_FLAGS 0x18
#define UART_TRANSMIT_FULL (1u << 5)

static volatile uint32_t *uart(unsigned offset) { return (volatile uint32_t *)(UART_BASE + offset); }

static void put(char c) {
  while (*uart(UART_FLAGS) & UART_TRANSMIT_FULL) continue;
  *uart(UART_DATA) = (uint8_t)c;
}

static void put_text(const char *text) {
  while (*text) put(*text++);
}

static void put_hex(uint64_t value) {
  int shift = 60;
  while (shift > 0 && !(value >> shift)) shift -= 4;
  put_text("0x");
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 0xf]);
}

void begin(const char *words) {
  put_text("guest: ");
  put_text(words);
}

void word(const char *text) {
  put(' ');
  put_text(text);
}

void field(const char *key, uint64_t value) {
  word(key);
  put('=');
  put_hex(value);
}

void field_text(const char *key, const char *value) {
  word(key);
  put('=');
  put_text(value);
}

void end(void) { put_text("\r\n"); }

void line(const char *words) {
  begin(words);
  end();
}

void print_registers(const struct registers *r) {
  field("ttbr0", r->ttbr0);
  if (two_ranges()) field("ttbr1", r->ttbr1);
  field("tcr", r->tcr);
  field("mair", r->mair);
  field("sctlr", r->sctlr);
  field("vbar", r->vbar);
  field("sp", r->sp);
}
