#!/usr/bin/env bash
# A log's records give the digest that the guest has of what it saw; a log with one record altered gives another: check.sh FOLDER
set -euo pipefail
out=$1

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
