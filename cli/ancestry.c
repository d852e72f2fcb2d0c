/* See ancestry.h. */
#include "cli/ancestry.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/print_line.h"
#include "host/parent.h"

const char *save_time(uint64_t saved_ns, char text[SAVE_TIME_SIZE])
{
	time_t seconds = (time_t)(saved_ns / 1000000000u);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, SAVE_TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		strcpy(text, "?");
	return text;
}

/* The file of this identity; *next becomes its parent, or "" when it has none or is not found. */
static json_t *describe(const char *digest, char path[PATH_MAX], char next[DIGEST_TEXT_SIZE])
{
	const struct archive_open_params params = {.fd = -1};
	char child[PATH_MAX];
	struct archive *archive;
	const struct appliance *a;
	json_t *entry = json_pack("{s:s}", "digest", digest);

	strcpy(child, path);
	next[0] = '\0';
	if (parent_find(digest, child, path, NULL) < 0 ||
	    archive_open_with(&archive, path, &params, NULL) < 0)
		return entry;
	a = archive_appliance(archive);
	json_object_set_new(entry, "file", json_string(path));
	json_object_set_new(entry, "generation", json_integer(a->generation));
	json_object_set_new(entry, "saved-ns", json_integer((json_int_t)a->saved_ns));
	strcpy(next, a->parent);
	archive_close(archive);
	return entry;
}

json_t *ancestry_json(const char *parent, const char *child)
{
	char digest[DIGEST_TEXT_SIZE], next[DIGEST_TEXT_SIZE], path[PATH_MAX];
	json_t *list = json_array();

	snprintf(path, sizeof(path), "%s", child);
	snprintf(digest, sizeof(digest), "%s", parent);
	for (unsigned n = 0; digest[0] != '\0' && n < CHAIN_MAX; n++) {
		json_array_append_new(list, describe(digest, path, next));
		strcpy(digest, next);
	}
	return list;
}

static void print_entry(const char *label, const json_t *entry)
{
	const json_t *saved = json_object_get(entry, "saved-ns");
	const char *digest = json_string_value(json_object_get(entry, "digest"));
	char text[SAVE_TIME_SIZE];

	if (saved == NULL) {
		printf("%-11s %s, not found\n", label, digest);
		return;
	}
	print_line(stdout, "%-11s generation %lld, saved %s, %s", label,
		   (long long)json_integer_value(json_object_get(entry, "generation")),
		   save_time((uint64_t)json_integer_value(saved), text),
		   json_string_value(json_object_get(entry, "file")));
}

void ancestry_print(const char *label, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		print_entry(i == 0 ? label : "", json_array_get(list, i));
}
