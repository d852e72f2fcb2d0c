/* See test_golden.h. */
#include "cli/test_golden.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/target.h"
#include "format/archive.h"

#define DIGEST_MARK "@sha256:"

int test_golden_find(struct path *golden, char digest[DIGEST_TEXT_SIZE], const char *test,
		     const struct transcript *t, const char *from, struct err *err)
{
	char name[sizeof(t->golden)], *wanted;
	const char *slash = strrchr(test, '/');
	struct target target;
	int ret, len;

	snprintf(name, sizeof(name), "%s", from != NULL ? from : t->golden);
	if (name[0] == '\0')
		return err_set(err, ERR_USAGE,
			       "it names no golden: begin it with `golden: FILE`, or use --from");
	wanted = strstr(name, DIGEST_MARK);
	if (wanted != NULL)
		*wanted++ = '\0';
	ret = target_find_file(&target, name, err);
	if (ret < 0)
		return ret;
	if (target.kind == TARGET_STORED || from != NULL || name[0] == '/' || slash == NULL)
		len = snprintf(golden->text, sizeof(golden->text), "%s", target.file);
	else
		len = snprintf(golden->text, sizeof(golden->text), "%.*s/%s", (int)(slash - test),
			       test, name);
	if (len >= (int)sizeof(golden->text))
		return err_sys(err, ENAMETOOLONG, "%s", name);
	ret = archive_identify(golden->text, digest, err);
	if (ret == 0 && wanted != NULL && strcmp(digest, wanted) != 0)
		return err_set(err, ERR_INTEGRITY, "%s is %s, and the test is for %s", golden->text,
			       digest, wanted);
	return ret;
}
