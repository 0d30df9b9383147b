/* Infers for whoever sends inputs: all inputs in order, then all outputs and four bytes with the deepest stack. */
#include "model.h"
#include "platform.h"
#include "tensors.h"

#define DEFINE(kind, type, name, dims) static type name dims;
#define READ(kind, type, name, dims) &&platform_read(name, sizeof name)
#define WRITE(kind, type, name, dims) &&platform_write(name, sizeof name)

MODEL_INPUTS(DEFINE)
MODEL_OUTPUTS(DEFINE)

int main(void) {
    while (1 MODEL_INPUTS(READ)) {
        MODEL_RUN();
        const uint32_t stack = platform_stack();
        if (!(1 MODEL_OUTPUTS(WRITE) && platform_write(&stack, sizeof stack))) {
            return 1;
        }
    }
    return 0;
}
