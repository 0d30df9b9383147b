# Runs one command in a process group of its own: in turn with others on this device, as long as a client asks for it.
#   $1 seconds without a client after which it ends   $2 file that serves as lock   $3 kept timing cache, or nothing
#   $4 for whom   rest: the command
patience=$1 lock=$2 timing=$3 who=$4
shift 4
trap '' HUP
echo "$$ $(birth $$)" >pid.new && mv pid.new pid || exit 1

watch() { # clients that poll leave `wanted`
    trap '' TERM
    silent=0
    until ended; do
        sleep 1
        silent=$((silent + 1))
        rm wanted 2>/dev/null && silent=0
        if [ "$silent" -ge "$patience" ]; then
            finish abandoned
            kill -s TERM -- "-$$"
            sleep 3
            kill -s KILL -- "-$$"
        fi
    done
}

take_turn() {
    if command -v flock >/dev/null; then
        exec 9<"$lock" && flock 9
        return
    fi
    until mkdir ../../turn 2>/dev/null; do # without flock(1): a folder, taken over from a holder that is gone
        (cd ../../turn && [ -e pid ] && ! alive && mv ../turn "../turn.$$" && rm -rf "../turn.$$")
        nap
    done
    cp pid ../../turn/pid
}

give_turn() {
    command -v flock >/dev/null || rm -rf ../../turn
}

watch &
take_turn || exit 1
mv waiting running || exit 1 # cancelled meanwhile
echo "$who" >../../holder
"$@" >log 2>&1
code=$?
if [ "$code" = 0 ] && [ -n "$timing" ] && [ -s timing.cache ]; then
    mkdir -p ../../timing && mv timing.cache "../../timing/$timing"
fi
give_turn
finish "$code"
