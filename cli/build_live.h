/*
 * `torpor build --live`: the machine is booted in a process of its own, is ready, and is saved.
 *
 *     live_args_take … → live_args_check → live_args_from_image, for an image → build_live
 *
 * One thread, but for what watches the signals.
 */
#ifndef TORPOR_CLI_BUILD_LIVE_H
#define TORPOR_CLI_BUILD_LIVE_H

#include "cli/options.h"
#include "cli/readiness.h"
#include "container/image_config.h"
#include "instance/source.h"

#define LIVE_READY_MAX 16u

enum live_option {
	OPT_LIVE = OPTION_LONG_ONLY + 320,
	OPT_READY,
	OPT_READY_TIMEOUT,
	OPT_WARM,
};

/* clang-format off */
#define LIVE_OPTIONS                                                                               \
	{OPT_LIVE, "live", NULL, "boot it, wait until it is ready, and write it as it runs: a live appliance"}, \
	{OPT_READY, "ready", "text:TEXT|port:N|exec:CMD", "of --live: when that is true; repeatable"}, \
	{OPT_READY_TIMEOUT, "ready-timeout", "SECONDS", "of --live: wait for that no longer; default 600"}, \
	{OPT_WARM, "warm", "SECONDS", "of --live: watch so long what a clone touches first; 0: not; default 5"}
/* clang-format on */

struct live_args {
	bool live, given; /* `given`: another of these options */
	struct readiness ready[LIVE_READY_MAX];
	size_t nready;
	bool has_timeout, has_warm;
	uint64_t timeout_s, warm_s;
	char health[READINESS_TEXT_MAX]; /* of the image, when `ready` says it */
};

/* Returns 1 when it is one of these options, 0 when it is not, or -EINVAL with ERR_USAGE. */
int live_args_take(struct live_args *args, int id, const char *value, struct err *err);
/* That they go together, and that `output` can be written: -EINVAL with ERR_USAGE, or what
 * tempfile_try() gives. Without --live only the former. An image may say when it is ready. */
int live_args_check(const struct live_args *args, bool image, const char *output, struct err *err);
/* Without --ready the image's health check is the condition. Also -EINVAL with ERR_USAGE when it has
 * none, or one that is too long; or -ENOMEM. */
int live_args_from_image(struct live_args *args, const struct image_config *image, struct err *err);

/* Closes the source, which is what boots. A machine that ends before it is ready, or takes too long
 * (-ETIMEDOUT), has the end of its console on standard error. Other errors are those of
 * cold_file_write(), own_machine_start(), own_machine_await() and live_file_make(). No machine is
 * left in any case, and behind an error `output` is as it was. After a signal it does not return. */
int build_live(const struct live_args *args, struct source *source, const char *output,
	       struct err *err);

#endif
