/* Whether an output is the golden one: the rule of the self-test, the same as that of `edgetool validate`. */
#ifndef EDGETOOL_AGREE_H
#define EDGETOOL_AGREE_H

#include "tensor.h"

struct difference {
    bool integral;  /* integers or truth values, for which `equal` is what counts */
    size_t strays;  /* elements that are NaN or infinite on one side, and not the same on the other */
    double equal;   /* share of equal elements */
    double cosine;  /* of the elements that are finite on both sides, taken as two vectors */
    double gain;    /* length of the found vector over the golden one's: what a cosine is blind to */
    double max_abs; /* largest difference of two finite elements */
};

/* Both have the same dtype and shape. Sums run in double precision. */
struct difference difference_of(const struct tensor *golden, const struct tensor *found);

/* What is NaN or infinite on one side must be the same on the other. Of integers and truth values, 99 % must be equal;
 * 95 % where min_cosine is below 0.999. Floats must not differ by more than 1e-6 anywhere, or else reach min_cosine
 * with a length that is within 10 % of the golden one. */
bool agrees(const struct difference *difference, double min_cosine);

#endif
