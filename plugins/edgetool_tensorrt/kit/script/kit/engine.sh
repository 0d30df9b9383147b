# shellcheck shell=sh
# engine.json: what an engine is, what it was built from and on; written last, checked before every load.

# check_engine DIR: whether the engine there is whole, from this bundle, and built on a device like this one. Writes
# nothing. Otherwise sets `fault_code` and `fault`, and returns the exit code.
check_engine() {
    fault_code=engine-missing
    fault="there is no engine: $1"
    [ -f "$1/engine.json" ] && [ -f "$1/engine.plan" ] || return 7
    if [ -n "$public_key" ]; then
        fault_code=signature-invalid
        fault="engine.json is not signed with this key: $public_key"
        is_signed "$1/engine.json" "$1/engine.json.sig" || return 7
    fi
    fault_code=damaged-engine
    fault="engine.json cannot be read"
    recorded=$(json_rows "$1/engine.json" 2>/dev/null) && [ "$(row "$recorded" schema_version)" = 1 ] || return 7
    fault="engine.plan is not what engine.json records"
    [ "$(sha256sum <"$1/engine.plan" | cut -d ' ' -f 1)" = "$(row "$recorded" engine.sha256)" ] || return 7
    fault_code=engine-of-another-bundle
    fault="the engine was built from another bundle"
    [ "$(row "$recorded" bundle.content_digest)" = "$content_digest" ] || return 7
    fault_code=engine-of-another-device
    fault="the engine was built on another device or with other software: $(changed_facts "$recorded")"
    [ -z "$(changed_facts "$recorded")" ] || return 6
}

# changed_facts ROWS: `name was A, is B` of all facts that differ.
changed_facts() {
    {
        printf '%s\n' "$1" | sed -n 's/^device\.\([a-z0-9]*\)	/was \1 /p'
        printf '%s\n' "$device" | sed 's/^/is /'
    } | awk '
        NF > 2 { name = $2; names[name]; value = $0; sub(/^[a-z]+ [a-z0-9]+ /, "", value); fact[$1, name] = value }
        END {
            for (name in names)
                if (fact["was", name] != fact["is", name]) {
                    printf "%s%s was %s, is %s", separator, name, known(fact["was", name]), known(fact["is", name])
                    separator = "; "
                }
        }
        function known(value) { return value == "" ? "not known" : value }'
}

# Writes engine.json and, with --sign, its signature into `work`.
write_record() {
    {
        printf '{\n  "schema_version": 1,\n'
        printf '  "engine": {\n    "file": "engine.plan",\n    "sha256": "%s",\n    "size": %s\n  },\n' \
            "$engine_sha256" "$engine_size"
        printf '  "bundle": {\n    "name": %s,\n    "version": %s,\n    "content_digest": "%s"\n  },\n' \
            "$(json_string "$(row "$manifest" name)")" "$(json_string "$(row "$manifest" version)")" "$content_digest"
        printf '  "device": {\n'
        printf '%s\n' "$device" | json_members
        printf '  },\n'
        [ -z "$(wanted stand_in)" ] || printf '  "stand_in": %s,\n' "$(json_string "$(wanted stand_in)")"
        printf '  "trtexec": {\n    "path": %s,\n    "arguments": [' "$(json_string "$trtexec")"
        printf '%s' "$build_words" | json_list
        printf ']\n  },\n'
        printf '  "build_seconds": %s,\n' "$build_seconds"
        printf '  "latency_ms": %s,\n' "${latency:-null}"
        printf '  "golden": %s\n}\n' "${golden:-null}"
    } >"$work/engine.json" && json_rows "$work/engine.json" >/dev/null || disk_full
    [ -z "$signing_key" ] || sign "$work/engine.json" "$work/engine.json.sig"
}

# sign FILE SIGNATURE
sign() {
    # OpenSSL 3 opens a pkcs11: URI through its provider, OpenSSL 1 through an engine.
    case $signing_key:$(openssl version) in
        pkcs11:*:"OpenSSL 1."*)
            openssl dgst -sha256 -engine pkcs11 -keyform engine -sign "$signing_key" -out "$2" "$1"
            ;;
        *) openssl dgst -sha256 -sign "$signing_key" -out "$2" "$1" ;;
    esac 2>>"$work/log" </dev/null ||
        fail 5 signing-failed "openssl cannot sign with $signing_key" \
            "its words are in $output/build-engine.log; RSA and EC keys are taken"
}

# is_signed FILE SIGNATURE
is_signed() {
    openssl dgst -sha256 -verify "$public_key" -signature "$2" "$1" >/dev/null 2>&1
}

# A key that cannot sign, or does not go with the public one, is better known before the build than after it.
try_key() {
    sign /dev/null "$work/trial.sig"
    [ -z "$public_key" ] || is_signed /dev/null "$work/trial.sig" ||
        fail 2 wrong-arguments "the keys of --sign and --verify-key are no pair" \
            "openssl pkey -in KEY -pubout prints the right one"
}

# Lines as the items of a JSON list.
json_list() {
    separator=
    while IFS= read -r item; do
        [ -n "$item" ] || continue
        printf '%s%s' "$separator" "$(json_string "$item")"
        separator=', '
    done
}

# Moves engine and record into place, the record last: at any moment there is the old engine, none, or the new one.
publish() {
    sync
    rm -f "$output/engine.json" "$output/engine.json.sig" &&
        mv -f "$work/engine.plan" "$output/engine.plan" &&
        { [ -z "$signing_key" ] || mv -f "$work/engine.json.sig" "$output/engine.json.sig"; } &&
        mv -f "$work/engine.json" "$output/engine.json" ||
        fail 10 host-failed "the engine cannot be put into place: $output" "look at the disk, then run again"
    sync
}
