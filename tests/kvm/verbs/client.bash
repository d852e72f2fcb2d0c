# The client of the control protocol that is an example (torpor-control(7)).

client() {
    same "what it says" "$(TORPOR=$TORPOR timeout -k 1 "$PATIENCE" python3 "$tests/kvm/client.py" "$tests/../examples" "$TINY" 2>&1 | tail -n 3)" ok
    [ "$(wc -l <"$tests/../examples/torpor.py")" -le 120 ] || fail "the example is longer than an example"
}
try client "examples/torpor.py: run, save, resume, clone and exec over the control socket"
