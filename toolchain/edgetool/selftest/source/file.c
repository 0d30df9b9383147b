#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *path_in(const char *folder, const char *name)
{
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) {
        (void)snprintf(path, size, "%s/%s", folder, name);
    }
    return path;
}

/* Size of an open file, and back to its start; -1 where that cannot be told. */
static long size_of(FILE *file)
{
    const long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    return size >= 0 && fseek(file, 0, SEEK_SET) == 0 ? size : -1;
}

static char *read_open(FILE *file, const char *path, size_t limit, size_t *size, struct failure *failure)
{
    const long found = size_of(file);
    if (found < 0 || (unsigned long)found > limit) {
        (void)fail(failure, "%s: it has %ld bytes, and %zu are expected", path, found, limit);
        return NULL;
    }
    char *content = malloc((size_t)found + 1);
    if (!content) {
        (void)fail(failure, "%s: there is not enough memory for its %ld bytes", path, found);
        return NULL;
    }
    if (fread(content, 1, (size_t)found, file) != (size_t)found) {
        (void)fail(failure, "%s: it cannot be read", path);
        free(content);
        return NULL;
    }
    content[found] = '\0';
    *size = (size_t)found;
    return content;
}

char *read_file(const char *path, size_t limit, size_t *size, struct failure *failure)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        (void)fail(failure, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *content = read_open(file, path, limit, size, failure);
    (void)fclose(file);
    return content;
}
