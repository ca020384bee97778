/*
 * What the conformance suite debugs: one program, built for a bare AArch64 machine (QEMU's virt) and for Linux processes.
 *
 * It does the same few things for ever, so that whatever a debugger sees can be foretold: the words of `table` are a function of
 * their places in it, `counter` grows by one in each call of `tick`, `watched` is written in every 64th round, `slow` is called once in `period` rounds, and at
 * `mark` registers hold known values. The debugger writes `orders` to have a second thread (or processor) started, or to have the
 * program end, and reads the symbols' addresses from the linker's map.
 */
typedef unsigned int u32;
typedef unsigned long u64;

enum { START_SECOND = 1, END = 2, STATUS = 42, WATCH_EVERY = 64 };

/* Word i is i * 2654435761 ^ 0x5aa55aa5. */
__asm__(
    ".data\n"
    ".balign 16\n"
    ".global table\n"
    "table:\n"
    ".set i, 0\n"
    ".rept 32768\n"
    "  .long ((i * 2654435761) & 0xffffffff) ^ 0x5aa55aa5\n"
    "  .set i, i + 1\n"
    ".endr\n");

char scratch[4096];
volatile u64 counter;
volatile u64 second_counter;
volatile u64 watched;
volatile u64 period = 1000;
volatile u64 orders;
char second_stack[16384] __attribute__((aligned(16)));

#define KNOWN "0xc0de0000feed0000"

/* What the platform has to provide. */
static void say(const char *text, u64 length);
static void end(int status);
static void start_second(void);

__attribute__((noinline)) void tick(void) { counter++; }
__attribute__((noinline)) void second_tick(void) { second_counter++; }
__attribute__((noinline)) void slow(void) { __asm__ volatile("" ::: "memory"); }

/* Loads register number n with KNOWN + n, shows them at `mark`, and puts back what the compiler counts on. */
void known_registers(void);

static void obey(void) {
  u64 order = orders;
  orders = 0;
  if (order == START_SECOND) start_second();
  if (order != END) return;
  static const char words[] = "the guest ends\n";
  say(words, sizeof words - 1);
  end(STATUS);
}

__attribute__((used, noreturn)) void first_main(void) {
  for (;;) {
    tick();
    known_registers();
    if (counter % WATCH_EVERY == 0) watched = counter;
    if (counter % period == 0) slow();
    if (orders != 0) obey();
  }
}

__attribute__((used, noreturn)) void second_main(void) {
  for (;;) second_tick();
}

#if defined(__aarch64__)

__asm__(
    ".text\n"
    ".global known_registers, mark\n"
    "known_registers:\n"
    "  stp x19, x20, [sp, #-96]!\n"
    "  stp x21, x22, [sp, #16]\n"
    "  stp x23, x24, [sp, #32]\n"
    "  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n"
    "  stp x29, x30, [sp, #80]\n"
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30\n"
    "  ldr x\\n, =" KNOWN " + \\n\n"
    ".endr\n"
    "mark:\n"
    "  nop\n"
    "  ldp x21, x22, [sp, #16]\n"
    "  ldp x23, x24, [sp, #32]\n"
    "  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n"
    "  ldp x29, x30, [sp, #80]\n"
    "  ldp x19, x20, [sp], #96\n"
    "  ret\n"
    "  .ltorg\n");

#elif defined(__x86_64__)

/* The stack pointer keeps its value; the rest are numbered as the processor's manual numbers them. */
__asm__(
    ".text\n"
    ".global known_registers, mark\n"
    "known_registers:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  movabs $" KNOWN " + 0, %rax\n"
    "  movabs $" KNOWN " + 1, %rcx\n"
    "  movabs $" KNOWN " + 2, %rdx\n"
    "  movabs $" KNOWN " + 3, %rbx\n"
    "  movabs $" KNOWN " + 5, %rbp\n"
    "  movabs $" KNOWN " + 6, %rsi\n"
    "  movabs $" KNOWN " + 7, %rdi\n"
    ".irp n, 8,9,10,11,12,13,14,15\n"
    "  movabs $" KNOWN " + \\n, %r\\n\n"
    ".endr\n"
    "mark:\n"
    "  nop\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  ret\n");

#else
#error "there is no conformance guest for this architecture"
#endif

#if defined(__linux__)

static long system_call(long number, long a, long b, long c) {
#if defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#else
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
#endif
}

#if defined(__aarch64__)
enum { WRITE = 64, EXIT_GROUP = 94, CLONE = 220 };
#else
enum { WRITE = 1, EXIT_GROUP = 231, CLONE = 56 };
#endif

static void say(const char *text, u64 length) { system_call(WRITE, 1, (long)text, (long)length); }
static void end(int status) { system_call(EXIT_GROUP, status, 0, 0); }

/* CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM: a thread. */
enum { THREAD_FLAGS = 0x50f00 };

/* Not through system_call: the new thread returns on another stack, and must not use what is on this one. */
static void start_second(void) {
  char *stack = second_stack + sizeof second_stack;
#if defined(__aarch64__)
  register long x8 __asm__("x8") = CLONE;
  register long x0 __asm__("x0") = THREAD_FLAGS;
  register char *x1 __asm__("x1") = stack;
  register long x2 __asm__("x2") = 0;
  register long x3 __asm__("x3") = 0;
  register long x4 __asm__("x4") = 0;
  __asm__ volatile("svc 0\n  cbnz x0, 1f\n  b second_main\n1:"
                   : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
#else
  long result;
  register long r10 __asm__("r10") = 0;
  register long r8 __asm__("r8") = 0;
  __asm__ volatile("syscall\n  test %%rax, %%rax\n  jnz 1f\n  call second_main\n1:"
                   : "=a"(result) : "a"(CLONE), "D"(THREAD_FLAGS), "S"(stack), "d"(0), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
#endif
}

#if defined(__aarch64__)
__asm__(".global _start\n_start:\n  b first_main\n");
#else
__asm__(".global _start\n_start:\n  call first_main\n");
#endif

#else

/* QEMU's virt machine: the UART of the console, and PSCI by HVC for the rest. */
static volatile u32 *const uart = (volatile u32 *)0x09000000;

static long psci(u64 function, u64 a, u64 b, u64 c) {
  register u64 x0 __asm__("x0") = function;
  register u64 x1 __asm__("x1") = a;
  register u64 x2 __asm__("x2") = b;
  register u64 x3 __asm__("x3") = c;
  __asm__ volatile("hvc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3) : "memory");
  return (long)x0;
}

static void say(const char *text, u64 length) {
  for (u64 i = 0; i < length; i++) *uart = (u32)text[i];
}

static void end(int status) {
  (void)status;
  psci(0x84000008, 0, 0, 0); /* SYSTEM_OFF */
}

void second_start(void);
static void start_second(void) { psci(0xc4000003, 1, (u64)second_start, 0); /* CPU_ON */ }

char first_stack[16384] __attribute__((aligned(16)));

/* Identity for the first 2 GiB (devices, RAM), and no translation for anything above, so that there are addresses that cannot be read. */
u64 level1[512] __attribute__((aligned(4096))) = {
    0x0000000000000401, /* block, access flag, attribute 0 */
    0x0000000040000705, /* block, access flag, inner shareable, attribute 1 */
};

__asm__(
    ".text\n"
    ".global _start, second_start\n"
    "_start:\n"
    "  ldr x0, =first_stack + 16384\n"
    "  mov sp, x0\n"
    "  bl translate\n"
    "  b first_main\n"
    "second_start:\n"
    "  ldr x0, =second_stack + 16384\n"
    "  mov sp, x0\n"
    "  bl translate\n"
    "  b second_main\n"
    "translate:\n"
    "  ldr x0, =0xff00\n"          /* MAIR: Device-nGnRnE, Normal write-back */
    "  msr mair_el1, x0\n"
    "  ldr x0, =0x280803519\n"     /* TCR: T0SZ 25, 4 KiB, write-back, inner shareable, EPD1, 40 bits */
    "  msr tcr_el1, x0\n"
    "  ldr x0, =level1\n"
    "  msr ttbr0_el1, x0\n"
    "  isb\n"
    "  mrs x0, sctlr_el1\n"
    "  orr x0, x0, #1\n"           /* M */
    "  msr sctlr_el1, x0\n"
    "  isb\n"
    "  ret\n"
    "  .ltorg\n");

#endif
