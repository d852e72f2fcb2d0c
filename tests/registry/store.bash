# The store: what gc removes, and what it must leave.

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

names_in_the_store() {
    local digest
    need
    appliances
    # A file and what it stands on come into the store, without a registry.
    works tag --json increment.torpor app:2
    same "its name" "$(json "d['name']" <<<"$out")" localhost/app:2
    digest=$(json "d['digest']" <<<"$out")
    works tag full.torpor app:1
    same "images" "$("$TORPOR" images --json | json "' '.join(i['name'] for i in d)")" "localhost/app:1 localhost/app:2"
    rm ./*.torpor
    wakes app:1
    refuses 125 "app:1 is an image, which never changes" warm app:1
    works clone app:1
    same "a clone's name" "$out" source-1
    works kill source-1
    wakes app:2 too
    # One more name for the same image, of a registry, too; the old one may go.
    works tag app:2 127.0.0.1:1/other/app:new
    same "the same image" "$out" "127.0.0.1:1/other/app:new: $digest"
    works_silently rmi app:2
    works tag "app@$digest" again
    wakes again:latest too
    # What had the name is without it, and what nothing stands on goes.
    works_silently rmi again 127.0.0.1:1/other/app:new
    works tag app:1 again
    same "removed" "$(removed)" 1
    wakes again
    refuses 122 'named app:2: torpor images lists' tag app:2 app:3
    refuses 122 'nothing.torpor' tag nothing.torpor app:3
    refuses 125 'has a digest' tag app:1 "app@$digest"
    refuses 125 'REF' tag app:1
    head -c 3000000 "$SCRATCH/made/full.torpor" >cut.torpor
    refuses 121 'cut.torpor' tag cut.torpor app:3
    same "names" "$("$TORPOR" images --json | json "' '.join(i['name'] for i in d)")" "localhost/again:latest localhost/app:1"
    # The file of a saved machine.
    works resume -d --name kept again
    works save kept
    works tag kept kept:1
    works resume -d --name woken kept:1
    answers woken "check 4 12 7" "check ok"
    # Where no good blob is there already.
    elsewhere
    cp "$SCRATCH/made/full.torpor" bad.torpor
    printf damage | dd of=bad.torpor bs=1 seek=9000000 conv=notrunc status=none
    refuses 121 'memory' tag bad.torpor app:3
    same "names of what is damaged" "$("$TORPOR" images --json)" "[]"
}
try names_in_the_store "tag: a file comes into the store, an image has more names; what is damaged does not"

# What is saved on top of an image has the image for its parent, wherever that is a file.
increment_on_an_image() {
    local blobs
    need docker-registry
    appliances
    start_registry
    works push increment.torpor "docker://$registry/torpor/chain:v2"
    elsewhere
    works pull "docker://$registry/torpor/chain:v2"
    rm ./*.torpor
    works resume -d --name woken "docker://$registry/torpor/chain:v2"
    answers woken "fill 22 1 5" "filled 256"
    refuses 122 'no image' save -R --parent "docker://$registry/torpor/chain:v1" -o third.torpor woken
    works save -R --parent "docker://$registry/torpor/chain:v2" -o third.torpor woken
    works inspect --json third.torpor
    same "what it stands on" "$(json "d['lineage'][0]['digest']" <<<"$out")" "$(identity "$registry/torpor/chain:v2")"
    [ "$(stat -c %s third.torpor)" -lt 1000000 ] || fail "it has $(stat -c %s third.torpor) bytes, and is no increment"
    # On top of that.
    answers woken "fill 24 1 6" "filled 256"
    works save --parent third.torpor -o fourth.torpor woken
    works resume -d --name woken fourth.torpor
    answers woken "check 4 12 7" "check ok"
    answers woken "check 22 1 5" "check ok"
    answers woken "check 24 1 6" "check ok"
    works kill woken
    # All of them into a registry, and back by wire, where the store lacks them.
    works push fourth.torpor "docker://$registry/torpor/fourth:v1"
    elsewhere other
    rm ./*.torpor
    works resume -d --name woken "docker://$registry/torpor/fourth:v1"
    answers woken "check 22 1 5" "check ok"
    works kill woken
}
try increment_on_an_image "save --parent REF: an increment on top of an image, and on top of that"

nothing_is_left() { # of what no name stands for
    works gc
    same "what gc leaves" "$(find "$XDG_DATA_HOME/torpor/oci" -path '*/refs' -prune -o -type f ! -name lock -print)" ""
}

# A registry gives what cannot be read: it gets no name, and gc takes it away.
unreadable_comes() {
    local signed
    need docker-registry
    appliances
    start_registry
    works push full.torpor "docker://$registry/torpor/u:v1"
    python3 "$registry_tests/unreadable.py" "$registry" torpor/u text config nojson
    python3 "$registry_tests/unreadable.py" "$registry" torpor/u empty config '{"x":1}'
    python3 "$registry_tests/unreadable.py" "$registry" torpor/u bare bare v1
    elsewhere
    for tag in text empty bare; do
        refuses 121 "torpor/u:$tag" pull "docker://$registry/torpor/u:$tag"
        refuses 121 "torpor/u:$tag" resume -d "docker://$registry/torpor/u:$tag"
        same "names" "$("$TORPOR" images --json)" "[]"
        nothing_is_left
    done
    # Where all blobs of what is refused are in the store already.
    works pull "docker://$registry/torpor/u:v1"
    refuses 121 "torpor/u:bare" resume -d "docker://$registry/torpor/u:bare"
    works keygen --no-passphrase -p key.pub -s key.key
    works push "$registry/torpor/u:v1" "docker://$registry/torpor/u:again"
    refuses 121 'not signed' resume -d --require-signature key.pub "docker://$registry/torpor/u:again"
    same "names" "$("$TORPOR" images --json | json "' '.join(i['name'] for i in d)")" "$registry/torpor/u:v1"
    works gc
    # Beside one that is good.
    python3 "$registry_tests/unreadable.py" "$registry" torpor/u - signature v1
    elsewhere again
    works pull "docker://$registry/torpor/u:v1"
    wakes "docker://$registry/torpor/u:v1"
    works gc
    wakes "$registry/torpor/u:v1"
}
try unreadable_comes "what cannot be read gets no name, by pull or resume, and gc takes it away"

# Of a name that is there already.
unreadable_stays() {
    local oci=$XDG_DATA_HOME/torpor/oci digest config
    need docker-registry
    appliances
    works tag full.torpor app:1
    digest=$("$TORPOR" tag --json app:1 app:2 | json "d['digest']")
    config=$(identity app:1)
    chmod u+w "$oci"/blobs/sha256/*
    cp "$oci/blobs/sha256/${config#sha256:}" good
    printf x | dd of="$oci/blobs/sha256/${config#sha256:}" conv=notrunc status=none
    call images
    same "status" "$status" 0
    matches "its line" "$(<"$SCRATCH/out")" 'unreadable .*localhost/app:1'
    matches "the reason" "$(<"$SCRATCH/err")" 'images: localhost/app:1: '
    refuses 121 'localhost/app:1 cannot be read, so nothing is removed; torpor rmi localhost/app:1' gc
    cp good "$oci/blobs/sha256/${config#sha256:}"
    works gc
    wakes app:1
    # The manifest: gone, and another one of the same size, which a new one replaces.
    printf x | dd of="$oci/blobs/sha256/${digest#sha256:}" conv=notrunc status=none
    refuses 121 'localhost/app:1 cannot be read' gc
    works tag full.torpor app:1
    wakes app:1
    rm "$oci/blobs/sha256/${digest#sha256:}"
    refuses 122 'localhost/app:1 cannot be read' gc
    works_silently rmi app:1 app:2
    nothing_is_left
}
try unreadable_stays "a named image that is damaged: images shows it, gc removes nothing and says what to do, rmi helps"

# A digest says which image is meant, whatever the tag stands for.
digest_and_tag() {
    local first second
    need docker-registry
    appliances
    start_registry
    first=$("$TORPOR" push --json full.torpor "docker://$registry/torpor/d:1" | json "d['digest']")
    second=$("$TORPOR" push --json increment.torpor "docker://$registry/torpor/d:2" | json "d['digest']")
    elsewhere
    works pull "docker://$registry/torpor/d:1"
    works pull "docker://$registry/torpor/d:1@$second"
    refuses 122 'has no image' rmi "docker://$registry/torpor/d:2@$first"
    same "names" "$("$TORPOR" images --json | json "' '.join(i['name'] for i in d)")" "$registry/torpor/d:1 $registry/torpor/d@$second"
    wakes "$registry/torpor/d:1"
    works_silently rmi "$registry/torpor/d:1@$second"
    same "names" "$("$TORPOR" images --json | json "' '.join(i['name'] for i in d)")" "$registry/torpor/d:1"
}
try digest_and_tag "a name with tag and digest is that of the digest"
