# SWUpdate runs this before and after it wrote the files, whose hashes it has compared by then.
[ "${1:-}" = postinst ] || exit 0
if [ ! -d "$incoming" ]; then
    echo "edgetool: this version is installed already"
    exit 0
fi
take_over "$path" "$incoming"
switch check "$path" # SWUpdate has no step of its own in which an update is kept
for other in "$path".d/incoming-*; do # of updates that were cut off
    rm -rf "$other"
done
