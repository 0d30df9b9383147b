/* What the self-test asks of a runtime. runtime_NAME.c or .cpp implements it for one product. */
#ifndef EDGETOOL_RUNTIME_H
#define EDGETOOL_RUNTIME_H

#include "failure.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct runtime;

struct setting {
    const char *name;
    const char *value;
};

struct opening {
    const char *engine;             /* path of the file to load */
    const char *library;            /* path of the runtime's library; NULL: wherever the system has it */
    int threads;                    /* 0: as the runtime thinks best */
    const struct setting *settings; /* of the bundle, in the order in which they apply */
    size_t setting_count;
};

/* The product, as bundles call it. */
extern const char *const RUNTIME_NAME;

/* NULL and a reason where the library or the engine cannot be loaded. */
struct runtime *runtime_open(const struct opening *opening, struct failure *failure);

/* Version of the library that was loaded; lives as long as the runtime. */
const char *runtime_version(const struct runtime *runtime);

/* Runs once. Every output comes with its name, and with the dtype that it should have, which counts only where the
 * runtime lacks that type; dtype, shape and data are filled in. The data belong to the runtime, and stay until the next
 * call. */
bool runtime_infer(struct runtime *runtime, const struct tensor *inputs, size_t input_count, struct tensor *outputs,
                   size_t output_count, struct failure *failure);

/* NULL is fine. */
void runtime_close(struct runtime *runtime);

#ifdef __cplusplus
}
#endif

#endif
