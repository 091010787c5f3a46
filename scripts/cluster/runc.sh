#!/bin/sh
# A runc for machines whose root lacks CAP_SYS_RESOURCE: "unable to apply caps" is runc's answer there to a container
# that asks for it, as every privileged one does. Takes that one capability out of what is asked for.
set -eu
drop='walk(if type == "object" and has("capabilities") then .capabilities |= map_values(arrays |= map(select(. != "CAP_SYS_RESOURCE"))) else . end)'
before=
for argument in "$@"; do
  file=
  case $before in
    --bundle) file=$argument/config.json ;;
    --process) file=$argument ;;
  esac
  if [ -n "$file" ]; then
    jq -c "$drop" "$file" >"$file.new"
    # Written in place: containerd holds the process file open.
    cat "$file.new" >"$file"
    rm "$file.new"
  fi
  before=$argument
done
exec runc "$@"
