# What every script on the device starts with. POSIX sh with the usual small programs: no root, no Python, no bash.
LC_ALL=C
export LC_ALL
unset CDPATH
umask 077

enter() { # the folder where edgetool keeps its files, or one inside it
    cd && mkdir -p -- "$1" && cd -- "$1" || exit 1
}

nap() {
    sleep 0.2 2>/dev/null || sleep 1
}

birth() { # when process $1 started: tells it from a later one with the same number
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    set -- ${stat##*) }
    [ "$1" = Z ] && echo zombie || echo "${20}"
}

alive() { # whether anything of the job in this folder still runs
    read -r leader born 2>/dev/null <pid || return 1
    kill -0 "-$leader" 2>/dev/null || return 1
    now=$(birth "$leader") || return 0
    [ "$now" = "$born" ]
}

ended() { # whether the job in this folder is over; sets $end to how
    for end in end.*; do
        [ -e "$end" ] && end=${end#end.} && return 0
    done
    return 1
}

finish() { # a rename needs no room, and only the first one counts
    mv waiting "end.$1" 2>/dev/null || mv running "end.$1" 2>/dev/null
}
