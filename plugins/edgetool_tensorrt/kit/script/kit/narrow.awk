# Bytes of int64 as `od -t o1` prints them, to those of int32, as escapes for printf. Exit 1 where a value does not fit.

{
    for (first = 1; first + 7 <= NF; first += 8) {
        filler = $(first + 3) >= 200 ? "377" : "000"
        for (i = first + 4; i < first + 8; i++)
            if ($i != filler) exit 1
        for (i = first; i < first + 4; i++) printf("\\%s", $i)
    }
}
