#!/bin/sh
# Builds this bundle's TensorRT engine on the device that it is for, and checks one before it is loaded.
# POSIX sh with trtexec and coreutils or busybox; `sh build-engine.sh --help` says what it does.
# shellcheck source-path=SCRIPTDIR

set -u
LC_ALL=C
export LC_ALL
unset CDPATH

here=$(cd -- "$(dirname -- "$0")" && pwd -P) || exit 5
kit=$here/kit       # what this script is made of, and what it knows of its target
bundle=${here%/*}   # never written to
bundle=${bundle:-/}
output=             # where the engine goes
check=              # where an engine is, that is only to be checked
cache=              # where tactic timings are kept
expected=           # content digest that the bundle must have
signing_key=
public_key=
trtexec=
rebuild=

for piece in say json target device integrity engine trtexec golden build; do
    [ -r "$kit/$piece.sh" ] || {
        printf 'error[bundle-damaged]: %s is missing\n' "$kit/$piece.sh" >&2
        exit 7
    }
done
# shellcheck source=kit/say.sh
. "$kit/say.sh"
# shellcheck source=kit/json.sh
. "$kit/json.sh"
# shellcheck source=kit/target.sh
. "$kit/target.sh"
# shellcheck source=kit/device.sh
. "$kit/device.sh"
# shellcheck source=kit/integrity.sh
. "$kit/integrity.sh"
# shellcheck source=kit/engine.sh
. "$kit/engine.sh"
# shellcheck source=kit/trtexec.sh
. "$kit/trtexec.sh"
# shellcheck source=kit/golden.sh
. "$kit/golden.sh"
# shellcheck source=kit/build.sh
. "$kit/build.sh"

usage() {
    cat <<'END'
usage: sh build-engine.sh --output DIR [options]    build the engine here, unless one that fits is in DIR
       sh build-engine.sh --check DIR [options]     check the engine in DIR before it is loaded; writes nothing

Both print the path of the engine. DIR holds engine.plan, engine.json (hashes, device, timing) and build-engine.log.

  --output DIR      folder for the engine, outside of the bundle; made if it is not there
  --check DIR       compare engine, bundle and device with engine.json
  --cache DIR       keep tactic timings here, for later builds on boards of the same model (default: --output)
  --digest HEX      content digest that the bundle must have, as `edgetool verify` prints it
  --sign KEY        sign engine.json, with a file or a pkcs11: URI as `openssl dgst -sign` takes it (RSA or EC)
  --verify-key PUB  public key that engine.json must be signed with
  --trtexec PATH    trtexec to use (default: the target's, the one on PATH, /usr/src/tensorrt/bin/trtexec)
  --rebuild         build even if an engine that fits is there
  --help            this text

Exit codes: 0 the engine fits · 2 usage · 3 TensorRT refuses the model · 4 the engine computes something else than
the golden outputs · 5 trtexec or openssl fails · 6 not the device that the bundle is for, or a program is missing ·
7 bundle or engine are not what was recorded · 10 disk full, out of memory, permission · 130 interrupted
END
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage && exit 0 ;;
        --rebuild) rebuild=yes && shift && continue ;;
        --*=*)
            option=${1%%=*}
            value=${1#*=}
            shift
            ;;
        --output | --check | --cache | --digest | --sign | --verify-key | --trtexec)
            [ $# -ge 2 ] || fail 2 wrong-arguments "$1 needs a value" "sh build-engine.sh --help"
            option=$1
            value=$2
            shift 2
            ;;
        *) fail 2 wrong-arguments "unknown argument $(printable "$1")" "sh build-engine.sh --help" ;;
    esac
    [ -n "$value" ] || fail 2 wrong-arguments "$option needs a value" "sh build-engine.sh --help"
    case $option in
        --output) output=$value ;;
        --check) check=$value ;;
        --cache) cache=$value ;;
        --digest) expected=$value ;;
        --sign) signing_key=$value ;;
        --verify-key) public_key=$value ;;
        --trtexec) trtexec=$value ;;
        *) fail 2 wrong-arguments "unknown option $(printable "$option")" "sh build-engine.sh --help" ;;
    esac
done
[ -n "$output$check" ] || fail 2 wrong-arguments "say --output DIR to build, or --check DIR" "sh build-engine.sh --help"
[ -z "$output" ] || [ -z "$check" ] ||
    fail 2 wrong-arguments "--output builds and --check only looks: choose one" "sh build-engine.sh --help"
[ -z "$output" ] || [ -z "$public_key" ] || [ -n "$signing_key" ] ||
    fail 2 wrong-arguments "--verify-key with --output needs --sign" "sh build-engine.sh --help"

trap 'stop_trtexec; say "error[interrupted-by-user]: interrupted"; exit 130' INT TERM HUP
require_programs
verify_bundle
find_device
compare_device
if [ -n "$check" ]; then
    check_engine "$check" || fail "$?" "$fault_code" "$fault" "sh $0 --output $check builds the engine again"
    printf '%s\n' "${check%/}/engine.plan"
else
    build_engine
    printf '%s\n' "$output/engine.plan"
fi
