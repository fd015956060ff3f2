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
    python3 - "$kind" "$field" "$out/observe.json" >"$out/altered.json" <<'EOF' || exit 99
import json, sys

kind, field, path = sys.argv[1:]
records = [json.loads(line) for line in open(path)]
meant = [record for record in records if record["kind"] == kind and record[field] != ""]
if not meant:
    sys.exit(f"no record of kind {kind} to alter")
record = meant[(len(meant) - 1) // 2]
record[field] = "7e" + record[field][2:] if field == "bytes" else int(f"{record[field]}1")
for record in records:
    print(json.dumps(record, separators=(",", ":")))
EOF
    status=0
    minios-guest/observe-digest "$out/observe.console" "$out/altered.json" >"$out/control" || status=$?
    [ $status = 1 ] || { cat "$out/control"; echo "control: an altered $kind goes unnoticed"; exit 1; }
    echo "control, one $kind altered: $(grep DIFFERENT "$out/control")"
done
