# A clean start, whatever the parent left: every verb that starts something or saves, below each such parent.

REAL=$TORPOR
BELOW=$SCRATCH/below

# From here on $TORPOR is started by such a parent; $REAL is not.
become() { # KIND
    printf '#!/bin/sh\nexec python3 "%s" %s "%s" "$@"\n' "$tests/kvm/parent.py" "$1" "$REAL" >"$BELOW"
    chmod +x "$BELOW"
    TORPOR=$BELOW
}

asked() { # NAME COMMAND WANTED
    TORPOR=$REAL answers "$@"
}

private() { # FILE…
    same "mode of $*" "$(stat -c %a "$@" | sort -u)" 600
}

every_verb() { # KIND
    local kind=$1 nonce client file=$PWD/web.torpor
    become "$kind"
    works run -d --name web --kernel "$TINY" -m 64M
    until_true is_ready web
    nonce=$(TORPOR=$REAL say web nonce)
    works save web -o "$file"
    private "$file"
    works resume -d --name again "$file"
    asked again nonce "$nonce"
    works resume -d "$file"
    asked web nonce "$nonce"
    # In the foreground, with input that does not end.
    mkfifo input
    sleep 1000 >input &
    "$TORPOR" run --name front --kernel "$TINY" -m 64M <input >output 2>errors &
    client=$!
    until_true is_ready front
    TORPOR=$REAL works_silently kill front
    wait "$client"
    same "status of run, killed" "$?" 137
    kill %1
    works lan create shop
    works run -d --name joined --kernel "$TINY" -m 64M --net lan=shop
    until_true is_ready joined
    works_silently lan rm --force shop
    [[ $kind = closed-* ]] || answers again "ping hello" "pong hello"
    works_silently stop -t 0 again
    works_silently kill web joined
    works_silently rm web again front joined
}

for kind in clean closed-0 closed-1 closed-2 closed-all small-files signals-ignored signals-blocked umask-0777 umask-0; do
    below() { every_verb "$kind"; }
    try below "a parent of this kind: $kind"
done

# Whoever reads the other end of what is inherited sees its end while the process runs.
leaves_alone() { # ARGUMENT…
    local reader
    mkfifo inherited
    cat inherited >/dev/null &
    reader=$!
    works "$@"
    wait "$reader"
    rm inherited
}
inherited() {
    become inherited
    leaves_alone run -d --name web --kernel "$TINY" -m 64M
    leaves_alone lan create shop
    leaves_alone save web -o web.torpor
    leaves_alone resume -d web.torpor
    TORPOR=$REAL
    works ps -q
    same "it runs" "$out" web
    works_silently lan rm shop
}
try inherited "descriptors above 2 are not kept by what goes into the background"

named_descriptor() {
    become clean
    head -c 32 /dev/urandom >key
    make_live plain.torpor
    works convert --encrypt --key-file <(cat key) plain.torpor locked.torpor
    works resume -d --name web --key-file <(cat key) locked.torpor
    is_same_guest web
}
try named_descriptor "descriptors that the command line names are read: --key-file <(…)"

too_large() {
    become small-files-for-good
    boot web
    nonce=$(say web nonce)
    refuses 125 "File too large" save web -o web.torpor
    asked web nonce "$nonce"
    [ ! -e web.torpor ] || fail "part of a file is left"
}
try too_large "a limit on the size of files makes a save fail, and the machine goes on"

no_output() {
    boot web
    become closed-1
    call save web -o -
    [ "$status" = 125 ] && one_line "standard output is closed" || fail "$(report_call save -o -)"
    TORPOR=$REAL works ps -q
    same "it runs" "$out" web
}
try no_output "save -o - without a standard output is refused, and the machine goes on"

deep() {
    local long
    become deep
    works run -d --name web --kernel "$TINY" -m 64M
    until_true is_ready web
    works save web -o web.torpor
    works resume -d web.torpor
    works_silently kill web
    long=$PWD/$(printf 'x%.0s' {1..200})/$(printf 'y%.0s' {1..200})/$(printf 'z%.0s' {1..200})
    mkdir -p "$long"
    export XDG_RUNTIME_DIR=$long/run XDG_STATE_HOME=$long/state XDG_DATA_HOME=$long/data
    mkdir -p "$XDG_RUNTIME_DIR"
    TORPOR=$REAL
    works lan create shop
    works run -d --name web --kernel "$TINY" -m 64M --net lan=shop
    until_true is_ready web
    works save web
    works resume -d web
    works_silently kill web
    works_silently lan rm shop
}
try deep "working directories and folders whose paths are long"

# A user without a home or a name, and root of that user's own namespace. Whatever /dev/kvm's rights are.
as_nobody() { # COMMAND…
    # shellcheck disable=SC2016
    unshare -m bash -c 'mount --bind "$0" /dev/kvm && exec setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"' \
        "$PWD/kvm" "$uid" "$@"
}
no_home() {
    local wrap uid=$((60000 + $$ % 4000)) name=torpor-test-$$
    cp "$REAL" "$TINY" .
    [ "$(id -u)" = 0 ] && mknod -m 666 kvm c 10 232 && chmod 711 "$SCRATCH" &&
        as_nobody sh -c ': <>/dev/kvm' || skip "needs root, device files and mounts"
    mkdir -m 777 out
    trap 'nobody kill "$name"; nobody lan rm "$name"' EXIT
    for wrap in "" "unshare -r"; do
        # shellcheck disable=SC2086
        nobody() { as_nobody $wrap env -i PATH=/usr/bin:/bin ./torpor "$@" </dev/null; }
        same "run, '$wrap'" "$(nobody run -d --name "$name" --kernel ./tiny.elf -m 64M 2>&1)" "$name"
        same "ps, '$wrap'" "$(nobody ps -q 2>&1)" "$name"
        nobody save "$name" -o out/nobody.torpor || fail "save, '$wrap'"
        same "resume, '$wrap'" "$(nobody resume -d out/nobody.torpor 2>/dev/null)" "$name"
        same "lan create, '$wrap'" "$(nobody lan create "$name" 2>&1)" "$name"
        nobody lan rm "$name" || fail "lan rm, '$wrap'"
        nobody kill "$name" || fail "kill, '$wrap'"
    done
    rmdir "/tmp/torpor-$uid-lan" "/tmp/torpor-$uid" || fail "left in /tmp"
    trap - EXIT
}
try no_home "without HOME and XDG, as a user of no name, and as root of a user namespace"

background() {
    python3 - "$REAL" "$TINY" "$XDG_STATE_HOME/torpor/job/console.log" <<'PYTHON' || fail "stopped, or it touched the terminal"
import os, pty, select, subprocess, sys, termios, time

torpor, tiny, log = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    # A shell with job control: the machine is a job in the background.
    before = termios.tcgetattr(0)
    job = subprocess.Popen([torpor, "run", "--name", "job", "--kernel", tiny, "-m", "64M"], process_group=0)
    while not os.path.exists(log) or b"READY" not in open(log, "rb").read():
        if os.waitpid(job.pid, os.WNOHANG | os.WUNTRACED)[0]:
            os._exit(1)
        time.sleep(0.1)
    print("type", flush=True)
    select.select([0], [], [])
    # If it watched the terminal, it would read, and be stopped, before it has answered twice.
    for _ in range(2):
        asked = subprocess.Popen([torpor, "inspect", "job"], stdout=subprocess.DEVNULL)
        while asked.poll() is None:
            if os.waitpid(job.pid, os.WNOHANG | os.WUNTRACED)[0]:
                os._exit(2)
            time.sleep(0.1)
    untouched = termios.tcgetattr(0) == before
    subprocess.run([torpor, "kill", "job"], check=True)
    os._exit(0 if untouched and os.waitpid(job.pid, 0)[1] == 137 << 8 else 3)
said = b""
try:
    while True:
        said += os.read(terminal, 1000)
        if b"type" in said:
            os.write(terminal, b"typed for the shell\n")
            said = b""
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
}
try background "run … & of a shell with job control: not stopped, and the terminal is left alone"

hangup() {
    nohup "$REAL" run --name web --kernel "$TINY" -m 64M </dev/null >said 2>&1 &
    local client=$!
    until_true is_ready web
    kill -HUP "$client"
    answers web "ping on" "pong on"
    works_silently kill web
    wait "$client"
    same "status of run" "$?" 137
}
try hangup "nohup run … outlives a hang-up"
