/* What a bundle says about its self-test: src/selftest.conf, and the golden inputs and outputs that it names. */
#ifndef EDGETOOL_BUNDLE_H
#define EDGETOOL_BUNDLE_H

#include "runtime.h"

/* One feed, and what came out for it. */
struct golden_case {
    struct tensor *inputs;
    size_t input_count;
    struct tensor *outputs;
    size_t output_count;
};

struct bundle {
    const char *runtime; /* the product that loads the engine */
    const char *entry;   /* path of the engine, inside the bundle */
    double min_cosine;   /* see agree.h */
    struct setting *settings;
    size_t setting_count;
    struct golden_case *cases;
    size_t case_count;
    char *text; /* src/selftest.conf, in which all names and values are */
};

/* Reads all of it, checked: a bundle may come from anywhere. False and a reason where something is missing or wrong.
 * What was read is freed by `bundle_free` in either case. */
bool bundle_read(const char *folder, struct bundle *bundle, struct failure *failure);

void bundle_free(struct bundle *bundle);

#endif
