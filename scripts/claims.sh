# shellcheck shell=bash
# What the demos share: showing a command and running it, checking a claim about what the kernel shows, and counting what
# is false. Sourced after lib.sh; whoever sources it has defined a function `podrun` and the directory `place`.

# How many claims were false.
wrong=0

# Prints the command as a person would type it, then runs it. To the demo's stdout, wherever the command's own goes.
exec 3>&1
run() {
  printf '%s$ %s%s\n' "$dim" "${*//$project\//}" "$plain" >&3
  "$@"
}

# check CLAIM SEEN WANTED
check() {
  if [ "$2" = "$3" ]; then
    printf '  %sok%s     %s  %s(%s)%s\n' "$green" "$plain" "$1" "$dim" "$2" "$plain"
  else
    printf '  %sFALSE%s  %s: saw %s, wanted %s\n' "$red" "$plain" "$1" "${2:-nothing}" "${3:-nothing}"
    wrong=$((wrong + 1))
  fi
}

# check_differ CLAIM VALUE...: no two values alike, none empty.
check_differ() {
  local claim=$1 different
  shift
  different=$(printf '%s\n' "$@" | grep . | sort -u | wc -l)
  check "$claim" "$different different of $#" "$# different of $#"
}

# wait_for SECONDS COMMAND...: false when it does not come true in time.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

namespace() { readlink "/proc/$1/ns/$2"; }
pid_of() { podrun state "$1" | jq .pid; }
is_stopped() { [ "$(podrun state "$1" | jq -r .status)" = stopped ]; }
inode() { stat -c '%d:%i' "$1"; }

# cgroup PID CONTROLLER: the directory that limits the process, on v1, v2 or both side by side.
cgroup() {
  local path mount
  if path=$(grep -E "^[0-9]+:([^:]*,)?$2(,[^:]*)?:" "/proc/$1/cgroup"); then
    mount=$(awk -v c="$2" '{ split($0, half, " - "); split(half[2], f, " ") }
      f[1] == "cgroup" && ("," f[3] ",") ~ ("," c ",") { print $5; exit }' /proc/self/mountinfo)
  else
    path=$(grep '^0::' "/proc/$1/cgroup")
    mount=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
  fi
  printf '%s%s' "$mount" "${path#*:*:}"
}

# limit DIRECTORY V1-FILE V2-FILE
limit() { cat "$1/$2" 2>/dev/null || cat "$1/$3"; }

# check_limits WHO CGROUP-LEVEL PID MEMORY CPU-PERCENT PIDS; level "" is the container's own group, "/.." the pod's
check_limits() {
  local who=$1 level=$2 pid=$3 cpu
  check "memory limit of $who" "$(limit "$(cgroup "$pid" memory)$level" memory.limit_in_bytes memory.max)" "$4"
  cpu=$(cgroup "$pid" cpu)$level
  if [ -e "$cpu/cpu.max" ]; then
    cpu=$(awk '{ print 100 * $1 / $2 }' "$cpu/cpu.max")
  else
    cpu=$((100 * $(cat "$cpu/cpu.cfs_quota_us") / $(cat "$cpu/cpu.cfs_period_us")))
  fi
  check "CPU limit of $who in percent of one" "$cpu" "$5"
  check "process limit of $who" "$(limit "$(cgroup "$pid" pids)$level" pids.max pids.max)" "$6"
}

# Whether the process is gone; a zombie is: its parent, here PID 1, has not looked yet.
is_gone() { ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null; }

left() { printf '%s' "$1" | tr '\n' ' ' | sed 's/ $//'; }

# check_nothing_left UID NAMESPACE...: of a pod whose uid and namespaces (`net:[...]`) were these.
check_nothing_left() {
  local uid=$1 find=() names=() files
  shift
  for name in "$@"; do
    find+=(-o -lname "$name")
    names+=(-e "$name")
  done
  check "no process is in the pod's namespaces" \
    "$(left "$(find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/*' \( -false "${find[@]}" \) 2>/dev/null || true)")" ''
  check 'no mount mentions the demo' "$(left "$(grep -hF "$place" /proc/[0-9]*/mountinfo 2>/dev/null | sort -u || true)")" ''
  check 'no namespace is kept by a mount' "$(left "$(grep -F "${names[@]}" /proc/self/mountinfo || true)")" ''
  check 'no cgroup of the pod' "$(left "$(find /sys/fs/cgroup -depth -type d -name "*$uid*" 2>/dev/null || true)")" ''
  # What is podrun's and no pod's: its own programs, compiled filters and images, and the mark of the boot.
  files=$(find "$place/root" "$place/data" \( -path "$place/data/lib" -o -path "$place/root/seccomp" \
    -o -path "$place/data/images" -o -path "$place/data/layers" \) -prune -o \
    ! -type d ! -path "$place/root/pods/.boot" -print 2>/dev/null || true)
  check 'no record, no volume, no log, no file' "$(left "$files")" ''
  check 'list and pod list are empty' "$(podrun list -q)$(podrun pod list -o name 2>/dev/null)" ''
}

# The last word of a demo: exits 1 when a claim was false.
verdict() {
  section 'Result'
  if [ $wrong -gt 0 ]; then
    say "${red}claims that are false: $wrong${plain} ($((SECONDS - started)) s)"
    exit 1
  fi
  say "${green}every claim holds${plain} ($((SECONDS - started)) s)"
}
