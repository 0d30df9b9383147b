#include "agree.h"

#include <math.h>
#include <string.h>

/* IEEE half precision, without a compiler that knows it. */
static double from_half(uint16_t bits)
{
    const int exponent = bits >> 10 & 0x1f;
    const int fraction = bits & 0x3ff;
    double value;
    if (exponent == 0x1f) {
        value = fraction ? (double)NAN : (double)INFINITY;
    } else if (exponent == 0) {
        value = ldexp(fraction, -24);
    } else {
        value = ldexp(fraction + 0x400, exponent - 25);
    }
    return bits & 0x8000 ? -value : value;
}

/* The upper half of a float. */
static double from_bfloat(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

/* Copies by memcpy, because nobody promises that a runtime aligns its buffers. */
static double element(const struct tensor *tensor, size_t index)
{
    const unsigned char *place = (const unsigned char *)tensor->data + index * dtype_size(tensor->dtype);
    union {
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        float f32;
        double f64;
    } value;
    memcpy(&value, place, dtype_size(tensor->dtype));
    switch (tensor->dtype) {
    case DTYPE_BOOL:
        return value.u8 != 0;
    case DTYPE_INT8:
        return value.i8;
    case DTYPE_INT16:
        return value.i16;
    case DTYPE_INT32:
        return value.i32;
    case DTYPE_INT64:
        return (double)value.i64;
    case DTYPE_UINT8:
        return value.u8;
    case DTYPE_UINT16:
        return value.u16;
    case DTYPE_UINT32:
        return value.u32;
    case DTYPE_UINT64:
        return (double)value.u64;
    case DTYPE_FLOAT16:
        return from_half(value.u16);
    case DTYPE_BFLOAT16:
        return from_bfloat(value.u16);
    case DTYPE_FLOAT32:
        return (double)value.f32;
    case DTYPE_FLOAT64:
        return value.f64;
    case DTYPE_COUNT:
        break;
    }
    return (double)NAN;
}

/* Integers by their bits: not all of them are what they were as a double. */
static bool equal_at(const struct tensor *golden, const struct tensor *found, size_t index, double one, double other)
{
    const size_t size = dtype_size(golden->dtype);
    if (dtype_is_float(golden->dtype)) {
        return one == other || (isnan(one) && isnan(other));
    }
    if (golden->dtype == DTYPE_BOOL) {
        return one == other;
    }
    return memcmp((const char *)golden->data + index * size, (const char *)found->data + index * size, size) == 0;
}

struct difference difference_of(const struct tensor *golden, const struct tensor *found)
{
    const size_t count = golden->bytes / dtype_size(golden->dtype);
    struct difference result = {.integral = !dtype_is_float(golden->dtype)};
    double golden_energy = 0, found_energy = 0, product = 0;
    size_t equal = 0;
    for (size_t index = 0; index < count; index++) {
        const double one = element(golden, index);
        const double other = element(found, index);
        const bool same = equal_at(golden, found, index, one, other);
        equal += same;
        if (!isfinite(one) || !isfinite(other)) {
            result.strays += !same;
            continue;
        }
        golden_energy += one * one;
        found_energy += other * other;
        product += one * other;
        result.max_abs = fmax(result.max_abs, fabs(other - one));
    }
    const double scale = sqrt(golden_energy) * sqrt(found_energy);
    result.equal = count ? (double)equal / (double)count : 1;
    if (golden_energy == 0 && found_energy == 0) {
        result.cosine = result.gain = 1;
    } else {
        result.cosine = scale > 0 ? fmax(-1, fmin(1, product / scale)) : 0;
        result.gain = golden_energy > 0 ? sqrt(found_energy / golden_energy) : (double)INFINITY;
    }
    return result;
}

bool agrees(const struct difference *difference, double min_cosine)
{
    if (difference->strays) {
        return false;
    }
    if (difference->integral) {
        return difference->equal >= (min_cosine >= 0.999 ? 0.99 : 0.95);
    }
    return difference->max_abs <= 1e-6 || (difference->cosine >= min_cosine && fabs(difference->gain - 1) < 0.1);
}
