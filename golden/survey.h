/*
 * What there is in a guest, in parts: files, processes, packages, listening ports. A golden that is
 * made once more from its recipe never has the same bytes; it should have the same of these.
 *
 *     survey_script → (run it in the guest) → survey_parse, for each part, of two guests
 *     → survey_compare → inventory_free
 *
 * Pure; one thread.
 */
#ifndef TORPOR_GOLDEN_SURVEY_H
#define TORPOR_GOLDEN_SURVEY_H

#include "golden/guest_tree.h"

enum survey_part {
	SURVEY_FILES,	  /* guest_tree.h */
	SURVEY_PROCESSES, /* USER\x20COMMAND\x20LINE → how many; those of the kernel are left out */
	SURVEY_PACKAGES, /* of dpkg, rpm or apk: NAME → VERSION; none where there are none of them */
	SURVEY_PORTS,	 /* tcp:ADDRESS:PORT that takes connections, udp: likewise */
	SURVEY_PARTS,
};

/* For `sh -c` in the guest. */
const char *survey_script(enum survey_part part);
/* "file", "process", "package", "port". */
const char *survey_word(enum survey_part part);

/* What the script printed, sorted. Returns 0; -EINVAL with ERR_FAILED when it is something else;
 * -ENOMEM. *inv is for inventory_free() in each case. */
int survey_parse(enum survey_part part, struct inventory *inv, const char *output, size_t len,
		 const struct guest_tree_excludes *excludes, struct err *err);

/* Append a line for each thing that differs: "file /etc/motd: size 7, was 3; other content",
 * "package redis: gone". Returns how many these are. */
size_t survey_compare(enum survey_part part, const struct inventory *was,
		      const struct inventory *is, struct buf *out);

#endif
