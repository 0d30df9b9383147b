# Runs one command in a process group of its own: in turn with others on this device, as long as a client asks for it.
#   $1 seconds without a client after which it ends   $2 file that serves as lock   $3 kept timing cache, or nothing
#   $4 for whom   rest: the command
patience=$1 lock=$2 timing=$3 who=$4
shift 4
trap '' HUP
process $$ && echo "$$ $birth" >pid.new && mv pid.new pid || exit 1

watch() { # clients that ask leave `wanted`
    trap '' TERM
    silent=0
    while [ -e waiting ] || [ -e running ]; do
        sleep 1
        silent=$((silent + 1))
        rm wanted 2>/dev/null && silent=0
        if [ "$silent" -ge "$patience" ]; then
            stop abandoned
        elif ! process $$ || [ "$state" = Z ]; then
            stop vanished
        fi
    done
}

stop() {
    finish "$1" || return # it ended by itself
    kill -TERM "-$$"
    sleep 3
    kill -KILL "-$$"
}

take_turn() {
    [ -r "$lock" ] && exec 9<"$lock" && flock 9 2>/dev/null && return
    until mkdir ../../turn 2>/dev/null; do # without flock: a folder, taken over from a holder that is gone
        (cd ../../turn && [ -e pid ] && ! alive && mv ../turn "../turn.$$" && rm -rf "../turn.$$")
        nap
    done
    cp pid ../../turn/pid
}

give_turn() {
    cmp -s pid ../../turn/pid && rm -rf ../../turn
}

watch &
take_turn
mv waiting running || exit 1 # cancelled meanwhile
echo "$who" >../../holder
"$@" >log 2>&1
code=$?
if [ "$code" = 0 ] && [ -n "$timing" ] && [ -s timing.cache ]; then
    mkdir -p ../../timing && mv timing.cache "../../timing/$timing"
fi
give_turn
finish "$code"
