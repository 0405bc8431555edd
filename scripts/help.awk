# Prints "target  what it does" for each "target: … ## what it does" line; of a static pattern rule, the pattern.
/^\$\([A-Z_]+\): / { sub(/^[^ ]+ /, "") }
/^[a-z][a-zA-Z0-9_%-]*:.* ## / {
    target = $0
    sub(/:.*/, "", target)
    sub(/%/, "NAME", target)
    text = $0
    sub(/.* ## /, "", text)
    printf "  %-14s %s\n", target, text
}
