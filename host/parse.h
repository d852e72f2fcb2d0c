/* Values on the command line: sizes, counts, names of machines, --disk. Pure, but that --disk asks
 * whether a file is there. Functions that return int return 0, or -EINVAL with ERR_USAGE. */
#ifndef TORPOR_HOST_PARSE_H
#define TORPOR_HOST_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "format/appliance.h"

/* An appliance to write: a file, no folder, or - for standard output, unless that is a terminal. */
int parse_output(const char *text, struct err *err);
bool output_is_stream(const char *text);
/* Also ERR_USAGE when the output is the file `input`, which would be gone then; NULL: none. */
int output_spares(const char *output, const char *input, struct err *err);
/* "256M", "1G", "65536K", "2T", "3.5G"; a B or iB behind the letter changes nothing, as all are
 * powers of 1024; a bare number is MiB, as QEMU has it. In bytes. */
int parse_memory(const char *text, uint64_t *bytes, struct err *err);

/* A whole decimal number in [min, max], called `what` in the error. */
int parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *number,
		 struct err *err);

/* "90", "90s", "15m", "2h", "1d": in seconds, from `min` to INT64_MAX nanoseconds; called `what` in the error. */
int parse_duration(const char *text, const char *what, uint64_t min, uint64_t *seconds,
		   struct err *err);
/* Such a time before `now`, or "@1764400000", since 1970: in ns since 1970, as `now` is. */
int parse_time_ago(const char *text, const char *what, uint64_t now, uint64_t *ns, struct err *err);

int parse_name(const char *text, struct err *err);

/* What a machine does with a file that is its disk. */
enum disk_mode {
	DISK_SCRATCH, /* it is only read; what the guest writes is the machine's own */
	DISK_RO,      /* it is only read, and the guest cannot write */
	DISK_RW,      /* what the guest writes goes into it */
};

/* What `--disk F[,rw|ro|scratch][,direct][,id=X][,share=no]` says; X=F is F,id=X. Only these suffixes are split
 * off, from the right, so that a comma in a file's name does no harm; another one is ERR_USAGE, unless there is
 * such a file. X= is part of the file's name where there is such a file, or where a slash is before the =. */
struct disk_arg {
	char path[4096];
	enum disk_mode mode;
	bool has_mode;
	bool direct; /* past the page cache; of DISK_RW alone */
	bool alone;  /* share=no: nobody else may use it */
	char id[sizeof(((struct appliance_disk *)0)->id)]; /* "" when not given */
};

const char *disk_mode_name(enum disk_mode mode);
int parse_disk(const char *text, struct disk_arg *disk, struct err *err);

#endif
