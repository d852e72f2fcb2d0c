# skopeo: to an OCI folder, and to a registry and back; what comes back is the same appliance, and wakes.

copy() { # FROM TO
    skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false "$1" "$2" 2>err ||
        fail "skopeo copy $1 $2: $(<err)"
}

came_back() { # FILE BACK
    works verify "$2"
    same "the identity of $1" "$(identity "$2")" "$(identity "$1")"
    wakes "$2"
}

through_a_folder() {
    local file
    need skopeo
    variants
    for file in $FULL; do
        copy oci-archive:$file.torpor oci:folder:$file
        rm -rf one
        copy oci:folder:$file oci:one:tag
        came_back $file.torpor one
        copy oci:folder:$file oci-archive:back.torpor
        came_back $file.torpor back.torpor
        rm back.torpor
    done
}
try through_a_folder "to an oci: folder and back by skopeo"

# On a free port of the loopback address: $registry. It ends with the test.
start_registry() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
        "$PWD/registry" "$port" >registry.yml
    docker-registry serve registry.yml >registry.log 2>&1 &
    trap "kill $!" EXIT
    registry=127.0.0.1:$port
    until_true python3 -c 'import sys, urllib.request; urllib.request.urlopen(f"http://{sys.argv[1]}/v2/")' "$registry"
}

through_a_registry() {
    local file
    need skopeo docker-registry
    variants
    start_registry
    for file in $FULL increment; do
        copy oci-archive:$file.torpor docker://$registry/torpor/test:$file
    done
    for file in $FULL; do
        copy docker://$registry/torpor/test:$file oci-archive:back.torpor
        came_back $file.torpor back.torpor
        if [ $file = signed ]; then
            works verify --key key.pub back.torpor
        fi
        rm back.torpor
    done
    mkdir back
    copy docker://$registry/torpor/test:increment oci-archive:back/increment.torpor
    copy docker://$registry/torpor/test:packed oci-archive:back/packed.torpor
    rm ./*.torpor
    call resume -d --name woken back/increment.torpor
    [ "$status" = 0 ] || fail "$(report_call resume back/increment.torpor)"
    is_the_guest woken
    answers woken "check 3 1 9" "check ok"
    answers woken "dread 0 300 8 3" "dread ok"
}
try through_a_registry "to a registry and back by skopeo, an increment with its parent too"
