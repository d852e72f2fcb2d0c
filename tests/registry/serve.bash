# torpor serve: what it serves, to whom, and what it makes of clients that mean no good.

ends_by() { # SIGNAL
    kill "-$1" "$server"
    wait "$server"
    same "its status after $1" "$?" 0
    same "what it said" "$(<serve.err)" ""
}

hostile() { # WHAT ARGUMENT…
    timeout "$PATIENCE" python3 "$registry_tests/hostile.py" "$served" "$@" >hostile.out 2>&1 ||
        fail "$1: $(<hostile.out)"
}

# More than the buffers of a connection: big.torpor.
make_big() {
    head -c 67108864 /dev/urandom >random
    works_silently build -o big.torpor --kernel "$TINY" --initrd random -m 256M
    rm random
}

status_of() { # PATH
    curl -s -o /dev/null -w '%{http_code}' "http://$served$1"
}

from_the_store() {
    local id
    need skopeo curl
    appliances
    id=$(identity full.torpor)
    works tag full.torpor app:1
    works tag increment.torpor registry.example/team/app:2
    works resume -d --name saved full.torpor
    works save saved
    start_server
    # Images by their names, a saved machine that is no image, the parent of an increment.
    elsewhere
    works pull "docker://$served/app:1"
    works pull "docker://$served/team/app:2"
    works pull "docker://$served/saved"
    rm ./*.torpor
    wakes "docker://$served/app:1"
    wakes "docker://$served/team/app:2" too
    wakes "docker://$served/saved"
    same "its identity" "$(identity "docker://$served/app:1")" "$id"
    elsewhere host
    works pull "docker://$served/registry.example/team/app:2"
    copy "docker://$served/app:1" oci-archive:copied.torpor
    same "what skopeo has" "$(identity copied.torpor)" "$id"
    same "tags" "$(skopeo list-tags --tls-verify=false "docker://$served/app" | json "d['Tags']")" "['1']"
    same "tags of a saved machine" "$(curl -s "http://$served/v2/saved/tags/list")" '{"name":"saved","tags":["latest"]}'
    same "errors" "$(curl -s "http://$served/v2/app/manifests/9" | json "d['errors'][0]['code']")" MANIFEST_UNKNOWN
    same "errors" "$(curl -s "http://$served/v2/none/manifests/9" | json "d['errors'][0]['code']")" NAME_UNKNOWN
    same "errors" "$(curl -s "http://$served/v2/None/tags/list" | json "d['errors'][0]['code']")" NAME_INVALID
    same "referrers" "$(curl -s "http://$served/v2/app/referrers/$id" | json "d['manifests']")" "[]"
    same "the catalog" "$(curl -s "http://$served/v2/_catalog")" '{"repositories":["app","saved","team/app"]}'
    same "a page of it" "$(curl -s -D headers "http://$served/v2/_catalog?n=1&last=app")" '{"repositories":["saved"]}'
    grep -qi '^link: </v2/_catalog?n=1&last=saved>; rel="next"' headers || fail "$(<headers)"
    same "the last page" "$(curl -s "http://$served/v2/_catalog?last=saved")" '{"repositories":["team/app"]}'
    same "all there is" "$(curl -s "http://$served/")" '{"files":["saved.torpor"],"repositories":["app","saved","team/app"]}'
    ends_by TERM
}
try from_the_store "serve: images, saved machines and parents of increments, to pull and to skopeo"

# In each line the time, who, what, and what came of it.
access_log() {
    local stamp='20[0-9-]{8}T[0-9:]{8}Z 127\.0\.0\.1'
    need curl
    appliances
    start_server full.torpor --log requests.log
    same "a range" "$(curl -s -r 0-99 "http://$served/full.torpor" | wc -c)" 100
    curl -s -o none -I "http://$served/v2/"
    curl -s -o none "http://$served/v2/none/manifests/1%0a%1b"
    curl -s -o none -X PUT -d body "http://$served/v2/full/manifests/1"
    logged() { [ "$(wc -l <requests.log)" = 4 ]; }
    until_true logged
    sed -n 1p requests.log | grep -qE "^$stamp GET /full.torpor 206 100 bytes=0-99$" || fail "$(<requests.log)"
    sed -n 2p requests.log | grep -qE "^$stamp HEAD /v2/ 200 0 -$" || fail "$(<requests.log)"
    sed -n 3p requests.log | grep -qE "^$stamp GET /v2/none/manifests/1%0a%1b 40[04] [0-9]+ -$" || fail "$(<requests.log)"
    sed -n 4p requests.log | grep -qE "^$stamp PUT /v2/full/manifests/1 405 [0-9]+ -" || fail "$(<requests.log)"
    same "its mode" "$(stat -c %a requests.log)" 600
    ends_by TERM
    # Added to; or on standard error.
    start_server full.torpor --log requests.log
    curl -s -o none "http://$served/"
    ends_by TERM
    same "lines" "$(wc -l <requests.log)" 5
    start_server full.torpor --log -
    curl -s -o none "http://$served/none.torpor"
    kill -TERM "$server"
    wait "$server"
    grep -qE "^$stamp GET /none.torpor 404 [0-9]+ -$" serve.err || fail "$(<serve.err)"
    refuses 122 'nowhere/requests.log' serve --listen 127.0.0.1:0 --log nowhere/requests.log full.torpor
}
try access_log "serve --log: a line for each request"

# A registry does not say before it is asked whether a name is an image or an appliance.
runs_cold() {
    works_silently build -o cold.torpor --kernel "$TINY" -m 64M --append loud
    start_server cold.torpor
    refuses 125 "cold.torpor is cold: fetch the file, and boot it with torpor run" resume "http://$served/cold.torpor"
    refuses 125 "is an appliance: it takes no command" run "docker://$served/cold" -- sh
    works rmi "$served/cold"
    works gc
    works run -d --name fetched "docker://$served/cold"
    until_true is_ready fetched
    works run -d --name asked --pull always "docker://$served/cold"
    until_true is_ready asked
    ends_by TERM
    works run -d --name here "docker://$served/cold"
    until_true is_ready here
    refuses 125 "docker://$served/cold is cold: boot it with torpor run docker://$served/cold" resume "docker://$served/cold"
    refuses 125 "docker://$served/cold is cold" warm "docker://$served/cold" -o warm.torpor
    refuses 125 "Failed to connect" run --pull always "docker://$served/cold"
    refuses 125 "--space" run --space 1G "docker://$served/cold"
}
try runs_cold "run docker://: a cold appliance that is fetched is booted; resume of one says how"

as_files() {
    need curl
    appliances
    mkdir shared
    mv increment.torpor shared/
    printf 'no appliance' >shared/bad.torpor
    start_server full.torpor shared
    # A download goes on where it was.
    head -c 1000000 full.torpor >half
    curl -s -C - -o half "http://$served/full.torpor" || fail "curl"
    cmp half full.torpor || fail "another file"
    works pull "docker://$served/increment"
    hostile ranges full.torpor
    # The store is not asked for, and what is no appliance is no file.
    works tag full.torpor app:1
    same "an image" "$(status_of /v2/app/manifests/1)" 404
    same "a bad file" "$(status_of /bad.torpor)" 404
    matches "what is said of it" "$(<serve.err)" 'bad.torpor: '
    same "how often" "$(wc -l <serve.err)" 1
    kill "$server"
    start_server --store full.torpor
    same "an image" "$(status_of /v2/app/manifests/1)" 200
    # Another name leads here: a web page has made it do so.
    same "another name" "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: pages.example' "http://$served/full.torpor")" 403
    ends_by INT
    # One that is named is that of the start, under any name, or none.
    cp full.torpor named.torpor
    start_server named.torpor
    mv named.torpor moved.torpor
    same "a file that was moved" "$(status_of /named.torpor)" 200
    truncate -s 100000 moved.torpor
    same "a file that was cut off" "$(status_of /named.torpor) $(status_of /v2/named/manifests/latest)" "500 500"
    matches "what is said of it" "$(<serve.err)" 'named.torpor was changed'
    kill "$server"
    cp full.torpor "$XDG_RUNTIME_DIR/full.torpor"
    refuses 125 'have the same name' serve --listen 0 full.torpor "$XDG_RUNTIME_DIR/full.torpor"
    refuses 121 'bad.torpor' serve --listen 0 shared/bad.torpor
    refuses 122 'none.torpor' serve --listen 0 none.torpor
    refuses 125 'ADDR:PORT' serve --listen :5000 full.torpor
    refuses 125 'NAME.torpor' serve --listen 0 "$TINY"
}
try as_files "serve: files and folders, with ranges, and nothing else"

blob_of() { # JSON of a manifest
    json "d['layers'][0]['digest']" <<<"$1"
}

at_that_moment() {
    local old manifest
    need curl
    appliances
    works tag full.torpor app:1
    mkdir shared
    cp full.torpor shared/web.torpor
    start_server --store shared
    old=$(curl -s "http://$served/v2/app/manifests/1")
    works tag increment.torpor app:1
    manifest=$(curl -s "http://$served/v2/app/manifests/1")
    [ "$manifest" != "$old" ] || fail "the name was moved, and leads to what it was"
    works_silently rmi app:1
    same "a name that was removed" "$(status_of /v2/app/manifests/1)" 404
    # Both manifests were given away: who has them gets the rest.
    same "what gc removes" "$(removed)" 0
    same "a blob of the one" "$(status_of "/v2/app/blobs/$(blob_of "$old")")" 200
    same "a blob of the other" "$(status_of "/v2/app/blobs/$(blob_of "$manifest")")" 200
    # The same with files that are replaced and removed.
    old=$(curl -s "http://$served/v2/web/manifests/latest")
    works convert --packed full.torpor packed.torpor
    mv packed.torpor shared/web.torpor
    manifest=$(curl -s "http://$served/v2/web/manifests/latest")
    [ "$manifest" != "$old" ] || fail "the file was replaced, and the old one is served"
    rm shared/web.torpor
    same "a file that was removed" "$(status_of /web.torpor) $(status_of /v2/web/manifests/latest)" "404 404"
    same "a blob of the one" "$(status_of "/v2/web/blobs/$(blob_of "$old")")" 200
    same "a blob of the other" "$(status_of "/v2/web/blobs/$(blob_of "$manifest")")" 200
    cp full.torpor shared/new.torpor
    same "a new file" "$(status_of /new.torpor)" 200
    ends_by TERM
    same "what gc removes when nobody serves" "$(removed)" 2
}
try at_that_moment "serve: names that move or go are seen, and a pull that has begun can end"

hostile_clients() {
    need curl
    appliances
    mkdir shared shared/folder.torpor
    cp full.torpor secret.torpor
    cp full.torpor shared/web.torpor
    ln -s ../secret.torpor shared/link.torpor
    mkfifo shared/pipe.torpor
    works tag full.torpor app:1
    start_server --timeout 3600 --store shared
    hostile paths
    hostile flood
    kill "$server"
    make_big
    mv big.torpor shared/
    # A client that has not had its turn for a second is closed, too: only those that want it.
    start_server --timeout 1 --store shared
    hostile loris
    hostile slow shared/big.torpor "$server"
    until_true curl -sf -o got.torpor "http://$served/web.torpor"
    kill "$server"
    few="prlimit --nofile=400" start_server --timeout 3600 shared
    hostile crowd 300
    ends_by TERM
}
try hostile_clients "serve: paths that lead elsewhere, floods, slow clients, more connections than there is room for"

many_tags() {
    local count=${MANY_TAGS:-20000}
    need skopeo
    appliances
    works tag full.torpor app:a
    python3 - "$XDG_DATA_HOME/torpor/oci/refs/localhost" "$count" <<'PYTHON'
import sys
line = open(f"{sys.argv[1]}/app:a").read()
for i in range(int(sys.argv[2])):
    open(f"{sys.argv[1]}/app:t{i}", "w").write(line)
PYTHON
    start_server
    same "tags" "$(skopeo list-tags --tls-verify=false "docker://$served/app" | json "len(d['Tags']), len(set(d['Tags']))")" "$((count + 1)) $((count + 1))"
    same "a page" "$(curl -s "http://$served/v2/app/tags/list?n=2&last=t9998" | json "d['tags']")" "['t9999']"
    same "nothing" "$(curl -s "http://$served/v2/app/tags/list?n=0" | json "d['tags']")" "[]"
    same "no number" "$(status_of '/v2/app/tags/list?n=-1')" 400
    ends_by TERM
}
try many_tags "serve: more tags than a page has"

while_it_sends() {
    need curl
    make_big
    start_server big.torpor
    curl -s --limit-rate 2M -o part "http://$served/big.torpor" &
    until_true test -s part
    ends_by TERM
    wait $!
    [ "$?" != 0 ] || fail "curl had all of it"
    start_server big.torpor
    curl -s -C - -o part "http://$served/big.torpor" || fail "curl"
    cmp part big.torpor || fail "another file"
    ends_by HUP
}
try while_it_sends "serve: TERM ends it in the middle of an answer, and the download goes on with the next one"
