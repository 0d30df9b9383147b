# Lines `golden<tab>value` to one line: `ok` or `wrong`, then what was found. -v dtype=float32 -v min_cosine=0.999

function finite(text) {
    return text ~ /^[-+]?[.0-9]/
}

function same_kind(one, other) { # nan and nan, inf and inf
    sub(/^-nan/, "nan", one)
    sub(/^-nan/, "nan", other)
    return substr(one, 1, 4) == substr(other, 1, 4)
}

function root(square,    guess, better) { # by Newton: some builds of busybox have no sqrt
    if (square == 0) return 0
    better = square > 1 ? square : 1
    do {
        guess = better
        better = (guess + square / guess) / 2
    } while (better < guess)
    return guess
}

BEGIN {
    integral = dtype !~ /float/
    count = dot = golden = engine = worst = 0 # busybox takes what was never set for something else than 0
}

$1 == "" { surplus++; next }
$2 == "" { missing++; next }

{
    count++
    if ($2 == "true") $2 = 1
    if ($2 == "false") $2 = 0
    if (!finite($1) || !finite($2)) {
        if (finite($1)) spoiled++
        else if (!same_kind($1, $2)) strange++
        else equal++
        next
    }
    if ($1 + 0 == $2 + 0) equal++
    error = $1 - $2
    if (error < 0) error = -error
    if (error > worst) worst = error
    dot += $1 * $2
    golden += $1 * $1
    engine += $2 * $2
}

END {
    if (missing && !count) { print "wrong there is no such output, or it is empty"; exit }
    if (missing || surplus) { printf "wrong %d values, %d were expected\n", count + surplus, count + missing; exit }
    if (spoiled) { printf "wrong %d of %d values are not finite\n", spoiled, count; exit }
    if (strange) { printf "wrong %d values should not be finite, and are\n", strange; exit }
    if (integral) {
        share = count ? equal / count : 1
        limit = min_cosine >= 0.999 ? 0.99 : 0.95
        verdict = (share >= limit) ? "ok" : "wrong"
        printf("%s %.2f %% of the values are equal, %g %% are enough\n", verdict, 100 * share, 100 * limit)
        exit
    }
    length_golden = root(golden)
    length_engine = root(engine)
    cosine = (golden == 0 && engine == 0) ? 1 : (golden * engine == 0 ? 0 : dot / length_golden / length_engine)
    gain = golden > 0 ? length_engine / length_golden : (engine > 0 ? 999 : 1)
    fits = worst <= 1e-6 || (cosine >= min_cosine && gain > 0.9 && gain < 1.1)
    verdict = fits ? "ok" : "wrong"
    printf("%s cosine %.6f (%s is enough), gain %.4f, largest difference %.3g\n", verdict, cosine, min_cosine, gain, worst)
}
