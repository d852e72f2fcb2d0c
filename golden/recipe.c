/* See recipe.h. */
#include "golden/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct recipe_reader {
	struct recipe *recipe;
	const char *path;
};

static int head_out_of_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "read a recipe");
}

/* A file is relative to the recipe's folder. */
static char *beside_recipe(const char *path, const char *file)
{
	const char *slash = strrchr(path, '/');
	char *joined;

	if (file[0] == '/' || slash == NULL)
		return strdup(file);
	return asprintf(&joined, "%.*s/%s", (int)(slash - path), path, file) < 0 ? NULL : joined;
}

static int take_number(const char *key, const char *value, unsigned least, unsigned most,
		       unsigned *number, struct err *err)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (end == value || *end != '\0' || value[0] == '-' || n < least || n > most)
		return err_set(err, ERR_USAGE, "%s: '%s' is not %u to %u", key, value, least, most);
	*number = (unsigned)n;
	return 0;
}

static int take_option(struct recipe *r, const char *name, const char *value, struct err *err)
{
	if (r->noptions == RECIPE_OPTIONS_MAX)
		return err_set(err, ERR_USAGE, "more than %u options of the machine",
			       RECIPE_OPTIONS_MAX);
	if (asprintf(&r->option[r->noptions], "--%s=%s", name, value) < 0)
		return head_out_of_memory(err);
	r->noptions++;
	return 0;
}

static int take_file_option(struct recipe_reader *reader, const char *name, const char *value,
			    struct err *err)
{
	cleanup_free char *file = beside_recipe(reader->path, value);
	struct recipe *r = reader->recipe;
	int ret;

	if (file == NULL)
		return head_out_of_memory(err);
	r->has_kernel |= strcmp(name, "kernel") == 0;
	ret = take_option(r, name, file, err);
	if (ret < 0)
		return ret;
	file[strcspn(file, ",")] = '\0'; /* of a disk: FILE,ro */
	r->file[r->nfiles++] = take_ptr(file);
	return 0;
}

static int take_save(struct recipe *r, char *value, struct err *err)
{
	char *rest = NULL;
	int ret = 0;

	for (char *word = strtok_r(value, " \t", &rest); word != NULL && ret == 0;
	     word = strtok_r(NULL, " \t", &rest)) {
		if (strcmp(word, "flat") == 0)
			r->flat = true;
		else if (strcmp(word, "trim") == 0)
			r->trim = true;
		else if (strncmp(word, "level=", 6) == 0)
			ret = take_number("save: level", word + 6, 1, 19, &r->level, err);
		else
			ret = err_set(err, ERR_USAGE, "save: '%s' is not flat, trim or level=N",
				      word);
	}
	return ret;
}

static int take_text(char **text, const char *key, char *value, struct err *err)
{
	if (*text != NULL || value[0] == '\0')
		return err_set(err, ERR_USAGE, "%s: it is given twice, or without a value", key);
	*text = strdup(value);
	return *text != NULL ? 0 : head_out_of_memory(err);
}

static int take_recipe_head(void *opaque, const char *key, char *value, struct err *err)
{
	static const char *const files[] = {"kernel", "initrd", "disk"};
	static const char *const options[] = {"append", "memory", "vcpus", "cpu",   "console",
					      "net",	"mac",	  "mtu",   "queues"};
	struct recipe_reader *reader = opaque;
	struct recipe *r = reader->recipe;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(key, files[i]) == 0)
			return take_file_option(reader, key, value, err);
	}
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(key, options[i]) == 0)
			return take_option(r, key, value, err);
	}
	/* What older recipes have. */
	if (strcmp(key, "cpus") == 0)
		return take_option(r, "vcpus", value, err);
	if (strcmp(key, "from") == 0)
		return take_text(&r->from, key, value, err);
	if (strcmp(key, "await") == 0)
		return take_text(&r->await, key, value, err);
	if (strcmp(key, "boot") == 0)
		return take_number(key, value, 1, 86400, &r->boot, err);
	if (strcmp(key, "save") == 0)
		return take_save(r, value, err);
	if (strcmp(key, "warm") == 0)
		return take_number(key, value, 1, RECIPE_WARM_MAX, &r->warm, err);
	if (strcmp(key, "exclude") == 0)
		return guest_tree_exclude(&r->excludes, value, err);
	return err_set(err, ERR_USAGE,
		       "a recipe has no '%s:' in its head, which ends at the first empty line",
		       key);
}

/* What it begins with, in one way. */
static int check_beginning(const struct recipe *r, struct err *err)
{
	bool golden = r->transcript.golden[0] != '\0';

	if ((r->from != NULL) + r->has_kernel + golden != 1)
		return err_set(err, ERR_USAGE,
			       "its head needs one of `from: FILE` (a cold appliance), `kernel: "
			       "FILE`, and `golden: FILE` (a live one)");
	if (golden && r->noptions > 0)
		return err_set(err, ERR_USAGE,
			       "what begins with `golden:` is awake: %s cannot be changed any more",
			       r->option[0]);
	if (r->flat && r->level != 0)
		return err_set(err, ERR_USAGE, "save: flat is not packed, at no level");
	return 0;
}

int recipe_parse(struct recipe *r, const char *path, char *text, size_t len, struct err *err)
{
	struct recipe_reader reader = {r, path};
	const struct transcript_head head = {take_recipe_head, &reader};
	int ret;

	*r = (struct recipe){.boot = RECIPE_BOOT};
	ret = transcript_parse_with(&r->transcript, text, len, &head, err);
	if (ret == 0)
		ret = check_beginning(r, err);
	if (ret == 0 && r->from != NULL) {
		char *from = beside_recipe(path, r->from);

		free(r->from);
		r->from = from;
		ret = from != NULL ? 0 : head_out_of_memory(err);
	}
	if (ret < 0)
		recipe_free(r);
	return ret;
}

bool recipe_needs_guest(const struct recipe *r)
{
	for (size_t i = 0; i < r->transcript.ncommands; i++) {
		if (!r->transcript.command[i].host)
			return true;
	}
	return false;
}

void recipe_free(struct recipe *r)
{
	transcript_free(&r->transcript);
	free(r->from);
	free(r->await);
	for (unsigned i = 0; i < r->noptions; i++)
		free(r->option[i]);
	for (unsigned i = 0; i < r->nfiles; i++)
		free(r->file[i]);
	guest_tree_excludes_free(&r->excludes);
	*r = (struct recipe){0};
}
