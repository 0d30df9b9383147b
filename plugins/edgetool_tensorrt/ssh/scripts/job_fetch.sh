# Sends files of a job: their lines of sha256sum, an empty line, a tar. What is not there is left out.
#   $1 folder   $2 job   rest: names
cd && cd -- "$1/jobs/$2" || exit 1
shift 2
count=$#
while [ "$count" -gt 0 ]; do
    [ -e "$1" ] && set -- "$@" "$1"
    shift
    count=$((count - 1))
done
[ "$#" -gt 0 ] || { echo "the job left no result" >&2; exit 1; }
sha256sum -- "$@" && echo && tar -cf - -- "$@"
