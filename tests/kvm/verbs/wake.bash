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
    until_true log_says source "no guest agent yet: before it answers, the guest's clock is not set, its wake hooks do not run"
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
    local started
    boot cold
    works inspect cold
    matches inspect "$out" $'\nagent +absent$'
    started=${EPOCHREALTIME/[.,]/}
    works_silently pause cold
    works_silently unpause cold
    # Beside much load that, too, may have been a second.
    [ $((${EPOCHREALTIME/[.,]/} - started)) -ge 1000000 ] || same clock "$(wake cold clock)" none
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

network() { # NAME MEMBER, of the first card
    "$TORPOR" inspect "$1" --json | json "d['network'][0]['$2']"
}

new_identity() {
    make_live a.torpor
    works resume -d a.torpor
    works resume -d --new-identity a.torpor
    matches name "$out" '^vm-[a-z0-9]{6}$'
    is_same_guest "$out"
    [ "$(network source mac)" != "$("$TORPOR" inspect "$out" --json | json "d['appliance']['network'][0]['mac']")" ] ||
        fail "the clone has the address of its twin"
    works resume -d --new-identity --name chosen a.torpor
    same name "$out" chosen
    refuses 125 "just taking its new identity" save -R chosen -o b.torpor
    is_same_guest chosen
    until_true log_says chosen "net0: the guest has not taken its new address 02:"
    same link "$(network chosen link)" True
    works save -R chosen -o b.torpor
    refuses 125 "is for files" resume --new-identity chosen
}
try new_identity "resume --new-identity: another name and address; a guest that does not take it is alone on a user network"

clone_on_a_lan() {
    works lan create clash
    boot source --net lan=clash
    nonce=$(say source nonce)
    works save source -o a.torpor
    works resume -d --net lan=clash a.torpor
    same link "$(network source link)" True
    refuses 125 "--new-identity" resume -d --net lan=clash a.torpor
    works resume -d --new-identity --name clone --net lan=clash a.torpor
    until_true log_says clone "is not connected to lan clash before it does: its twin may be there"
    same link "$(network clone link)" False
    answers clone nonce "$nonce"
    works_silently kill clone source
    works_silently lan rm --force clash
}
try clone_on_a_lan "a twin is kept off a LAN; one with a new identity until it has taken its address"
