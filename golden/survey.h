/*
 * What there is in a guest, in parts: files, processes, packages, listening ports. A golden that is
 * made once more from its recipe never has the same bytes; it should have the same of these.
 *
 *     survey_take, of two guests → survey_compare → survey_free
 *
 * One thread.
 */
#ifndef TORPOR_GOLDEN_SURVEY_H
#define TORPOR_GOLDEN_SURVEY_H

#include "golden/guest_tree.h"
#include "golden/test_run.h"

enum survey_part {
	SURVEY_FILES,	  /* guest_tree.h */
	SURVEY_PROCESSES, /* USER\x20COMMAND\x20LINE → how many; those of the kernel are left out */
	SURVEY_PACKAGES, /* of dpkg, rpm or apk: NAME → VERSION; none where there are none of them */
	SURVEY_PORTS,	 /* tcp:ADDRESS:PORT that takes connections, udp: likewise */
	SURVEY_PARTS,
};

struct survey {
	struct inventory part[SURVEY_PARTS]; /* sorted */
};

/* Look at all parts, by scripts for the guest's shell; `guest` gives all of what they print.
 * Returns 0; -EINVAL with ERR_FAILED when a script fails or prints something else; -ENOMEM; or what
 * guest->run() gives. *s is for survey_free() in each case. */
int survey_take(struct survey *s, const struct test_guest *guest,
		const struct guest_tree_excludes *excludes, struct err *err);
/* Append a line for each thing that differs: "file /etc/motd: size 7, was 3; other content",
 * "package redis: gone". Returns how many these are. */
size_t survey_compare(const struct survey *was, const struct survey *is, struct buf *out);
/* Safe on zeroes. */
void survey_free(struct survey *s);

#define cleanup_survey __attribute__((cleanup(survey_free)))

/* What they are made of, for one part. For `sh -c` in the guest: */
const char *survey_script(enum survey_part part);
/* What it printed, sorted. Returns as survey_take(). *inv is for inventory_free() in each case. */
int survey_parse(enum survey_part part, struct inventory *inv, const char *output, size_t len,
		 const struct guest_tree_excludes *excludes, struct err *err);
size_t survey_compare_part(enum survey_part part, const struct inventory *was,
			   const struct inventory *is, struct buf *out);

#endif
