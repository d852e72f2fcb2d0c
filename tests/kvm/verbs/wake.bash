# Waking up as the right machine, as far as it goes without a guest agent: the tiny kernel has none.

wake() { # NAME MEMBER
    "$TORPOR" inspect "$1" --json | json "d['wake']['$2']"
}

log_says() { # NAME TEXT
    "$TORPOR" logs --host "$1" | grep -q "$2"
}

agent_absent() {
    make_live a.torpor
    works resume -d a.torpor
    same agent "$(wake source agent)" waiting
    until_true log_says source "no guest agent: the guest's clock is not set, its wake hooks do not run"
    same agent "$(wake source agent)" absent
    same hooks "$(wake source hooks)" owed
    works inspect source
    matches inspect "$out" $'\nslept +[0-9]+ s\nagent +absent\nclock +owed\nwake hooks +owed$'
    is_same_guest source
    works stats source --json
    same "stats" "$(json "d['wake']['agent']" <<<"$out")" absent
    same "how often it is said" "$("$TORPOR" logs --host source | grep -c "guest agent")" 1
}
try agent_absent "a guest without an agent: said once, in the log and by inspect; nothing else comes of it"

booted() {
    boot cold
    works inspect cold
    matches inspect "$out" $'\nagent +absent$'
    works_silently pause cold
    works_silently unpause cold
    same clock "$(wake cold clock)" none
    works_silently pause cold
    sleep 1.1
    works_silently unpause cold
    same clock "$(wake cold clock)" owed
    same hooks "$(wake cold hooks)" none
}
try booted "a machine that was booted is owed nothing, until it was paused for a second"

time_asleep() {
    make_live a.torpor
    sleep 1
    works resume -d --paused a.torpor
    sleep 1
    works_silently unpause source
    [ "$(wake source asleep)" -ge 2 ] || fail "it slept $(wake source asleep) s"
}
try time_asleep "inspect tells how long it slept, until it was let go"

ancestors() {
    make_live 1.torpor
    works resume -d 1.torpor
    works save -R source -o 2.torpor
    works inspect source
    matches inspect "$out" $'\nlineage +generation 2, saved [^\n]*/2.torpor\n +generation 1, saved [^\n]*/1.torpor\n'
    works save source -o 3.torpor
    works inspect 3.torpor
    matches inspect "$out" $'\ngeneration +3\n'
    matches inspect "$out" $'\nlineage +generation 2, saved [^\n]*/2.torpor\n +generation 1, saved [^\n]*/1.torpor\n'
    rm 1.torpor
    works inspect 3.torpor
    matches inspect "$out" $'\nlineage +generation 2, [^\n]*\n +sha256:[0-9a-f]{64}, not found\n'
    works inspect --json 3.torpor
    same "inspect --json" "$(json "[(a.get('generation'), 'file' in a) for a in d['lineage']]" <<<"$out")" \
        "[(2, True), (None, False)]"
}
try ancestors "inspect shows what a file or a machine descends from, as far as the files are found"

new_generation_id() {
    local before
    make_live a.torpor
    works resume -d --name one a.torpor
    works resume -d --name two a.torpor
    before=$(say one genid)
    [ "$before" != "$(say two genid)" ] || fail "two clones have one generation id"
    [ "$(say one "rng 16")" != "$(say two "rng 16")" ] || fail "two clones draw the same random bytes"
    works save -R one -o b.torpor
    same "genid of who goes on" "$(say one genid)" "$before"
}
try new_generation_id "each clone has a generation id and random bytes of its own; who goes on behind a save keeps its"
