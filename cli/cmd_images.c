/* torpor images: what was pulled. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/registry_args.h"
#include "format/archive.h"
#include "host/sandbox.h"

/* One line. */
struct listed {
	char name[REFERENCE_TEXT];
	char platform[2 * OCI_PLATFORM_SIZE]; /* of an index; "" when it is none */
	const char *kind;
	char parent[DIGEST_TEXT_SIZE]; /* "" when it has none */
	uint64_t bytes, shared;	       /* shared: with other images that are listed */
	uint64_t saved_ns;	       /* 0: never live */
	uint64_t stored_ns;	       /* when it came into this store */
};

static bool image_names(const struct cas_image *image, const char *digest)
{
	if (strcmp(image->config.digest, digest) == 0)
		return true;
	for (size_t i = 0; i < image->layers.count; i++) {
		if (strcmp(image->layers.item[i].digest, digest) == 0)
			return true;
	}
	return false;
}

static bool is_shared(const struct cas_image *images, size_t count, const struct cas_image *own,
		      const char *digest)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(images[i].digest, own->digest) != 0 && image_names(&images[i], digest))
			return true;
	}
	return false;
}

static void add_size(struct listed *line, const struct cas_image *images, size_t count,
		     const struct cas_image *own, const struct oci_descriptor *d)
{
	line->bytes += d->size;
	if (is_shared(images, count, own, d->digest))
		line->shared += d->size;
}

static void measure(struct listed *line, const struct cas_image *images, size_t count,
		    const struct cas_image *own)
{
	const struct oci_descriptors *layers = &own->layers;

	line->bytes = own->manifest.size;
	add_size(line, images, count, own, &own->config);
	for (size_t i = 0; i < layers->count; i++) {
		bool first = true;

		for (size_t k = 0; k < i; k++)
			first &= strcmp(layers->item[k].digest, layers->item[i].digest) != 0;
		if (first)
			add_size(line, images, count, own, &layers->item[i]);
	}
}

/* What the config says, of an appliance. */
static int images_describe(struct listed *line, const struct cas *cas,
			   const struct cas_image *image, struct err *err)
{
	cleanup_archive struct archive *a = NULL;
	const struct appliance *app;
	char path[PATH_MAX];
	struct stat st;
	int ret = cas_image_path(cas, image->digest, path, err);

	if (ret < 0)
		return ret;
	if (stat(path, &st) < 0)
		return err_sys(err, errno, "%s", path);
	line->stored_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SECOND;
	line->kind = "container";
	if (strcmp(image->config.media_type, OCI_CONFIG_TYPE) != 0)
		return 0;
	ret = archive_open(&a, path, err);
	if (ret < 0)
		return ret;
	app = archive_appliance(a);
	line->kind = app->live ? "live" : "cold";
	if (app->increment)
		line->kind = "increment";
	strcpy(line->parent, app->parent);
	line->saved_ns = app->live ? app->saved_ns : 0;
	return 0;
}

static void images_age(char text[16], uint64_t since_ns)
{
	uint64_t now = clock_realtime_ns();
	uint64_t minutes = now > since_ns ? (now - since_ns) / NS_PER_SECOND / 60 : 0;

	if (minutes < 120)
		snprintf(text, 16, "%u min", (unsigned)minutes);
	else if (minutes < 2880)
		snprintf(text, 16, "%u h", (unsigned)(minutes / 60));
	else
		snprintf(text, 16, "%u d", (unsigned)(minutes / 1440));
}

static void images_print(const struct listed *line, json_t *list)
{
	char age[16];

	if (list != NULL) {
		json_array_append_new(
			list,
			json_pack("{s:s,s:s*,s:s,s:s*,s:I,s:I,s:I,s:I}", "name", line->name,
				  "platform", line->platform[0] != '\0' ? line->platform : NULL,
				  "kind", line->kind, "parent",
				  line->parent[0] != '\0' ? line->parent : NULL, "bytes",
				  (json_int_t)line->bytes, "shared", (json_int_t)line->shared,
				  "saved-ns", (json_int_t)line->saved_ns, "stored-ns",
				  (json_int_t)line->stored_ns));
		return;
	}
	images_age(age, line->saved_ns != 0 ? line->saved_ns : line->stored_ns);
	print_line(stdout, "%-9s %9.1f %9.1f  %-12.12s %-8s %s%s%s%s", line->kind,
		   (double)line->bytes / 1048576.0, (double)line->shared / 1048576.0,
		   line->parent[0] != '\0' ? strchr(line->parent, ':') + 1 : "-", age, line->name,
		   line->platform[0] != '\0' ? " (" : "", line->platform,
		   line->platform[0] != '\0' ? ")" : "");
}

/* All images that names of the store stand for; an index is one line for each of its images that are
 * there. */
struct image_list {
	const struct cas *cas;
	const struct reference *name; /* whose images are taken */
	struct listed *line;	      /* owned */
	struct cas_image *image;      /* owned: of each line */
	size_t count;
};

static int add_line(struct image_list *l, struct err *err)
{
	struct listed *line = array_grow(l->line, l->count, sizeof(*line));
	struct cas_image *image =
		line != NULL ? array_grow(l->image, l->count, sizeof(*image)) : NULL;

	if (line != NULL)
		l->line = line;
	if (image == NULL)
		return err_sys(err, ENOMEM, "list the store");
	l->image = image;
	line[l->count] = (struct listed){.kind = NULL};
	image[l->count] = (struct cas_image){.digest = ""};
	reference_text(l->name, line[l->count].name);
	l->count++;
	return 0;
}

/* The last line, which is there all the same: torpor rmi takes its name. `why` is the error of reading it. */
static int end_unreadable(const struct image_list *l, int ret, const struct err *why,
			  struct err *err)
{
	struct listed *line = &l->line[l->count - 1];

	if (!cas_is_damage(why))
		return err_copy(err, ret, why);
	line->kind = "unreadable";
	print_line(stderr, "torpor: images: %s: %s", line->name, why->text);
	return 0;
}

static int take_image(void *opaque, const char *digest, const struct oci_platform *platform,
		      struct err *err)
{
	struct image_list *l = opaque;
	struct err why = {0};
	int ret = add_line(l, err);

	if (ret < 0)
		return ret;
	if (platform != NULL)
		oci_platform_text(platform, l->line[l->count - 1].platform);
	ret = cas_image_read(&l->image[l->count - 1], l->cas, digest, &why);
	if (ret == 0)
		ret = images_describe(&l->line[l->count - 1], l->cas, &l->image[l->count - 1],
				      &why);
	return ret < 0 ? end_unreadable(l, ret, &why, err) : 0;
}

static int take_name(struct image_list *l, const struct cas_ref *ref, struct err *err)
{
	cleanup_oci_index struct oci_index index = {0};
	struct err why = {0};
	int ret;

	l->name = &ref->name;
	if (!cas_is_index(l->cas, ref->digest))
		return take_image(l, ref->digest, NULL, err);
	ret = cas_index_read(&index, l->cas, ref->digest, &why);
	if (ret == 0)
		return cas_index_each(&index, l->cas, take_image, l, err);
	if (add_line(l, err) < 0)
		return -ENOMEM;
	return end_unreadable(l, ret, &why, err);
}

static int list_images(struct image_list *l, const struct cas_refs *refs, json_t *list,
		       struct err *err)
{
	for (size_t i = 0; i < refs->count; i++) {
		int ret = take_name(l, &refs->item[i], err);

		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; i < l->count; i++) {
		measure(&l->line[i], l->image, l->count, &l->image[i]);
		images_print(&l->line[i], list);
	}
	return 0;
}

static void image_list_free(struct image_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		cas_image_free(&l->image[i]);
	free(l->line);
	free(l->image);
}

static int cmd_images_run(struct options *opts, struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	cleanup_json json_t *list = NULL;
	struct image_list images = {.cas = &cas};
	struct cas_refs refs;
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = options_end(opts, err);
	if (ret < 0)
		return ret;
	ret = registry_args_store(&cas, CAS_LOOK, err);
	if (ret < 0)
		return ret;
	ret = sandbox_enter(SANDBOX_READ, err);
	if (ret < 0)
		return ret;
	ret = cas_list(&refs, &cas, err);
	if (ret < 0)
		return ret;
	list = json ? json_array() : NULL;
	if (!json)
		printf("%-9s %9s %9s  %-12s %-8s %s\n", "KIND", "MiB", "SHARED", "PARENT", "AGE",
		       "NAME");
	ret = list_images(&images, &refs, list, err);
	image_list_free(&images);
	cas_refs_free(&refs);
	if (ret == 0 && json)
		json_out(take_ptr(list));
	return ret;
}

const struct command cmd_images = {
	.name = "images",
	.args = "",
	.summary = "list the images in the store",
	.detail =
		"MiB is the size of all blobs of an image, SHARED that of those that another "
		"image in "
		"the list has, too. AGE is the time since a live one was saved, and since another "
		"one came into the store. A name that stands for images of several platforms has a "
		"line "
		"for each that is here. What is unreadable is damaged, or of a newer version: "
		"torpor rmi "
		"removes it.",
	.options = options_json,
	.run = cmd_images_run,
};
