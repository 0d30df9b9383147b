# shellcheck shell=sh
# What this device is, and whether it is the one that the bundle was made for.

device_root=${EDGETOOL_DEVICE_ROOT-} # tests describe a device in a folder of their own

# Sets `trtexec`, `trtexec_help`, and `device`: lines `name value`, without those that the device does not tell.
find_device() {
    [ -z "$device_root" ] || say "the board is described by $device_root, not by this device"
    find_trtexec
    gpu= driver=
    if command -v nvidia-smi >/dev/null 2>&1; then
        gpu=$(nvidia_smi name)
        driver=$(nvidia_smi driver_version)
    fi
    find_chip
    device=$({
        printf 'arch %s\n' "$(uname -m)"
        printf 'sm %s\n' "$sm"
        printf 'soc %s\n' "$soc"
        printf 'gpu %s\n' "$gpu"
        printf 'model %s\n' "$(device_tree model | tail -n 1)"
        printf 'l4t %s\n' "$(l4t_release)"
        printf 'driver %s\n' "$driver"
        printf 'tensorrt %s\n' "$(printf '%s\n' "$trtexec_help" | tensorrt_version)"
    } | awk 'NF > 1')
}

# fact NAME: one value of the device.
fact() {
    printf '%s\n' "$device" | awk -v name="$1" '$1 == name { sub(/^[^ ]+ /, ""); print }'
}

find_trtexec() {
    [ -n "$trtexec" ] || trtexec=$(wanted trtexec)
    [ -n "$trtexec" ] || trtexec=$(command -v trtexec) || trtexec=/usr/src/tensorrt/bin/trtexec
    case $trtexec in
        /*) ;;
        */*) trtexec=$(pwd)/$trtexec ;;
        *) trtexec=$(command -v "$trtexec") ;;
    esac
    [ -f "$trtexec" ] && [ -x "$trtexec" ] ||
        fail 6 device-without-trtexec "there is no trtexec: ${trtexec:-not on PATH}" \
            "apt install tensorrt, or say --trtexec PATH"
    trtexec_help=$("$trtexec" --help 2>&1 </dev/null)
}

# 10.3.0.30 of `[TensorRT v100300] [b30]`, 8.5.2 of `[TensorRT v8502]`
tensorrt_version() {
    sed -n 's/.*\[TensorRT v\([0-9][0-9]*\)\]\(.*\)/\1 \2/p' | awk '
        NR == 1 {
            if (length($1) == 4) version = substr($1, 1, 1) "." substr($1, 2, 1) "." substr($1, 3) + 0
            else version = int($1 / 10000) "." int($1 / 100) % 100 "." $1 % 100
            if (match($2, /^\[b[1-9][0-9]*\]/)) version = version "." substr($2, 3, RLENGTH - 3)
            print version
        }'
}

nvidia_smi() {
    nvidia-smi --query-gpu="$1" --format=csv,noheader 2>/dev/null </dev/null | sed -n '1{/N\/A/d;/[Nn]ot supported/d;p;}'
}

# The strings of a property, one a line.
device_tree() {
    [ -r "$device_root/proc/device-tree/$1" ] && tr '\000' '\n' <"$device_root/proc/device-tree/$1"
}

# Sets `soc` and `sm`, by the table of chips in kit/target, else by what the driver says.
find_chip() {
    soc=$(device_tree compatible | sed -n 's/^nvidia,\(tegra[0-9a-z]*\)$/\1/p' | tail -n 1)
    sm=
    if [ -n "$soc" ]; then
        chip=$(wanted chip | awk -v soc="$soc" '$1 == soc { print $2, $3 }')
        soc=${chip% *}
        sm=${chip#* }
    elif command -v nvidia-smi >/dev/null 2>&1; then
        sm=$(nvidia_smi compute_cap | tr -cd '0-9')
    fi
}

# 36.4.3 of `# R36 (release), REVISION: 4.3, ...`
l4t_release() {
    if [ -r "$device_root/etc/nv_tegra_release" ]; then
        sed -n '1s/^# R\([0-9]*\) (release), REVISION: \([0-9.]*\).*/\1.\2/p' "$device_root/etc/nv_tegra_release"
    elif [ -z "$device_root" ] && command -v dpkg-query >/dev/null 2>&1; then
        dpkg-query -W -f='${Version}\n' nvidia-l4t-core 2>/dev/null | sed -n '1s/-.*//p'
    fi
}

# Every fact that the target names must be the device's; all differences are told at once.
compare_device() {
    differences=0
    for name in arch soc sm tensorrt l4t; do
        [ -n "$(wanted "$name")" ] || continue
        found=$(fact "$name")
        fits=
        for one in $(wanted "$name"); do
            agree "$name" "$one" "$found" && fits=yes
        done
        [ -n "$fits" ] && continue
        or=$(wanted "$name" | tr '\n' ' ' | sed 's/ $//; s/ / or /g')
        say "  $name is ${found:-not known}, the bundle is for $or$(why "$name")"
        differences=$((differences + 1))
    done
    [ "$differences" -eq 0 ] ||
        fail 6 device-not-as-described "this is not the device that the bundle is for" \
            "change [targets.NAME.facts] to what the device has, and build the bundle again"
    [ -z "$(wanted stand_in)" ] || say "this device is a stand-in ($(wanted stand_in)): it proves nothing for the real one"
}

# agree NAME WANTED FOUND: versions agree as far as both name their numbers, everything else is equal.
agree() {
    case $1 in
        tensorrt | l4t)
            [ -n "$3" ] || return 1
            case $3. in "$2".*) return 0 ;; esac
            case $2. in "$3".*) return 0 ;; esac
            return 1
            ;;
        *) [ "$2" = "$3" ] ;;
    esac
}

why() {
    [ "$1" = l4t ] && [ -n "$(wanted jetpack)" ] && printf ' (JetPack %s)' "$(wanted jetpack)"
}
