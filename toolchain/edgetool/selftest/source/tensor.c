#include "tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} DTYPES[DTYPE_COUNT] = {
    [DTYPE_BOOL] = {"bool", 1},       [DTYPE_INT8] = {"int8", 1},         [DTYPE_INT16] = {"int16", 2},
    [DTYPE_INT32] = {"int32", 4},     [DTYPE_INT64] = {"int64", 8},       [DTYPE_UINT8] = {"uint8", 1},
    [DTYPE_UINT16] = {"uint16", 2},   [DTYPE_UINT32] = {"uint32", 4},     [DTYPE_UINT64] = {"uint64", 8},
    [DTYPE_FLOAT16] = {"float16", 2}, [DTYPE_BFLOAT16] = {"bfloat16", 2}, [DTYPE_FLOAT32] = {"float32", 4},
    [DTYPE_FLOAT64] = {"float64", 8},
};

const char *dtype_name(enum dtype dtype)
{
    return DTYPES[dtype].name;
}

size_t dtype_size(enum dtype dtype)
{
    return DTYPES[dtype].size;
}

bool dtype_is_float(enum dtype dtype)
{
    return dtype >= DTYPE_FLOAT16;
}

enum dtype dtype_named(const char *name)
{
    int dtype = 0;
    while (dtype < DTYPE_COUNT && strcmp(DTYPES[dtype].name, name) != 0) {
        dtype++;
    }
    return (enum dtype)dtype;
}

bool tensor_bytes(const struct tensor *tensor, size_t *bytes)
{
    /* Half of what can be counted, because no object may be larger than PTRDIFF_MAX. */
    const size_t most = SIZE_MAX / 2;
    size_t product = dtype_size(tensor->dtype);
    bool is_empty = false;
    for (size_t axis = 0; axis < tensor->rank; axis++) {
        const int64_t size = tensor->shape[axis];
        if (size < 0) {
            return false;
        }
        if (size == 0) {
            is_empty = true;
        } else if ((uint64_t)size > most / product) {
            return false;
        } else {
            product *= (size_t)size;
        }
    }
    *bytes = is_empty ? 0 : product;
    return true;
}

bool same_shape(const struct tensor *one, const struct tensor *other)
{
    return one->rank == other->rank && memcmp(one->shape, other->shape, one->rank * sizeof one->shape[0]) == 0;
}

void tensor_text(const struct tensor *tensor, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s[", dtype_name(tensor->dtype));
    for (size_t axis = 0; axis < tensor->rank && used < size; axis++) {
        used += (size_t)snprintf(text + used, size - used, axis ? ",%lld" : "%lld", (long long)tensor->shape[axis]);
    }
    if (used < size) {
        (void)snprintf(text + used, size - used, "]");
    }
}
