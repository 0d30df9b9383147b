# shellcheck shell=sh
# Runs the bundle's golden inputs through the new engine, and compares with the golden outputs.

# Sets `golden`: what came out, as JSON. Ends with exit 4 where an output is not what it should be.
run_golden() {
    golden=
    [ -f "$bundle/io/index.json" ] || {
        say "  the bundle has no golden inputs: the engine was not tried"
        return
    }
    index=$(json_rows "$bundle/io/index.json") ||
        fail 7 bundle-damaged "io/index.json cannot be read" "get the bundle again"
    min_cosine=$(row "$index" min_cosine)
    min_cosine=${min_cosine:-0.999}
    compared=
    wrong=0
    case_number=0
    while [ -n "$(row "$index" "cases.$case_number.outputs.0.file")" ]; do
        run_case
        case_number=$((case_number + 1))
    done
    [ "$wrong" -eq 0 ] ||
        fail 4 self-test-failed "the engine computes something else than the golden outputs" \
            "edgetool validate BUNDLE --on HOST compares more closely; the log is $output/build-engine.log"
    golden=$(printf '{\n    "made_by": %s,\n    "min_cosine": %s,\n    "outputs": [%s\n    ]\n  }' \
        "$(json_string "$(row "$index" made_by)")" "$min_cosine" "$compared")
}

run_case() {
    rm -f "$work/outputs.json"
    offered_arguments run
    lay_out_inputs
    run_trtexec "trying the golden inputs" || explain_failure "$?"
    number=0
    while :; do
        prefix=cases.$case_number.outputs.$number
        file=$(row "$index" "$prefix.file")
        [ -n "$file" ] || break
        compare_output "$(row "$index" "$prefix.name")" "$(row "$index" "$prefix.dtype")" "$bundle/io/$file"
        number=$((number + 1))
    done
}

# Copies the inputs under the names that the arguments have for them, and adds the shapes of those that vary.
lay_out_inputs() {
    shapes=
    number=0
    while :; do
        prefix=cases.$case_number.inputs.$number
        file=$(row "$index" "$prefix.file")
        [ -n "$file" ] || break
        name=$(row "$index" "$prefix.name")
        input=$(wanted input | awk -v name="$name" '$3 == name') # position, fixed or varies, name
        lay_out "$bundle/io/$file" "$(row "$index" "$prefix.dtype")" "$work/input${input%% *}.bin" || disk_full
        case $input in
            *" varies "*) shapes="$shapes,$name:$(shape_of "$prefix.shape")" ;;
        esac
        number=$((number + 1))
    done
    add_shapes
}

add_shapes() {
    [ -z "$shapes" ] || arguments="$arguments--shapes=${shapes#,}
"
}

# lay_out FILE DTYPE COPY: TensorRT before 10 takes int64 inputs as int32.
lay_out() {
    case $2:$(fact tensorrt) in
        int64:8.*)
            narrowed=$(od -A n -v -t o1 "$1" | awk -f "$kit/narrow.awk") ||
                fail 3 input-beyond-int32 "a golden input does not fit into the 32 bits that this TensorRT takes" \
                    "use TensorRT 10 or newer"
            # shellcheck disable=SC2059  # octal escapes are what is wanted
            printf "$narrowed" >"$3"
            ;;
        *) cp -- "$1" "$3" ;;
    esac
}

# shape_of PATH: 1x3x224x224
shape_of() {
    printf '%s\n' "$index" | awk -F '\t' -v path="$1." '
        index($1, path) == 1 { shape = shape (shape == "" ? "" : "x") $2 }
        END { print shape }'
}

# compare_output NAME DTYPE FILE: adds to `compared`, and to `wrong` where they differ.
compare_output() {
    od -A n -v -t u1 "$3" | awk -v dtype="$2" -f "$kit/numbers.awk" >"$work/golden" ||
        fail 7 bundle-damaged "the golden output $1 cannot be read" "get the bundle again"
    awk -v name="$1" -f "$kit/outputs.awk" "$work/outputs.json" >"$work/values" 2>/dev/null || : # no file, no values
    verdict=$(paste "$work/golden" "$work/values" |
        awk -F '\t' -v dtype="$2" -v min_cosine="$min_cosine" -f "$kit/compare.awk")
    say "  output $1: ${verdict#* }"
    case $verdict in
        ok\ *) ;;
        *) wrong=$((wrong + 1)) ;;
    esac
    compared="$compared${compared:+,}
      { \"name\": $(json_string "$1"), \"found\": $(json_string "${verdict#* }") }"
    rm -f "$work/golden" "$work/values"
}

# Sets `latency`: of inferences that are timed apart from the outputs, with settings that do not depend on the version.
measure_latency() {
    latency=
    [ -f "$work/input0.bin" ] || return 0
    offered_arguments measure
    add_shapes
    run_trtexec "measuring" || explain_failure "$?"
    # shellcheck disable=SC2046  # six numbers
    set -- $(sed -n 's/.*"latencyMs" *: *\([0-9.e+-]*\).*/\1/p' "$work/times.json" | sort -g |
        awk -f "$kit/times.awk")
    [ $# -eq 6 ] || return 0
    latency="{ \"runs\": $1, \"min\": $2, \"mean\": $3, \"median\": $4, \"p99\": $5, \"max\": $6 }"
    say "  latency: median $4 ms, p99 $5 ms"
}
