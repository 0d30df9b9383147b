# shellcheck shell=sh
# Reading and writing JSON with awk and sed.

# Every value of a document as a line: path, tab, value. Fails where the text is no JSON.
json_rows() {
    awk -f "$kit/json.awk" "$1"
}

# row ROWS PATH: the value at one path; empty where there is none.
row() {
    printf '%s\n' "$1" | awk -F '\t' -v path="$2" '$1 == path && !found { print $2; found = 1 }'
}

# A text as a JSON string. Control characters are dropped.
json_string() {
    printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037\177' | sed 's/[\\"]/\\&/g')"
}

# Lines of `name value` as the members of a JSON object of strings, indented.
json_members() {
    separator=
    while IFS=' ' read -r name value; do
        [ -n "$name" ] || continue
        printf '%s    %s: %s' "$separator" "$(json_string "$name")" "$(json_string "$value")"
        separator=",
"
    done
    printf '\n'
}
