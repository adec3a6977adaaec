# For the guests' scripts: checks that report on the second serial port. See guest.py.

# check NAME COMMAND…: holds if the command succeeds.
check() {
  name=$1
  shift
  if output=$("$@" 2>&1); then
    echo "ok $name"
  else
    echo "$output" | sed 's/^/    /'
    echo "not ok $name"
  fi
}

# expect NAME VALUE COMMAND…: holds if the command succeeds and prints the value.
expect() {
  name=$1
  value=$2
  shift 2
  check "$name" prints "$value" "$@"
}

prints() {
  value=$1
  shift
  printed=$("$@") || { echo "exit $?: $printed"; return 1; }
  [ "$printed" = "$value" ] || { echo "printed '$printed' instead of '$value'"; return 1; }
}

# has PATTERN COMMAND…: the command prints a line with the pattern; lacks: it does not. fails COMMAND…: it does not succeed.
has() {
  pattern=$1
  shift
  printed=$("$@" 2>&1) || true
  echo "$printed" | grep -q -e "$pattern" || { echo "no '$pattern' in: $printed"; return 1; }
}
lacks() {
  pattern=$1
  shift
  ! "$@" 2>&1 | grep -e "$pattern"
}
fails() { ! "$@"; }

# eventually SECONDS COMMAND…: it succeeds within that time.
eventually() {
  left=$1
  shift
  until "$@"; do
    left=$((left - 1))
    [ $left -gt 0 ] || { echo "still fails: $*"; return 1; }
    sleep 1
  done
}

# The host does WORD, and then the guest goes on.
host() {
  echo "host $1"
  read -r _
}

# answers TARGET DIGITS [OPTION…]: vtactl, given these pictures, writes the bytes of the host's simulator. $as: what runs it.
as=
answers() {
  target=$1
  digits=$2
  shift 2
  for digit in $digits; do
    rm -rf /tmp/answer
    $as vtactl run "/checks/$target/models/digits.vtab" --input "/checks/pictures/$digit.png" --output-dir /tmp/answer \
      "$@" || return 1
    cmp "/checks/$target/$digit/probabilities.npy" /tmp/answer/probabilities.npy || return 1
  done
}
all_digits="0 1 2 3 4 5 6 7 8 9"
