/*
 * How a live appliance becomes a machine: the options of `resume` and `receive`, and the way from a
 * file to a source that only has to be started. One thread.
 *
 *     resume_args_init → resume_args_take … → resume_args_check → resume_args_open → launch →
 *     resume_args_close
 */
#ifndef TORPOR_CLI_RESUME_ARGS_H
#define TORPOR_CLI_RESUME_ARGS_H

#include "cli/disk_args.h"
#include "cli/key_args.h"
#include "cli/limit_args.h"
#include "cli/net_args.h"
#include "cli/share_args.h"
#include "cli/vsock_args.h"
#include "cli/wire_source.h"
#include "instance/fill.h"
#include "instance/instance.h"

enum resume_option {
	OPTION_FILL = OPTION_LONG_ONLY + 140,
	OPTION_REQUIRE_SIGNATURE,
	OPTION_VERIFY,
	OPTION_UNVERIFIED,
	OPTION_NEW_IDENTITY,
};

/* clang-format off */
#define RESUME_OPTIONS                                                                             \
	{'n', "name", "NAME", "name of the machine; default the one it was saved under"},          \
	{OPTION_FILL, "fill", FILL_WORDS,                                                          \
	 "load untouched memory: never, in the spare time of one core (default), on all cores"},   \
	{OPTION_REQUIRE_SIGNATURE, "require-signature", "KEY",                                     \
	 "refuse a file that this public key has not signed; `trust`: any trusted key"},           \
	{OPTION_VERIFY, "verify", "full|cached",                                                   \
	 "check every byte of the file, or only if it was not found good before (default)"},       \
	{OPTION_UNVERIFIED, "unverified", NULL,                                                    \
	 "resume without a check of the file"},                                                    \
	LIMIT_OPTIONS,                                                                             \
	DISK_OPTION,                                                                               \
	VOLUME_OPTION,                                                                               \
	SHARE_REBIND_OPTION,                                                                       \
	VSOCK_OPTION,                                                                              \
	DISK_LIMIT_OPTIONS,                                                                          \
	{OPTION_NEW_IDENTITY, "new-identity", NULL,                                                \
	 "new name and MAC addresses; the guest's wake hooks renew the rest"},                     \
	NET_OPTIONS,                                                                               \
	KEY_OPTIONS
/* clang-format on */

enum resume_verify {
	RESUME_VERIFY_CACHED,
	RESUME_VERIFY_FULL,
};

struct resume_args {
	struct instance_options instance;
	enum resume_verify verify;
	bool verify_given;
	bool unverified;
	const char *signer; /* key or `trust`; NULL: a signature is not checked */
	/* NULL, or it is read from there while it arrives; longer than the source. */
	const struct wire_source *wire;
	const char *verb;  /* for messages; resume_args_init(): "resume" */
	const char *typed; /* what torpor run would take; NULL: the path */
	struct key_args keys;
	struct net_args net;
	struct limits limits;
	struct limits_helper helper;
	struct disk_args disks; /* those that are outside of the file */
	struct share_args shares;
	struct vsock_args vsock;
};

void resume_args_init(struct resume_args *args);
/* Close what was opened and not taken. */
void resume_args_close(struct resume_args *args);
/* Take an option that is one of RESUME_OPTIONS: 1; 0 when it is not; -EINVAL with ERR_USAGE. */
int resume_args_take(struct resume_args *args, int id, const char *value, struct err *err);
/* What excludes each other: -EINVAL with ERR_USAGE. */
int resume_args_check(const struct resume_args *args, struct err *err);

/*
 * Open the appliance, in the sandbox of a machine, which this process enters: is it live, is it for
 * this host, is it whole, and what are its cards connected to? `fd`: it is this open file, and
 * `path` is its name for messages; -1: it is at `path`, which may be - for standard input.
 * `stored_name`: the machine is to be called that, NULL: as it was. After an error there is nothing
 * to close.
 *
 * Returns 0; -EINVAL with ERR_USAGE when the appliance is cold; or what trust_load(),
 * keys_to_open(), spool_input(), limits_helper_start(), disk_args_open(), disk_args_bind(),
 * share_args_open(), share_args_bind(), vsock_args_open(), vsock_args_bind(), launch_guard(),
 * source_from_keyed_file(), source_check(), archive_verify(), chain_ensure_verified() and
 * connections_bind() give.
 */
int resume_args_open(struct resume_args *args, const char *path, int fd, const char *stored_name,
		     struct source *source, struct err *err);

#endif
