#!/bin/sh
# A Dibs worker with nothing but curl and standard tools: size and SHA-256 of files.
#
#   DIBS_URL=http://127.0.0.1:4510 sh worker.sh digests
#   npx dibs enqueue digests '{"path":"/etc/hosts"}'
#
# It shows the protocol. `dibs work digests --exec '<command>'` does the same with less to write, and more.
# It waits at the server for a task, renews the lease in the background while it works, nacks what fails, and
# ends after the task in hand on SIGTERM. To make a worker of your own, change `work`.
set -u

url=${DIBS_URL:-http://127.0.0.1:4510}
queue=${1:-digests}
wait_s=20 # How long the server may hold a claim; 60 at most.
stopping=
waiting=
command -v sha256sum >/dev/null && sha256=sha256sum || sha256='shasum -a 256'

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'stopping=1; [ -z "$waiting" ] || kill "$waiting" 2>/dev/null' TERM INT
# In a file, because everybody on the machine can read the arguments of a process.
: >"$folder/curl"
[ -z "${DIBS_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$DIBS_TOKEN" >"$folder/curl"

# Does the work of one task: payload in $1, result as JSON on stdout, what went wrong on stderr.
# 0 completes the task, 100 refuses it to the dead letters, anything else is a failed attempt.
work() {
  # Enough for a path without quotes and backslashes. For other payloads use jq, or another language.
  path=$(printf '%s\n' "$1" | sed -n 's/^{"path": *"\([^"\\]*\)"}$/\1/p')
  [ -n "$path" ] || { echo 'the payload is not {"path": "..."}' >&2; return 100; }
  [ -e "$path" ] || { echo "there is no $path" >&2; return 100; }
  # A copy, so that both are about the same bytes.
  cat "$path" >"$folder/file" && bytes=$(wc -c <"$folder/file") && sum=$($sha256 <"$folder/file") || return 1
  printf '{"bytes":%d,"sha256":"%s"}' "$bytes" "${sum%% *}"
}

# One request: name of the files for body and answer, path, body, seconds. Prints the status, 000 when none came.
call() {
  printf '%s' "$3" >"$folder/$1.body"
  curl --silent --config "$folder/curl" --header 'Content-Type: application/json' --max-time "$4" \
    --data-binary "@$folder/$1.body" --output "$folder/$1.answer" --write-out '%{http_code}' "$url$2"
}

# A part of the claimed task. A sed is no JSON parser: it leans on the order of the fields that the server writes,
# the id first and the lease last, so that a payload can hold what it likes.
task() {
  head='^{"tasks":\[{"id":"\([^"]*\)","queue":"[^"]*","state":"leased","priority":[0-9],"payload":'
  case $1 in
    id) sed -n "s/$head.*/\1/p" ;;
    payload) sed -n "s/$head\(.*\),\"attempt\":[0-9]*,\"maxAttempts\":[0-9]*,\"createdAt\".*/\2/p" ;;
    token) sed -n 's/.*"lease":{"token":"\([^"]*\)".*/\1/p' ;;
    lease_ms) sed -n 's/.*"lease":{"token":"[^"]*","expiresAt":[0-9]*,"ms":\([0-9]*\).*/\1/p' ;;
  esac <"$folder/claim.answer"
}

# Renews a lease of $3 seconds at a third of it; leaves a file when the server says that it is over.
renew() {
  pause=$(($3 / 3))
  [ "$pause" -gt 0 ] || pause=1
  while sleep "$pause"; do
    status=$(call heartbeat "/v1/tasks/$1/heartbeat" "{\"leaseToken\":\"$2\"}" 10)
    case $status in 4*) : >"$folder/lost"; return ;; esac
  done
}

# Settles: verb, id, body. Sent again while no answer comes: the same call again gets the same answer.
settle() {
  for pause in 0 1 2 4 8; do
    sleep "$pause"
    status=$(call settle "/v1/tasks/$2/$1" "$3" 10)
    case $status in
      2*) echo "$2: $1"; return ;;
      000 | 429 | 5*) ;;
      *) break ;;
    esac
  done
  echo "$2: $1 was not taken: $status $(cat "$folder/settle.answer" 2>/dev/null)" >&2
}

# The end of a file as a JSON string, without what JSON would have to escape.
quoted() {
  printf '"%s"' "$(tail -c 2000 "$1" | tr '\n\t' '  ' | LC_ALL=C tr -dc '\040-\176' | sed 's/ *$//; s/[\\"]/\\&/g')"
}

run() {
  id=$(task id)
  token=$(task token)
  lease_ms=$(task lease_ms)
  rm -f "$folder/lost"
  renew "$id" "$token" $((lease_ms / 1000)) >/dev/null 2>&1 &
  renewing=$!
  work "$(task payload)" >"$folder/result" 2>"$folder/error"
  code=$?
  kill "$renewing" 2>/dev/null
  wait "$renewing" 2>/dev/null
  if [ -e "$folder/lost" ]; then
    echo "$id: the lease was lost while it was worked on" >&2
  elif [ "$code" -eq 0 ]; then
    settle complete "$id" "{\"leaseToken\":\"$token\",\"result\":$(cat "$folder/result")}"
  else
    retry=true
    [ "$code" -ne 100 ] || retry=false
    settle nack "$id" "{\"leaseToken\":\"$token\",\"retry\":$retry,\"error\":$(quoted "$folder/error")}"
  fi
}

echo "Working on $queue at $url"
failures=0
while [ -z "$stopping" ]; do
  # In the background, so that a signal is heard at once; curl itself, so that it can be ended. Then the server
  # gives back whatever it was handing over.
  curl --silent --config "$folder/curl" --header 'Content-Type: application/json' --max-time $((wait_s + 15)) \
    --data "{\"queues\":[\"$queue\"],\"waitMs\":${wait_s}000,\"worker\":\"sh:$$\"}" \
    --output "$folder/claim.answer" --write-out '%{http_code}' "$url/v1/claims" >"$folder/status" &
  waiting=$!
  wait "$waiting"
  waiting=
  case $(cat "$folder/status") in
    200) failures=0; run ;;
    204) failures=0 ;;
    4*) cat "$folder/claim.answer" >&2; exit 1 ;;
    *)
      [ -z "$stopping" ] || break
      [ "$failures" -gt 9 ] || failures=$((failures + 1))
      echo "No claim from $url; trying again in $failures s" >&2
      sleep "$failures"
      ;;
  esac
done
