# The main job: pushed here, pulled elsewhere, awake there. And skopeo, which knows nothing of it.

sent() { # of the last push
    json "d['sent-bytes']" <<<"$out"
}

there_and_awake() {
    local id
    need docker-registry
    appliances
    start_registry
    id=$(identity full.torpor)
    json_of push full.torpor "docker://$registry/torpor/full:v1"
    elsewhere
    refuses 122 'the store has no image .*torpor pull fetches it' verify "docker://$registry/torpor/full:v1"
    json_of pull "docker://$registry/torpor/full:v1"
    rm ./*.torpor
    wakes "docker://$registry/torpor/full:v1"
    wakes "$registry/torpor/full:v1"
    same "its identity" "$(identity "$registry/torpor/full:v1")" "$id"
    works verify "$registry/torpor/full:v1"
    works convert --packed "$registry/torpor/full:v1" back.torpor
    same "the identity of the file" "$(identity back.torpor)" "$id"
}
try there_and_awake "pushed, pulled elsewhere, awake there by its name"

an_increment() {
    local whole part
    need docker-registry
    appliances
    start_registry
    works push --json full.torpor "docker://$registry/torpor/chain:v1"
    whole=$(sent)
    works push --json increment.torpor "docker://$registry/torpor/chain:v2"
    part=$(sent)
    [ "$part" -lt $((whole / 4)) ] || fail "the increment took $part of $whole bytes"
    works push --json increment.torpor "docker://$registry/torpor/chain:v3"
    same "what is sent a second time" "$(sent)" 0
    elsewhere
    works pull "docker://$registry/torpor/chain:v2"
    rm ./*.torpor
    wakes "docker://$registry/torpor/chain:v2" too
}
try an_increment "of an increment only new blobs go, and its parent comes with it"

an_increment_first() {
    need docker-registry
    appliances
    start_registry
    works push increment.torpor "docker://$registry/torpor/chain:v2"
    elsewhere
    works pull "docker://$registry/torpor/chain:v2"
    rm ./*.torpor
    wakes "docker://$registry/torpor/chain:v2" too
}
try an_increment_first "an increment brings its parents into the registry"

by_skopeo() {
    need docker-registry skopeo
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    copy "docker://$registry/torpor/full:v1" oci-archive:back.torpor
    same "the identity" "$(identity back.torpor)" "$(identity full.torpor)"
    copy oci-archive:full.torpor "docker://$registry/by/skopeo:v1"
    copy oci-archive:increment.torpor "docker://$registry/by/skopeo:v2"
    elsewhere
    call pull "docker://$registry/by/skopeo:v2"
    [ "$status" = 0 ] && one_line 'it stands on sha256:.* pull or make that image, too' || fail "$(report_call pull)"
    works pull "docker://$registry/by/skopeo:v1"
    rm ./*.torpor
    wakes "docker://$registry/by/skopeo:v1"
    wakes "docker://$registry/by/skopeo:v2" too
}
try by_skopeo "skopeo copies what push wrote, and pull takes what skopeo wrote"

shared_between_repositories() {
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/one:v1"
    works push --json --mount-from torpor/one full.torpor "docker://$registry/torpor/two:v1"
    same "what is sent" "$(sent)" 0
    works pull "docker://$registry/torpor/two:v1"
    works push --json "$registry/torpor/two:v1" "docker://$registry/torpor/three:v1"
    same "what is sent when the store knows where it is" "$(sent)" 0
}
try shared_between_repositories "blobs of another repository are mounted"

by_digest() {
    local digest
    need docker-registry
    appliances
    start_registry
    works push --json full.torpor "docker://$registry/torpor/full:v1"
    digest=$(json "d['digest']" <<<"$out")
    elsewhere
    works pull "docker://$registry/torpor/full@$digest"
    rm ./*.torpor
    wakes "docker://$registry/torpor/full@$digest"
    refuses 122 'not found' pull "docker://$registry/torpor/full@sha256:$(printf '%064d' 0)"
    refuses 122 'not found' pull "docker://$registry/torpor/full:none"
    refuses 122 'not found' pull "docker://$registry/nothing"
    refuses 125 'is no reference' pull "docker://$registry/UPPER"
    refuses 125 'names no registry' pull local
}
try by_digest "by digest; names that are not there"

hashed_once() {
    local blob remembered
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/full:v1"
    elsewhere
    works pull "docker://$registry/torpor/full:v1"
    rm ./*.torpor
    rm -rf "$HOME/.cache/torpor/verified"
    wakes "docker://$registry/torpor/full:v1"
    remembered=$(find "$HOME/.cache/torpor/verified" -name 'set-*' -printf '%f %i')
    matches "what is remembered" "$remembered" '^set-[0-9a-f]+ [0-9]+$'
    wakes "docker://$registry/torpor/full:v1"
    same "what is remembered, not written anew" \
        "$(find "$HOME/.cache/torpor/verified" -name 'set-*' -printf '%f %i')" "$remembered"
    # The largest blob is flat memory. Who changes it is found out; who puts it back has another file to hash.
    blob=$(find "$XDG_DATA_HOME/torpor/oci/blobs/sha256" -type f -size +4M | head -n 1)
    cp "$blob" kept
    printf damage | dd of="$blob" bs=1 seek=100000 conv=notrunc status=none
    refuses 121 'memory' resume -d --name woken "docker://$registry/torpor/full:v1"
    refuses 121 'memory' resume -d --name woken "docker://$registry/torpor/full:v1"
    dd if=kept of="$blob" conv=notrunc status=none
    wakes "docker://$registry/torpor/full:v1"
}
try hashed_once "a pulled image with flat memory is hashed once, and again when a blob changed"
