# Transcripts of this program's own behaviour, against a golden of the tiny guest that a recipe records.

own_transcripts() {
    local all
    all=$(ls "$tests"/transcripts/tiny/*.t | wc -l)
    sed "s|^kernel: .*|kernel: $TINY|" "$tests/transcripts/recipes/tiny.t" >tiny.t
    works golden record tiny.t
    works test --from tiny.torpor --repeat 2 -j 2 "$tests/transcripts/tiny"
    matches "all of them" "$out" $'\n'"$((2 * all)) passed, 0 failed, 0 not run"$
    sed 's/^  check ok/  check 1/' "$tests/transcripts/tiny/memory-a.t" >changed.t
    call test --from tiny.torpor changed.t
    same "a changed expectation" "$status" 1
    matches diff "$(<"$SCRATCH/out")" $'\n-  check 1\n\+  check ok\n'
    same "machines" "$("$TORPOR" ps -aq)" ""
}
PATH=$SCRATCH:$tests/transcripts:$PATH try own_transcripts "the project's own transcripts, against a golden that a recipe records"
