# Takes files into the store: written aside, compared with the list, renamed into place as a whole.
#   $1 folder   $2 digest of the list   $3 list: lines of sha256sum   stdin: tar
enter "$1/store"
find . -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -rf {} + 2>/dev/null

aside=.$2.$$
trap 'rm -rf "$aside"' EXIT
trap 'exit 1' HUP INT PIPE TERM

fits() {
    (cd "$1" && printf '%s\n' "$2" | sha256sum -c -) >/dev/null 2>&1
}

mkdir "$aside" && tar -xof - -C "$aside" || exit 1
fits "$aside" "$3" || {
    echo "the files did not arrive as they were sent" >&2
    exit 1
}
if [ -e "$2" ] && ! fits "$2" "$3"; then
    mv "$2" "$aside.old" && rm -rf "$aside.old"
fi
mv "$aside" "$2" || exit 1
rm -rf "${2:?}/$aside" # another client was faster, and mv went inside
