/*
 * A recipe: a transcript that makes a golden. Its head says what is booted and how it is saved; its
 * commands bring the machine to the state that tests begin with, and what they print is compared as
 * a test's is.
 *
 *     kernel: ../build/vmlinuz      or `from: FILE`, a cold appliance, or `golden: FILE`, a live one
 *     disk: ../build/disk.img
 *     append: console=ttyS0
 *     memory: 192M
 *     publish: 80 443
 *     await: READY                  the console says so before the first command
 *     save: level=9 trim            how torpor save writes it
 *     warm: 5                       torpor warm watches it for so many seconds
 *     exclude: /run /var/log        what a check does not compare
 *
 *       $ redis-cli set greeting hello
 *       OK
 *
 * The heads of transcripts hold too: timeout, redact, publish. An empty line ends the head. Files are
 * relative to the recipe's folder.
 *
 *     recipe_parse → … → recipe_free
 *
 * Pure; one thread.
 */
#ifndef TORPOR_GOLDEN_RECIPE_H
#define TORPOR_GOLDEN_RECIPE_H

#include "golden/guest_tree.h"
#include "golden/transcript.h"

#define RECIPE_OPTIONS_MAX 48u
#define RECIPE_BOOT	   600u /* seconds until the guest is there, unless the head says otherwise */
#define RECIPE_WARM_MAX	   600u

struct recipe {
	struct transcript transcript; /* .golden: the live appliance that it begins with */
	char *from;		      /* path of a cold appliance; NULL: none */
	/* Options of `torpor run`: `--memory=192M`. */
	char *option[RECIPE_OPTIONS_MAX]; /* owned */
	unsigned noptions;
	bool has_kernel;
	char *file[RECIPE_OPTIONS_MAX]; /* what those options read; owned */
	unsigned nfiles;
	char *await;   /* NULL: nothing */
	unsigned boot; /* seconds */
	bool trim, flat;
	unsigned level; /* of packing; 0: the usual one */
	unsigned warm;	/* seconds; 0: not */
	struct guest_tree_excludes excludes;
};

/* Takes `text`, which malloc() gave; `path` is the recipe's. Returns 0; -EINVAL with ERR_USAGE (the
 * text names the line) for a head that cannot be read, or that does not say what is booted; what
 * transcript_parse() gives; -ENOMEM. After an error there is nothing to free. */
int recipe_parse(struct recipe *r, const char *path, char *text, size_t len, struct err *err);
/* Whether a command runs in the guest. */
bool recipe_needs_guest(const struct recipe *r);
/* Safe on zeroes. */
void recipe_free(struct recipe *r);

#define cleanup_recipe __attribute__((cleanup(recipe_free)))

#endif
