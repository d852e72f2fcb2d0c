/* Switches that are joined: frames pass, and names, servers and loops are known across. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_lan.h"

static struct fake_lan a, b, c;

static void make(void)
{
	fake_lan_init(&a, "a", NULL);
	fake_lan_init(&b, "b", NULL);
	fake_lan_init(&c, "c", NULL);
}

static void unmake(void)
{
	fake_lan_free(&a);
	fake_lan_free(&b);
	fake_lan_free(&c);
}

TestSuite(lan_trunk, .init = make, .fini = unmake);

static void turn(void)
{
	for (int i = 0; i < 6; i++) {
		fake_lan_turn(&a);
		fake_lan_turn(&b);
		fake_lan_turn(&c);
	}
}

static void join(struct fake_lan *x, struct fake_lan *y)
{
	int ends[2];

	cr_assert(eq(i32, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0));
	cr_assert(eq(i32, lan_switch_plug(x->lan, ends[0], PORT_TRUNK, NULL), 0));
	cr_assert(eq(i32, lan_switch_plug(y->lan, ends[1], PORT_TRUNK, NULL), 0));
	turn();
}

static bool is_joined(struct fake_lan *x, const char *name)
{
	return fake_lan_port(x, name) != NULL;
}

Test(lan_trunk, machines_of_joined_lans_reach_each_other)
{
	int web = fake_lan_machine(&a, 1, "web"), db = fake_lan_machine(&c, 2, "db");

	join(&a, &b);
	join(&b, &c);
	cr_assert(is_joined(&a, "b") && is_joined(&b, "a") && is_joined(&b, "c"));
	cr_assert(fake_lan_send(web, FRAMING_NATIVE, BROADCAST_ID, 1, 60));
	turn();
	cr_expect(eq(u32, fake_lan_drain(db, FRAMING_NATIVE), 1));
	cr_assert(fake_lan_send(db, FRAMING_NATIVE, 1, 2, 900));
	turn();
	cr_expect(eq(u32, fake_lan_drain(web, FRAMING_NATIVE), 1));
	close(web);
	close(db);
}

Test(lan_trunk, a_mac_is_refused_that_is_behind_a_trunk)
{
	int web = fake_lan_machine(&a, 1, "web");
	char line[512];

	join(&a, &b);
	join(&b, &c);
	close(fake_lan_ask(&c, 1, "twin", line));
	cr_expect(eq(str, line,
		     (char *)"no twin has the MAC 02:00:00:00:00:01 of web, which is there "
			     "already; resume "
			     "it with --new-identity\n"));
	close(web);
	turn();
	close(fake_lan_machine(&c, 1, "twin"));
}

Test(lan_trunk, neither_to_itself_nor_twice_nor_in_a_circle)
{
	join(&a, &a);
	cr_expect(not(is_joined(&a, "a")));
	join(&a, &b);
	join(&b, &a);
	cr_expect(is_joined(&a, "b") && is_joined(&b, "a"));
	join(&b, &c);
	join(&c, &a);
	cr_expect(is_joined(&b, "c") && is_joined(&c, "b"));
	cr_expect(not(is_joined(&a, "c")));
	cr_expect(not(is_joined(&c, "a")));
}

Test(lan_trunk, one_dhcp_server_is_enough)
{
	struct gateway_params gateway;
	struct fake_lan first, second;

	gateway_default_cidr(&gateway, "shop");
	fake_lan_init(&first, "first", &gateway);
	fake_lan_init(&second, "second", &gateway);
	join(&first, &a);
	fake_lan_turn(&first);
	turn();
	fake_lan_turn(&first);
	turn();
	cr_expect(is_joined(&a, "first"));
	join(&second, &a);
	fake_lan_turn(&second);
	turn();
	fake_lan_turn(&second);
	turn();
	cr_expect(not(is_joined(&a, "second")));
	cr_expect(is_joined(&a, "first"));
	fake_lan_free(&first);
	fake_lan_free(&second);
}

Test(lan_trunk, notes_of_strangers_do_no_harm)
{
	static const char *const notes[] = {
		"",
		"switch zzz\n",
		"switch 0000000000000001 x\nmachine 02:00:00:00:00:05 ../../x\nmachine\nfuture 1\n",
		"switch 0000000000000002 x\n",
	};
	uint8_t head[4] = {0, 0, 0, 0x80};
	int fd = fake_lan_plug(&a, PORT_TRUNK);

	dprintf(fd, "torpor-lan 1 trunk 0000000000000001 x\nok\n");
	turn();
	cr_assert(is_joined(&a, "x"));
	for (unsigned i = 2; i < 4; i++) {
		head[0] = (uint8_t)strlen(notes[i]);
		cr_assert(eq(long, send(fd, head, 4, 0), 4L));
		cr_assert(eq(long, send(fd, notes[i], head[0], 0), (long)head[0]));
		turn();
		/* The last says it is another switch now. */
		cr_expect(eq(int, is_joined(&a, "x"), i == 2));
	}
	close(fd);
}
