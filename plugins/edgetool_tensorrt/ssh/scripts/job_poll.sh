# Waits until a job has something to tell, then says how it stands and what its log has from a byte on.
#   $1 folder   $2 job   $3 client   $4 bytes of the log that the client has   $5 how it stood, as far as the client
#   knows   $6 seconds to wait
cd && cd -- "$1/jobs/$2" 2>/dev/null || { echo gone; exit 0; }
: >wanted
: >"clients/$3"
naps=$(($6 * 5))
until [ "$naps" -le 0 ] || [ ! -e "$5" ] || [ "$(($(wc -c 2>/dev/null <log)))" -gt "$4" ]; do
    naps=$((naps - 1))
    nap
done
if ended; then
    echo "ended $end"
elif alive; then
    if [ -e waiting ]; then echo "waiting $(cat ../../holder 2>/dev/null)"; else echo "running"; fi
elif ended; then
    echo "ended $end"
else
    echo "vanished $(df -Pk . | awk 'NR == 2 { print $4 }')"
fi
tail -c "+$(($4 + 1))" log 2>/dev/null
exit 0
