# shellcheck shell=sh
# Talk goes to stderr; stdout carries the path of the engine and nothing else.

say() {
    printf '%s\n' "$*" >&2
}

# fail EXIT CODE MESSAGE [HINT]: one line that says what, one that says what to do.
fail() {
    say "error[$2]: $3"
    [ -z "${4-}" ] || say "  hint: $4"
    exit "$1"
}

# A text that somebody else wrote, so that it cannot steer the terminal.
printable() {
    printf '%s' "$1" | tr -cd '\040-\176'
}

require_programs() {
    missing=
    for program in awk cat cp cut df dirname du find flock grep head mkdir mv od paste readlink rm sed sh sha256sum \
        sleep sort sync tail tr uname wc; do
        command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
    done
    [ -z "$signing_key$public_key" ] || command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
    [ -z "$missing" ] ||
        fail 6 device-lacks-program "not installed:$missing" \
            "install coreutils, findutils, util-linux and awk, or a busybox that has them"
}

# Seconds since the device started: on a first boot the clock may still jump.
uptime_seconds() {
    cut -d . -f 1 /proc/uptime
}

# duration SECONDS
duration() {
    if [ "$1" -lt 60 ]; then
        printf '%d s' "$1"
    else
        printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
    fi
}
