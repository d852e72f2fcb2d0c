/* What two goldens hold, compared. One thread, and stop_signals_watch() before it. */
#ifndef TORPOR_CLI_GOLDEN_CHECK_H
#define TORPOR_CLI_GOLDEN_CHECK_H

#include "golden/survey.h"

/* Wake the golden at `path`, in a machine of its own that ends again, and look at what is in it.
 * `fd`: the path is /dev/fd/FD, and the machine gets that; -1: it is a file. Returns 0; -ECANCELED
 * when stop_fd became readable; or what the functions of own_machine.h and survey_take() give.
 * *survey is for survey_free() in each case. */
int golden_look(struct survey *survey, const char *path, int fd,
		const struct guest_tree_excludes *excludes, int stop_fd, struct err *err);

#endif
