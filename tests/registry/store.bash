# The store: what gc removes, and what it must leave.

removed() {
    works gc --json
    json "d['images']" <<<"$out"
}

removes_both() {
    [ "$(removed)" = 2 ]
}

gc_leaves_what_is_needed() {
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/chain:v1"
    works push increment.torpor "docker://$registry/torpor/chain:v2"
    elsewhere
    works pull "docker://$registry/torpor/chain:v1"
    works pull "docker://$registry/torpor/chain:v2"
    rm ./*.torpor
    works_silently rmi "docker://$registry/torpor/chain:v1"
    refuses 122 'the store has no image' rmi "docker://$registry/torpor/chain:v1"
    same "removed while an increment stands on it" "$(removed)" 0
    works resume -d --name woken "docker://$registry/torpor/chain:v2"
    works_silently rmi "docker://$registry/torpor/chain:v2"
    same "removed while a machine runs from it" "$(removed)" 0
    answers woken "check 4 12 7" "check ok"
    works kill woken
    # The process ends behind the answer to kill, and its lock with it.
    until_true removes_both
    same "what is left" "$(ls "$XDG_DATA_HOME"/torpor/oci/{images,blobs/sha256,partial} | grep -c '^[0-9a-f]')" 0
    works pull "docker://$registry/torpor/chain:v2"
    wakes "docker://$registry/torpor/chain:v2" too
}
try gc_leaves_what_is_needed "gc leaves what a machine or an increment needs, and nothing else"

pull_is_killed() {
    local at
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    rm ./*.torpor
    elsewhere
    for at in 0.01 0.02 0.04 0.06 0.08 0.12; do
        timeout -s KILL "$at" "$TORPOR" pull "docker://$registry/torpor/full:v1" >/dev/null 2>&1
        call gc
        [ "$status" = 0 ] || [ "$status" = 122 ] || fail "$(report_call gc)"
    done
    works pull "docker://$registry/torpor/full:v1"
    wakes "docker://$registry/torpor/full:v1"
}
try pull_is_killed "a pull that is killed leaves a store that gc and the next pull take"

images_are_listed() {
    need docker-registry
    appliances
    works convert --packed full.torpor packed.torpor
    start_registry
    works push full.torpor "docker://$registry/torpor/list:v1"
    works push increment.torpor "docker://$registry/torpor/list:v2"
    works push packed.torpor "docker://$registry/torpor/list:v3"
    elsewhere
    works pull "docker://$registry/torpor/list:v2"
    works pull "docker://$registry/torpor/list:v1"
    works pull "docker://$registry/torpor/list:v3"
    works images --json
    same "names, kinds, whether blobs are shared" \
        "$(json "' '.join(f\"{i['name'].split(':')[-1]} {i['kind']} {i['shared'] > 0}\" for i in d)" <<<"$out")" \
        "v1 live True v2 increment False v3 live True"
    works images
    matches "the list" "$out" "increment .*$registry/torpor/list:v2"
}
try images_are_listed "images: names, kinds, shared blobs"
