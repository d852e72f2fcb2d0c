# paging: memory of a packed file that arrives while the guest runs, and what becomes of a machine whose
# memory is damaged.

paging() { # NAME MEMBER
    "$TORPOR" stats "$1" --json | json "d['paging']['$2']"
}

need_paging() {
    works stats "$1" --json
    [[ $out == *paging* ]] || skip "no userfaultfd for KVM's faults here"
}

all_is_there() { # NAME
    [ "$(paging "$1" present)" = "$(paging "$1" frames)" ]
}

memory_arrives() {
    make_live packed.torpor
    works resume -d --fill none packed.torpor
    need_paging source
    [ "$(paging source present)" -lt 100 ] || fail "all is there before it was touched"
    is_same_guest source
    [ "$(paging source faults)" -ge 128 ] || fail "8 MiB came in $(paging source faults) faults"
    same "the background" "$(paging source filled)" 0
    works stats source
    matches "stats" "$out" "memory paged in +[0-9.]+ of [0-9.]+ MiB \([0-9]+ %\), fill none"
}
try memory_arrives "packed memory arrives when it is touched"

fill_changes() {
    make_live packed.torpor
    works resume -d --fill none packed.torpor
    need_paging source
    all_is_there source && fail "all is there before it was touched"
    works_silently stats source --fill full
    until_true all_is_there source
    same fill "$(paging source fill)" full
    is_same_guest source
    refuses 125 "none, idle or full" stats source --fill slow
    works resume -d --name idle packed.torpor
    same "fill by default" "$(paging idle fill)" idle
    until_true all_is_there idle
    is_same_guest idle
}
try fill_changes "stats --fill: the rest comes in the background, as fast as one likes"

saved_half_way() {
    make_live packed.torpor
    works resume -d --fill none packed.torpor
    need_paging source
    answers source "fill 20 1 77" "filled 256"
    all_is_there source && fail "all is there before it was touched"
    works save source --full -o again.torpor
    works resume -d --fill none again.torpor
    answers source nonce "$nonce"
    answers source "check 20 1 77" "check ok"
    answers source "check 16 4 5" "check ok"
}
try saved_half_way "a machine that is still being paged in can be saved"

# Change a byte in the middle of packed memory, which is the pattern.
damage_memory() { # FILE
    local name offset length
    read -r name offset length < <("$tests/corrupt/damage.py" regions "$1" | grep '^content:memory.0.0 ')
    [ -n "$name" ] || fail "there is no memory in $1"
    printf '\xa5\x5a\xa5\x5a' | dd of="$1" bs=1 seek=$((offset + length / 2)) conv=notrunc status=none
}

is_broken() { # NAME
    [ "$(state_of "$1")" = broken ]
}

damaged_memory() {
    make_live packed.torpor
    damage_memory packed.torpor
    works resume -d --fill none packed.torpor
    need_paging source
    answers source nonce "$nonce"
    "$TORPOR" console source <<<"check 16 8 5" >answer 2>&1 &
    until_true is_broken source
    [ ! -s answer ] || fail "the guest went on: $(<answer)"
    refuses 121 "machine source is broken: frame [0-9]+ of memory.0: " pause source
    refuses 121 "is broken" unpause source
    refuses 121 "is broken" resume source
    refuses 121 "is broken" save source -o never.torpor
    [ ! -e never.torpor ] || fail "a broken machine was saved"
    works inspect source
    works logs --host source
    matches "its log" "$out" "broken: frame [0-9]+ of memory.0"
    works stats source
    call wait source
    same "wait" "$status" 125
    matches "wait" "$(<"$SCRATCH/out")" "^broken: frame "
    works_silently kill source
    same "behind kill" "$(state_of source)" exited
    call wait source
    matches "wait behind kill" "$(<"$SCRATCH/out")" "^failed: frame "
}
try damaged_memory "a damaged frame breaks the machine: no byte of it is seen, and it can be looked at"

damage_found_by_the_fill() {
    make_live packed.torpor
    damage_memory packed.torpor
    works resume -d --fill full packed.torpor
    until_true is_broken source
    works_silently stop source
    works resume -d --fill full packed.torpor
    until_true is_broken source
    works_silently rm -f source
}
try damage_found_by_the_fill "the background finds damage too; stop and rm -f end a broken machine"

in_the_foreground() {
    make_live packed.torpor
    damage_memory packed.torpor
    open_keys
    "$TORPOR" resume --fill full packed.torpor <&"$keys" >fore.out 2>fore.err &
    until_true is_broken source
    until_true grep -q "^torpor: machine source is broken: frame" fore.err
    works_silently kill source
    wait $!
    same "its status" $? 121
}
try in_the_foreground "in the foreground a broken machine says so, and stays until it is killed"
