# Takes a client's name off a job, and ends the job if no other client wants it.
#   $1 folder   $2 job   $3 client
cd && cd -- "$1/jobs/$2" 2>/dev/null || exit 0
rm -f "clients/$3"
[ -z "$(ls clients)" ] || exit 0
finish cancelled
signal=TERM
for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
    alive || break
    kill "-$signal" "-$leader" 2>/dev/null
    [ "$try" -lt 8 ] || signal=KILL
    nap
done
cd .. && clear_away "$2"
