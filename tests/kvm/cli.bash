# For suites that drive the program with the tiny kernel: a private home for each test, what the guest
# answers, and what a call may do to its three streams. Sourced from the root of the repository.
#
# A test is a function that calls `fail` (or `skip`); `try FUNCTION NAME` runs it in a subshell and prints
# its result. Machines that are left are ended behind each test.
BUILD=$(realpath "${BUILD:-build}")
SCRATCH=$(mktemp -d /tmp/torpor-test.XXXXXX)
# Copies: a build may be going on meanwhile.
TINY=$SCRATCH/tiny.elf
[ "$(uname -m)" != aarch64 ] || TINY=$SCRATCH/tiny.Image
cp "$BUILD/torpor" "$BUILD/images/${TINY##*/}" "$SCRATCH" || exit 1
TORPOR=$SCRATCH/torpor
VALIDATE=$PWD/tests/schemas/validate.py
PEER="python3 $PWD/tests/kvm/move_peer.py"
export LC_ALL=C.UTF-8
unset CI # a test that is about it sets it
PATIENCE=${PATIENCE:-600} # seconds, for what hangs: far from what anything takes, also beside much load
trap 'reap; check_json; rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT TERM

new_home() {
    export HOME=$SCRATCH/home
    export XDG_RUNTIME_DIR=$HOME/run XDG_STATE_HOME=$HOME/state XDG_DATA_HOME=$HOME/data
    unset XDG_CACHE_HOME
    mkdir -p "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" "$XDG_DATA_HOME" "$SCRATCH/files"
    cd "$SCRATCH/files" || exit 1
}

# A command that is torpor on another host: another home.
other_host() {
    mkdir -p there/run there/state there/data
    cat >far <<EOF
#!/bin/sh
export HOME=$PWD/there XDG_RUNTIME_DIR=$PWD/there/run XDG_STATE_HOME=$PWD/there/state XDG_DATA_HOME=$PWD/there/data
exec "$TORPOR" "\$@"
EOF
    chmod +x far
}

there() { # COMMAND…
    HOME=$PWD/there XDG_RUNTIME_DIR=$PWD/there/run XDG_STATE_HOME=$PWD/there/state \
        XDG_DATA_HOME=$PWD/there/data "$@"
}

# End every machine and LAN of this home by its own request, and every other process of this test's program: of
# another home, or deaf.
reap() {
    local name exe
    for name in $("$TORPOR" ps -q 2>/dev/null); do
        timeout -k 1 10 "$TORPOR" kill "$name" >/dev/null 2>&1
    done
    for name in $("$TORPOR" lan ls 2>/dev/null | sed '1d;s/ .*//'); do
        timeout -k 1 10 "$TORPOR" lan rm --force "$name" >/dev/null 2>&1
    done
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" = "$TORPOR" ] && name=${exe#/proc/} && kill -9 "${name%/exe}"
    done 2>/dev/null
}

# A test whose command is not there has tested nothing. This runs in a process of its own: try reads the file.
command_not_found_handle() {
    echo "$1: there is no such command" | tee -a "$SCRATCH/missing"
    return 127
}

fail() {
    printf '%s\n' "$*"
    exit 1
}

skip() { # REASON
    printf '%s\n' "$*"
    exit 77
}

try() { # FUNCTION NAME
    local status
    new_home
    ("$1") >"$SCRATCH/detail" 2>&1
    status=$?
    reap
    [ ! -e "$SCRATCH/missing" ] || status=1
    rm -f "$SCRATCH/missing"
    case $status in
    0) echo "ok - $2" ;;
    77) echo "skip - $2 # $(tail -n 1 "$SCRATCH/detail")" ;;
    *)
        echo "not ok - $2"
        sed 's/^/    /' "$SCRATCH/detail" | head -n 40
        ;;
    esac
    cd / || exit 1
    if grep -q "$SCRATCH/files" /proc/self/mounts; then
        umount -l "$SCRATCH"/files/*/ 2>/dev/null
    fi
    rm -rf "${SCRATCH:?}/home" "$SCRATCH/files"
}

# One call: $status, and the streams in $SCRATCH/out and $SCRATCH/err.
call() { # ARGUMENT…
    timeout -k 1 "$PATIENCE" "$TORPOR" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
    status=$?
    case " $* " in
    *" --json "* | " volume inspect "*) keep_json "$@" ;;
    esac
}

# For check_json. A call may be in a subshell, so it is no counter that names it.
keep_json() { # ARGUMENT…
    local kept
    mkdir -p "$SCRATCH/json"
    kept=$(mktemp "$SCRATCH/json/XXXXXX.args")
    printf '%s\n' "$@" >"$kept"
    cp "$SCRATCH/out" "${kept%.args}.out"
}

# All that call() has kept is as doc/schema says: a row behind all others.
check_json() {
    [ -d "$SCRATCH/json" ] || return
    if ! python3 -c "import jsonschema" 2>/dev/null; then
        echo "skip - what was printed as JSON is as its schema says # python3-jsonschema is not here"
        return
    fi
    "$VALIDATE" calls "$SCRATCH/json" >"$SCRATCH/detail" 2>&1
    if [ "$(sed '/^used:/d' "$SCRATCH/detail")" = "" ]; then
        echo "ok - what was printed as JSON is as its schema says"
    else
        echo "not ok - what was printed as JSON is as its schema says"
        sed 's/^/    /' "$SCRATCH/detail" | head -n 40
    fi
}

# A call that succeeds and tells its progress as JSON, to its end. CALLED: the verb that is called, when it has another
# one started.
json_of() { # VERB ARGUMENT…
    local verb=$1 wrong
    shift
    call "${CALLED:-$verb}" "--progress=$([ -n "${CALLED:-}" ] && echo none || echo json)" "$@"
    [ "$status" = 0 ] || fail "$(report_call "$verb" "$@")"
    # Messages are lines beside it.
    grep -v '^torpor: ' "$SCRATCH/err" >"$SCRATCH/progress"
    wrong=$("$VALIDATE" lines progress "$SCRATCH/progress" 2>&1)
    [ -z "$wrong" ] || fail "$verb $*: $wrong"
    [ "$(tail -n 1 "$SCRATCH/progress" | json "d['progress'], d['state']")" = "$verb done" ] || fail "$verb $*: no end"
}

report_call() { # ARGUMENT…
    echo "torpor $*: status $status"
    sed 's/^/  out: /' "$SCRATCH/out" | head -n 12
    sed 's/^/  err: /' "$SCRATCH/err" | head -n 12
}

# That a machine does not answer for a second is said on a slow host, too: it has not had its turn.
no_message() {
    ! grep -qv ' does not answer (process ' "$SCRATCH/err"
}

# A call that must succeed and has no message to give. Its data: $out.
works() { # ARGUMENT…
    call "$@"
    [ "$status" = 0 ] && no_message || fail "$(report_call "$@")"
    out=$(<"$SCRATCH/out")
}

# One that may.
works_loudly() { # ARGUMENT…
    call "$@"
    [ "$status" = 0 ] || fail "$(report_call "$@")"
}

# A call that must succeed and say nothing at all.
works_silently() { # ARGUMENT…
    works "$@"
    [ -z "$out" ] || fail "$(report_call "$@")"
}

# A call that must fail: the status, no data, and one line `torpor: …` that matches.
refuses() { # STATUS REGEX ARGUMENT…
    local want=$1 regex=$2
    shift 2
    call "$@"
    one_line "$regex" && [ "$status" = "$want" ] && [ ! -s "$SCRATCH/out" ] ||
        fail "$(report_call "$@")" "wanted: status $want, a line like '$regex'"
}

# That somebody is waited for does not count: a slow host has it said at other times.
one_line() { # REGEX
    local lines
    lines=$(grep -Ev '^torpor: (move|receive|lan): waiting for ' "$SCRATCH/err")
    [ "$(wc -l <<<"$lines")" = 1 ] || lines=$(grep -v ' does not answer (process ' <<<"$lines")
    [ "$(wc -l <<<"$lines")" = 1 ] && grep -Eq "^torpor: .*($1)" <<<"$lines"
}

same() { # WHAT ACTUAL WANTED
    [ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"
}

matches() { # WHAT ACTUAL REGEX
    [[ $2 =~ $3 ]] || fail "$1: '$2' is not like '$3'"
}

until_true() { # COMMAND…
    local deadline=$((SECONDS + PATIENCE))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "never came true: $*"
        sleep 0.05
    done
}

# It has said something so many times, and the last line is out to its end.
has_said() { # NAME TEXT [TIMES]
    local log=$XDG_STATE_HOME/torpor/$1/console.log
    [ "$(grep -c "$2" "$log")" = "${3:-1}" ] && [ -z "$(tail -c 1 "$log")" ]
}

is_ready() { # NAME [TIMES]
    has_said "$1" READY "${2:-1}"
}

boot() { # NAME OPTION…
    local name=$1
    shift
    works run -d --name "$name" --kernel "$TINY" -m 64M "$@"
    same "the name printed" "$out" "$name"
    until_true is_ready "$name"
}

# Type a line at a machine; the next line that comes is its answer.
say() { # NAME COMMAND
    local from pid answer
    exec {from}< <(exec "$TORPOR" console "$1" <<<"$2")
    pid=$!
    read -r -t "$PATIENCE" -u "$from" answer
    kill "$pid" 2>/dev/null
    exec {from}<&-
    printf '%s\n' "${answer%$'\r'}"
}

answers() { # NAME COMMAND WANTED
    same "$1, asked '$2'" "$(say "$1" "$2")" "$3"
}

state_of() { # NAME
    "$TORPOR" ps -a --json | json "[m['state'] for m in d if m['name'] == '$1'][0]"
}

# A standard input that stays open: $keys.
open_keys() {
    mkfifo keys
    exec {keys}<>keys
}

# An expression over the JSON document `d` on standard input.
json() { # EXPRESSION
    python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"
}

# A live appliance of a machine that held a pattern: FILE, and $nonce.
make_live() { # [--flat] FILE OPTION…
    local flat=
    if [ "$1" = --flat ]; then
        flat=--flat
        shift
    fi
    local file=$1
    shift
    boot source "$@"
    nonce=$(say source nonce)
    answers source "fill 16 8 5" "filled 2048"
    works save source -o "$file" $flat
}

# The same guest, with its memory.
is_same_guest() { # NAME
    answers "$1" nonce "$nonce"
    answers "$1" "check 16 8 5" "check ok"
}

# Type at a terminal of its own: how it ended, and whether it showed what was typed. All that it said:
# $SCRATCH/typed.
type_at() { # LINES… -- COMMAND…
    python3 - "$SCRATCH/typed" "$@" <<'PYTHON'
import os, pty, signal, sys, termios

lines, command = sys.argv[2:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who runs us in the background ignores it
    os.execv(command[0], command)
said = b""
echo = lambda: bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
for line in lines:
    asked = len(said)
    while not said[asked:].endswith(b": "):
        said += os.read(terminal, 1000)
    while echo():
        pass
    os.write(terminal, b"\x03" if line == "^C" else line.encode() + b"\n")
while True:
    try:
        data = os.read(terminal, 1000)
    except OSError:
        break
    said += data
open(sys.argv[1], "wb").write(said)
status = os.waitpid(pid, 0)[1]
print(os.WEXITSTATUS(status), os.WTERMSIG(status), any(line.encode() in said for line in lines))
PYTHON
}
