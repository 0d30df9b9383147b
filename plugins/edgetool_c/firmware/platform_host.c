/* Any POSIX system: requests on stdin, answers on stdout. */
#include "platform.h"

#include <stdio.h>

int platform_read(void *data, size_t size) { return fread(data, 1, size, stdin) == size; }

int platform_write(const void *data, size_t size) {
    return fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0;
}

void platform_print(const char *text) { fputs(text, stdout); }

uint32_t platform_stack(void) { return 0; }
