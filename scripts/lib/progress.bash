# Progress, on stderr: a line when a step starts, one every few seconds while it runs, one when it ends. What the step
# itself prints is shown only if it fails.

# Not in /tmp, which may be small and in memory; and a rename out of it into .cache/ is atomic.
mkdir -p .cache
scratch=$(mktemp -d "$PWD/.cache/setup.XXXXXX")
pulse=
trap 'stop_pulse; rm -rf "$scratch"' EXIT

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# step TITLE COMMAND...
step() {
  local title=$1 started=$SECONDS status=0
  shift
  say "$title ..."
  start_pulse "$title"
  "$@" </dev/null >"$scratch/log" 2>&1 || status=$?
  stop_pulse
  if ((status != 0)); then
    cat "$scratch/log" >&2
    die "$title: failed with status $status, its output is above"
  fi
  say "$title: done in $((SECONDS - started)) s"
}

start_pulse() {
  local started=$SECONDS
  # Ctrl-C does not reach a background job, hence the look at the parent; and a sleep that outlives its loop must not
  # hold the caller's pipe open, hence the redirections.
  while sleep 5 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    say "$1 ... $((SECONDS - started)) s"
  done &
  pulse=$!
}

stop_pulse() {
  if [[ $pulse ]]; then
    kill "$pulse" 2>/dev/null || true
    wait "$pulse" 2>/dev/null || true
    pulse=
  fi
}
