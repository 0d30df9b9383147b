# RAUC runs this instead of writing the image, after it has checked the bundle.
[ "${1:-}" = slot-install ] || exit 0
incoming=$path.d/incoming-rauc
rm -rf "$incoming"
mkdir -p "$incoming"
tar -xf "$RAUC_IMAGE_NAME" -C "$incoming" || {
    rm -rf "$incoming"
    exit 1
}
take_over "$path" "$incoming"
switch check "$path" # RAUC has no step of its own in which an update is kept
