"""A guest of images/redis that is always at work, and what proves afterwards that it went on: no
key was lost, no write was half done, and it is the boot it was."""

import collections

import guest as lab
import suite

IMAGE = suite.image("redis")
REDIS = ["--kernel", f"{IMAGE}/vmlinuz", "--initrd", f"{IMAGE}/initrd.img",
         "--append", "console=ttyS0 quiet loglevel=3 panic=-1", "--disk", f"{IMAGE}/disk.img"]
KEYS = 50000  # that it boots with
ORDERS = 20000
BATCH = 20
PAUSE = 0.02

# The n-th write goes to key n modulo ORDERS and holds nothing but n, so that each key tells what
# it must be. The answer is the number of writes.
WRITE = (f"local n for i = 1, {BATCH} do n = redis.call('incr', 'writes') "
         f"redis.call('set', 'order:' .. n % {ORDERS}, n .. string.rep(':' .. n, 30)) end return n")
CHECK = ("local n, bad = tonumber(redis.call('get', 'writes')), 0 "
         f"for i = 0, {ORDERS - 1} do local m = n - (n - i) % {ORDERS} if m > 0 and "
         "redis.call('get', 'order:' .. i) ~= m .. string.rep(':' .. m, 30) then "
         "bad = bad + 1 end end "
         f"for i = 0, {KEYS - 1}, 7 do if redis.call('get', 'key:' .. i) ~= 'value:' .. i then "
         "bad = bad + 1 end end return n .. ' ' .. bad")

Facts = collections.namedtuple("Facts", "nonce ticks writes bad softlockups")


class Shop(lab.Guest):
    """Guest.boot and Guest.wake make one; open() begins the work."""

    def open(self):
        digest = self.say(f'redis script load "{WRITE}"')
        self.console.write(f"sh redis-cli -r -1 -i {PAUSE} evalsha {digest} 0 >/dev/null 2>&1 &")
        if self.hear("^sh exit 0") is None:
            self.fail("its work does not begin")

    def close(self):
        """End what open() began."""
        self.console.write("sh killall redis-cli")
        if self.hear("^sh exit 0") is None:
            self.fail("its work does not end")

    def at_full_rate(self):
        """Work without a pause: a Console, whose lines are the numbers of writes that redis has acknowledged."""
        digest = self.say(f'redis script load "{WRITE}"')
        argv = [lab.TORPOR, "exec", self.name, "--", "redis-cli", "-r", "-1", "evalsha", digest, "0"]
        return lab.Console(self.host.prefix + argv)

    def look(self):
        """Touches all of its keys."""
        ticks = int(self.say("redis get ticks"))
        answer = self.say(f'redis eval "{CHECK}" 0')
        writes, bad = (int(word) for word in answer.split())
        return Facts(self.say("nonce"), ticks, writes, bad, int(self.number("softlockup")))

    def went_on(self, before):
        """It is as it was and has worked since, or this is a Failure."""
        now = self.look()
        if (now.nonce == before.nonce and now.bad == before.bad == 0 and now.softlockups == 0
                and now.ticks > before.ticks and now.writes > before.writes):
            return now
        if now.softlockups > before.softlockups:
            self.say("dmesg 30")  # fail() shows what is said last
        return self.fail(f"{before} became {now}")
