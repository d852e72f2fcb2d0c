/* What a vCPU asks of its machine just when that is paused, and what the log keeps of a noisy
 * guest. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/fake_board.h"

static struct fake_board board;

static void teardown(void)
{
	fake_board_free(&board);
}

TestSuite(requests, .fini = teardown);

/* Running, as far as the machine knows: its vCPU has no thread. */
static bool running(void)
{
	if (!fake_board_init(&board))
		return false;
	board.m.state = MACHINE_RUNNING;
	return true;
}

Test(requests, pausing_and_going_on)
{
	if (!running())
		return;
	machine_pause(&board.m);
	cr_assert(eq(int, board.m.state, MACHINE_PAUSED));
	machine_pause(&board.m);
	machine_unpause(&board.m);
	cr_assert(eq(int, board.m.state, MACHINE_RUNNING));
	cr_assert_not(board.m.want_parked);
	machine_unpause(&board.m);
	cr_assert(eq(int, board.m.state, MACHINE_RUNNING));
}

Test(requests, a_machine_that_has_just_ended_is_not_paused)
{
	struct err err;

	if (!running())
		return;
	machine_end(&board.m, MACHINE_END_POWEROFF);
	machine_pause(&board.m);
	cr_assert(ne(int, board.m.state, MACHINE_PAUSED));
	cr_assert(eq(int, loop_run(&board.m.loop, &err), 0));
	cr_assert(eq(int, board.m.state, MACHINE_ENDED));
	cr_assert(eq(int, board.m.end, MACHINE_END_POWEROFF));
}

Test(requests, a_reset_asked_for_is_done_before_the_pause)
{
	if (!running())
		return;
	fake_out(&board, 0x3f8 + 7, 0x5a, 1);
	fake_out(&board, 0x64, 0xfe, 1);
	machine_pause(&board.m);
	cr_assert_not(board.m.reset_requested);
	cr_assert(eq(u32, fake_in(&board, 0x3f8 + 7, 1), 0)); /* the scratch register */
	/* This machine has no kernel to start again with, and says so. */
	cr_assert(eq(int, board.m.end, MACHINE_END_FAILED));
	cr_assert_str_eq(board.m.failure.text, "reset: there is no kernel to boot");
}

Test(requests, the_first_reason_to_end_stays)
{
	struct err err = {.kind = ERR_FAILED, .text = "later"};

	if (!running())
		return;
	machine_end(&board.m, MACHINE_END_KILLED);
	machine_fail(&board.m, &err);
	cr_assert(eq(int, board.m.end, MACHINE_END_KILLED));
	cr_assert_str_empty(board.m.failure.text);
}

static size_t logged(int fd, char *text, size_t size)
{
	ssize_t len = pread(fd, text, size - 1, 0);

	cr_assert(ge(i64, len, 0));
	text[len] = '\0';
	return (size_t)len;
}

Test(log, lines_have_a_prefix_and_are_cut)
{
	char text[4096], big[3000];
	struct log log = {.fd = memfd_create("log", MFD_CLOEXEC), .prefix = "torpor: web"};

	log_line(&log, "disk %u is full", 3u);
	logged(log.fd, text, sizeof(text));
	cr_assert_str_eq(text, "torpor: web: disk 3 is full\n");
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	log_line(&log, "%s", big);
	cr_assert(eq(sz, logged(log.fd, text, sizeof(text)), 28 + 1023));
	cr_assert(eq(chr, text[28 + 1022], '\n'));
	close(log.fd);
	log.fd = -1;
	log_line(&log, "nowhere");
}

Test(log, a_noisy_guest_gets_ten_lines_a_second)
{
	struct log log = {.fd = memfd_create("log", MFD_CLOEXEC), .prefix = "t"};
	struct log_limit limit = {0};
	char text[65536];
	unsigned lines = 0;

	for (unsigned i = 0; i < 1000; i++)
		log_guest(&log, &limit, "again");
	logged(log.fd, text, sizeof(text));
	for (const char *c = text; *c != '\0'; c++)
		lines += *c == '\n';
	cr_assert(ge(uint, lines, 10));
	cr_assert(le(uint, lines, 21)); /* the second may have changed once on the way */
	limit.second--;
	log_guest(&log, &limit, "later");
	logged(log.fd, text, sizeof(text));
	cr_assert(ne(ptr, strstr(text, "similar lines dropped\nt: later\n"), NULL), "%s", text);
	close(log.fd);
}
