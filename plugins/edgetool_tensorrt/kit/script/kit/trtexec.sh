# shellcheck shell=sh
# Runs trtexec so that it shows that it is alive, can be stopped, and leaves nothing running.

heartbeat=10 # seconds between two signs of life

# Lines of `kit/NAME-arguments` are `need ARGUMENT` or `want ARGUMENT`. Sets `arguments`, one a line: those that this
# trtexec offers, by its own help. Ends where one is missing that the result depends on.
offered_arguments() {
    arguments=
    while read -r demand argument; do
        option=${argument%%=*}
        if printf '%s\n' "$trtexec_help" | grep -q -e "^ *$option\([= ,]\|\$\)"; then
            arguments="$arguments$argument
"
        elif [ "$demand" = want ]; then
            say "  this trtexec has no $option: going on without it"
        else
            fail 6 trtexec-lacks-option "this trtexec does not offer $option" \
                "say --trtexec PATH for the one that belongs to the installed TensorRT"
        fi
    done <"$kit/$1-arguments"
}

# run_trtexec WHAT: with `arguments`, in the folder `work`, its words going to `work`/log. Returns its exit code.
# Paths with a meaning for trtexec are short names in that folder, but for the model, which lies in the bundle.
run_trtexec() {
    set -f
    IFS='
'
    for argument in $arguments; do
        case $argument in
            *=@MODEL@) argument=${argument%@MODEL@}$here/model.onnx ;;
            *=@CALIBRATION@) argument=${argument%@CALIBRATION@}$here/calib.cache ;;
        esac
        set -- "$@" "$argument"
    done
    unset IFS
    set +f
    what=$1
    shift
    say "  $what"
    begun=$(uptime_seconds)
    printf '%s\n' "$trtexec $*" | tr -d '\000-\011\013-\037' >>"$work/log"
    # The shell writes down who it is, then becomes trtexec: whoever comes after a crash can find it.
    # shellcheck disable=SC2016  # expanded by the inner shell
    (cd -- "$work" && exec sh -c 'echo "$$" >pid && exec "$@"' sh "$trtexec" "$@") >>"$work/log" 2>&1 </dev/null 9>&- &
    child=$!
    signs_of_life "$what" "$begun" 9>&- &
    watcher=$!
    wait "$child"
    code=$?
    child=
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    watcher=
    took=$(($(uptime_seconds) - begun))
    return "$code"
}

# Until this script ends: how long trtexec has been at work, and its last words.
signs_of_life() {
    seconds=0
    while sleep 1 </dev/null >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        seconds=$((seconds + 1))
        [ $((seconds % heartbeat)) -eq 0 ] || continue
        last=$(tail -n 1 "$work/log" | tr -cd '\040-\176' | cut -c 1-120)
        say "  $1: $(duration $(($(uptime_seconds) - $2))), $last"
    done
}

# Ends what `run_trtexec` started: asked first, killed after five seconds.
stop_trtexec() {
    [ -z "${watcher-}" ] || kill "$watcher" 2>/dev/null
    [ -n "${child-}" ] || return 0
    kill "$child" 2>/dev/null
    patience=50
    while [ "$patience" -gt 0 ] && kill -0 "$child" 2>/dev/null; do
        sleep 0.1 2>/dev/null || sleep 1
        patience=$((patience - 1))
    done
    kill -9 "$child" 2>/dev/null
    wait "$child" 2>/dev/null
}

# stop_orphan FOLDER: ends a trtexec that outlived its script. Only a process that works in that very folder is meant.
stop_orphan() {
    [ -f "$1/pid" ] || return 0
    orphan=$(tr -cd '0-9' <"$1/pid")
    [ -n "$orphan" ] && [ "$(readlink "/proc/$orphan/cwd" 2>/dev/null)" = "$1" ] || return 0
    say "  ending trtexec ($orphan), which an earlier run left behind"
    kill -9 "$orphan" 2>/dev/null
    while [ -d "/proc/$orphan" ] && [ "$(readlink "/proc/$orphan/cwd" 2>/dev/null)" = "$1" ]; do sleep 1; done
}

# explain_failure EXIT: trtexec failed; say why, as far as that can be told, and end.
explain_failure() {
    grep -e '\[E\]' -e '\[F\]' "$work/log" | tail -n 5 | tr -cd '\012\040-\176' | cut -c 1-200 | sed 's/^/  /' >&2
    room_left || fail 10 disk-full "no room left: $output" "free some space, then run again"
    [ "$1" -ne 137 ] || fail 10 device-out-of-memory "trtexec was killed, as the system does when memory runs out" \
        "stop other programs, add swap, or build the bundle with a smaller workspace in [targets.NAME.tensorrt]"
    sed '/^\(\[[^]]*\] \)*\[[IV]\]/d' "$work/log" >"$work/spoken"
    find_reason failed "$work/spoken"
    grep -q '&&&& FAILED' "$work/log" ||
        fail 5 trtexec-crashed "trtexec ended with $1 and without a verdict" "run it again; the log is $output/build-engine.log"
    fail 3 trtexec-failed "trtexec failed for a reason that this script does not know" "read $output/build-engine.log"
}

# find_reason always|failed LOG: ends with the first reason in kit/reasons that applies, if one does.
find_reason() {
    while IFS='	' read -r exit_code name applies pattern message fix; do
        [ "$applies" = always ] || [ "$1" = failed ] || continue
        grep -E -q -e "$pattern" "$2" || continue
        fail "$exit_code" "$name" "$message" "$fix; the log is $output/build-engine.log"
    done <"$kit/reasons"
}

room_left() {
    head -c 65536 /dev/zero 2>/dev/null >"$work/room" && rm -f "$work/room"
}
