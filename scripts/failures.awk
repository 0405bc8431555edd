# What failed, from a Criterion program's log: each "[FAIL] suite::test" with the assertions said since the one before,
# and with the last other lines where those do not tell (it crashed, or said none).
BEGIN { KEPT = 5 }
{ gsub(/\033\[[0-9;]*m/, "") }
/^\[FAIL\]|^\[ERR \]/ {
    print
    for (i = assertions > KEPT ? assertions - KEPT : 0; i < assertions; i++)
        print "    " assertion[i]
    for (i = assertions && !/CRASH!$/ ? others : others > KEPT ? others - KEPT : 0; i < others; i++)
        print "    " other[i]
    assertions = others = 0
    next
}
/^\[----\] *$/ { next }
/^\[----\]/ { assertion[assertions++] = $0; next }
/^\{"time":/ || /^[EWID][0-9][0-9][0-9][0-9] / || /^\[(SLOW|SKIP|====)\]/ || /^ *$/ { next }
{ other[others++] = $0 }
