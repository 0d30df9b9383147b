# What every script on the device starts with. POSIX sh with the usual small programs: no root, no Python, no bash.
# shellcheck disable=SC2034,SC2086,SC2119,SC2120,SC2317
LC_ALL=C
export LC_ALL
unset CDPATH
umask 077

enter() { # the folder where edgetool keeps its files, or one inside it
    cd && mkdir -p -- "$1" && cd -- "$1" || exit 1
}

first() { # the first line of a file, without NULs
    [ -r "$1" ] && tr -d '\000' 2>/dev/null <"$1" | head -n 1
}

nap() { # a fifth of a second, or $1
    sleep "${1:-0.2}" 2>/dev/null || sleep 1
}

process() { # what the system knows of process $1: sets $state, $group, and $birth, which no later one with its number has
    read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    set -- ${stat##*) }
    state=$1 group=$3 birth=${20}
}

works() { # whether group $1 has a process that is more than a remnant which nobody collected
    for folder in /proc/[0-9]*; do
        process "${folder#/proc/}" && [ "$group" = "$1" ] && [ "$state" != Z ] && return 0
    done
    return 1
}

alive() { # whether anything of the job in this folder still runs; sets $leader
    read -r leader born 2>/dev/null <pid || return 1
    kill -0 "-$leader" 2>/dev/null || return 1
    process "$leader" && [ "$birth" != "$born" ] && return 1
    works "$leader"
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

clear_away() { # the folder $1 of a job that is over; the log of a build is kept for a while
    case $1 in
    build-*) mkdir -p ../logs && mv -- "$1/log" "../logs/$1.log" 2>/dev/null ;;
    esac
    rm -rf -- "$1"
}
