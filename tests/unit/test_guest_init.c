/* What of the guest's init does not need to be process 1. Its files have no C library, and are part
 * of this one. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/helper/account.c"
#include "guest/helper/base.c"
#include "guest/init/config.c"
#include "guest/init/json.c"

static char passwd[] = "/tmp/torpor-passwd-XXXXXX", group[] = "/tmp/torpor-group-XXXXXX";

static void put(char *path, const char *text)
{
	int fd = mkstemp(path);

	cr_assert(eq(i64, write(fd, text, strlen(text)), (int64_t)strlen(text)));
	close(fd);
}

static void make_accounts(void)
{
	char longer[3000];

	put(group, "root:x:0:\nredis:x:999:\ncache:x:50:redis,web\nweb:x:60:\nlogs:x:70:web\n"
		   "broken:x:y:web\n");
	memset(longer, 'x', sizeof(longer));
	snprintf(longer + sizeof(longer) - 300, 300,
		 ":x:5:5::/:\nroot:x:0:0:root:/root:/bin/sh\n"
		 "nonsense\nredis:x:999:999::/home/redis:/bin/sh\nweb:x:33:60::/var/www:");
	put(passwd, longer);
}

static void remove_accounts(void)
{
	unlink(passwd);
	unlink(group);
}

TestSuite(accounts, .init = make_accounts, .fini = remove_accounts);

static bool find(const char *user, struct account *a)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", user);
	return account_find(passwd, group, text, a);
}

Test(accounts, by_name_with_groups)
{
	struct account a;

	cr_assert(find("redis", &a));
	cr_assert(eq(u32, a.uid, 999));
	cr_assert(eq(u32, a.gid, 999));
	cr_assert(eq(str, a.home, (char *)"/home/redis"));
	cr_assert(eq(sz, a.ngroups, 1));
	cr_assert(eq(u32, a.groups[0], 50));
}

/* The last line has no end. */
Test(accounts, by_number_with_groups)
{
	struct account a;

	cr_assert(find("999", &a));
	cr_assert(eq(str, a.name, (char *)"redis"));
	cr_assert(eq(sz, a.ngroups, 1));
	cr_assert(find("33", &a));
	cr_assert(eq(str, a.home, (char *)"/var/www"));
	cr_assert(eq(u32, a.gid, 60));
	cr_assert(eq(sz, a.ngroups, 2));
}

Test(accounts, group_by_name_and_number)
{
	struct account a;

	cr_assert(find("redis:web", &a));
	cr_assert(eq(u32, a.gid, 60));
	cr_assert(find("redis:1234", &a));
	cr_assert(eq(u32, a.gid, 1234));
	cr_assert(find("4711:cache", &a));
	cr_assert(eq(u32, a.uid, 4711));
	cr_assert(eq(u32, a.gid, 50));
	cr_assert(eq(str, a.home, (char *)"/"));
}

Test(accounts, what_is_not_there)
{
	struct account a;

	cr_assert(not(find("nobody", &a)));
	cr_assert(not(find("redis:nobody", &a)));
	cr_assert(not(find("4294967295", &a)));
	cr_assert(not(find("-1", &a)));
	cr_assert(find("7", &a));
	cr_assert(eq(u32, a.uid, 7));
	cr_assert(eq(sz, a.ngroups, 0));
}

Test(guest_init, what_it_is_told)
{
	static char text[] = "m/modules/a.ko\0r/dev/vda\0text4\0hbox\0uredis\0w/data\0s2\0v/data\0"
			     "eA=1\0eB=\0a/e\0a\0?new\0";
	static struct init_config c;

	config_parse(&c, text, sizeof(text) - 1);
	cr_assert(eq(uint, c.nmodules, 1));
	cr_assert(eq(str, (char *)c.root, (char *)"/dev/vda"));
	cr_assert(eq(str, (char *)c.root_type, (char *)"ext4"));
	cr_assert(eq(str, (char *)c.user, (char *)"redis"));
	cr_assert(eq(u32, c.stop_signal, 2));
	cr_assert(eq(uint, c.nenv, 2));
	cr_assert(eq(uint, c.nargs, 2));
	cr_assert(eq(str, c.argv[1], (char *)""));
	cr_assert(eq(ptr, c.argv[2], NULL));
}

Test(guest_init, members_of_questions)
{
	static const char line[] =
		"{\"execute\": \"guest-exec\", \"arguments\": {\"path\":\"/bin/sh\","
		"\"arg\":[\"-c\",\"a\\n\\\"b\\\"\\u0041\\t\",\"]}\"],\"n\":-12,"
		"\"deep\":{\"path\":\"no\",\"x\":[[1],{}]},\"capture-output\":true}}";
	const char *arguments = json_member(line, "arguments"), *at;
	int64_t number;
	char text[64];

	cr_assert(eq(i64, json_text(json_member(line, "execute"), text, sizeof(text)), 10));
	cr_assert(eq(str, text, (char *)"guest-exec"));
	cr_assert(ge(i64, json_text(json_member(arguments, "path"), text, sizeof(text)), 0));
	cr_assert(eq(str, text, (char *)"/bin/sh"));
	cr_assert(json_number(json_member(arguments, "n"), &number));
	cr_assert(eq(i64, number, -12));
	cr_assert(eq(ptr, (void *)json_member(arguments, "x"), NULL));
	cr_assert(ne(ptr, (void *)json_member(arguments, "capture-output"), NULL));
	at = json_elements(json_member(arguments, "arg"));
	cr_assert(ge(i64, json_text(json_next(&at), text, sizeof(text)), 0));
	cr_assert(eq(str, text, (char *)"-c"));
	cr_assert(ge(i64, json_text(json_next(&at), text, sizeof(text)), 0));
	cr_assert(eq(str, text, (char *)"a\n\"b\"A\t"));
	cr_assert(ge(i64, json_text(json_next(&at), text, sizeof(text)), 0));
	cr_assert(eq(str, text, (char *)"]}"));
	cr_assert(eq(ptr, (void *)json_next(&at), NULL));
}

Test(guest_init, questions_that_make_no_sense)
{
	static const char *const questions[] = {"",
						"{",
						"{\"a",
						"{\"a\"",
						"{\"a\":",
						"{\"a\":\"\\",
						"{\"a\":\"\\u12",
						"{\"a\":[",
						"[",
						"{\"b\":1",
						"{\"b\":{\"c\":[\"",
						"\xff{"};
	char text[8];

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		const char *at = json_member(questions[i], "a");
		const char *list = json_elements(at);

		cr_assert(eq(i64, json_text(at, text, sizeof(text)), -1), "%s", questions[i]);
		while (json_next(&list) != NULL)
			;
	}
	cr_assert(eq(i64, json_text("\"12345678\"", text, sizeof(text)), -1));
	cr_assert(eq(i64, json_text("\"1234567\"", text, sizeof(text)), 7));
}

Test(guest_init, base64_there_and_back)
{
	static const char *const texts[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmFy"};
	uint8_t data[16];
	char text[32];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t len = base64_from(texts[i], strlen(texts[i]), data);

		cr_assert(eq(int, memcmp(data, "foobar", len), 0));
		cr_assert(eq(sz, base64_to(data, len, text), strlen(texts[i])));
		cr_assert(eq(str, text, (char *)texts[i]));
	}
}
