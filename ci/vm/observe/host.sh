#!/usr/bin/env bash
# Nothing enters a logged guest unseen or between two sync points, and nothing of another domain is in its log.
# A guest digests all that it sees: the log's records give the same digest. A guest that spins for seconds sees no change until
# its next hypercall. Controls: a log with one record altered gives another digest; an unlogged guest beside it sees changes.
# takes: 104 s
set -euo pipefail
here=ci/vm/observe
out=${XENLR_RIG_OUT:-$(mktemp -d)}
"$RIG" --smp 2 --out "$out" "$here/dom0.sh"

echo "digest of the guest against that of the log:"
minios-guest/observe-digest "$out/observe.console" "$out/observe.json"
for kind in tsc time event console_in; do
    case $kind in
    tsc) field=value ;;
    time) field=system_time_ns ;;
    event) field=port ;;
    console_in) field=bytes ;;
    esac
    # The middle one of the kind gets another value.
    awk -v kind="\"kind\":\"$kind\"" -v field="\"$field\":" '
        FNR == NR { if (index($0, kind) && (field != "\"bytes\":" || !index($0, "\"bytes\":\"\""))) n++; next }
        index($0, kind) && (field != "\"bytes\":" || !index($0, "\"bytes\":\"\"")) && ++k == int((n + 1) / 2) {
            if (field == "\"bytes\":") sub(/"bytes":"../, "\"bytes\":\"7e"); else sub(field, field "1")
        }
        { print }' "$out/observe.json" "$out/observe.json" >"$out/altered.json"
    ! cmp -s "$out/observe.json" "$out/altered.json" || { echo "no record of kind $kind to alter"; exit 99; }
    status=0
    minios-guest/observe-digest "$out/observe.console" "$out/altered.json" >"$out/control" || status=$?
    [ $status = 1 ] || { cat "$out/control"; echo "control: an altered $kind goes unnoticed"; exit 1; }
    echo "control, one $kind altered: $(grep DIFFERENT "$out/control")"
done
