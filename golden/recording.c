/* See recording.h. */
#include "golden/recording.h"

#include <errno.h>
#include <string.h>

#include "golden/test_files.h"

int recording_read(struct recording *r, const char *path, struct err *err)
{
	size_t len;
	char *text;
	int ret;

	*r = (struct recording){0};
	ret = test_file_text(path, &text, &len, &r->mode, err);
	if (ret == 0)
		ret = recipe_parse(&r->recipe, path, text, len, err);
	if (ret < 0)
		return err_context(err, ret, "%s", path);
	r->result.path = strdup(path);
	/* Lent: its lines are in both. */
	r->result.transcript = r->recipe.transcript;
	if (r->result.path != NULL)
		return 0;
	recording_free(r);
	return err_sys(err, ENOMEM, "read a recipe");
}

int recording_run(struct recording *r, const struct test_place *place, struct err *err)
{
	return test_run(&r->result, place, err);
}

bool recording_differs(const struct recording *r)
{
	return edits_differ(&r->result.edits);
}

void recording_diff(const struct recording *r, struct buf *out)
{
	edits_diff(&r->result.edits, r->result.path, r->result.path, out);
}

int recording_accept(const struct recording *r, struct err *err)
{
	int ret = test_file_rewrite(r->result.path, r->mode, &r->result.edits, err);

	return ret < 0 ? err_context(err, ret, "%s", r->result.path) : 0;
}

void recording_free(struct recording *r)
{
	r->result.transcript = (struct transcript){0};
	test_result_free(&r->result);
	recipe_free(&r->recipe);
	*r = (struct recording){0};
}
