# shellcheck shell=sh
# What the bundle was made for: lines `name value` in kit/target, written when the bundle was built.

# wanted NAME: all values of a name, one a line.
wanted() {
    awk -v name="$1" '$1 == name { sub(/^[^ ]+ /, ""); print }' "$kit/target"
}
