"""The row about `torpor test`: what a case costs beyond what its guest does."""
import json
import statistics
import subprocess

from bench import TINY, TORPOR, row

CASES = 200


def bench_runner(home):
    golden = home.file("runner-golden.torpor")
    home.run("run", "-d", "--name", "runner-seed", "--kernel", TINY, "-m", "64M")
    home.wait_for("runner-seed", "READY")
    home.run("save", "runner-seed", "-o", golden)
    test = home.file("nothing.t")
    with open(test, "w") as file:
        file.write(f"golden: {golden}\n")

    def run(cases):
        """Nanoseconds of it all, and of each case."""
        said = subprocess.run([TORPOR, "test", "--json", "--repeat", str(cases), test], env=home.env, check=True,
                              stdout=subprocess.PIPE).stdout
        report = json.loads(said)
        return report["end-ns"], [t["end-ns"] - t["start-ns"] for t in report["tests"]]

    first = statistics.median(run(1)[0] for _ in range(5))
    whole, cases = run(CASES + 1)
    usual = statistics.median(cases) / 1e6
    row("torpor test, a case that does nothing", f"{usual:.2f} ms", figure=f"mean {(whole - first) / CASES / 1e6:.2f} ms",
        target="≤ 5 ms", met=usual <= 5)
    row("  the first one, with the start of its machine", f"{first / 1e6:.1f} ms")
