/* The network's self-test: golden inputs, which are linked in, must give the golden outputs. Ends with 0 or 1. */
#include "model.h"
#include "platform.h"
#include "tensors.h"

#include <math.h>
#include <string.h>

/* Another compiler and another libm may round differently in the last places; of the tensor's largest value. */
#define TOLERANCE 1e-3
#define NOISE 1e-6

#define DEFINE(kind, type, name, dims) \
    static type name dims;             \
    extern const unsigned char golden_##name[];
#define LOAD(kind, type, name, dims) memcpy(name, golden_##name, sizeof name);
#define CHECK(kind, type, name, dims) \
    failures += report(#name, check_##kind(name, golden_##name, sizeof name, sizeof(type)));

MODEL_INPUTS(DEFINE)
MODEL_OUTPUTS(DEFINE)

static double value_at(const void *data, size_t index, size_t size) {
    float single;
    double wide;
    if (size == sizeof wide) {
        memcpy(&wide, (const char *)data + index * size, size);
        return wide;
    }
    memcpy(&single, (const char *)data + index * size, sizeof single);
    return single;
}

__attribute__((unused)) static int check_FLOAT(const void *found, const void *wanted, size_t bytes, size_t size) {
    double peak = 0;
    for (size_t i = 0; i < bytes / size; ++i) {
        const double value = fabs(value_at(wanted, i, size));
        if (isfinite(value) && value > peak) {
            peak = value;
        }
    }
    for (size_t i = 0; i < bytes / size; ++i) {
        const double one = value_at(found, i, size), other = value_at(wanted, i, size);
        const int close = fabs(one - other) <= TOLERANCE * peak + NOISE;
        if (!close && !(one == other) && !(isnan(one) && isnan(other))) {
            return 0;
        }
    }
    return 1;
}

__attribute__((unused)) static int check_INTEGER(const void *found, const void *wanted, size_t bytes, size_t size) {
    (void)size;
    return memcmp(found, wanted, bytes) == 0;
}

static int report(const char *name, int same) {
    platform_print(name);
    platform_print(same ? ": as expected\n" : ": DIFFERS\n");
    return !same;
}

int main(void) {
    int failures = 0;
    MODEL_INPUTS(LOAD)
    MODEL_RUN();
    MODEL_OUTPUTS(CHECK)
    platform_print(failures ? "golden test FAILED\n" : "golden test passed\n");
    return failures ? 1 : 0;
}
