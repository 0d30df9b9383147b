# Prints every scalar of a JSON document as `path<tab>value`, e.g. `files.0.path<tab>model/model.onnx`.
# Tokens must not be broken over lines, which no JSON writer does. Exit 1 where the text is no JSON.

function path(    text, level) {
    for (level = 1; level <= depth; level++)
        text = text (level > 1 ? "." : "") key[level]
    return text
}

function value(text) {
    if (!expected || depth == 0) broken()
    print path() "\t" text
    expected = 0
}

function enter(kind) {
    if (depth > 0 && !expected) broken()
    if (depth == 0 && started++) broken()
    container[++depth] = kind
    key[depth] = (kind == "[") ? 0 : ""
    keyed = 0
    expected = (kind == "[")
}

function leave(kind) {
    if (depth == 0 || container[depth] != kind) broken()
    depth--
    expected = 0
}

function unescaped(text,    plain, position) {
    while (position = index(text, "\\")) {
        plain = plain substr(text, 1, position - 1)
        if (substr(text, position + 1, 1) !~ /["\\\/]/) plain = plain "\\"
        plain = plain substr(text, position + 1, 1)
        text = substr(text, position + 2)
    }
    return plain text
}

function broken() {
    bad = 1
    exit 1
}

{
    rest = $0
    while (rest != "") {
        sign = substr(rest, 1, 1)
        used = 1
        if (sign == "{" || sign == "[") enter(sign)
        else if (sign == "}") leave("{")
        else if (sign == "]") leave("[")
        else if (sign == ":") {
            if (container[depth] != "{" || !keyed) broken()
            keyed = 0
            expected = 1
        } else if (sign == ",") {
            if (depth == 0 || expected) broken()
            if (container[depth] == "[") { key[depth]++; expected = 1 }
        } else if (sign == "\"") {
            if (!match(rest, /^"([^"\\]|\\.)*"/)) broken()
            used = RLENGTH
            text = unescaped(substr(rest, 2, used - 2))
            if (container[depth] == "{" && !expected) { key[depth] = text; keyed = 1 }
            else value(text)
        } else if (match(rest, /^[ \t\r]+/)) used = RLENGTH
        else if (match(rest, /^[-+.0-9A-Za-z]+/)) {
            used = RLENGTH
            value(substr(rest, 1, used))
        } else broken()
        rest = substr(rest, used + 1)
    }
}

END { if (bad || depth != 0 || !started) exit 1 }
