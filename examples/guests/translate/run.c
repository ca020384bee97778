// One configuration: make its tables, load its registers, ask about its addresses, print, wait until somebody looked.
#include "guest.h"

#define MAX_PROBES 1024
static struct {
  uint64_t va;
  bool fetch;
} probes[MAX_PROBES];
static unsigned probe_count;

static void add(uint64_t va, bool fetch) {
  if (probe_count == MAX_PROBES) return;
  probes[probe_count].va = va;
  probes[probe_count++].fetch = fetch;
}
void probe(uint64_t va) { add(va, false); }
void probe_fetch(uint64_t va) { add(va, true); }

static struct plan make_plan(build *make) {
  struct plan plan = {.columns = 0};
  forget_tables();
  probe_count = 0;
  vectors_at = 0;
  make(&plan);
  return plan;
}

static void forget_translations(void) {
  switch (current_el()) {
    case 1: __asm__ volatile("dsb sy\n\ttlbi vmalle1\n\tdsb sy\n\tisb" ::: "memory"); break;
    case 2: __asm__ volatile("dsb sy\n\ttlbi alle2\n\ttlbi alle1\n\tdsb sy\n\tisb" ::: "memory"); break;
    default: __asm__ volatile("dsb sy\n\ttlbi alle3\n\tdsb sy\n\tisb" ::: "memory"); break;
  }
}

static void load_el1(const struct plan *p) {
  WRITE_REGISTER(tcr_el1, p->tcr);
  WRITE_REGISTER(mair_el1, p->mair);
  WRITE_REGISTER(ttbr0_el1, p->ttbr0);
  WRITE_REGISTER(ttbr1_el1, p->ttbr1);
  if (current_el() > 1) WRITE_REGISTER(vbar_el1, vectors_at);
}

static void load_el2(const struct plan *p) {
  WRITE_REGISTER(tcr_el2, p->tcr);
  WRITE_REGISTER(mair_el2, p->mair);
  WRITE_REGISTER(ttbr0_el2, p->ttbr0);
  if (p->hcr & HCR_E2H) WRITE_ENCODED(TTBR1_EL2, p->ttbr1);
}

static void load_el3(const struct plan *p) {
  WRITE_REGISTER(tcr_el3, p->tcr);
  WRITE_REGISTER(mair_el3, p->mair);
  WRITE_REGISTER(ttbr0_el3, p->ttbr0);
}

static void set_sctlr(unsigned el, uint64_t value) {
  synchronize();
  if (el == 1) WRITE_REGISTER(sctlr_el1, value);
  if (el == 2) WRITE_REGISTER(sctlr_el2, value);
  if (el == 3) WRITE_REGISTER(sctlr_el3, value);
  synchronize();
}

// EL1's registers have to be written before HCR_EL2.E2H redirects their names.
static void load(const struct plan *p) {
  if (p->el == 1) load_el1(p);
  if (p->el == 1 && current_el() > 1) set_sctlr(1, p->sctlr);
  if (current_el() == 2) {
    WRITE_REGISTER(vtcr_el2, p->vtcr);
    WRITE_REGISTER(vttbr_el2, p->vttbr);
    WRITE_REGISTER(hcr_el2, p->hcr);
    synchronize();
  }
  if (p->el == 2) load_el2(p);
  if (p->el == 3) load_el3(p);
  forget_translations();
  if (p->el == current_el()) set_sctlr(p->el, p->sctlr);
}

static void unload(const struct plan *p) {
  if (p->el == current_el()) set_sctlr(p->el, p->sctlr & ~SCTLR_M);
  forget_translations();
  if (current_el() == 2) WRITE_REGISTER(hcr_el2, HCR_RW);
  synchronize();
  if (p->el == 1 && current_el() == 2) set_sctlr(1, SCTLR_EL1_RES1);
  forget_translations();
}

static void print_field(const char *name, uint64_t value) {
  put_text(name);
  put_hex(value);
}

static void print_plan(const struct plan *p) {
  put_text("guest: config name=");
  put_text(p->name);
  put_text(" regime=");
  put_text(p->regime);
  print_field(" sctlr=0x", p->sctlr);
  print_field(" tcr=0x", p->tcr);
  print_field(" mair=0x", p->mair);
  print_field(" ttbr0=0x", p->ttbr0);
  print_field(" ttbr1=0x", p->ttbr1);
  print_field(" hcr=0x", p->hcr);
  print_field(" vtcr=0x", p->vtcr);
  print_field(" vttbr=0x", p->vttbr);
  put_text(" columns=");
  for (const struct column *c = p->columns; c->name; c++) {
    if (c != p->columns) put_text(",");
    put_text(c->name);
  }
  put_text("\r\n");
}

// VA, then an answer for each column: `=` as the one before, `-` not asked.
static void print_answers(const struct plan *p, uint64_t va, bool fetch) {
  uint64_t last = 0;
  put_hex(va);
  for (const struct column *c = p->columns; c->name; c++) {
    put_text(" ");
    if (c->fetches && !fetch) {
      put_text("-");
      continue;
    }
    uint64_t answer = c->ask(va);
    if (c != p->columns && answer == last) {
      put_text("=");
    } else {
      put_hex(answer);
    }
    last = answer;
  }
  put_text("\r\n");
}

void examine(build *make) {
  struct plan plan = make_plan(make);
  load(&plan);
  print_plan(&plan);
  for (unsigned i = 0; i < probe_count; i++) print_answers(&plan, probes[i].va, probes[i].fetch);
  if (plan.rebuild) make_plan(make);
  put_text("guest: ready name=");
  put_text(plan.name);
  put_text("\r\n");
  get();
  unload(&plan);
}

_Noreturn void unexpected_exception(uint64_t esr, uint64_t elr, uint64_t far) {
  print_field("guest: unexpected exception esr=0x", esr);
  print_field(" elr=0x", elr);
  print_field(" far=0x", far);
  put_text("\r\n");
  for (;;) __asm__ volatile("wfi");
}
