/* See tree_check.h. */
#include "golden/tree_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/tempfile.h"
#include "golden/test_files.h"

#define EXCLUDE	     "exclude: "
#define NEW_HEAD     EXCLUDE "/run /tmp\n"
#define LISTING_MODE 0644
#define LIST_SECONDS 900u /* a slow guest hashes all its files */

struct listing {
	struct buf head; /* its first lines */
	size_t nhead;
	struct guest_tree_excludes excludes;
	struct inventory tree;
	mode_t mode;
};

static void listing_free(struct listing *l)
{
	buf_free(&l->head);
	guest_tree_excludes_free(&l->excludes);
	inventory_free(&l->tree);
}

/* ---- the accepted one ---- */

static int take_head(struct listing *l, const char *line, struct err *err)
{
	buf_printf(&l->head, "%s\n", line);
	l->nhead++;
	return guest_tree_exclude(&l->excludes, line + strlen(EXCLUDE), err);
}

static int take_line(struct listing *l, char *line, struct err *err)
{
	char *space = strchr(line, ' ');

	if (space == NULL || line[0] != '/')
		return err_set(err, ERR_USAGE, "line %zu is neither `" EXCLUDE "…` nor a file",
			       l->nhead + l->tree.n + 1);
	*space = '\0';
	return inventory_add(&l->tree, strdup(line), strdup(space + 1), err);
}

static int parse_listing(struct listing *l, char *text, struct err *err)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		bool head = l->tree.n == 0 && strncmp(line, EXCLUDE, strlen(EXCLUDE)) == 0;
		int ret;

		if (line[0] == '\0')
			continue;
		ret = head ? take_head(l, line, err) : take_line(l, line, err);
		if (ret < 0)
			return ret;
	}
	inventory_sort(&l->tree);
	return 0;
}

static int read_listing(struct listing *l, const char *path, bool may_miss, struct err *err)
{
	cleanup_free char *text = NULL, *whole = NULL;
	size_t len;
	int ret = test_file_text(path, &text, &len, &l->mode, err);

	if (ret == -ENOENT && may_miss) {
		l->mode = LISTING_MODE;
		whole = strdup(NEW_HEAD);
		len = strlen(NEW_HEAD);
	} else if (ret < 0) {
		return ret;
	} else {
		whole = strndup(text, len);
	}
	if (whole == NULL)
		return err_sys(err, ENOMEM, "read");
	return parse_listing(l, whole, err);
}

/* ---- what differs ---- */

static void add_hunk(struct buf *diff, size_t old_line, const struct inventory_item *old,
		     size_t new_line, const struct inventory_item *new)
{
	buf_printf(diff, "@@ -%zu,%d +%zu,%d @@\n", old_line, old != NULL, new_line, new != NULL);
	if (old != NULL)
		buf_printf(diff, "-%s %s\n", old->name, old->value);
	if (new != NULL)
		buf_printf(diff, "+%s %s\n", new->name, new->value);
}

/* A side without a line is named by the line before. */
static void add_hunks(struct buf *diff, size_t nhead, const struct inventory *was,
		      const struct inventory *is)
{
	size_t i = 0, j = 0;

	while (i < was->n || j < is->n) {
		const struct inventory_item *old = i < was->n ? &was->item[i] : NULL;
		const struct inventory_item *new = j < is->n ? &is->item[j] : NULL;
		int order = old != NULL && new != NULL ? strcmp(old->name, new->name) : 0;

		if (order < 0)
			new = NULL;
		else if (order > 0)
			old = NULL;
		i += old != NULL;
		j += new != NULL;
		if (old == NULL || new == NULL || strcmp(old->value, new->value) != 0)
			add_hunk(diff, nhead + i, old, nhead + j, new);
	}
}

static int write_listing(const char *path, const struct listing *l, const struct inventory *tree,
			 struct err *err)
{
	__attribute__((cleanup(tempfile_close))) struct tempfile file = {.fd = -1, .folder = -1};
	cleanup_buf struct buf text = {0};
	struct stat written;
	int ret;

	buf_add(&text, l->head.data, l->head.len);
	for (size_t i = 0; i < tree->n; i++)
		buf_printf(&text, "%s %s\n", tree->item[i].name, tree->item[i].value);
	if (buf_failed(&text))
		return err_sys(err, ENOMEM, "write");
	ret = tempfile_open(&file, path, err);
	if (ret < 0)
		return ret;
	ret = tempfile_write(&file, text.data, text.len, 0, err);
	if (ret < 0)
		return ret;
	if (fchmod(file.fd, l->mode) < 0)
		return err_sys(err, errno, "chmod");
	return tempfile_publish(&file, &written, err);
}

/* ---- all of it ---- */

static int list_files(struct inventory *tree, const struct test_guest *guest,
		      const struct guest_tree_excludes *excludes, struct err *err)
{
	cleanup_buf struct buf output = {0};
	int status = 0;
	int ret = guest->run(guest->opaque, guest_tree_script, LIST_SECONDS, GOLDEN_LIST_MAX,
			     &output, &status, err);

	if (ret < 0)
		return ret;
	return guest_tree_parse(tree, (const char *)output.data, output.len, excludes, err);
}

int tree_check(const char *path, const struct test_guest *guest, bool update, struct buf *diff,
	       struct err *err)
{
	__attribute__((cleanup(listing_free))) struct listing accepted = {0};
	cleanup_inventory struct inventory tree = {0};
	size_t before = diff->len, named;
	int ret = read_listing(&accepted, path, update, err);

	if (ret < 0)
		return err_context(err, ret, "%s", path);
	ret = list_files(&tree, guest, &accepted.excludes, err);
	if (ret < 0)
		return ret;
	buf_printf(diff, "--- %s\n+++ %s\n", path, path);
	named = diff->len;
	add_hunks(diff, accepted.nhead, &accepted.tree, &tree);
	if (buf_failed(diff) || buf_failed(&accepted.head))
		return err_sys(err, ENOMEM, "compare the guest's files");
	if (diff->len == named) {
		diff->len = before;
		return 0;
	}
	ret = update ? write_listing(path, &accepted, &tree, err) : 0;
	return ret < 0 ? err_context(err, ret, "%s", path) : 0;
}
