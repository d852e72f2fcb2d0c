# kill -9 of savers: shared by run.sh (a few rounds) and soak.sh (many).

# $ROUNDS times: wake a machine, let it save over a file, kill it at a random moment of that. The file must
# be the old one or the new one. Each survivor is the old file of the next round.
killed_savers() {
    local round pid took digest before old=0 new=0
    mkdir saves
    make_live saves/file.torpor
    RANDOM=2026
    took=$(time_of_a_save)
    for ((round = 1; round <= ROUNDS; round++)); do
        before=$(digest_of saves/file.torpor)
        works resume -d --name saver saves/file.torpor
        answers saver "fill 32 16 $round" "filled 4096"
        pid=$(<"$XDG_RUNTIME_DIR/torpor/saver/pid")
        "$TORPOR" save saver -o saves/file.torpor >"$SCRATCH/save.out" 2>"$SCRATCH/save.err" &
        sleep "$(printf '0.%06d' $((RANDOM * took / 32768)))"
        kill -9 "$pid" 2>/dev/null
        wait $!
        # Its lock goes with it, and KVM may take a moment to end a machine.
        until_true test ! -e "/proc/$pid"
        digest=$(digest_of saves/file.torpor)
        works verify saves/file.torpor
        if [ "$digest" = "$before" ]; then
            old=$((old + 1))
        else
            new=$((new + 1))
            round_of_file=$round
        fi
        said_what_happened "$digest" "$before"
    done
    last_words
    echo "$old times the old file, $new times the new one"
    [ "$old" -gt 0 ] || fail "no kill came before the end of a save: took $took µs"
}

digest_of() { # FILE
    "$TORPOR" inspect "$1" | sed -n 's/^digest *//p'
}

# In microseconds, with some room, so that kills fall all over it.
time_of_a_save() {
    local start
    works resume -d --name saver saves/file.torpor
    answers saver "fill 32 16 1" "filled 4096"
    start=${EPOCHREALTIME/./}
    works save saver -o "$SCRATCH/files/timed.torpor"
    echo $(((${EPOCHREALTIME/./} - start) * 5 / 4))
}

# A save that was reported must be there; one that was cut off is said to be so in one line.
said_what_happened() { # DIGEST BEFORE
    if [ -s "$SCRATCH/save.out" ]; then
        [ "$1" != "$2" ] || fail "it said that it saved, and the file is the old one: $(<"$SCRATCH/save.out")"
    elif [ "$(wc -l <"$SCRATCH/save.err")" != 1 ] || ! grep -q '^torpor: save: ' "$SCRATCH/save.err"; then
        fail "not one line: $(<"$SCRATCH/save.err")"
    fi
}

# The next save clears what killed ones left; and the guest is still the one it was.
last_words() {
    works resume -d --name saver saves/file.torpor
    is_same_guest saver
    [ -z "${round_of_file:-}" ] || answers saver "check 32 16 $round_of_file" "check ok"
    works save saver -o saves/file.torpor
    same "what is in the folder" "$(ls -A saves)" file.torpor
    works verify saves/file.torpor
}
