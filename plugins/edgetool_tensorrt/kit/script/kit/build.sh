# shellcheck shell=sh
# The way to a new engine: locked, aside, proven, then put into place.

build_engine() {
    open_output
    lock_output
    work=$output/.build-engine
    stop_orphan "$work"
    rm -rf "$work"
    if [ -z "$rebuild" ] && fits_already; then
        say "the engine that is there fits: nothing to do"
        return
    fi
    mkdir "$work" || disk_full
    trap clean_up EXIT
    [ -z "$signing_key" ] || try_key
    require_room
    say "building $(row "$manifest" name) $(row "$manifest" version) for TensorRT $(fact tensorrt) on sm $(fact sm)"
    build_plan
    run_golden
    measure_latency
    engine_sha256=$(sha256sum <"$work/engine.plan" | cut -d ' ' -f 1)
    engine_size=$(($(wc -c <"$work/engine.plan")))
    write_record
    publish
    keep_timings
    say "built in $(duration "$build_seconds"): $output/engine.plan, $engine_size bytes"
}

# Makes the folder, and `output` an absolute path.
open_output() {
    nearest=$output
    until [ -d "$nearest" ]; do nearest=$(dirname -- "$nearest"); done
    case $(cd -- "$nearest" && pwd -P)/ in
        "$bundle"/*)
            fail 2 wrong-arguments "the output folder lies in the bundle, which is never written to" \
                "choose another folder with --output"
            ;;
    esac
    absolute=$(writable_folder "$output") ||
        fail 10 permission-denied "cannot write into $output" "choose another folder with --output"
    output=$absolute
    [ -z "$cache" ] || absolute=$(writable_folder "$cache") ||
        fail 10 permission-denied "cannot write into $cache" "choose another folder with --cache"
    cache=$absolute
}

# writable_folder DIR: makes it where it is not there; prints its absolute path.
writable_folder() {
    mkdir -p -- "$1" 2>/dev/null && [ -w "$1" ] && cd -- "$1" && pwd -P
}

# One build at a time: the lock dies with this shell.
lock_output() {
    : 2>/dev/null >>"$output/.lock" || disk_full
    exec 9>>"$output/.lock"
    waited=0
    until flock -n 9; do
        [ $((waited % heartbeat)) -ne 0 ] || say "waiting for another build in $output: $(duration "$waited")"
        sleep 1
        waited=$((waited + 1))
    done
}

fits_already() {
    check_engine "$output" || {
        [ "$fault_code" = engine-missing ] || say "the engine that is there does not fit: $fault"
        return 1
    }
    [ -z "$signing_key" ] || [ -f "$output/engine.json.sig" ]
}

# Two engines, which are rarely larger than the model, the golden outputs as text, and some for logs and times.
require_room() {
    golden_size=$(du -s -k "$bundle/io" 2>/dev/null | cut -f 1)
    needed=$(($(wanted model_bytes) / 1024 * 2 + ${golden_size:-0} * 10 + 16384)) # KiB
    left=$(df -P -k "$output" | awk 'NR == 2 { print $4 }')
    [ "${left:-0}" -ge "$needed" ] ||
        fail 10 disk-full "$output has ${left:-0} KiB left, a build needs $needed" "free some space, then run again"
}

disk_full() {
    fail 10 disk-full "no room left, or writing is not permitted: $output" "free some space, then run again"
}

build_plan() {
    offered_arguments build
    timings=$(printf '%s' "timing-trt$(fact tensorrt)-sm$(fact sm)-$(fact gpu)$(fact model)" | tr -c 'A-Za-z0-9.-' '_').cache
    [ ! -f "$cache/$timings" ] || cp -- "$cache/$timings" "$work/timing.cache" || disk_full
    build_words=$arguments
    run_trtexec "building" || explain_failure "$?"
    build_seconds=$took
    find_reason always "$work/log"
    [ -s "$work/engine.plan" ] || explain_failure 0
}

keep_timings() {
    [ -s "$work/timing.cache" ] || return 0
    cp -- "$work/timing.cache" "$cache/.$timings.$$" 2>/dev/null && mv -f "$cache/.$timings.$$" "$cache/$timings" && return
    rm -f "$cache/.$timings.$$"
    say "  the timings could not be kept in $cache: the next build takes as long as this one"
}

# At every end but a kill: the log stays, the rest goes.
clean_up() {
    [ ! -f "$work/log" ] || mv -f "$work/log" "$output/build-engine.log"
    rm -rf "$work"
}
