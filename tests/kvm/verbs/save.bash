# save and resume: the same guest goes on, from a file or from the store, once or many times.

save_and_resume() {
    make_live a.torpor
    matches "save" "$out" '^/.*/a\.torpor: [0-9.]+ MiB, paused for [0-9.]+ s$'
    works ps -q
    same "ps behind save" "$out" ""
    works wait source
    same "wait" "$out" saved
    works resume -d a.torpor
    same "the name it wakes under" "$out" source
    is_same_guest source
}
try save_and_resume "save -o, resume FILE -d: the same guest, under its name"

default_store() {
    boot s
    nonce=$(say s nonce)
    works save s --json
    same "where it is" "$(json "d['file']" <<<"$out")" "$XDG_DATA_HOME/torpor/s.torpor"
    works resume --detach s
    same "resume NAME" "$out" s
    answers s nonce "$nonce"
    works_silently rm -f s
    [ -e "$XDG_DATA_HOME/torpor/s.torpor" ] || fail "rm removed an appliance"
    works resume -d s
    answers s nonce "$nonce"
}
try default_store "save into the store, resume NAME; rm leaves the file alone"

leave_running() {
    boot r
    nonce=$(say r nonce)
    works save -R r -o r1.torpor
    answers r nonce "$nonce"
    answers r "fill 16 1 9" "filled 256"
    works save --leave-running --output r2.torpor r
    works resume -d --name first r1.torpor
    works resume -d --name second r2.torpor
    answers r "check 16 1 9" "check ok"
    answers second "check 16 1 9" "check ok"
    matches "the first one" "$(say first "check 16 1 9")" '^check bad'
    works inspect --json r2.torpor
    same generation "$(json "d['appliance']['live']['generation']" <<<"$out")" 2
}

named() {
    boot r
    works save -R r --as shop -o r.torpor
    works resume -d r.torpor
    same "the name" "$out" shop
    same "machines" "$("$TORPOR" ps -q | sort)" $'r\nshop'
    refuses 125 "'a b' is not a name" save r --as 'a b' -o other.torpor
    works save r --as other
    same "in the store" "$(ls "$XDG_DATA_HOME/torpor")" r.torpor
}
try named "save --as: the name that it wakes under"

try leave_running "save -R: the machine goes on, and can be saved again"

# The tiny kernel has no such driver. That real guests shrink is seen in the lab.
trim_nobody() {
    boot t
    nonce=$(say t nonce)
    call save --trim -R t -o t.torpor
    [ "$status" = 0 ] && one_line "t cannot be trimmed: .*no driver" || fail "$(report_call save --trim)"
    answers t nonce "$nonce"
    works inspect t.torpor
    call balloon --json t 64M
    [ "$status" = 0 ] && one_line "guest of t has no driver" || fail "$(report_call balloon)"
    same "what is asked for" "$(json "d['target'], d['actual']" <"$SCRATCH/out")" "67108864 0"
    works_silently balloon t 0
}
try trim_nobody "save --trim, balloon of a guest without the balloon's driver: both say so; it is saved"

save_paused() {
    make_live paused.torpor
    works resume -d --paused paused.torpor
    same state "$(state_of source)" paused
    works save -R source -o again.torpor
    same "state behind save -R" "$(state_of source)" paused
    works_silently resume source
    same state "$(state_of source)" running
    is_same_guest source
    refuses 125 "running already" resume source
    works resume -d --name again again.torpor
    is_same_guest again
}
try save_paused "resume --paused; a paused machine is saved and stays paused; resume NAME lets it go on"

resume_foreground() {
    make_live f.torpor
    printf 'nonce\npoweroff\n' | timeout "$PATIENCE" "$TORPOR" resume f.torpor >"$SCRATCH/out" 2>"$SCRATCH/err"
    same status "$?" 0
    same "standard error" "$(<"$SCRATCH/err")" ""
    same output "$(tr -d '\r' <"$SCRATCH/out")" "$nonce"$'\npoweroff'
}
try resume_foreground "resume in the foreground talks over pipes"

saved_foreground() {
    open_keys
    "$TORPOR" run --name fg --kernel "$TINY" <&"$keys" >fg.out 2>fg.err &
    local pid=$!
    until_true is_ready fg
    works save fg -o fg.torpor
    wait "$pid"
    same "status of run" "$?" 0
    matches "standard error" "$(<fg.err)" '^torpor: fg was saved to /.*/fg\.torpor$'
}
try saved_foreground "a machine in the foreground ends with 0 when it is saved, and says where to"

generations() {
    local i before
    truncate -s 4M base.img
    make_live gen0.torpor --disk base.img
    for i in 1 2 3; do
        before=$(json "d['digest']" < <("$TORPOR" inspect --json gen$((i - 1)).torpor))
        works resume -d gen$((i - 1)).torpor
        answers source "dwrite 0 $((i * 100)) 16 $i" "dwrite ok"
        works save source -o gen$i.torpor
        works inspect --json gen$i.torpor
        same generation "$(json "d['appliance']['live']['generation']" <<<"$out")" $((i + 1))
        same parent "$(json "d['appliance']['live']['parent']" <<<"$out")" "$before"
    done
    rm -f base.img gen0.torpor gen1.torpor gen2.torpor
    works verify gen3.torpor
    works resume -d gen3.torpor
    is_same_guest source
    for i in 1 2 3; do
        answers source "dread 0 $((i * 100)) 16 $i" "dread ok"
    done
}
try generations "three generations with a disk; the last file needs none of the earlier ones"

same_path() {
    make_live same.torpor
    works resume -d same.torpor
    answers source "fill 32 4 6" "filled 1024"
    works save source -o same.torpor
    works resume -d same.torpor
    is_same_guest source
    answers source "check 32 4 6" "check ok"
}
try same_path "a woken machine can be saved over the very file it runs from"

sixteen() {
    local i pids=()
    boot other
    answers other "fill 16 8 6" "filled 2048"
    works save other -o other.torpor
    make_live sixteen.torpor
    for i in {10..25}; do
        "$TORPOR" resume -d --fill none --name "s$i" sixteen.torpor >"s$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || fail "one did not wake"
    done
    works ps -q
    same "ps -q" "$(tr '\n' ' ' <<<"$out")" "$(echo s{10..25}) "
    for i in {10..25}; do
        answers "s$i" "fill 16 1 $i" "filled 256"
    done
    works verify sixteen.torpor
    # From here on the name is that of another guest's file; each still has most of its memory to come.
    mv other.torpor sixteen.torpor
    for i in {10..25}; do
        works_silently stats "s$i" --fill $([ $((i % 2)) = 0 ] && echo full || echo none)
        answers "s$i" nonce "$nonce"
        answers "s$i" "check 16 1 $i" "check ok"
        answers "s$i" "check $((17 + i % 6)) 1 5" "check ok"
    done
    works resume -d --name successor sixteen.torpor
    answers successor "check 16 8 6" "check ok"
}
try sixteen "sixteen machines woken at once from one file, which is then replaced: each goes on with memory of its own"

clashing_names() {
    make_live n.torpor
    works resume -d n.torpor
    works resume -d n.torpor
    same "the second one's name" "$out" source-2
    refuses 125 "source is in use" resume -d --name source n.torpor
    is_same_guest source
    is_same_guest source-2
}
try clashing_names "the name is taken: source-2; asked for by --name: refused"

wrong_temperature() {
    make_live live.torpor
    works_silently build -o cold.torpor --kernel "$TINY"
    refuses 125 "is live: wake it with torpor resume" run live.torpor
    refuses 125 "is cold: boot it with torpor run" resume cold.torpor
    # Images of disks: the first KiB of a file system is zeros.
    truncate -s 1M zeros
    truncate -s 512 sector
    for image in zeros sector; do
        refuses 121 "not a torpor file" run $image
        refuses 121 "not a torpor file" resume $image
    done
}
try wrong_temperature "run of a live file and resume of a cold one name the right verb; a disk is no torpor file"
