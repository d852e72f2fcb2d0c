# Transcripts against a golden. The tiny guest runs no commands: what runs there is tested with Debian.

golden() {
    make_live --flat golden.torpor "$@"
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

# The ports of a test are its own: one machine is not for all four.
publishes() {
    golden
    local n
    for n in 1 2 3 4; do
        printf 'golden: golden.torpor\n%s\n  %% env | sed -n "s/^\\(TORPOR_PORT_[^=]*\\)=.*/\\1/p" | sort\n' \
            "$(case $n in 2 | 3) echo 'publish: 80 53/udp' ;; esac)" >$n.t
    done
    works test --update -p 443 1.t 2.t 3.t 4.t
    same "without a head" "$(tail -n +4 1.t)" '  TORPOR_PORT_443'
    same "with one" "$(tail -n +4 3.t)" $'  TORPOR_PORT_443\n  TORPOR_PORT_53\n  TORPOR_PORT_80'
    same "behind one with ports" "$(tail -n +4 4.t)" '  TORPOR_PORT_443'
    works test --json -p 443 1.t ./1.t 2.t 1.t 3.t
    same "each once" "$(json "[t['file'] for t in d['tests']]" <<<"$out")" "['1.t', '2.t', '3.t']"
    [ "$(grep -c '"memory-changed": \[[0-9, ]*\]' <<<"$out")" = 3 ] || fail "lists of numbers: $(head -n 40 <<<"$out")"
}
try publishes "test: the head publish:; a test that is named twice runs once; a list of numbers is one line of JSON"

differs() {
    golden
    printf 'golden: golden.torpor\n  %% seq 3\n  1\n  9\n  3\nEnd' >x.t
    call test x.t
    same status "$status" 1
    matches diff "$(<"$SCRATCH/out")" $'x.t: failed .*\n--- x.t\n\+\+\+ x.t\n@@ -1,6 \+1,6 @@\n golden: golden.torpor\n   % seq 3\n   1\n-  9\n\+  2\n   3\n End\n. No newline at end of file\nat its first difference .*: torpor resume failed/x.torpor\n0 passed, 1 failed, 0 not run$'
    same "what wakes is called as the test" "$("$TORPOR" inspect --json failed/x.torpor | json "d['appliance']['live']['name']")" x
    chmod 640 x.t
    works test --update x.t
    same "rewritten" "$(<x.t)" "$(printf 'golden: golden.torpor\n  %% seq 3\n  1\n  2\n  3\nEnd')"
    same mode "$(stat -c %a x.t)" 640
    works test x.t
    CI=1 refuses 125 "with CI set" test --update x.t
}
try differs "test: a difference is a diff and status 1; --update accepts it, and never in CI"

# The guest prints nothing here; the hosts' commands stand for what would be hostile.
reports() {
    golden
    mkdir -p sub
    printf 'golden: ../golden.torpor\n  %% true\n' >sub/good.t
    printf 'golden: golden.torpor\n  %% printf "</failure>\\033\\000\\377"\n' >'<b> & c.t'
    printf 'golden: nothing.torpor\n' >broken.t
    call test --junit j.xml --json sub/good.t '<b> & c.t' broken.t
    same status "$status" 125
    same "JSON" "$(json "[[t['file'], t['outcome'], t['worker']] for t in d['tests']]" <"$SCRATCH/out")" \
        "[['sub/good.t', 'passed', 1], ['<b> & c.t', 'failed', 1], ['broken.t', 'broken', 1]]"
    same "counts" "$(json "d['passed'], d['failed'], d['broken'], d['interrupted']" <"$SCRATCH/out")" '1 1 1 False'
    same "a command" "$(json "d['tests'][1]['commands'][0]['line'], d['tests'][1]['commands'][0]['differs']" <"$SCRATCH/out")" \
        '2 True'
    xmllint --noout --schema "$tests/schemas/junit-10.xsd" j.xml || fail "$(<j.xml)"
    same "cases" "$(xmllint --xpath 'concat(count(//testcase), //failure/../@name, //error/../@name)' j.xml)" '3<b> & c.tbroken.t'
    matches "its diff" "$(xmllint --xpath 'string(//failure)' j.xml)" '\+  </failure>.x1b.x00.xff .esc. .no-eol.'
    same "mode" "$(stat -c %a j.xml)" 600
    refuses 122 'no-such/j.xml: No such file' test --junit no-such/j.xml sub
    refuses 125 'exclude each other' test --json --tap sub
    refuses 125 'the same file, j.xml' test --junit j.xml --html j.xml sub
    refuses 125 "write files, which '-' is not" test --html - sub
    [ ! -e - ] || fail "a file named -"
}
try reports "test: --junit and --json, of text that is markup itself"

# Looked at in a browser; and so is a page that is not as it should be.
page() {
    command -v chromium >/dev/null || skip "chromium is not installed"
    golden
    local long
    long=$(printf 'x%.0s' {1..120}).t
    cat >hostile.t <<'T'
golden: golden.torpor

</style><script>document.title = "prose"</script>

  % printf '</pre></code><script>document.title = "output"</script>\033[2J\000\377<img src=http://127.0.0.1:9/ onerror=alert(1)>'
  was
  % mkfifo $TORPOR_NAME.answer
  > echo 'fill 16 8 5' | torpor console $TORPOR_NAME >$TORPOR_NAME.answer &
  > read answer <$TORPOR_NAME.answer; kill $!; rm $TORPOR_NAME.answer; echo "$answer"
  filled 2048* (glob)
T
    printf 'golden: golden.torpor\n  %% seq 300 | tr "\\n" " "\n' >$long
    printf 'golden: golden.torpor\n  %% [ -e once ] || { touch once; false; }\n' >flaky.t
    printf 'golden: <b>.torpor\n' >'a<b>&.t'
    PATH=$SCRATCH:$PATH call test -j 2 --repeat 2 --html r.html hostile.t $long flaky.t 'a<b>&.t'
    same status "$status" 125
    grep -q '^filled 2048' r.html || fail "no console"
    grep -Eq '>20[0-9]+ pages .8.. MiB.' r.html || fail "changes: $(grep ' pages' r.html)"
    same "the page" "$("$tests/kvm/page.py" r.html '7 of 8 failed - torpor test')" ok
    sed 's/<main>/<main><p style="width:1300px;color:#777">x<\/p><img src="x.png" onerror="x()"><script><\/script>/' \
        r.html >bad.html
    long=$("$tests/kvm/page.py" bad.html 'another title')
    for wrong in '400 light: the page is 1[0-9]* wide' '1280 dark: contrast 4' 'an element script' 'an attribute onerror' \
        'it loads file:.*/x.png' 'its title is'; do
        matches "what is wrong with another page" "$long" "$wrong"
    done
}
try page "test: --html in a browser: nothing from elsewhere, no scripts, narrow and wide, light and dark"

# What --diff prints is what patch takes.
patches() {
    golden
    mkdir -p 'a folder'
    printf 'golden: ../golden.torpor\n  %% seq 3\n  1\n  9\n  3\nEnd' >'a folder/x y.t'
    printf 'golden: golden.torpor\n  %% echo new' >n.t
    printf 'golden: golden.torpor\n  %% printf "<<<<<<< HEAD\\r\\n\\000"\n  was\nprose \000 \377\r.\n' >h.t
    call test --diff 'a folder' n.t h.t
    same status "$status" 1
    [ ! -e failed ] || fail "it saved a machine"
    same "files" "$(head -n 4 'a folder/x y.t' | tail -n 1)" '  9'
    patch -s -p0 <"$SCRATCH/out" || fail "patch: $(<"$SCRATCH/out")"
    call test --diff 'a folder' n.t h.t
    same status "$status" 0
    same "nothing to patch" "$(<"$SCRATCH/out")" ''
    same "a file without a newline" "$(tail -c 4 'a folder/x y.t')" $'\nEnd'
    grep -q $'^prose . \377\r.$' <(tr '\000' . <h.t) || fail "prose: $(od -c h.t)"
    refuses 125 '.-update accepts all' test --update --diff n.t
}
try patches "test: patch applies what --diff prints; nothing else is written"

tap() {
    command -v prove >/dev/null || skip "prove is not installed"
    local said
    golden
    mkdir t
    printf 'golden: ../golden.torpor\n  %% true\n' >t/a.t
    cp t/a.t 't/b # TODO not.t'
    cp t/a.t $'t/c\nok 9 - not.t'
    said=$(prove -e "$TORPOR test --tap" t/*.t) || fail "$said"
    matches "files of their own" "$said" 'Files=3, Tests=3,.*Result: PASS'
    printf 'golden: ../golden.torpor\n  %% printf "not ok 1\\n1..7\\nBail out!\\n"\n' >t/d.t
    call test --tap t
    same status "$status" 1
    cp "$SCRATCH/out" all.tap
    said=$(prove -v -e cat all.tap) && fail "$said"
    matches "one stream" "$said" 'Failed test:  4.*Files=1, Tests=4,.*Result: FAIL'
    printf 'golden: ../golden.torpor\n  %% kill -TERM $PPID; sleep 1000\n' >t/e.t
    cp t/a.t t/f.t
    call test --tap t/a.t t/e.t t/f.t
    cp "$SCRATCH/out" all.tap
    said=$(prove -e cat all.tap 2>&1) && fail "$said"
    matches "a signal" "$said" 'Bailout called.  Further testing stopped:  interrupted'
}
try tap "test: prove reads --tap, whatever names and outputs are like"

# For commands of the host: what the tiny guest answers.
make_ask() {
    cat >ask <<'T'
#!/bin/bash
exec {from}< <(exec torpor console "$TORPOR_NAME" <<<"$1")
pid=$!
read -r answer <&"$from"
kill $pid
echo "${answer%$'\r'}"
T
    chmod +x ask
    export PATH=$SCRATCH:$PWD:$PATH
}

# What a test writes, to memory and to a disk, no other test sees: not the next one on its machine, and none
# beside it.
isolated() {
    truncate -s 4M disk.img
    golden --disk disk.img
    make_ask
    cat >a.t <<'T'
golden: golden.torpor
  % ask 'check 16 8 5'
  check ok
  % ask 'dread 0 100 16 3'
  dread bad sector .* (re)
  % ask "fill 16 8 $((${TORPOR_NAME##*-} + 20))"
  filled 2048
  % ask 'dwrite 0 100 16 3'
  dwrite ok
  % ask 'dread 0 100 16 3'
  dread ok
  % ask "check 16 8 $((${TORPOR_NAME##*-} + 20))"
  check ok
T
    cp a.t b.t
    works test a.t b.t a.t
    works test -j 3 --repeat 5 a.t b.t
    matches "all of them" "$out" '10 passed, 0 failed, 0 not run'
}
try isolated "test: what a test writes is seen by no other one"

seeds() {
    golden
    make_ask
    mkdir one two
    printf 'golden: ../golden.torpor\n  %% ask genid >>ids; echo $TORPOR_SEED >>seeds; [ $TORPOR_SEED -lt 2147483648 ]\n' |
        tee one/same.t two/same.t >one/other.t
    works test --repeat 2 one two
    same "seeds" "$(sort -u seeds | wc -l)" 2
    same "generation ids" "$(sort -u ids | wc -l)" 2
    same "of one name" "$(sort ids | uniq -c | sort -n | sed 's/^ *\([0-9]*\).*/\1/')" $'2\n4'
    CI=1 refuses 125 'CI set' test --update one
    printf 'golden: golden.torpor\n  %% true\n' >clock.t
    call test --clock 2026-01-31T12:00:00Z clock.t
    matches "no agent" "$(<"$SCRATCH/err")" 'clock.t: --clock: the guest has no agent that answers'
    refuses 125 'not a time' test --clock tomorrow clock.t
}
try seeds "test: generation id and seed are those of the test's name; --clock needs an agent"

spread() {
    local i
    golden
    mkdir t
    for i in 1 2 3 4 5; do
        printf 'golden: ../golden.torpor\n  %% echo %s >>../ran\n' $i >t/$i.t
    done
    sed -i 's,\.\./ran,ran,' t/*.t
    works test --shard 1/2 t
    same "every second one" "$(tr -d '\n' <ran)" 135
    works test --shard 2/2 t
    same "the others" "$(tr -d '\n' <ran)" 13524
    works test --shard 6/6 t
    matches "none is left" "$out" '0 passed'
    refuses 125 '.-shard 3/2' test --shard 3/2 t
    # A flake is one, however the rounds are spread; its machine is saved once.
    printf 'golden: golden.torpor\n  %% mkdir first 2>/dev/null && echo flake; true\n' >flaky.t
    call test --repeat 3 -j 2 --junit j.xml flaky.t t/1.t
    same status "$status" 1
    matches "it is said" "$(<"$SCRATCH/out")" $'flaky: flaky.t failed 1 of 3 times\n5 passed, 1 failed, 0 not run'
    same "and in the report" "$(xmllint --xpath 'string(//property[@name="flaky"]/@value)' j.xml)" flaky.t
    same "machines" "$(ls failed | grep -v ^golden-)" flaky.torpor
}
try spread "test: --shard, --repeat and flakes"

no_test_runs() {
    ! "$TORPOR" ps -q | grep -q ^test-
}

# The machine of a test is killed: that test fails, the next one has another machine.
killed() {
    golden
    make_ask
    cat >a.t <<'T'
golden: golden.torpor
  % torpor kill "$TORPOR_NAME"; torpor inspect "$TORPOR_NAME" >/dev/null
T
    printf 'golden: golden.torpor\n  %% ask "check 16 8 5"\n  check ok\n' >b.t
    call test --junit j.xml a.t b.t
    same status "$status" 1
    matches "the first" "$(<"$SCRATCH/out")" $'a.t: failed.*\n\\+  \\[122\\].*its machine is not saved: .*\nb.t: passed'
    xmllint --noout --schema "$tests/schemas/junit-10.xsd" j.xml || fail "$(<j.xml)"
    same "machines" "$("$TORPOR" ps -aq)" "$all"
    # And so are all when the runner is.
    printf 'golden: golden.torpor\n  %% echo $PPID >runner; exec sleep 1000\n' >long.t
    "$TORPOR" test --no-save long.t >said 2>&1 &
    until_true test -s runner
    kill -9 "$(<runner)"
    wait
    until_true no_test_runs
}
try killed "test: a machine that is killed, and a runner that is"

# 100 MB, NULs among them: the beginning is compared, the rest counted.
large() {
    golden
    cat >x.t <<'T'
golden: golden.torpor
  % head -c 100000000 /dev/zero
  (\\x00)+ \(esc\) (re)
  \(torpor: 98951424 bytes more, which are not compared\) (re)
  % yes '<<<<<<< HEAD' | head -n 10000000 | tail -c 100000000
  was
T
    call test --html r.html --junit j.xml --json x.t
    same status "$status" 1
    matches "the first is compared" "$(json "d['tests'][0]['commands'][0]['differs']" <"$SCRATCH/out")" '^False$'
    same "the second differs" "$(json "d['tests'][0]['commands'][1]['differs'], d['tests'][0]['diff'].count('+  <<<<<<< HEAD')" <"$SCRATCH/out")" \
        "True 80659"
    xmllint --huge --noout --schema "$tests/schemas/junit-10.xsd" j.xml || fail "not valid"
    grep -q 'bytes more: torpor test --diff' r.html || fail "the page has all of it"
    works test --update x.t
    works test x.t
}
try large "test: 100 MB of output"

at_a_terminal() { # ANSWER… -- ARGUMENT…
    local answers=()
    while [ "$1" != -- ]; do
        answers+=("$1")
        shift
    done
    shift
    timeout -k 1 "$PATIENCE" python3 "$tests/kvm/terminal.py" "$SCRATCH/typed" "${answers[@]}" -- "$TORPOR" "$@"
}

two_to_review() {
    { printf 'golden: golden.torpor\n  %% seq 30\n  one\n'; seq 2 29; printf 'thirty\n'; } |
        sed '3,$s/^[0-9t]/  &/' >x.t
    printf 'golden: golden.torpor\n  %% echo new\n  old\n' >y.t
}

reviewed() {
    golden
    two_to_review
    same "reject, accept, accept" "$(at_a_terminal r accept a -- test -i x.t y.t)" '1 0 sane'
    same "the first is as it was" "$(sed -n '3p;32p' x.t)" $'  one\n  30'
    same "the other is new" "$(tail -n 1 y.t)" '  new'
    matches "the questions" "$(tr -d '\r' <"$SCRATCH/typed")" $'x.t: 1 of 2\n.*\\+  1.*x.t: 2 of 2\n.*y.t: 1 of 1\n.*y.t: rewritten\n1 passed, 1 failed, 0 not run; some were rewritten'
    same "no answer, then quit" "$(at_a_terminal perhaps "$(printf 'a%.0s' {1..200})" q -- test -i x.t)" '1 0 sane'
    same "end of the input" "$(at_a_terminal ^D -- test -i x.t)" '1 0 sane'
    same "still" "$(sed -n '3p;32p' x.t)" $'  one\n  30'
    [ ! -e failed ] || fail "it saved a machine"
    two_to_review
    same "all, skip" "$(at_a_terminal A s -- test -i x.t y.t)" '1 0 sane'
    works test x.t
    same "skipped" "$(tail -n 1 y.t)" '  old'
    same "nothing to ask" "$(at_a_terminal -- test -i x.t)" '0 0 sane'
    printf 'golden: golden.torpor\n  %% echo "  more" >>z.t\n  x\n' >z.t
    same "changed meanwhile" "$(at_a_terminal a -- test -i z.t)" '125 0 sane'
    same "whose text stays" "$(tail -n 2 z.t)" $'  x\n  more'
    matches "and why" "$(<"$SCRATCH/typed")" 'z.t: it has changed since it was run'
    refuses 125 'asks on a terminal' test -i y.t
    CI=1 refuses 125 'with CI set' test -i y.t
    refuses 125 'exclude each other' test -i --tap y.t
}
try reviewed "test: -i accepts, rejects, skips and quits, hunk by hunk"

# ^C at a question keeps what was accepted before, and what was to be written.
review_ended() {
    golden
    two_to_review
    same "^C" "$(at_a_terminal A ^C -- test -i --junit j.xml x.t y.t)" '0 2 sane'
    same "accepted" "$(sed -n '3p;32p' x.t)" $'  1\n  30'
    same "not asked to its end" "$(tail -n 1 y.t)" '  old'
    same "the report" "$(xmllint --xpath 'count(//testcase)' j.xml)" 2
    same "machines" "$("$TORPOR" ps -aq)" "$all"
}
try review_ended "test: ^C at a question of -i"

progress() {
    golden
    printf 'golden: golden.torpor\n  %% true\n' >a.t
    cp a.t b.t
    same "at a terminal" "$(at_a_terminal -- test a.t b.t)" '0 0 sane'
    matches "how far it is" "$(<"$SCRATCH/typed")" $'0/2, 0 failed: a.t.*\r\033.K1/2, 0 failed: b.t\r\033.Kb.t: passed'
    printf 'golden: golden.torpor\n  %% echo $$ >shell; sleep 1000\n' >long.t
    at_a_terminal -- test long.t >how &
    until_true test -s shell
    kill -INT "$(ps -o ppid= -p "$(<shell)" | tr -d ' ')"
    wait $!
    same "interrupted" "$(<how)" '0 2 sane'
    matches "the line is gone" "$(<"$SCRATCH/typed")" $'\r\033.Klong.t: not run'
}
try progress "test: how far it is, at a terminal"

breaks() {
    golden
    echo 'golden: golden.torpor@sha256:00' >digest.t
    echo 'golden: nothing.torpor' >missing.t
    echo '  % true' >headless.t
    printf 'golden: golden.torpor\ntimeout: 1\n  %% sleep 60\n  %% echo on\n' >slow.t
    printf 'golden: golden.torpor\ntimeout: 1\n  $ true\n' >guest.t
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
    matches "no agent" "$(<"$SCRATCH/err")" 'guest.t: line 3: .*agent'
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
    # As output they are lines like others.
    printf '  %% echo a\n<<<<<<< HEAD\n  a\n=======\n  b\n>>>>>>> other\n' >conflict.t
    call test --update conflict.t
    same status "$status" 125
    matches "a conflict" "$(<"$SCRATCH/err")" 'conflict.t: line 2: a conflict marker'
    matches "the file" "$(<conflict.t)" '^  % echo a.*>>>>>>> other$'
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

# What was done until then is kept.
interrupted() {
    local runner
    golden
    printf 'golden: golden.torpor\n  %% true\n' >a.t
    printf 'golden: golden.torpor\n  %% echo $$ >shell; sleep 1000\n' >b.t
    cp a.t c.t
    "$TORPOR" test --junit j.xml --json a.t b.t c.t >said 2>err &
    runner=$!
    until_true test -s shell
    kill -TERM $runner
    wait $runner
    same status "$?" 143
    xmllint --noout --schema "$tests/schemas/junit-10.xsd" j.xml || fail "$(<j.xml)"
    same "in the file" "$(xmllint --xpath 'concat(count(//testcase), " ", //error/../@name, " ", //error/@message, " ", //property[@name="interrupted"]/@value)' j.xml)" \
        '2 b.t interrupted true'
    same "JSON" "$(json "d['interrupted'], len(d['tests'])" <said)" 'True 2'
}
try interrupted "test: what ran before a signal is in the reports"

full_disk() {
    local cut
    golden
    mkdir small
    mount -t tmpfs -o size=64k none small 2>/dev/null || skip "no mount in this namespace"
    printf 'golden: golden.torpor\n  %% echo x\n' >x.t
    cut=$(printf 'golden: golden.torpor\n  %% head -c 200000 /dev/zero | tr "\\000" y\n' | tee big.t)
    head -c 61440 /dev/zero >small/fill
    call test --failed small/failed x.t
    same status "$status" 1
    matches "no room for the machine" "$(<"$SCRATCH/out")" 'its machine is not saved: .*No space left on device'
    call test --no-save --junit small/j.xml big.t
    same status "$status" 125
    matches "no room for the report" "$(<"$SCRATCH/err")" 'write small/j.xml: No space left on device'
    same "what is left" "$(ls -A small)" "$(printf 'failed\nfill')"
    umount small
}
try full_disk "test: a full disk is named, for a machine and for a report"

try ended "test: ^C and SIGTERM end the machine and what runs on the host"
