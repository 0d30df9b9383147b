# Update module of Mender (protocol version 3): STATE FOLDER. Belongs to /usr/share/mender/modules/v3/edgetool-model.
# FOLDER/files has `path`, where the bundle shall be, `index`, a line `NUMBER NAME` for each file, and the files by number.
# Mender has checked the signature and all hashes by then.

state=$1
payload=$2/files

fail() {
    echo "edgetool-model: $*" >&2
    exit 1
}

read_path() {
    [ -f "$payload/path" ] || fail "the artifact does not say where the bundle shall be"
    read -r path <"$payload/path"
    case $path in
    *[!A-Za-z0-9._/+-]* | */../* | */.. | */./* | */. | *//* | */) fail "not a path for a bundle: $path" ;;
    /?*) ;;
    *) fail "not an absolute path: $path" ;;
    esac
    incoming=$path.d/incoming-mender
}

# Files are moved: on the same file system a large engine is never copied.
unfold() {
    rm -rf "$incoming"
    while IFS= read -r line; do
        number=${line%% *} name=${line#* }
        case $number in *[!0-9]* | '') fail "not a line of the index: $line" ;; esac
        case /$name/ in */../* | */./* | *//*) fail "not a name for a file: $name" ;; esac
        mkdir -p "$(dirname "$incoming/$name")"
        mv "$payload/$number" "$incoming/$name"
    done <"$payload/index"
}

case $state in
NeedsArtifactReboot)
    echo No
    ;;
SupportsRollback)
    echo Yes
    ;;
ArtifactInstall)
    read_path
    unfold
    take_over "$path" "$incoming"
    ;;
ArtifactCommit)
    read_path
    switch check "$path"
    ;;
ArtifactRollback)
    read_path
    switch abandon "$path"
    ;;
Cleanup)
    [ ! -f "$payload/path" ] || {
        read_path
        rm -rf "$incoming"
    }
    ;;
esac
