/* See parse.h. */
#include "host/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/name.h"
#include "base/num.h"
#include "host/start.h"

/* Digits only: strtoull would take signs and spaces. */
static bool parse_digits(const char *text, char **end, uint64_t *value)
{
	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoull(text, end, 10);
	return errno == 0;
}

/* "", K, KB and KiB (of 1024 bytes, whatever the letters: as QEMU and ls have it), M, G, T. */
static int unit_shift(const char *unit)
{
	static const char letters[] = "KMGT";
	const char *found;

	if (unit[0] == '\0')
		return 20;
	found = strchr(letters, toupper((unsigned char)unit[0]));
	if (found == NULL)
		return -1;
	if (unit[1] != '\0' && strcasecmp(unit + 1, "B") != 0 && strcasecmp(unit + 1, "iB") != 0)
		return -1;
	return (int)(found - letters + 1) * 10;
}

bool output_is_stream(const char *text)
{
	return strcmp(text, "-") == 0;
}

int parse_output(const char *text, struct err *err)
{
	struct stat st;

	if (output_is_stream(text) && start_had_no_stdout())
		return err_set(err, ERR_USAGE, "-o -: standard output is closed");
	if (output_is_stream(text) && isatty(STDOUT_FILENO))
		return err_set(err, ERR_USAGE,
			       "-o -: standard output is a terminal: use a pipe, or name a file");
	if (text[0] == '\0')
		return err_set(err, ERR_USAGE, "the name of the file to write is empty");
	if (text[strlen(text) - 1] == '/' || (stat(text, &st) == 0 && S_ISDIR(st.st_mode)))
		return err_set(err, ERR_USAGE, "%s is a folder: name the file to write in it",
			       text);
	return 0;
}

int output_spares(const char *output, const char *input, struct err *err)
{
	struct stat a, b;

	if (input == NULL || output_is_stream(output) || stat(output, &a) < 0 ||
	    stat(input, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return 0;
	return err_set(err, ERR_USAGE, "%s is read, and cannot be the file to write, too", output);
}

int parse_memory(const char *text, uint64_t *bytes, struct err *err)
{
	uint64_t count, tenths = 0, scale = 1;
	char *unit;
	int shift;

	if (!parse_digits(text, &unit, &count))
		return err_set(err, ERR_USAGE, "'%s' is not a size such as 512M or 2G", text);
	if (*unit == '.') {
		/* Nine places of a decimal fraction: bytes of a T, nearly. */
		for (unit++; isdigit((unsigned char)*unit); unit++) {
			if (scale < 1000000000) {
				tenths = tenths * 10 + (uint64_t)(*unit - '0');
				scale *= 10;
			}
		}
	}
	shift = unit_shift(unit);
	if (shift < 0 || unit[-1] == '.')
		return err_set(err, ERR_USAGE, "'%s' is not a size such as 512M or 2G", text);
	if (count >= UINT64_MAX >> shift)
		return err_set(err, ERR_USAGE, "'%s' is too large", text);
	*bytes = (count << shift) + (uint64_t)(((unsigned __int128)tenths << shift) / scale);
	return 0;
}

int parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *number,
		 struct err *err)
{
	char *end;

	if (!parse_digits(text, &end, number) || *end != '\0')
		return err_set(err, ERR_USAGE, "%s: '%s' is not a number", what, text);
	if (*number < min || *number > max)
		return err_set(err, ERR_USAGE, "%s: %s is not between %llu and %llu", what, text,
			       (unsigned long long)min, (unsigned long long)max);
	return 0;
}

/* Digits and a unit; false for anything else, and for what is no time of ns in 63 bits. */
static bool parse_seconds(const char *text, const char *units, uint64_t *seconds)
{
	static const uint64_t length[] = {1, 60, 3600, 86400};
	const char *unit;
	char *end;

	if (!parse_digits(text, &end, seconds))
		return false;
	if (end[0] != '\0') {
		unit = strchr(units, end[0]);
		if (unit == NULL || end[1] != '\0' ||
		    __builtin_mul_overflow(*seconds, length[unit - units], seconds))
			return false;
	}
	return *seconds <= INT64_MAX / NS_PER_SECOND;
}

int parse_duration(const char *text, const char *what, uint64_t min, uint64_t *seconds,
		   struct err *err)
{
	if (parse_seconds(text, "smhd", seconds) && *seconds >= min)
		return 0;
	return err_set(err, ERR_USAGE, "%s needs a time, as 90, 15m, 2h or 1d, not '%s'", what,
		       text);
}

int parse_time_ago(const char *text, const char *what, uint64_t now, uint64_t *ns, struct err *err)
{
	const bool absolute = text[0] == '@';

	if (!parse_seconds(text + absolute, absolute ? "" : "smhd", ns))
		return err_set(err, ERR_USAGE,
			       "%s needs a time ago, as 90, 15m, 2h or 1d, or @SECONDS since 1970, "
			       "not '%s'",
			       what, text);
	*ns *= NS_PER_SECOND;
	if (!absolute)
		*ns = now - u64_min(*ns, now);
	return 0;
}

int parse_name(const char *text, struct err *err)
{
	if (!name_is_valid(text))
		return err_set(
			err, ERR_USAGE,
			"'%s' is not a name: letters, digits and _ . - (not first), up to 63",
			text);
	return 0;
}

static bool id_is_valid(const char *id)
{
	for (const char *c = id; *c != '\0'; c++) {
		if (*c <= ' ' || *c > '~')
			return false;
	}
	return id[0] != '\0' && strlen(id) < sizeof(((struct disk_arg *)0)->id);
}

/* "readonly", "format=qcow2": a file's name would have a dot or a slash before. */
static bool looks_like_option(const char *text)
{
	size_t word = strspn(text, "abcdefghijklmnopqrstuvwxyz-_");

	return word > 0 && (text[word] == '\0' || text[word] == '=');
}

static const struct {
	const char *name;
	enum disk_mode mode;
} disk_modes[] = {{"scratch", DISK_SCRATCH}, {"ro", DISK_RO}, {"rw", DISK_RW}};

const char *disk_mode_name(enum disk_mode mode)
{
	return disk_modes[mode].name;
}

static bool take_mode(struct disk_arg *disk, const char *word, struct err *err, int *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(disk_modes); i++) {
		if (strcmp(disk_modes[i].name, word) != 0)
			continue;
		if (disk->has_mode && disk->mode != disk_modes[i].mode)
			*ret = err_set(err, ERR_USAGE, "--disk: %s and %s exclude each other", word,
				       disk_mode_name(disk->mode));
		disk->mode = disk_modes[i].mode;
		disk->has_mode = true;
		return true;
	}
	return false;
}

static int take_id(struct disk_arg *disk, const char *id, struct err *err)
{
	if (!id_is_valid(id))
		return err_set(err, ERR_USAGE, "disk id '%s': 1 to 20 printable ASCII characters",
			       id);
	if (disk->id[0] == '\0')
		memcpy(disk->id, id, strlen(id) + 1);
	return 0;
}

/* Take one suffix behind the last comma. One that is unknown is a part of the file's name, if there
 * is a file of that name. */
static int take_suffix(struct disk_arg *disk, bool *taken, struct err *err)
{
	char *comma = strrchr(disk->path, ',');
	int ret = 0;

	*taken = false;
	if (comma == NULL)
		return 0;
	if (strncmp(comma, ",id=", 4) == 0) {
		ret = take_id(disk, comma + 4, err);
	} else if (strcmp(comma, ",share=no") == 0) {
		disk->alone = true;
	} else if (strcmp(comma, ",direct") == 0) {
		disk->direct = true;
	} else if (take_mode(disk, comma + 1, err, &ret)) {
		/* It is noted. */
	} else if (!looks_like_option(comma + 1) || access(disk->path, F_OK) == 0) {
		return 0;
	} else {
		return err_set(err, ERR_USAGE,
			       "--disk: no file is named %s, and '%s' is no suffix: there are ,rw "
			       ",ro ,scratch ,direct ,id=X and ,share=no",
			       disk->path, comma);
	}
	if (ret < 0)
		return ret;
	*comma = '\0';
	*taken = true;
	return 0;
}

/* ID=F */
static int take_prefix(struct disk_arg *disk, struct err *err)
{
	char *equals = strchr(disk->path, '=');
	int ret;

	if (equals == NULL || equals == disk->path ||
	    memchr(disk->path, '/', (size_t)(equals - disk->path)) != NULL ||
	    access(disk->path, F_OK) == 0)
		return 0;
	*equals = '\0';
	ret = take_id(disk, disk->path, err);
	if (ret < 0)
		return ret;
	if (strcmp(disk->id, disk->path) != 0)
		return err_set(err, ERR_USAGE, "--disk: two ids, %s and %s", disk->path, disk->id);
	memmove(disk->path, equals + 1, strlen(equals + 1) + 1);
	return 0;
}

int parse_disk(const char *text, struct disk_arg *disk, struct err *err)
{
	bool taken = true;
	int ret;

	*disk = (struct disk_arg){0};
	if (strlen(text) >= sizeof(disk->path))
		return err_set(err, ERR_USAGE, "--disk: the file's name is too long");
	memcpy(disk->path, text, strlen(text) + 1);
	while (taken) {
		ret = take_suffix(disk, &taken, err);
		if (ret < 0)
			return ret;
	}
	ret = take_prefix(disk, err);
	if (ret < 0)
		return ret;
	if (disk->path[0] == '\0')
		return err_set(err, ERR_USAGE, "--disk %s: no file is named", text);
	return 0;
}
