/* See guest_tree.h. */
#include "golden/guest_tree.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"

#define SHA256_HEX 64u

/*
 * A path that find(1) prints has no `//` in it, so that ends a name of any kind. The name comes once
 * more with the target of a link behind it, whose length is the link's size. A file that goes
 * meanwhile is told on standard error, and is none.
 */
const char guest_tree_script[] =
	"export LC_ALL=C QUOTING_STYLE=literal\n"
	"cd /\n"
	"listed() {\n"
	"find . \\( -path ./proc -o -path ./sys -o -path ./dev \\) -prune -o \"$@\" 2>/dev/null\n"
	"}\n"
	"listed -exec stat -c '%n//%f %u %g %s %t:%T %N' {} +\n"
	"echo =\n"
	"listed -type f -exec sha256sum {} +\n"
	"exit 0\n";

int guest_tree_exclude(struct guest_tree_excludes *x, const char *patterns, struct err *err)
{
	cleanup_free char *words = strdup(patterns);
	char *rest = NULL;

	if (words == NULL)
		return err_sys(err, ENOMEM, "list what is excluded");
	for (char *word = strtok_r(words, " \t", &rest); word != NULL;
	     word = strtok_r(NULL, " \t", &rest)) {
		char **grown;

		if (strchr("/*?[", word[0]) == NULL)
			return err_set(err, ERR_USAGE,
				       "exclude: '%s' matches no path of the guest, all of which "
				       "begin with /",
				       word);
		grown = array_grow(x->pattern, x->n, sizeof(*grown));
		if (grown == NULL)
			return err_sys(err, ENOMEM, "list what is excluded");
		x->pattern = grown;
		grown[x->n] = strdup(word);
		if (grown[x->n] == NULL)
			return err_sys(err, ENOMEM, "list what is excluded");
		x->n++;
	}
	return 0;
}

void guest_tree_excludes_free(struct guest_tree_excludes *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->pattern[i]);
	free(x->pattern);
	*x = (struct guest_tree_excludes){0};
}

/* The path, or a folder that it is in. */
static bool tree_is_excluded(const struct guest_tree_excludes *x, const char *path)
{
	for (size_t i = 0; i < x->n; i++) {
		if (fnmatch(x->pattern[i], path, FNM_NOESCAPE | FNM_LEADING_DIR) == 0)
			return true;
	}
	return false;
}

/* As ls(1) writes it. */
static void mode_text(uint32_t mode, char text[11])
{
	static const char *const kinds = "?pc?d?b?-?l?s???";

	text[0] = kinds[mode >> 12 & 15];
	for (unsigned i = 0; i < 9; i++)
		text[1 + i] = (mode >> (8 - i) & 1) != 0 ? "rwx"[i % 3] : '-';
	if (mode & S_ISUID)
		text[3] = (mode & S_IXUSR) != 0 ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = (mode & S_IXGRP) != 0 ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = (mode & S_IXOTH) != 0 ? 't' : 'T';
	text[10] = '\0';
}

/* "./etc/x" → "/etc/x", escaped. */
static char *tree_name(const char *path, size_t len)
{
	struct buf name = {0};

	if (len > 1)
		inventory_add_escaped(&name, path + 1, len - 1);
	else
		buf_add(&name, "/", 1);
	buf_add(&name, "", 1);
	if (!buf_failed(&name))
		return (char *)name.data;
	buf_free(&name);
	return NULL;
}

/* A file of the listing. */
struct tree_entry {
	const char *path; /* without its end */
	size_t len;
	uint32_t mode, uid, gid, major, minor;
	uint64_t size;
};

static char *tree_value(const struct tree_entry *e, const char *target)
{
	struct buf value = {0};
	char mode[11];

	mode_text(e->mode, mode);
	buf_printf(&value, "%s %" PRIu32 ":%" PRIu32 " ", mode, e->uid, e->gid);
	if (S_ISREG(e->mode)) {
		buf_printf(&value, "%" PRIu64 " ?", e->size);
	} else if (S_ISLNK(e->mode)) {
		buf_printf(&value, "%" PRIu64 " ->", e->size);
		inventory_add_escaped(&value, target, e->size);
	} else if (S_ISCHR(e->mode) || S_ISBLK(e->mode)) {
		buf_printf(&value, "- %" PRIu32 ",%" PRIu32, e->major, e->minor);
	} else {
		buf_printf(&value, "- -");
	}
	buf_add(&value, "", 1);
	if (!buf_failed(&value))
		return (char *)value.data;
	buf_free(&value);
	return NULL;
}

/* The name once more, in quotes or not, and ` -> TARGET` for a link: *at is behind that then. Returns
 * where the target is, or NULL when it is something else. */
static const char *parse_repeated(const struct tree_entry *e, const char **at, const char *end)
{
	size_t quotes = *at < end && **at == '\'', target = S_ISLNK(e->mode) ? e->size : 0;
	size_t arrow = S_ISLNK(e->mode) ? 4 + 2 * quotes : 0, left = (size_t)(end - *at);
	const char *found;

	if (target >= left || left - target < e->len + arrow + quotes + 1 ||
	    memcmp(*at + quotes, e->path, e->len) != 0)
		return NULL;
	/* 'NAME' has two quotes, and 'NAME' -> 'TARGET' two more. */
	found = *at + e->len + arrow + quotes;
	*at = found + target + quotes;
	return *at < end && **at == '\n' ? found : NULL;
}

/* NAME//MODE UID GID SIZE MAJOR:MINOR NAME, of one file. */
static int parse_entry(struct inventory *tree, const char **at, const char *end,
		       const struct guest_tree_excludes *excludes, struct err *err)
{
	const char *stop = memmem(*at, (size_t)(end - *at), "//", 2), *target;
	struct tree_entry e = {.path = *at};
	cleanup_free char *name = NULL;
	char numbers[128];
	int used = 0;

	if (stop == NULL)
		return err_set(err, ERR_FAILED, "the guest's list of files ends early");
	e.len = (size_t)(stop - *at);
	name = tree_name(e.path, e.len);
	if (name == NULL)
		return err_sys(err, ENOMEM, "list the guest's files");
	/* sscanf(3) looks for the end of all text. The text has a NUL there. */
	snprintf(numbers, sizeof(numbers), "%.*s", (int)sizeof(numbers) - 1, stop + 2);
	if (sscanf(numbers,
		   "%" SCNx32 " %" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNx32 ":%" SCNx32 "%n",
		   &e.mode, &e.uid, &e.gid, &e.size, &e.major, &e.minor, &used) < 6 ||
	    numbers[used] != ' ')
		return err_set(err, ERR_FAILED, "the guest's list of files: %s cannot be read",
			       name);
	*at = stop + 2 + used + 1;
	target = parse_repeated(&e, at, end);
	if (target == NULL)
		return err_set(err, ERR_FAILED, "the guest's list of files: %s cannot be read",
			       name);
	(*at)++;
	if (tree_is_excluded(excludes, name))
		return 0;
	return inventory_add(tree, take_ptr(name), tree_value(&e, target), err);
}

static bool begins_with_digest(const char *at, const char *end)
{
	return end - at > (ptrdiff_t)SHA256_HEX + 2 &&
	       strspn(at, "0123456789abcdef") == SHA256_HEX &&
	       memcmp(at + SHA256_HEX, "  .", 3) == 0;
}

/* DIGEST, two spaces, and the path. GNU's escapes a newline and a backslash and begins the line with
 * a backslash then; busybox's does not, and a path goes on in the next line. */
static int parse_digest(struct inventory *tree, const char **at, const char *end, struct err *err)
{
	bool escaped = **at == '\\';
	const char *digest = *at + escaped, *path = digest + SHA256_HEX + 2, *stop = path;
	cleanup_free char *name = NULL;
	cleanup_buf struct buf raw = {0};
	struct inventory_item *item;
	char *value;

	if (!begins_with_digest(digest, end))
		return err_set(err, ERR_FAILED, "the guest's list of digests cannot be read");
	do {
		stop = memchr(stop, '\n', (size_t)(end - stop));
		if (stop == NULL)
			return err_set(err, ERR_FAILED, "the guest's list of digests ends early");
		stop++;
	} while (stop < end && !begins_with_digest(stop + (*stop == '\\'), end));
	*at = stop;
	for (const char *c = path; c < stop - 1; c++) {
		if (escaped && *c == '\\' && c[1] == 'n')
			buf_add(&raw, "\n", 1);
		else
			buf_add(&raw, c, 1);
		c += escaped && *c == '\\';
	}
	name = buf_failed(&raw) ? NULL : tree_name((char *)raw.data, raw.len);
	if (name == NULL)
		return err_sys(err, ENOMEM, "list the guest's files");
	item = inventory_find(tree, name);
	if (item == NULL || item->value[strlen(item->value) - 1] != '?')
		return 0;
	if (asprintf(&value, "%.*ssha256:%.*s", (int)strlen(item->value) - 1, item->value,
		     (int)SHA256_HEX, digest) < 0)
		return err_sys(err, ENOMEM, "list the guest's files");
	free(item->value);
	item->value = value;
	return 0;
}

int guest_tree_parse(struct inventory *tree, const char *output, size_t len,
		     const struct guest_tree_excludes *excludes, struct err *err)
{
	cleanup_free char *text = malloc(len + 1);
	const char *at = text, *end = text + len;
	int ret = 0;

	if (text == NULL)
		return err_sys(err, ENOMEM, "list the guest's files");
	memcpy(text, output, len);
	text[len] = '\0';
	while (ret == 0 && at < end && *at == '.')
		ret = parse_entry(tree, &at, end, excludes, err);
	if (ret < 0)
		return ret;
	if (tree->n == 0 || end - at < 2 || memcmp(at, "=\n", 2) != 0)
		return err_set(err, ERR_FAILED,
			       "the guest's files cannot be listed: are find and stat there?");
	at += 2;
	inventory_sort(tree);
	while (ret == 0 && at < end)
		ret = parse_digest(tree, &at, end, err);
	return ret;
}

/* The four words of a value; the last one may be none. */
static void split_value(const char *value, char word[3][64], const char **content)
{
	int used = 0;

	word[0][0] = word[1][0] = word[2][0] = '\0';
	(void)sscanf(value, "%63s %63s %63s %n", word[0], word[1], word[2], &used);
	*content = value + used;
}

void guest_tree_words(const char *was, const char *is, struct buf *out)
{
	static const char *const names[] = {"mode", "owner", "size"};
	const char *old_content, *new_content, *between = "";
	char old[3][64], new[3][64];

	split_value(was, old, &old_content);
	split_value(is, new, &new_content);
	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(old[i], new[i]) == 0)
			continue;
		buf_printf(out, "%s%s %s, was %s", between, names[i], new[i], old[i]);
		between = "; ";
	}
	if (strcmp(old_content, new_content) == 0)
		return;
	if (strncmp(new_content, "sha256:", 7) == 0 && strncmp(old_content, "sha256:", 7) == 0)
		buf_printf(out, "%sother content", between);
	else
		buf_printf(out, "%s%s, was %s", between, new_content, old_content);
}
