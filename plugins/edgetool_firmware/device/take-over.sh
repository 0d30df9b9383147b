# take_over PATH INCOMING
# Puts what lies in INCOMING to use as PATH, on trial, if it is healthy; INCOMING is gone afterwards.
take_over() {
    status=0
    chmod -R u=rwX,go=rX "$2" &&
        mv -f "$2/edgetool-health" "$2/edgetool-switch" "$1.d/" &&
        sh "$1.d/edgetool-switch" install --move "$1" "$2/bundle" || status=$?
    rm -rf "$2"
    return "$status"
}

# switch COMMAND PATH
switch() {
    [ ! -f "$2.d/edgetool-switch" ] || sh "$2.d/edgetool-switch" "$1" "$2"
}
