# Bytes as `od -t u1` prints them, sixteen a line, to numbers, one a line. -v dtype=float32
# Without `^` and sqrt, which some builds of busybox leave out.

BEGIN {
    types = "bool 1 int8 1 uint8 1 int16 2 uint16 2 float16 2 bfloat16 2 int32 4 uint32 4 float32 4 int64 8 uint64 8 float64 8"
    split(types, known)
    for (i = 1; i in known; i += 2)
        if (known[i] == dtype) width = known[i + 1]
    if (!width) exit 1
    # A float: bits of its fraction, largest exponent.
    if (dtype == "float16") { fraction = 10; top = 31 }
    if (dtype == "bfloat16") { fraction = 7; top = 255 }
    if (dtype == "float32") { fraction = 23; top = 255 }
    if (dtype == "float64") { fraction = 52; top = 2047 }
    if (fraction) {
        bias = int(top / 2)
        unit = two_to(fraction)
    }
    signed = dtype ~ /^int/
}

{
    for (first = 1; first + width - 1 <= NF; first += width) {
        bits = 0
        for (i = first + width - 1; i >= first; i--) bits = bits * 256 + $i
        if (fraction) print real($(first + width - 1))
        else if (signed && $(first + width - 1) >= 128) print negative()
        else printf "%.0f\n", bits
    }
}

# Of the last byte first: beyond 53 bits a sum of all bytes is not exact, a distance from -1 is where it matters.
function negative(    i, distance) {
    distance = 0
    for (i = first + width - 1; i >= first; i--) distance = distance * 256 + (255 - $i)
    return sprintf("%.0f", -distance - 1)
}

function real(high,    sign, exponent, rest, i) {
    sign = (high >= 128) ? -1 : 1
    rest = high % 128
    for (i = first + width - 2; i >= first; i--) rest = rest * 256 + $i
    exponent = int(rest / unit)
    rest = rest - exponent * unit
    if (exponent == top) return rest > 0 ? "nan" : (sign < 0 ? "-inf" : "inf")
    if (exponent == 0) return sprintf("%.9g", sign * rest / unit * two_to(1 - bias))
    return sprintf("%.9g", sign * (1 + rest / unit) * two_to(exponent - bias))
}

function two_to(exponent,    i, product) {
    if (!(exponent in power)) {
        product = 1
        for (i = 0; i < exponent; i++) product *= 2
        for (i = 0; i > exponent; i--) product /= 2
        power[exponent] = product
    }
    return power[exponent]
}
