# Starts a job, or joins it where it runs already or has left a result. Says `started` or `joined`.
#   $1 folder   $2 job   $3 client   $4 seconds that the job outlives its last client   $5 file that serves as lock
#   $6 kept timing cache, or nothing   $7 who asks   rest: the command   stdin: tar with `supervise` and the job's files
folder=$1 job=$2 client=$3 patience=$4 lock=$5 timing=$6 who=$7
shift 7
enter "$folder/jobs"
find ../logs -mindepth 1 -mtime +14 -exec rm -f {} + 2>/dev/null
find . -mindepth 2 -maxdepth 2 -name 'end.*' -mtime +14 | while read -r old; do rm -rf "${old%/*}"; done
tries=0
until mkdir "$job" 2>/dev/null; do
    [ -d "$job" ] || { mkdir "$job"; exit 1; }
    if cd "$job" 2>/dev/null; then
        if [ -e end.0 ] || { ! ended && alive; }; then
            : >wanted
            : >"clients/$client" && echo joined && exit 0
        fi
        cd ..
        if [ -e "$job/pid" ] || [ "$tries" -gt 25 ]; then # over, or its client died while it started it
            rm -rf "$job"
        fi
    fi
    tries=$((tries + 1))
    nap
done

give_up() {
    cat supervise.log >&2 2>/dev/null
    cd .. && rm -rf "$job"
    exit 1
}

cd "$job" && mkdir clients && : >"clients/$client" && : >wanted && : >waiting && : >log && tar -xof - || give_up
[ -z "$timing" ] || cp "../../timing/$timing" timing.cache 2>/dev/null
setsid sh supervise "$patience" "$lock" "$timing" "$who" "$@" </dev/null >supervise.log 2>&1 &
tries=0
until [ -e pid ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || give_up
    nap 0.05
done
echo started
