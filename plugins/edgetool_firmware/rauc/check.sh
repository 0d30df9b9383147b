# RAUC runs this after it has written the image to a slot: an image that is not healthy fails the installation.
[ "${1:-}" = slot-post-install ] || exit 0
folder=$(mktemp -d)
trap 'umount "$folder" 2>/dev/null; rmdir "$folder"' EXIT
mount -o ro "$RAUC_SLOT_DEVICE" "$folder"
sh "$folder/edgetool-health" "$folder/bundle"
