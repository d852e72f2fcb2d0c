# The units below a systemd that is process 1 of namespaces of its own (tests/systemd/boot): as root.

# Boot it. $inside is its folder; /root is the home.
systemd_boots() {
    [ "$(id -u)" = 0 ] || skip "namespaces and control groups are made as root"
    command -v /lib/systemd/systemd >/dev/null || skip "systemd is not installed"
    grep -qw cgroup2 /proc/filesystems || skip "there are no control groups v2"
    inside=$PWD/inside
    mkdir -p "$inside/units" "$inside/etc/torpor"
    for unit in torpor@.service torpor@.socket; do
        sed "s,/usr/bin/torpor,$SCRATCH/torpor," "$tests/../service/$unit" >"$inside/units/$unit"
    done
    mkdir "$inside/units/torpor@.service.d"
    printf '[Service]\nStandardError=append:%s\n' "$PWD/said" >"$inside/units/torpor@.service.d/said.conf"
    : >said
    "$tests/systemd/boot" "$inside" >boot.out 2>&1 &
    booted=$!
    trap 'kill "$booted" 2>/dev/null; wait "$booted"' EXIT
    until_true test -e "$inside/init"
    within systemctl is-active -q main.target || fail "$(<boot.out)"
    # What is asked of machines is asked there.
    printf '#!/bin/sh\nexec nsenter -t %s --all env -u XDG_RUNTIME_DIR -u XDG_STATE_HOME -u XDG_DATA_HOME HOME=/root %s "$@"\n' \
        "$(<"$inside/init")" "$SCRATCH/torpor" >torpor-inside
    chmod +x torpor-inside
    TORPOR=$PWD/torpor-inside
    export XDG_STATE_HOME=$inside/root/.local/state
}

within() { # COMMAND…
    nsenter -t "$(<"$inside/init")" --all "$@"
}

succeeds() { # COMMAND…
    within "$@" >command.out 2>&1 || fail "$*: $(<command.out)" "$(<said)"
}

unit() { # UNIT PROPERTY
    within systemctl show --value -p "$2" "$1"
}

is_unit() { # UNIT STATE
    [ "$(unit "$1" ActiveState)" = "$2" ]
}

has_status() { # TEXT
    [ "$(unit torpor@web StatusText)" = "$1" ]
}

options() { # OPTION…
    echo "TORPOR_OPTIONS=$*" >"$inside/etc/torpor/web.conf"
}

# The machine, saved in root's store there: $nonce.
make_stored() { # NAME
    boot "$1"
    nonce=$(say "$1" nonce)
    answers "$1" "fill 16 2 9" "filled 512"
    works save "$1"
}

is_same() {
    answers web nonce "$nonce"
    answers web "check ${1:-16 2 9}" "check ok"
}

ended_as() { # NAME
    "$TORPOR" ps -a | awk -v name="$1" '$1 == name { print $2 }'
}

# The machine that was saved, in a machine of another name.
is_stored() { # PATTERN
    works resume -d -n again web
    answers again nonce "$nonce"
    answers again "check $1" "check ok"
    works kill again
}

started() {
    systemd_boots
    make_stored web
    succeeds systemctl start torpor@web
    same "behind its start" "$(unit torpor@web ActiveState) $(unit torpor@web StatusText)" "active web is awake"
    is_same
    answers web "fill 24 2 3" "filled 512"
    succeeds systemctl restart torpor@web
    is_same "24 2 3"
    answers web "fill 32 2 4" "filled 512"
    succeeds systemctl stop torpor@web
    same "behind its stop" "$(unit torpor@web ActiveState) $(unit torpor@web Result)" "inactive success"
    same "how it ended" "$(ended_as web)" exited:saved
    same "its processes" "$(pgrep -f "^$SCRATCH/torpor resume")" ""
    is_stored "32 2 4"
}
try started "systemctl start, restart, stop: it wakes, and is saved each time"

# To the socket, until disconnect().
connect() {
    rm -f keep
    mkfifo keep
    within python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/torpor-web.sock")
s.sendall(b"hello")
sys.stdin.read()
' <keep 2>client.err &
    exec {client}>keep
}

disconnect() {
    exec {client}>&-
}

by_socket() {
    systemd_boots
    make_stored web
    options -p listen:80 --idle-save 1
    succeeds systemctl start torpor@web.socket
    same "before somebody connects" "$(unit torpor@web ActiveState)" inactive
    connect
    until_true has_status "web is awake"
    is_same
    same "the port of the guest" "$("$TORPOR" port web --json | json "[p['guest'] for p in d]")" "[80]"
    answers web "fill 24 2 3" "filled 512"
    disconnect
    until_true has_status asleep
    same "the service" "$(unit torpor@web ActiveState)" active
    same "how it ended" "$(ended_as web)" exited:saved
    connect
    until_true has_status "web is awake"
    is_same "24 2 3"
    answers web "fill 32 2 4" "filled 512"
    # Stopped while somebody is connected: it is saved, and the socket waits for the next one.
    succeeds systemctl stop torpor@web.service
    disconnect
    same "how it ended" "$(ended_as web)" exited:saved
    same "the socket" "$(unit torpor@web.socket ActiveState)" active
    connect
    until_true is_unit torpor@web active
    until_true has_status "web is awake"
    is_same "32 2 4"
    succeeds systemctl stop torpor@web.socket torpor@web.service
    disconnect
    is_stored "32 2 4"
}
try by_socket "a connection starts the service and wakes it, idleness saves it, the next one wakes it"

has_woken_anew() { # COUNT
    [ "$(grep -c 'web is awake' said)" = "$1" ]
}

failures() {
    systemd_boots
    make_stored web
    succeeds systemctl start torpor@web
    # A machine that is killed wakes again as it was saved, and so does one whose service is.
    works kill web
    until_true has_woken_anew 2
    is_same
    succeeds systemctl kill --kill-whom=main -s KILL torpor@web
    until_true has_woken_anew 3
    is_same
    same "machines" "$("$TORPOR" ps -q)" web
    # A guest that switches itself off has ended.
    "$TORPOR" console web <<<poweroff >/dev/null
    until_true is_unit torpor@web inactive
    same "its result" "$(unit torpor@web Result)" success
    has_woken_anew 3 || fail "$(<said)"
    # What cannot wake is not tried again and again.
    mv "$inside/root/.local/share/torpor/web.torpor" kept
    within systemctl start torpor@web && fail "it started"
    same "without its file" "$(unit torpor@web ActiveState) $(unit torpor@web ExecMainStatus) $(unit torpor@web NRestarts)" \
        "failed 122 0"
    mv kept "$inside/root/.local/share/torpor/web.torpor"
    succeeds systemctl start torpor@web
    is_same
    # A save that fails keeps the service, and the machine.
    mv "$inside/root/.local/share/torpor" "$inside/root/.local/share/elsewhere"
    : >"$inside/root/.local/share/torpor"
    within systemctl stop --no-block torpor@web
    until_true grep -q 'web goes on: saving' said
    same "what systemd says" "$(unit torpor@web ActiveState)" deactivating
    matches "its status" "$(unit torpor@web StatusText)" "^web goes on: saving failed: "
    is_same
    rm "$inside/root/.local/share/torpor"
    mv "$inside/root/.local/share/elsewhere" "$inside/root/.local/share/torpor"
    succeeds systemctl kill --kill-whom=main torpor@web
    until_true is_unit torpor@web inactive
    same "how it ended" "$(ended_as web)" exited:saved
}
try failures "a machine or its service that is killed comes again; a file that is missing and a save that fails are told"

host_ends() {
    systemd_boots
    make_stored web
    succeeds systemctl start torpor@web
    answers web "fill 24 2 3" "filled 512"
    succeeds systemctl poweroff
    wait "$booted"
    same "how systemd ended" "$(<"$inside/status")" 130
    mv inside/root kept
    rm -r inside
    mkdir inside
    mv kept inside/root
    systemd_boots
    is_stored "24 2 3"
}
try host_ends "the host is shut down: it is saved first"
