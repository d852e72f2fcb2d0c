# Transcripts against a golden. The tiny guest runs no commands: what runs there is tested with Debian.

golden() {
    make_live --flat golden.torpor
    all=$("$TORPOR" ps -aq)
}

passes() {
    golden
    mkdir -p tests/below
    cat >tests/a.t <<'T'
golden: ../golden.torpor
redact: number=nonce ([0-9a-f]+)

The machine is there, and is the saved one.

  % torpor ps -q | grep -c "^$TORPOR_NAME\$"
  1
  % echo "$TORPOR_NAME"
  test-[0-9]+-1 (re)
  % printf 'no newline'; exit 3
  no newline (no-eol)
  [3]
  % echo "nonce 0123abcd"
  nonce [NUMBER]
T
    cat >tests/below/b.t <<'T'
golden: ../../golden.torpor
  % cat; echo >&2 to the error
  to the error
T
    PATH=$SCRATCH:$PATH works test tests
    matches output "$out" $'^tests/a.t: passed .*\ntests/below/b.t: passed .*\n2 passed, 0 failed, 0 not run$'
    same "machines" "$("$TORPOR" ps -aq)" "$all"
    works test --tap tests/below
    matches TAP "$out" $'^TAP version 13\n1..1\nok 1 - tests/below/b.t # [0-9.]+ s$'
}
try passes "test: host commands against a golden; --tap; nothing is left"

differs() {
    unset CI
    golden
    printf 'golden: golden.torpor\n  %% seq 3\n  1\n  9\n  3\nEnd' >x.t
    call test x.t
    same status "$status" 1
    matches diff "$(<"$SCRATCH/out")" $'x.t: failed .*\n--- x.t\n\+\+\+ x.t\n@@ -1,6 \+1,6 @@\n golden: golden.torpor\n   % seq 3\n   1\n-  9\n\+  2\n   3\n End\nat its first difference .*: torpor resume failed/x.torpor\n0 passed, 1 failed, 0 not run$'
    chmod 640 x.t
    works test --update x.t
    same "rewritten" "$(<x.t)" "$(printf 'golden: golden.torpor\n  %% seq 3\n  1\n  2\n  3\nEnd')"
    same mode "$(stat -c %a x.t)" 640
    works test x.t
    CI=1 refuses 125 "with CI set" test --update x.t
}
try differs "test: a difference is a diff and status 1; --update accepts it, and never in CI"

breaks() {
    golden
    echo 'golden: golden.torpor@sha256:00' >digest.t
    echo 'golden: nothing.torpor' >missing.t
    echo '  % true' >headless.t
    printf 'golden: golden.torpor\ntimeout: 1\n  %% sleep 60\n  %% echo on\n' >slow.t
    printf 'golden: golden.torpor\n  $ true\n' >guest.t
    call test digest.t missing.t headless.t
    same status "$status" 125
    matches "digest" "$(<"$SCRATCH/err")" 'digest.t: golden.torpor is sha256:[0-9a-f]*, and the test is for sha256:00'
    matches "missing" "$(<"$SCRATCH/err")" 'missing.t: nothing.torpor'
    matches "no head" "$(<"$SCRATCH/err")" 'headless.t: it names no golden'
    call test slow.t
    same status "$status" 1
    matches "a command that takes too long" "$(<"$SCRATCH/out")" $'\n\+  \[124\]\n   % echo on\n\+  on\n'
    call test guest.t
    same status "$status" 125
    matches "no agent" "$(<"$SCRATCH/err")" 'guest.t: line 2: .*agent'
    refuses 122 "no-such" test no-such.t
    mkdir -p empty links
    refuses 122 "empty: no test" test empty
    ln -s nothing links/dangling.t
    echo 'golden: ../golden.torpor' >links/good.t
    call test links
    same status "$status" 125
    matches "a link that leads nowhere" "$(<"$SCRATCH/out")" $'dangling.t: not run .*good.t: passed'
    printf 'golden: golden.torpor\r\n  %% true\r\n' >crlf.t
    call test crlf.t
    matches "CR LF" "$(<"$SCRATCH/err")" 'crlf.t: lines end in CR LF'
    same "machines" "$("$TORPOR" ps -aq)" "$all"
}
try breaks "test: a golden of another digest or that is not there, time that is over, a guest without an agent"

is_gone() { # PID
    [[ $(ps -o stat= -p "$1") =~ ^(Z.*)?$ ]]
}

ended() {
    local runner
    golden
    printf 'golden: golden.torpor\n  %% echo $$ >shell; sleep 1000\n' >long.t
    for signal in INT TERM; do
        rm -f shell
        # Not of a shell's background, where ^C is ignored.
        python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
            "$TORPOR" test long.t >said &
        runner=$!
        until_true test -s shell
        kill -$signal $runner
        wait $runner
        same "status after $signal" "$?" "$((128 + $(kill -l $signal)))"
        same "machines" "$("$TORPOR" ps -aq)" "$all"
        until_true is_gone "$(<shell)"
    done
}
try ended "test: ^C and SIGTERM end the machine and what runs on the host"
