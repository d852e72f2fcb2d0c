# save --every: a chain of moments that stays whole, whatever is killed and whatever fails.
#
# The interval is a second. What decides is what is there, never how long it took.

store() {
    echo "$XDG_DATA_HOME/torpor"
}

moments() { # [FOLDER]
    ls "${1:-$(store)}" | grep -E '^web\.[0-9]{8}T[0-9]{6}Z\.torpor$'
}

newest() { # [FOLDER]
    moments "$@" | tail -n 1
}

# A moment later than that one, which the name that stays leads to.
newer_than() { # MOMENT [FOLDER]
    local folder=${2:-$(store)} now
    now=$(newest "$folder")
    [[ $now > $1 ]] && [ "$folder/$now" -ef "$folder/web.torpor" ]
}

# The next moment that begins from here on: one may be under way.
next_moment() { # [FOLDER]
    until_true newer_than "$(newest "$@")" "$@"
    until_true newer_than "$(newest "$@")" "$@"
}

every() { # OPTION…
    "$TORPOR" save web --every 1s "$@" >said.out 2>said &
    saver=$!
    until_true grep -q paused said.out
}

all_wake() { # FOLDER
    local file
    for file in "$1"/web*.torpor; do
        works verify "$file"
        works resume -d --paused --name woken "$file"
        works_silently kill woken
    done
}

chain_of_moments() {
    local first second i
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    every --keep 3
    first=$(newest)
    until_true newer_than "$first"
    second=$(newest)
    matches "the second line" "$(sed -n 2p said.out)" "/$second: .* that changed since .*/$first, which it needs, paused"
    # The first file of a chain goes with its last.
    until_true eval '[ -n "$(newest)" ] && ! [ -e "$(store)/'"$first"'" ]'
    for ((i = 0; i < 3; i++)); do
        answers web "fill 40 1 $i" "filled 256"
        next_moment
        [ "$(moments | wc -l)" -le 6 ] || fail "moments: $(moments)"
        [ "$(moments | wc -l)" -ge 3 ] || fail "moments: $(moments)"
    done
    kill $saver
    wait $saver
    [ ! -s said ] || fail "$(<said)"
    works resume -d --name woken "$(store)/web.torpor"
    is_same_guest woken
    answers woken "check 40 1 2" "check ok"
    works_silently kill woken
    all_wake "$(store)"
}
try chain_of_moments "save --every: increments, now and then a full file, and what nothing stands on goes"

in_the_background() {
    boot web
    works save web --every 1s --keep 2 -d -o moments.torpor
    matches "what it says" "$out" 'moments\.[0-9]{8}T[0-9]{6}Z\.torpor: .* MiB, paused for'
    refuses 125 "saved again and again already, by process [0-9]+: torpor save web --every off" save web --every 1s
    until_true eval '[ "$(ls moments.*Z.torpor | wc -l)" -gt 1 ]'
    works_silently save web --every off
    refuses 122 "not saved again and again" save web --every off
    works save web --every 1s -d --json -o moments.torpor
    matches "as JSON" "$(json "d['file']" <<<"$out")" '/moments\.[0-9]{8}T[0-9]{6}Z\.torpor$'
    works_silently kill web
    # It ends with the machine.
    until_true eval '! pgrep -f "^$TORPOR save web --every"'
    works rm web
    [ ! -e "$XDG_STATE_HOME/torpor/web" ] || fail "$(ls "$XDG_STATE_HOME/torpor/web")"
    works resume -d --name woken moments.torpor
}
try in_the_background "save --every -d goes on in the background until --every off, or the machine's end"

misused() {
    boot web
    refuses 125 "need --every" save web --keep 3
    refuses 125 "need --every" save web -d
    refuses 125 "not --parent, not --full" save web --every 1s --full
    refuses 125 "not -o -" save web --every 1s -o -
    refuses 125 "--every needs a time" save web --every 0
    refuses 125 "--every needs a time" save web --every soon
    refuses 125 "--keep" save web --every 1s --keep 0
    refuses 125 "no other options" save web --every off --keep 2
    refuses 125 "is to end in .torpor" save web --every 1s -o file
    refuses 122 "no machine named other is running" save other --every 1s
    cp /etc/hostname "$(store)/web.torpor" 2>/dev/null || { mkdir -p "$(store)" && cp /etc/hostname "$(store)/web.torpor"; }
    boot other
    works save other -o "$(store)/web.torpor"
    # Another machine's file under that name.
    refuses 125 "holds another machine" save web --every 1s
    [ -z "$(moments)" ] || fail "$(moments)"
    works save web --every 1h -d --force
    works_silently save web --every off
    same "the state" "$(state_of web)" running
}
try misused "save --every: what does not go together, and another machine's file"

# Each time another moment of the saves, and of what follows them, is hit.
killed_at_random() {
    local i before
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    for ((i = 1; i <= ${KILLS:-12}; i++)); do
        before=$(newest 2>/dev/null)
        answers web "fill 40 1 $i" "filled 256"
        every --keep 2
        until_true newer_than "$before"
        sleep "$(printf '0.%03d' $((RANDOM * 1000 / 32768)))"
        kill -KILL $saver
        wait $saver 2>/dev/null
        works resume -d --name woken "$(store)/web.torpor"
        is_same_guest woken
        answers woken "check 40 1 $i" "check ok"
        works_silently kill woken
    done
    all_wake "$(store)"
    [ -z "$(find "$(store)" -name '.*' -type f ! -name .web.newest)" ] || fail "$(ls -A "$(store)")"
    # The machine, too: the name leads to a file that is whole.
    every --keep 2
    until_true newer_than "$(newest)"
    kill -KILL "$("$TORPOR" ps --json | json "[m['pid'] for m in d if m['name'] == 'web'][0]")"
    wait $saver
    same "status of save" "$?" 0
    works resume -d web
    is_same_guest web
    answers web "check 40 1 $((i - 1))" "check ok"
}
try killed_at_random "save --every, killed at any moment: the newest name wakes, and so does all else"

full_disk() {
    local before
    mkdir small
    mount -t tmpfs -o size=3M tmpfs small 2>/dev/null || skip "no file system can be mounted"
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    every --keep 3 -o small/web.torpor
    answers web "fill 40 1 1" "filled 256"
    next_moment small
    # What is written now does not fit.
    head -c 10M /dev/zero >small/filler 2>/dev/null
    until_true grep -q 'No space left on device.*; it is tried again at the next time' said
    is_running_on web
    before=$(newest small)
    works resume -d --name woken small/web.torpor
    is_same_guest woken
    answers woken "check 40 1 1" "check ok"
    works_silently kill woken
    answers web "fill 41 1 2" "filled 256"
    rm small/filler
    until_true newer_than "$before" small
    kill $saver
    wait $saver
    # What changed while nothing could be written is in the next one.
    works resume -d --name woken small/web.torpor
    is_same_guest woken
    answers woken "check 40 1 1" "check ok"
    answers woken "check 41 1 2" "check ok"
    umount -l small
}
is_running_on() { # NAME
    [[ $(state_of "$1") = running || $(state_of "$1") = saving ]] || fail "$(state_of "$1")"
}
try full_disk "save --every on a full disk says so, and goes on when there is room"

# A file of someone else's that stands on a moment keeps it.
stood_on() {
    local kept
    boot web
    every --keep 1
    kept=$(newest)
    kill $saver
    wait $saver
    works resume -d --name other "$(store)/$kept"
    works save other
    matches "what was saved" "$out" "that changed since .*/$kept"
    every --keep 1
    next_moment
    next_moment
    [ -e "$(store)/$kept" ] || fail "$kept is gone, and other.torpor stands on it"
    kill $saver
    wait $saver
    works resume -d other
}
try stood_on "save --every leaves a moment that another file stands on"
