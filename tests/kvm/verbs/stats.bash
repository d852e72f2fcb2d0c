# What stats tells of several machines: once, again and again, as JSON.

row() { # NAME COLUMN: of the table in $out
    awk -v name="$1" -v column="$2" '$1 == name { print $column }' <<<"$out"
}

table() {
    works stats
    same "without machines" "$(wc -l <<<"$out")" 1
    works stats --json
    same "without machines" "$out" "[]"
    truncate -s 8M disk.img
    boot a -m 64M
    boot b -m 64M --disk disk.img
    boot over
    works_silently kill over
    answers b "fill 16 8 5" "filled 2048"
    answers b "dwrite 0 0 8 3" "dwrite ok"
    works_silently pause a
    works stats
    matches heads "$out" '^NAME +STATE +CPU +VCPUS +VMM +PRIVATE +SHARED +SCRATCH +PAGED-IN'
    [ "$(wc -L <<<"$out")" -le 80 ] || fail "wider than 80 columns: $out"
    same "machines" "$(awk 'NR > 1 { print $1, $2 }' <<<"$out")" $'a paused\nb running'
    matches "private memory of a" "$(row a 6)" '^[0-9]+\.[0-9]M$'
    same "scratch of a" "$(row a 8)" "0.0M"
    works stats --json b a
    same "names" "$(json "[m['name'] for m in d]" <<<"$out")" "['b', 'a']"
    # b has filled 8 MiB.
    same "numbers" "$(json "d[0]['usage']['private'] - d[1]['usage']['private'] > 7 << 20, d[0]['scratch'] > 0, d[1]['scratch'], \
        d[0]['cpu']['vcpus'] > 0, d[0]['cpu']['vmm'] > 0, d[1]['state']" <<<"$out")" "True True 0 True True paused"
    works stats b a
    same "those that are named" "$(awk 'NR > 1 { print $1 }' <<<"$out")" $'b\na'
}
try table "stats: a row for each machine that runs: CPU, memory, scratch, as text and JSON"

paged_in() {
    make_live m.torpor
    works_silently rm source
    works resume -d --fill none --name p m.torpor
    works resume -d --fill none --name q m.torpor
    works stats
    matches "paged in" "$(row p 9)" '^[0-9]+%$'
}
try paged_in "stats: what has been paged in"

watching() {
    local from pid line i
    boot a
    exec {from}< <(exec "$TORPOR" stats -w --interval 1 --json a)
    pid=$!
    for i in 1 2; do
        read -r -t "$PATIENCE" -u "$from" line
        same "line $i" "$(json "len(d), d[0]['name'], d[0]['state']" <<<"$line")" "1 a running"
    done
    works_silently kill a
    until_true not kill -0 "$pid"
    exec {from}<&-
    boot c
    exec {from}< <(exec "$TORPOR" stats -w --interval 1)
    pid=$!
    for i in 1 2 3 4; do
        read -r -t "$PATIENCE" -u "$from" line
    done
    matches "the load" "$line" '^c +running +[0-9]+% '
    exec {from}<&-
    until_true not kill -0 "$pid"
}
not() {
    ! "$@"
}
try watching "stats -w: a table each interval; it ends with the machines that are named, and with its reader"

on_a_terminal() {
    boot a
    python3 - "$TORPOR" <<'PYTHON' || fail "not in place"
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    os.execv(sys.argv[1], ["torpor", "stats", "-w", "--interval", "1"])
seen = b""
while seen.count(b"NAME") < 3:
    seen += os.read(fd, 4096)
os.kill(pid, 9)
assert b"\x1b[2A" in seen, seen
assert all(len(line.replace(b"\x1b[K", b"").replace(b"\x1b[J", b"").replace(b"\x1b[2A", b"")) < 60
           for line in seen.split(b"\r\n")), seen
PYTHON
}
try on_a_terminal "stats -w on a terminal: in the same place, no line longer than it is wide"

stats_refused() {
    boot a
    refuses 122 "no machine named nobody is running" stats a nobody
    refuses 122 "no machine" stats nobody
    refuses 125 "--fill is of one machine" stats --fill none a b
    refuses 125 "NAME is missing" stats --fill none
    refuses 125 "--fill and --watch exclude each other" stats -w --fill none a
    refuses 125 "--interval goes with --watch" stats --interval 1
    refuses 125 "--interval" stats -w --interval 0
}
try stats_refused "stats says what is wrong"

silent_machine() {
    local pid
    boot a
    boot b
    pid=$("$TORPOR" inspect --json a | json "d['pid']")
    kill -STOP "$pid"
    call stats
    kill -CONT "$pid"
    out=$(<"$SCRATCH/out")
    same "status" "$status" 0
    same "states" "$(awk 'NR > 1 { print $1, $2 }' <<<"$out")" $'a not-answering\nb running'
}
try silent_machine "stats: a machine that does not answer holds up nobody"
