# Sorted milliseconds, one a line, to one line: how many, the smallest, mean, median, 99th percentile, largest.

{ time[NR] = $1; sum += $1 }

function at(share,    place) {
    place = int(NR * share + 0.999999)
    return time[place < 1 ? 1 : place]
}

END { if (NR) printf("%d %s %.6g %s %s %s\n", NR, time[1], sum / NR, at(0.5), at(0.99), time[NR]) }
