# shellcheck shell=sh
# Whether every byte of the bundle is as its manifest says.

# Sets `manifest` (rows) and `content_digest`; ends with exit 7 and all differences otherwise.
verify_bundle() {
    manifest=$(json_rows "$bundle/manifest.json" 2>/dev/null) && [ "$(row "$manifest" schema_version)" = 1 ] ||
        fail 7 bundle-damaged "the manifest cannot be read: $bundle/manifest.json" "get the bundle again"
    files=$(bundle_files)
    listed=$(listed_files)
    faults=$({
        cd -- "$bundle" && find . ! -type f ! -type d | sed 's|^\./|foreign |'
        printf '%s\n' "$files" | sed 's/^/found /'
        printf '%s\n' "$listed" | sed 's/^/listed /'
    } | difference)
    if [ -n "$faults" ]; then
        say "$(printf '%s\n' "$faults" | tr -cd '\012\040-\176' | sed 's/^/  /' | head_and_count)"
        fail 7 bundle-damaged "the bundle is not what was recorded: $bundle" "copy the bundle again"
    fi
    content_digest=$(printf '%s\n' "$files" | sha256sum | cut -d ' ' -f 1)
    compare_digest
}

# `sha256  path` of every file but the measurements, which no digest covers; sorted.
bundle_files() (
    cd -- "$bundle" || exit 7
    find . -type f ! -path ./reports/measurements.json -exec sha256sum {} + 2>/dev/null | sed 's|  \./|  |' | sort
)

# The same lines as the manifest has them.
listed_files() {
    printf '%s\n' "$manifest" | awk -F '\t' '
        $1 ~ /^files\.[0-9]+\.(path|sha256)$/ {
            split($1, part, ".")
            field[part[2], part[3]] = $2
            if ((part[2], "path") in field && (part[2], "sha256") in field)
                print field[part[2], "sha256"] "  " field[part[2], "path"]
        }'
}

# Of lines `found SHA  PATH`, `listed SHA  PATH` and `foreign PATH`: what does not fit, one a line.
difference() {
    awk '
        $1 == "foreign" { print "neither file nor folder: " substr($0, 9); next }
        { path = substr($0, length($1) + 68); if (path == "manifest.json" || path == "") next; sha[$1, path] = $2 }
        $1 == "found" { found[path] }
        $1 == "listed" { listed[path] }
        END {
            for (path in listed)
                if (!(path in found)) print "missing: " path
                else if (sha["found", path] != sha["listed", path]) print "changed: " path
            for (path in found)
                if (!(path in listed)) print "not listed: " path
        }' | sort
}

head_and_count() {
    awk 'NR <= 10 { print } END { if (NR > 10) print "  and " NR - 10 " more" }'
}

compare_digest() {
    if [ -f "$bundle/reports/measurements.json" ]; then
        measurements=$(json_rows "$bundle/reports/measurements.json" 2>/dev/null) || measurements=
        recorded=$(row "$measurements" content_digest)
        [ "$recorded" = "$content_digest" ] ||
            fail 7 bundle-damaged "the content digest is $content_digest, recorded is $(printable "$recorded")" \
                "copy the bundle again"
    fi
    [ -z "$expected" ] || [ "$(printf '%s' "$expected" | tr 'A-F' 'a-f')" = "$content_digest" ] ||
        fail 7 bundle-damaged "the content digest is $content_digest, expected was $(printable "$expected")" \
            "get the right bundle"
}
