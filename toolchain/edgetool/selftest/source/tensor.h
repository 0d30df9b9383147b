/* A tensor in memory: elements in C order, in this machine's byte order. */
#ifndef EDGETOOL_TENSOR_H
#define EDGETOOL_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_RANK = 16 };

enum dtype {
    DTYPE_BOOL,
    DTYPE_INT8,
    DTYPE_INT16,
    DTYPE_INT32,
    DTYPE_INT64,
    DTYPE_UINT8,
    DTYPE_UINT16,
    DTYPE_UINT32,
    DTYPE_UINT64,
    DTYPE_FLOAT16,
    DTYPE_BFLOAT16,
    DTYPE_FLOAT32,
    DTYPE_FLOAT64,
    DTYPE_COUNT /* none: the number of those above */
};

struct tensor {
    const char *name;
    enum dtype dtype;
    size_t rank;
    int64_t shape[MAX_RANK];
    void *data;
    size_t bytes; /* of `data` */
};

const char *dtype_name(enum dtype dtype);
size_t dtype_size(enum dtype dtype);
bool dtype_is_float(enum dtype dtype);

/* DTYPE_COUNT for a name that is none of the above. */
enum dtype dtype_named(const char *name);

/* Bytes that the dtype and the shape ask for; false where that is no number, or more than memory can hold. */
bool tensor_bytes(const struct tensor *tensor, size_t *bytes);

bool same_shape(const struct tensor *one, const struct tensor *other);

/* "float32[1,3,224,224]" */
void tensor_text(const struct tensor *tensor, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
