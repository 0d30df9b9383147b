/* Whole files. */
#ifndef EDGETOOL_FILE_H
#define EDGETOOL_FILE_H

#include "failure.h"

#include <stddef.h>

/* FOLDER/NAME, to be freed; NULL without memory. */
char *path_in(const char *folder, const char *name);

/* All bytes of a file and a zero behind them, to be freed; NULL and a reason where it is not there, or larger than
 * that. */
char *read_file(const char *path, size_t limit, size_t *size, struct failure *failure);

#endif
