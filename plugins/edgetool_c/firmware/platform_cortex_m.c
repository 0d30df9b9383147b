/*
 * Bare-metal Cortex-M, without an operating system: start-up code, and semihosting for what leaves the chip.
 * A debugger or an emulator answers semihosting requests; without one the core stops at the first of them.
 */
#include "platform.h"

enum { SYS_OPEN = 0x01, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20 };
enum { OPEN_READ = 1, OPEN_WRITE = 5 };
enum { APPLICATION_EXIT = 0x20026, EXIT_FAULT = 70 };

#define STACK_PAINT 0xDEADBEEFu

int main(void);
void reset_handler(void);

extern uint32_t stack_limit[], stack_top[];
extern uint32_t data_start[], data_end[], data_image[];
extern uint32_t bss_start[], bss_end[];

static int semihosting(int operation, const void *argument) {
    register int result __asm__("r0") = operation;
    register const void *block __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(result) : "r"(block) : "memory");
    return result;
}

static void leave(int status) {
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)status};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

static void fault_handler(void) {
    platform_print("hard fault\n");
    leave(EXIT_FAULT);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,     (const void *)reset_handler, (const void *)fault_handler, (const void *)fault_handler,
    (const void *)fault_handler, (const void *)fault_handler, (const void *)fault_handler, 0, 0, 0, 0,
    (const void *)fault_handler, 0, 0, (const void *)fault_handler, (const void *)fault_handler,
};

/* Nothing but this may run before memory is set up; it must not use the stack that it paints. */
__attribute__((noreturn)) void reset_handler(void) {
#if defined(__ARM_FP)
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88;
    *cpacr |= 0xFu << 20; /* full access to the FPU */
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    const uint32_t *image = data_image;
    for (uint32_t *word = data_start; word < data_end; ++word) {
        *word = *image++;
    }
    for (uint32_t *word = bss_start; word < bss_end; ++word) {
        *word = 0;
    }
    uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (uint32_t *word = stack_limit; word < here - 16; ++word) {
        *(volatile uint32_t *)word = STACK_PAINT;
    }
    leave(main());
    for (;;) {
    }
}

uint32_t platform_stack(void) {
    const uint32_t *word = stack_limit;
    while (word < stack_top && *word == STACK_PAINT) {
        ++word;
    }
    return (uint32_t)((const char *)stack_top - (const char *)word);
}

static int open_file(const char *path, uint32_t mode) {
    uint32_t length = 0;
    while (path[length]) {
        ++length;
    }
    const uint32_t block[3] = {(uint32_t)path, mode, length};
    return semihosting(SYS_OPEN, block);
}

/* SYS_READ and SYS_WRITE answer how many bytes are left over; a pipe may give fewer than were asked for. */
static int transfer(int operation, int file, uint32_t data, uint32_t size) {
    while (size > 0) {
        const uint32_t block[3] = {(uint32_t)file, data, size};
        const uint32_t left = (uint32_t)semihosting(operation, block);
        if (left >= size) {
            return 0;
        }
        data += size - left;
        size = left;
    }
    return 1;
}

int platform_read(void *data, size_t size) {
    static int file = -1;
    if (file < 0) {
        file = open_file("requests", OPEN_READ);
    }
    return file >= 0 && transfer(SYS_READ, file, (uint32_t)data, size);
}

int platform_write(const void *data, size_t size) {
    static int file = -1;
    if (file < 0) {
        file = open_file("answers", OPEN_WRITE);
    }
    return file >= 0 && transfer(SYS_WRITE, file, (uint32_t)data, size);
}

void platform_print(const char *text) { semihosting(SYS_WRITE0, text); }
