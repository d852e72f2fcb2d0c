# Documents of what verbs know: maps of files, metrics; and what is told of a machine that has ended.

maps() {
    make_live --flat a.torpor
    works warm --for 1 -o warm.torpor a.torpor
    works inspect --map warm.torpor
    matches "the file" "$out" '^file, [0-9.]+ MiB'
    matches "the memory" "$out" $'\nmemory\.0, 64\.0 MiB'
    for word in 'h  hot: touched first' 'm  memory' 'k  kernel and initrd' '\.  zeros, not stored' 's  state of the devices'; do
        grep -q "$word" <<<"$out" || fail "no '$word' in: $out"
    done
    [ "$(wc -L <<<"$out")" -le 80 ] || fail "wider than 80: $out"
    works resume -d --name b a.torpor
    answers b "fill 16 1 3" "filled 256"
    works save --parent a.torpor -o b.torpor b
    works inspect --map b.torpor
    grep -q "=  as in the parent or base" <<<"$out" || fail "nothing is as in the parent: $out"
    refuses 125 "exclude one another" inspect --map --json a.torpor
    works inspect --html warm.torpor
    same "a picture for the file and one for the memory" "$(grep -c '<svg' <<<"$out")" 2
}
try maps "inspect --map: the file and its images, a letter for each part"

page() {
    command -v chromium >/dev/null || skip "chromium is not installed"
    make_live --flat a.torpor
    works warm --for 1 -o warm.torpor a.torpor
    cp warm.torpor '<b>&"x.torpor'
    works inspect --html '<b>&"x.torpor'
    printf '%s\n' "$out" >map.html
    mkdir pictures
    same "the page" "$("$tests/kvm/page.py" map.html '<b>&"x.torpor - torpor inspect' --pictures pictures)" ok
    [ -z "${KEEP_PICTURES:-}" ] || cp pictures/* "$KEEP_PICTURES"
}
try page "inspect --html: one page that loads nothing, looked at in a browser"

metrics() {
    boot s
    answers s "fill 16 1 9" "filled 256"
    works stats --prometheus
    # Debian's, which has its modules.
    printf '%s\n' "$out" | /usr/bin/python3 -c '
import re, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
names = [f.name for f in families]
assert len(set(names)) == len(names), "a head is there twice"
values = {}
for f in families:
    assert re.fullmatch(r"torpor_[a-z_]+", f.name) and f.documentation and f.type in ("gauge", "counter"), f
    # The parser takes _total from the name of a counter.
    assert not f.name.endswith("_total"), f
    assert f.type == "counter" or re.search(r"_(seconds|bytes|ratio|cpus|info)$", f.name), f
    for s in f.samples:
        assert s.labels["machine"] == "s" and s.value >= 0, s
        assert (f.type == "counter") == s.name.endswith("_total"), s
        values.setdefault(s.name, []).append(s)
assert values["torpor_machine_info"][0].labels["state"] == "running"
assert sum(s.value for s in values["torpor_cpu_seconds_total"]) > 0
assert values["torpor_resident_bytes"][0].value > 1 << 20
print("ok")' >said 2>&1
    same "what a parser says" "$(tail -n 1 said)" ok
    works stats --prometheus s
    works_silently kill s
    works stats --prometheus
    same "samples without machines" "$(grep -cv '^#' <<<"$out")" 0
    refuses 125 "excludes" stats --prometheus --json
}
try metrics "stats --prometheus: a parser takes it, names and types follow the rules"

ended() {
    boot s
    works_silently kill s
    call wait s
    works inspect s
    matches "how" "$out" $'state       exited\nend         killed, [0-9-]+ [0-9:]+\nexit status 137'
    works inspect --json s
    same "the same" "$(json "d['state'], d['end']" <<<"$out")" "exited killed"
    works ps -a
    matches "the list" "$out" 'exited:killed +137 .* [0-9]+[smh] ago '
    refuses 122 "nobody" inspect nobody
}
try ended "inspect and ps -a of a machine that has ended: how, when, and with which status"

tail_of_logs() {
    boot s
    answers s "fill 16 1 9" "filled 256"
    works logs s
    all=$out
    works logs --tail 1 s
    same "one line" "$out" "$(tail -n 1 <<<"$all")"
    works logs --tail 3 s
    same "three lines" "$out" "$(tail -n 3 <<<"$all")"
    works logs --tail 0 s
    same "none" "$out" ""
    works logs --tail 100000 s
    same "all" "$out" "$all"
}
try tail_of_logs "logs --tail: the last lines"

# Times come with the lines, and outlive the machine.
times_of_logs() {
    local stamp='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z' all with before
    before=$(date -u +%FT%T)
    boot s
    works logs s
    all=$out
    works logs --timestamps s
    with=$out
    same "without the times" "$(sed -E "s/^$stamp //" <<<"$with")" "$all"
    [[ ! $(head -n 1 <<<"$with") < $before ]] || fail "$with came before $before"
    # A second is what --since can tell from another.
    sleep 2
    cut=$(date +%s)
    answers s "fill 16 1 9" "filled 256"
    works logs --since "@$cut" s
    same "since then" "${out%$'\r'}" "filled 256"
    works logs --since 1h -t --tail 1 s
    matches "the last line" "${out%$'\r'}" "^$stamp filled 256$"
    works logs --since 0 s
    same "since now" "$out" ""
    timeout "$PATIENCE" "$TORPOR" logs -f -t --since "@$cut" s >followed &
    local follower=$!
    answers s "fill 17 1 9" "filled 256"
    until_true eval '[ "$(grep -Ec "^'"$stamp"' filled 256" followed)" = 2 ]'
    works_silently kill s
    wait $follower
    works logs -t --since "@$cut" s
    same "behind the end" "$(wc -l <<<"$out")" 2
    refuses 125 "are of the guest's output" logs -t --host s
    refuses 125 "--since needs a time ago" logs --since soon s
    # A log of an earlier version.
    rm "$XDG_STATE_HOME/torpor/s/console.log.times"
    works logs -t s
    same "times that nobody knows" "$(sed 's/^- //' <<<"$out" | head -n 1)" "$(head -n 1 <<<"$all")"
    call logs --since 1h s
    same "status" "$status" 0
    matches "what it says" "$(<"$SCRATCH/err")" "not known when these lines came: all are printed"
    same "all" "$(wc -l <"$SCRATCH/out")" "$(wc -l <"$XDG_STATE_HOME/torpor/s/console.log")"
    # The next machine of that name begins anew.
    works rm s
    boot s
    works logs -t s
    matches "a new one" "$out" "^$stamp READY"
}
try times_of_logs "logs --since, --timestamps: also while they are followed, behind the end, and of a log without times"
