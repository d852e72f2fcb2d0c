# increments: save --flat, --level, --parent, --full, -R and what the store makes of them; refusals.

identity() { # FILE
    "$TORPOR" inspect --json "$1" | json "d['digest']"
}

live() { # FILE MEMBER
    "$TORPOR" inspect --json "$1" | json "d['appliance']['live']['$2']"
}

encoding() { # FILE
    "$TORPOR" ls --json "$1" | json "[i['encoding'] for i in d['contents'] if i['role'] == 'memory.0'][0]"
}

# Frames of memory that it holds itself; the guest's 8 MiB alone are 128.
frames() { # FILE
    "$TORPOR" ls --json "$1" | json "[i['frames']['data'] for i in d['contents'] if i['role'] == 'memory.0'][0]"
}

is_small() { # FILE
    [ "$(frames "$1")" -lt 100 ] || fail "$1 holds $(frames "$1") frames of memory"
}

bytes() { # FILE
    stat -c %s "$1"
}

# A machine `source`, running, and full.torpor, which it woke from.
wake_full() {
    make_live full.torpor
    works resume -d full.torpor
    is_same_guest source
}

encodings() {
    local i
    make_live packed.torpor
    works resume -d --paused packed.torpor
    works save -R source --full --flat -o flat.torpor
    works save -R source --full --level 1 -o one.torpor
    works save source --full --level=19 -o nineteen.torpor
    same "by default" "$(encoding packed.torpor)" packed
    same "--flat" "$(encoding flat.torpor)" flat
    same "--level 1" "$(encoding one.torpor)" packed
    [ "$(bytes nineteen.torpor)" -lt "$(bytes one.torpor)" ] || fail "--level 19 is not smaller than --level 1"
    [ "$(bytes one.torpor)" -lt "$(bytes flat.torpor)" ] || fail "--level 1 is not smaller than --flat"
    for i in flat one nineteen; do
        works verify $i.torpor
        works resume -d --name $i $i.torpor
        is_same_guest $i
        works_silently kill $i
    done
}
try encodings "save --flat, --level: smaller and smaller, and the same guest"

levels_refused() {
    boot l
    refuses 125 "--level" save l --level 0
    refuses 125 "--level" save l --level 20
    refuses 125 "--level" save l --level x
    refuses 125 "exclude each other" save l --full --parent x.torpor
    same state "$(state_of l)" running
}
try levels_refused "save --level and --full with --parent: what is refused"

chain() {
    local before i
    wake_full
    before=$(identity full.torpor)
    answers source "fill 30 1 1" "filled 256"
    works save source --parent full.torpor -o 1.torpor
    same "its parent" "$(live 1.torpor parent)" "$before"
    same increment "$(live 1.torpor increment)" True
    is_small 1.torpor
    for i in 1 2 3; do
        works resume -d --fill none $i.torpor
        is_same_guest source
        answers source "check 30 1 $i" "check ok"
        answers source "fill 30 1 $((i + 1))" "filled 256"
        answers source "fill $((40 + i)) 1 $i" "filled 256"
        works save source --parent $i.torpor -o $((i + 1)).torpor
        works verify $((i + 1)).torpor
    done
    works resume -d 4.torpor
    is_same_guest source
    answers source "check 30 1 4" "check ok"
    for i in 1 2 3; do
        answers source "check $((40 + i)) 1 $i" "check ok"
    done
    works save source --full -o all.torpor
    same "increment, in a full one" "$(live all.torpor increment)" False
    rm full.torpor [1-4].torpor
    works resume -d all.torpor
    is_same_guest source
    answers source "check 43 1 3" "check ok"
}
try chain "save --parent: four increments, one upon the other; --full stands alone"

goes_on() {
    local i before
    boot source
    nonce=$(say source nonce)
    answers source "fill 16 8 5" "filled 2048"
    works save -R source -o 0.torpor
    for i in 1 2 3; do
        answers source "fill $((30 + i)) 1 $i" "filled 256"
        before=$(identity $((i - 1)).torpor)
        works save -R source --parent $((i - 1)).torpor -o $i.torpor
        same "parent of $i" "$(live $i.torpor parent)" "$before"
    done
    is_small 3.torpor
    works_silently kill source
    works resume -d 3.torpor
    is_same_guest source
    for i in 1 2 3; do
        answers source "check $((30 + i)) 1 $i" "check ok"
    done
}
try goes_on "save -R --parent: increments of a machine that goes on"

disks() {
    head -c 4M /dev/urandom >disk.img
    boot d --disk disk.img
    answers d "dwrite 0 0 64 1" "dwrite ok"
    works save d -o full.torpor
    works resume -d full.torpor
    answers d "dwrite 0 1000 64 2" "dwrite ok"
    works save d --parent full.torpor -o 1.torpor
    works resume -d 1.torpor
    answers d "dwrite 0 1000 64 3" "dwrite ok"
    works save d --parent 1.torpor -o 2.torpor
    [ "$(bytes 2.torpor)" -lt 2000000 ] || fail "an increment of $(bytes 2.torpor) bytes"
    works resume -d 2.torpor
    answers d "dread 0 0 64 1" "dread ok"
    answers d "dread 0 1000 64 3" "dread ok"
    works resume -d --name older 1.torpor
    answers older "dread 0 1000 64 2" "dread ok"
}
try disks "disks in increments: what was written since the parent"

store() {
    local store=$XDG_DATA_HOME/torpor
    boot s
    nonce=$(say s nonce)
    answers s "fill 16 8 5" "filled 2048"
    works save s
    works resume -d --name later s
    works save -R later
    same "increment, its parent being in the store" "$(live "$store/later.torpor" increment)" True
    matches "what is said of it" "$out" "^$store/later.torpor: [0-9.]+ MiB that changed since $store/s.torpor, which it needs, paused for [0-9.]+ s\$"
    # Its own parent cannot be what is replaced.
    works save -R --json later
    same "increment, over its own parent" "$(live "$store/later.torpor" increment)" False
    same "and in JSON" "$(json "d['increment'], 'parent' in d" <<<"$out")" "False False"
    works save later --full
    # A file for elsewhere is complete, unless a parent is named.
    works resume -d --name next later
    works save -R --json next -o away.torpor
    same "increment, elsewhere" "$(live away.torpor increment)" False
    same "and in JSON" "$(json "d['increment']" <<<"$out")" False
    works save -R --json next -o step.torpor --parent away.torpor
    same "increment, of a named parent" "$(live step.torpor increment)" True
    same "its parent in JSON" "$(json "d['parent'], d['parent-file']" <<<"$out")" \
        "$(identity away.torpor) $PWD/away.torpor"
    works save next --full
    same "increment, with --full" "$(live "$store/next.torpor" increment)" False
    for name in s next; do
        works resume -d $name
        is_same_guest $name
    done
    works resume -d --name step step.torpor
    is_same_guest step
}
try store "in the store a save is an increment, unless that would replace its parent, or --full; elsewhere with --parent alone"

others() {
    local store=$XDG_DATA_HOME/torpor before
    boot web
    works save -R web
    works save -R web
    works save web
    works resume -d web
    works save web
    before=$(identity "$store/web.torpor")
    boot web
    refuses 125 "web.torpor holds another machine, which web did not come from: choose another file with -o, or replace it with --force" save web
    same "the old file" "$(identity "$store/web.torpor")" "$before"
    same "state" "$(state_of web)" running
    works save web -o "$PWD/web.torpor"
    boot web
    works save web --force
    [ "$(identity "$store/web.torpor")" != "$before" ] || fail "it was not replaced"
}
try others "another machine's file in the store is replaced by --force alone"

depended() {
    local store=$XDG_DATA_HOME/torpor
    boot web
    nonce=$(say web nonce)
    answers web "fill 16 8 5" "filled 2048"
    works save web
    works resume -d --name later web
    works save later
    works resume -d web
    for force in "" --force; do
        refuses 125 "web.torpor cannot be replaced: later.torpor in the store stands on it; choose another file with -o" save web $force
        is_same_guest web
    done
    works save web -o away.torpor
    works resume -d later
    is_same_guest later
}
try depended "a file that something in the store stands on is never replaced"

not_in_the_store() {
    wake_full
    works save source -o other.torpor
    same "increment of a file elsewhere, unasked" "$(live other.torpor increment)" False
    same "its parent, for the record" "$(live other.torpor parent)" "$(identity full.torpor)"
}
try not_in_the_store "a file outside the store is no parent unless it is named"

refusals() {
    wake_full
    cp full.torpor before
    works save -R source --full -o other.torpor
    works_silently kill source
    works resume -d full.torpor
    refuses 125 "other.torpor is not what source woke from" save source --parent other.torpor -o 1.torpor
    refuses 122 "none.torpor" save source --parent none.torpor -o 1.torpor
    refuses 125 "cannot be replaced by what changed since it" save source --parent full.torpor -o full.torpor
    ln full.torpor hard.torpor
    ln -s full.torpor soft.torpor
    refuses 125 "cannot be replaced" save source --parent full.torpor -o hard.torpor
    refuses 125 "cannot be replaced" save source --parent full.torpor -o soft.torpor
    echo no appliance >text.torpor
    refuses 121 "not a torpor file" save source --parent text.torpor -o 1.torpor
    [ ! -e 1.torpor ] || fail "a file was left"
    cmp full.torpor before || fail "the parent was changed"
    same state "$(state_of source)" running
    is_same_guest source
    boot fresh
    refuses 125 "full.torpor is not what fresh woke from .*nothing" save fresh --parent full.torpor -o 1.torpor
}
try refusals "save --parent: another file, a missing one, the target itself"

lost_parent() {
    local digest
    wake_full
    digest=$(identity full.torpor)
    works save source --parent full.torpor -o 1.torpor
    mkdir away
    mv full.torpor away
    refuses 122 "1.torpor: .*its parent $digest, which is neither beside it nor in the store" resume 1.torpor
    works inspect 1.torpor
    works verify 1.torpor
    # Under any name, beside it or in the store.
    mv away/full.torpor renamed.torpor
    works resume -d --name beside 1.torpor
    is_same_guest beside
    works_silently kill beside
    mkdir -p "$XDG_DATA_HOME/torpor"
    mv renamed.torpor "$XDG_DATA_HOME/torpor/any.torpor"
    works resume -d --name stored 1.torpor
    is_same_guest stored
    # Another machine under the parent's name is not the parent.
    rm "$XDG_DATA_HOME/torpor/any.torpor"
    boot impostor
    works save impostor -o full.torpor
    refuses 122 "$digest" resume 1.torpor
}
try lost_parent "an increment without its parent: refused by the parent's digest; found under any name"

folder_as_parent() {
    wake_full
    mkdir folder
    tar -C folder -xf full.torpor
    refuses 125 "folder is a folder, .*torpor convert makes a file of it" save source --parent folder -o 1.torpor
    works convert folder parent.torpor
    works save source --parent parent.torpor -o 1.torpor
    works verify 1.torpor
}
try folder_as_parent "a folder in the OCI layout is no parent, a file that convert makes of it is one"

damaged_parent() {
    wake_full
    works save source --parent full.torpor -o 1.torpor
    truncate -s -1000 full.torpor
    refuses 122 "neither beside it nor in the store" resume 1.torpor
}
try damaged_parent "a parent that cannot be read is none"

replaced_underneath() {
    wake_full
    boot other
    works save other -o full.torpor
    is_same_guest source
    refuses 125 "full.torpor is not what source woke from" save source --parent full.torpor -o 1.torpor
    works save source -o 1.torpor
    works resume -d 1.torpor
    is_same_guest source
}
try replaced_underneath "a parent that was replaced by another file is no parent; the machine does not care"
