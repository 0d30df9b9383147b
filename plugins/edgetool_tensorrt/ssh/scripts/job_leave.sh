# Takes a client's name off a job that is over; the last one moves its engine into the store and clears the rest away.
#   $1 folder   $2 job   $3 client   $4 name of the engine, or nothing   $5 digest of its list in the store
cd && cd -- "$1/jobs/$2" 2>/dev/null || exit 0
rm -f "clients/$3"
[ -z "$(ls clients)" ] || exit 0
if [ -n "$4" ] && [ -e "$4" ] && [ ! -e "../../store/$5" ]; then
    mkdir -p "../../store/.$5.$$" && mv "$4" "../../store/.$5.$$/$4" && mv "../../store/.$5.$$" "../../store/$5"
    rm -rf "../../store/$5/.$5.$$"
fi
cd .. && clear_away "$2"
