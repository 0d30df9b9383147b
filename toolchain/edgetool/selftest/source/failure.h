/* Why something did not work, in one line for people. */
#ifndef EDGETOOL_FAILURE_H
#define EDGETOOL_FAILURE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#ifdef __GNUC__
#define FAILURE_FORMAT __attribute__((format(printf, 2, 3)))
#else
#define FAILURE_FORMAT
#endif

struct failure {
    char text[1024];
};

/* Notes the reason, cut off where it is too long. Always false, so that callers can `return fail(...)`. */
FAILURE_FORMAT static inline bool fail(struct failure *failure, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(failure->text, sizeof failure->text, format, arguments);
    va_end(arguments);
    return false;
}

#endif
