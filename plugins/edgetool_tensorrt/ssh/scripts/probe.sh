# Describes this device: lines KEY=VALUE. Reads, and changes nothing. `conditions` follows.
#   $1 folder where edgetool keeps its files   $2 path of trtexec, or nothing
echo "arch=$(uname -m)"

# What takes a while goes first, and side by side. A banner comes first in the help, and nothing is started for it.
banner() {
    "$1" --help 2>&1 </dev/null | sed -n 's/^.*RUNNING TensorRT[^[]*\[TensorRT \(v[0-9]*\)\].*$/\1/p' | head -n 1
}
trtexecs() {
    seen=:
    for candidate in "$(command -v trtexec)" /usr/src/tensorrt/bin/trtexec; do
        [ -x "$candidate" ] || continue
        real=$(readlink -f "$candidate" 2>/dev/null || echo "$candidate")
        case $seen in *:"$real":*) continue ;; esac
        seen=$seen$real:
        echo "trtexec=$(banner "$candidate") $candidate" &
    done
    wait
}
if [ -z "$2" ]; then
    trtexecs &
elif [ -x "$2" ]; then
    echo "trtexec=$(banner "$2") $2" &
fi
if command -v python3 >/dev/null; then
    {
        version=$(python3 -c 'import importlib.metadata as m; print(m.version("tensorrt"))' 2>/dev/null </dev/null) &&
            echo "python=$version"
    } &
fi

echo "model=$(first /proc/device-tree/model)"
if [ -r /proc/device-tree/compatible ]; then
    echo "compatible=$(tr '\000' ' ' </proc/device-tree/compatible)"
fi
echo "release=$(first /etc/nv_tegra_release)"
echo "os=$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME")"
echo "libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)"
cuda=/usr/local/cuda/version
echo "cuda=$(cat $cuda.json $cuda.txt 2>/dev/null | sed -n 's/^.*[vV]ersion"* *:* *"*\([0-9][0-9.]*\).*$/\1/p' | head -n 1)"
while read -r key value _; do
    case $key in MemTotal: | MemAvailable: | SwapTotal:) echo "memory=$key $value" ;; esac
done </proc/meminfo

cd || exit
folder=$1
until [ -d "$folder" ]; do
    case $folder in
    */*) folder=${folder%/*} && [ -n "$folder" ] || folder=/ ;;
    *) folder=. ;;
    esac
done
echo "disk=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')"

for program in flock nice nvpmodel setsid sha256sum tar timeout; do
    command -v "$program" >/dev/null && echo "program=$program"
done
if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f '${db:Status-Abbrev}${Package} ${Version}\n' \
        libnvinfer7 libnvinfer8 libnvinfer10 libnvinfer11 nvidia-jetpack nvidia-l4t-core 2>/dev/null |
        sed -n 's/^ii */package=/p'
fi
