# The values of one output, one a line, of the JSON that trtexec exports. -v name=OUTPUT

BEGIN { RS = "," } # an item a record: the values stand in one line, which may be very long

{ item = $0 }

match(item, /"name" *: *"[^"]*"/) {
    current = substr(item, RSTART, RLENGTH)
    sub(/^"name" *: *"/, "", current)
    sub(/"$/, "", current)
}

sub(/^.*"values" *: *\[/, "", item) { inside = 1 }

inside {
    last = index(item, "]")
    if (last) { item = substr(item, 1, last - 1); inside = 0 }
    gsub(/[ \t\r\n]/, "", item)
    if (current == name && item != "") print item
}
