/* What the programs need of whatever they run on. One of the platform_*.c files provides it. */
#ifndef EDGETOOL_PLATFORM_H
#define EDGETOOL_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* Read exactly `size` bytes of requests; 0 at their end. */
int platform_read(void *data, size_t size);

/* Answer with `size` bytes; 0 when nobody takes them. */
int platform_write(const void *data, size_t size);

/* One text for people. */
void platform_print(const char *text);

/* Bytes of the deepest stack so far; 0 where the platform does not know. */
uint32_t platform_stack(void);

#endif
