/* See golden_check.h. */
#include "cli/golden_check.h"

#include "base/clock.h"
#include "cli/own_machine.h"

#define WAKE_SECONDS 300u

int golden_look(struct survey *survey, const char *path, int fd,
		const struct guest_tree_excludes *excludes, int stop_fd, struct err *err)
{
	cleanup_own_machine struct own_machine m;
	const struct own_start start = {.verb = "resume", .file = path, .file_fd = fd};
	struct test_guest guest;
	int ret = own_machine_open(&m, "check", stop_fd, err);

	*survey = (struct survey){0};
	if (ret < 0)
		return ret;
	ret = own_machine_start(&m, &start, err);
	if (ret < 0)
		return ret;
	ret = own_machine_await_wake(&m, clock_monotonic_ns() + WAKE_SECONDS * NS_PER_SECOND, err);
	if (ret < 0)
		return ret;
	guest = own_machine_guest(&m);
	return survey_take(survey, &guest, excludes, err);
}
