# One name for several platforms: an index that push writes, skopeo copies, and pull, resume, run and serve read.

# cold.torpor, and the same for another architecture in the layout arm.
make_foreign() {
    works_silently build -o cold.torpor --kernel "$TINY" -m 64M --append loud
    python3 "$registry_tests/foreign.py" cold.torpor aarch64 arm || fail "no appliance for arm64"
    works inspect arm
    matches "its architecture" "$out" 'machine .*, aarch64'
}

platforms() { # TAG of torpor/app
    curl -s -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$registry/v2/torpor/app/manifests/$1" |
        json "' '.join(m['platform']['os'] + '/' + m['platform']['architecture'] for m in d['manifests'])"
}

# index v1 with full.torpor and one for arm64, in $registry.
push_both() {
    need docker-registry curl skopeo
    appliances
    make_foreign
    start_registry
    works push --json --index full.torpor arm "docker://$registry/torpor/app:v1"
    index=$(json "d['digest']" <<<"$out")
    same "platforms" "$(json "' '.join(d['platforms'])" <<<"$out")" "linux/amd64 linux/arm64"
}

index_is_pushed() {
    push_both
    same "platforms there" "$(platforms v1)" "linux/amd64 linux/arm64"
    elsewhere
    works pull --json "docker://$registry/torpor/app:v1"
    same "what the name stands for" "$(json "d['digest']" <<<"$out")" "$index"
    rm -f ./*.torpor
    wakes "docker://$registry/torpor/app:v1"
    # By its own digest, too, with the registry or without.
    works pull "docker://$registry/torpor/app@$index"
    wakes "docker://$registry/torpor/app@$index"
    works images --json
    same "what is here" "$(json "' '.join(i.get('platform', '-') for i in d)" <<<"$out")" "linux/amd64 linux/amd64"
    # Another name for it is one for all of it.
    works tag "docker://$registry/torpor/app:v1" mine
    works_silently rmi "docker://$registry/torpor/app:v1" "docker://$registry/torpor/app@$index"
    same "removed while a name of the index is there" "$(removed)" 0
    wakes mine
    works_silently rmi mine
    same "removed" "$(removed)" 1
    same "what is left" "$(ls "$XDG_DATA_HOME"/torpor/oci/{images,indexes,blobs/sha256,partial} | grep -c '^[0-9a-f]')" 0
    # All of it, and gc leaves it while the name is there.
    works pull --all-platforms "docker://$registry/torpor/app:v1"
    works images
    matches "the list" "$out" "$registry/torpor/app:v1 \(linux/arm64\)"
    same "removed" "$(removed)" 0
    wakes "docker://$registry/torpor/app:v1"
    works_silently rmi "docker://$registry/torpor/app:v1"
    same "removed" "$(removed)" 2
}
try index_is_pushed "push --index: both under one name; pull, images, tag, rmi and gc know it"

index_grows() {
    need docker-registry curl
    appliances
    make_foreign
    start_registry
    # One image alone becomes an entry.
    works push cold.torpor "docker://$registry/torpor/app:v1"
    works push --index arm "docker://$registry/torpor/app:v1"
    same "platforms there" "$(platforms v1)" "linux/amd64 linux/arm64"
    works run -d --name cold "docker://$registry/torpor/app:v1"
    until_true is_ready cold
    # Another one for the same platform comes in its place.
    works push --index full.torpor "docker://$registry/torpor/app:v1"
    same "platforms there" "$(platforms v1)" "linux/arm64 linux/amd64"
    elsewhere
    works pull "docker://$registry/torpor/app:v1"
    same "which it is" "$(identity "docker://$registry/torpor/app:v1")" "$(identity full.torpor)"
    # What the repository has is listed without being here.
    works push full.torpor "docker://$registry/torpor/app:amd64"
    works push arm "docker://$registry/torpor/app:arm64"
    elsewhere other
    works push --json --index "docker://$registry/torpor/app:amd64" "docker://$registry/torpor/app:arm64" \
        "docker://$registry/torpor/app:v2"
    same "what is sent" "$(json "d['sent-bytes']" <<<"$out")" 0
    same "platforms there" "$(platforms v2)" "linux/amd64 linux/arm64"
    refuses 125 'v2: v2 is an index itself' push --index "docker://$registry/torpor/app:v2" "docker://$registry/torpor/app:v3"
    refuses 125 'are both for linux/amd64' push --index full.torpor cold.torpor "docker://$registry/torpor/app:v3"
    refuses 122 'none.torpor' push --index full.torpor none.torpor "docker://$registry/torpor/app:v3"
    refuses 125 'has a tag' push --index full.torpor "docker://$registry/torpor/app@sha256:$(printf '%064d' 0)"
    refuses 122 'v3' pull "docker://$registry/torpor/app:v3"
}
try index_grows "push --index: what the name has for others stays; the same platform's is replaced"

index_by_wire() {
    push_both
    elsewhere
    rm ./*.torpor
    works resume -d --name woken "docker://$registry/torpor/app:v1"
    answers woken "check 4 12 7" "check ok"
    until_true has_arrived woken
    works kill woken
    works pull --json "docker://$registry/torpor/app:v1"
    same "what the name stands for" "$(json "d['digest']" <<<"$out")" "$index"
    same "removed" "$(removed)" 0
    # Nothing for this host: what there is is named.
    works push --index arm "docker://$registry/torpor/only:arm"
    local verb
    for verb in pull resume run; do
        refuses 120 'it has no image for linux/amd64, but for linux/arm64' "$verb" "docker://$registry/torpor/only:arm"
    done
    # For others to be served it can be had all the same.
    works pull --all-platforms "docker://$registry/torpor/only:arm"
    refuses 120 'no image for linux/amd64, but for linux/arm64' inspect "docker://$registry/torpor/only:arm"
    # One of its own is no index, and says the same of itself.
    works push arm "docker://$registry/torpor/one:arm"
    refuses 120 'it is for aarch64' run "docker://$registry/torpor/one:arm"
}
try index_by_wire "of an index resume and run take this host's by wire, or name what there is"

# An index without images, and one that lists nothing but that.
index_of_none() {
    local type=application/vnd.oci.image.index.v1+json name
    need docker-registry curl
    start_registry
    echo "{\"schemaVersion\":2,\"mediaType\":\"$type\",\"manifests\":[]}" >empty
    echo "{\"schemaVersion\":2,\"mediaType\":\"$type\",\"manifests\":[{\"mediaType\":\"$type\",\"size\":$(stat -c %s empty),\"digest\":\"sha256:$(sha256sum <empty | cut -d ' ' -f 1)\"}]}" >nested
    for name in empty nested; do
        curl -sf -X PUT -H "Content-Type: $type" --data-binary "@$name" "http://$registry/v2/torpor/none/manifests/$name" ||
            fail "no $name in the registry"
        refuses 120 'it lists no image' pull "docker://$registry/torpor/none:$name"
        refuses 120 'it lists no image' pull --all-platforms "docker://$registry/torpor/none:$name"
    done
    works images --json
    same "images" "$out" "[]"
}
try index_of_none "an index that lists no image is refused, with --all-platforms, too"

index_by_skopeo() {
    push_both
    skopeo --insecure-policy copy -q --multi-arch all --src-tls-verify=false --dest-tls-verify=false \
        "docker://$registry/torpor/app:v1" "docker://$registry/by/skopeo:v1" 2>err || fail "skopeo: $(<err)"
    skopeo --insecure-policy copy -q --multi-arch all --src-tls-verify=false \
        "docker://$registry/torpor/app:v1" oci-archive:both.tar 2>err || fail "skopeo: $(<err)"
    same "this host's of skopeo's archive" "$(identity both.tar)" "$(identity full.torpor)"
    works verify both.tar
    mkdir both && tar -C both -xf both.tar
    works push both "docker://$registry/torpor/back:v1"
    elsewhere
    works pull --json "docker://$registry/by/skopeo:v1"
    same "the index that skopeo wrote" "$(json "d['digest']" <<<"$out")" "$index"
    wakes "docker://$registry/by/skopeo:v1"
}
try index_by_skopeo "skopeo copies the index, and what it wrote is read: from a registry, an archive, a folder"

index_is_served() {
    push_both
    elsewhere
    works pull --all-platforms "docker://$registry/torpor/app:v1"
    start_server
    elsewhere two
    works pull --json "docker://$served/torpor/app:v1"
    same "the index" "$(json "d['digest']" <<<"$out")" "$index"
    wakes "docker://$served/torpor/app:v1"
    works_silently rmi "docker://$served/torpor/app:v1"
    works gc
    works resume -d --name wired "docker://$served/torpor/app:v1"
    answers wired "check 4 12 7" "check ok"
    works kill wired
    skopeo --insecure-policy copy -q --multi-arch all --src-tls-verify=false \
        "docker://$served/torpor/app:v1" oci:copied:v1 2>err || fail "skopeo: $(<err)"
    same "this host's of skopeo's folder" "$(identity copied)" "$(identity full.torpor)"
    # The server's store may lose its name meanwhile: what was begun goes on.
    XDG_DATA_HOME=$HOME/data-elsewhere works_silently rmi "docker://$registry/torpor/app:v1"
    XDG_DATA_HOME=$HOME/data-elsewhere works gc
    works pull --all-platforms "docker://$served/torpor/app@$index"
}
try index_is_served "torpor serve: an index of the store, to pull, to resume by wire and to skopeo"

# docker push and skopeo copy --all take all of it, too.
index_goes_on() {
    push_both
    elsewhere
    works pull --all-platforms "docker://$registry/torpor/app:v1"
    works tag "docker://$registry/torpor/app:v1" mine
    works push --json mine "docker://$registry/other/app:v1"
    same "digest" "$(json "d['digest']" <<<"$out")" "$index"
    same "platforms" "$(json "' '.join(d['platforms'])" <<<"$out")" "linux/amd64 linux/arm64"
    elsewhere two
    works pull --all-platforms "docker://$registry/other/app:v1"
    wakes "docker://$registry/other/app:v1"
    # This host's alone is here; another tag of that repository needs no more.
    elsewhere three
    works pull "docker://$registry/torpor/app:v1"
    works push --json "docker://$registry/torpor/app:v1" "docker://$registry/torpor/app:again"
    same "digest" "$(json "d['digest']" <<<"$out")" "$index"
    # Elsewhere it would be an index of what is not there.
    call push --json "docker://$registry/torpor/app:v1" "docker://$registry/third/app:v1"
    matches "a line" "$(<"$SCRATCH/err")" 'the image for linux/arm64 is neither in the store nor in the registry: only the image for linux/amd64 is pushed; torpor pull --all-platforms'
    works pull --json "docker://$registry/third/app:v1"
    [ "$(json "d['digest']" <<<"$out")" != "$index" ] || fail "an index of which half is there"
    wakes "docker://$registry/third/app:v1"
    # Nothing of it is for this host.
    works push --index arm "docker://$registry/torpor/only:arm"
    works pull --all-platforms "docker://$registry/torpor/only:arm"
    works push "docker://$registry/torpor/only:arm" "docker://$registry/other/only:arm"
}
try index_goes_on "push of a stored index pushes all of it, or says what it lacks"
