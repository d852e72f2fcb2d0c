"""Kills a machine that writes to a disk, again and again, and looks what is on the disk.

    power_cut.py TORPOR TINY ROUNDS

In the folder that it is called in. The guest writes blocks that tell their number and round, and flushes each; a
block counts from the moment on at which the guest has said so. The machine's process is killed (SIGKILL) at some moment
while it writes the next ones. Then every block that counts has to be there, and the one that was being written, and it
alone, may be the old one, the new one, or a mixture of their sectors."""
import random
import subprocess
import sys

BLOCKS, SECTORS = 64, 8
DISK = "power.raw"


def boot(torpor, tiny, mode):
    machine = subprocess.Popen([torpor, "run", "--name", "cut", "--kernel", tiny, "-m", "32M", "--disk", f"{DISK},{mode}"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    ready = machine.stdout.readline()
    assert ready.startswith("READY"), ready
    return machine


def ask(machine, command):
    machine.stdin.write(command + "\n")
    return machine.stdout.readline().strip()


def cut(torpor, tiny, seed_of, round_):
    """Which block was being written when it was killed."""
    machine = boot(torpor, tiny, "rw")
    last = random.randrange(1, 12)
    for _ in range(last):
        block = random.randrange(BLOCKS)
        seed = round_ * BLOCKS + block + 1
        for command in (f"dwrite 0 {block * SECTORS} {SECTORS} {seed}", "dflush 0"):
            answer = ask(machine, command)
            assert answer == command.split()[0] + " ok", answer
        seed_of[block] = seed
    block = random.randrange(BLOCKS)
    machine.stdin.write(f"dwrite 0 {block * SECTORS} {SECTORS} {round_ * BLOCKS + block + 1}\ndflush 0\n")
    if random.random() < 0.7:
        machine.stdout.read(random.randrange(1, 12))  # of its answers
    machine.kill()
    machine.communicate()
    return block, round_ * BLOCKS + block + 1


def look(torpor, tiny, seed_of, open_block, open_seed):
    machine = boot(torpor, tiny, "ro")
    for block in range(BLOCKS):
        if block != open_block:
            check(machine, block, seed_of[block])
            continue
        for sector in range(block * SECTORS, (block + 1) * SECTORS):
            answers = {ask(machine, f"dread 0 {sector} 1 {seed}") for seed in (seed_of[block], open_seed) if seed}
            assert seed_of[block] is None or "dread ok" in answers, f"sector {sector} of the open block: {answers}"
    print("poweroff", file=machine.stdin)
    machine.communicate()
    assert machine.returncode == 0, machine.returncode


def check(machine, block, seed):
    if seed is None:
        return
    answer = ask(machine, f"dread 0 {block * SECTORS} {SECTORS} {seed}")
    assert answer == "dread ok", f"block {block} of seed {seed}: {answer}"


def main(torpor, tiny, rounds):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random.seed(seed)
    seed_of = dict.fromkeys(range(BLOCKS))
    with open(DISK, "wb") as disk:
        disk.truncate(BLOCKS * SECTORS * 512)
    for round_ in range(rounds):
        block, open_seed = cut(torpor, tiny, seed_of, round_)
        look(torpor, tiny, seed_of, block, open_seed)
        seed_of[block] = None  # until it is written again
    print(rounds, "rounds,", sum(seed is not None for seed in seed_of.values()), "blocks checked in the last")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
