/* torpor tree: which file stands on which. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/array.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "host/parent.h"
#include "host/paths.h"
#include "host/sandbox.h"

#define NO_NODE SIZE_MAX

struct node {
	char *path; /* owned */
	char digest[DIGEST_TEXT_SIZE];
	char parent[DIGEST_TEXT_SIZE]; /* "" when it has none */
	bool live;
	bool increment;
	uint32_t generation;
	uint64_t saved_ns;
	uint64_t bytes;
	size_t up; /* the node that is its parent, or NO_NODE */
};

/* A node for each file; equal files are several. */
struct forest {
	struct node *node; /* owned */
	size_t count;
};

static void forest_free(struct forest *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->node[i].path);
	free(f->node);
}

static size_t find_node(const struct forest *f, const char *digest)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->node[i].digest, digest) == 0)
			return i;
	}
	return NO_NODE;
}

/* A file of the store may be named, too. */
static bool is_known(const struct forest *f, const char *path)
{
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->node[i].path, path) == 0)
			return true;
	}
	return false;
}

static void tree_describe(struct node *node, const struct archive *a)
{
	const struct appliance *app = archive_appliance(a);
	struct stat st;

	strcpy(node->digest, archive_digest(a));
	strcpy(node->parent, app->parent);
	node->live = app->live;
	node->increment = app->increment;
	node->generation = app->generation;
	node->saved_ns = app->saved_ns;
	node->bytes = stat(node->path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int add_file(const char *path, struct forest *f, struct err *err)
{
	struct node *grown;
	struct archive *a;
	int ret;

	if (is_known(f, path))
		return 0;
	ret = archive_open(&a, path, err);
	if (ret < 0)
		return ret;
	grown = array_grow(f->node, f->count, sizeof(*grown));
	if (grown != NULL) {
		f->node = grown;
		f->node[f->count] = (struct node){.path = strdup(path)};
	}
	if (grown == NULL || f->node[f->count].path == NULL)
		ret = err_sys(err, ENOMEM, "%s", path);
	else
		tree_describe(&f->node[f->count++], a);
	archive_close(a);
	return ret;
}

/* What cannot be read there is told, and passed over. */
static int add_store(struct forest *f, struct err *err)
{
	const struct dirent *entry;
	char path[PATH_MAX];
	struct path store;
	DIR *dir;
	int ret = path_store_root(&store, err);

	dir = ret == 0 ? opendir(store.text) : NULL;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct err why = {0};

		if (!parent_has_suffix(entry->d_name) ||
		    snprintf(path, sizeof(path), "%s/%s", store.text, entry->d_name) >= PATH_MAX)
			continue;
		if (add_file(path, f, &why) < 0)
			fprintf(stderr, "torpor: tree: %s\n", why.text);
	}
	if (dir != NULL)
		closedir(dir);
	return ret;
}

/* Files that resume would find, wherever they are. */
static int add_parents(struct forest *f, struct err *err)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < f->count; i++) {
		const struct node *node = &f->node[i];
		int ret;

		if (!node->increment || find_node(f, node->parent) != NO_NODE ||
		    parent_find(node->parent, node->path, path, NULL) != 0)
			continue;
		ret = add_file(path, f, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int older(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	if (x->saved_ns != y->saved_ns)
		return x->saved_ns < y->saved_ns ? -1 : 1;
	return strcmp(x->path, y->path);
}

static void connect_nodes(struct forest *f)
{
	if (f->count > 0)
		qsort(f->node, f->count, sizeof(*f->node), older);
	for (size_t i = 0; i < f->count; i++)
		f->node[i].up =
			f->node[i].parent[0] != '\0' ? find_node(f, f->node[i].parent) : NO_NODE;
}

/* It cannot be resumed: a file of its chain is missing. */
static bool lacks_parent(const struct node *node)
{
	return node->increment && node->up == NO_NODE;
}

/* The whole chain is there. It is no longer than there are files. */
static bool is_complete(const struct forest *f, const struct node *node)
{
	for (size_t i = 0; i < f->count && node->increment; i++) {
		if (node->up == NO_NODE)
			return false;
		node = &f->node[node->up];
	}
	return !node->increment;
}

/* Of nodes that lack the same parent, the first. */
static bool first_to_lack(const struct forest *f, size_t index)
{
	if (!lacks_parent(&f->node[index]))
		return false;
	for (size_t i = 0; i < index; i++) {
		if (lacks_parent(&f->node[i]) &&
		    strcmp(f->node[i].parent, f->node[index].parent) == 0)
			return false;
	}
	return true;
}

static json_t *node_json(const struct forest *f, const struct node *node)
{
	return json_pack("{s:s,s:s,s:s*,s:b,s:b,s:b,s:I,s:I,s:I}", "file", node->path, "digest",
			 node->digest, "parent", node->parent[0] != '\0' ? node->parent : NULL,
			 "live", (int)node->live, "increment", (int)node->increment, "complete",
			 (int)is_complete(f, node), "generation", (json_int_t)node->generation,
			 "saved-ns", (json_int_t)node->saved_ns, "bytes", (json_int_t)node->bytes);
}

static void print_json(const struct forest *f)
{
	json_t *files = json_array(), *missing = json_array();

	for (size_t i = 0; i < f->count; i++) {
		json_array_append_new(files, node_json(f, &f->node[i]));
		if (first_to_lack(f, i))
			json_array_append_new(missing, json_string(f->node[i].parent));
	}
	json_out(json_pack("{s:o,s:o}", "files", files, "missing", missing));
}

static void print_node(const struct node *node, unsigned depth)
{
	const char *kind = node->live ? "full" : "cold";
	const char *slash = strrchr(node->path, '/');
	time_t seconds = (time_t)(node->saved_ns / 1000000000u);
	char when[32] = "-";
	struct tm tm;

	if (node->increment)
		kind = "increment";
	if (node->live && gmtime_r(&seconds, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%.12s %4u  %-19s %9.1f  %-9s  ", strchr(node->digest, ':') + 1, node->generation,
	       when, (double)node->bytes / 1048576.0, kind);
	if (depth > 0)
		printf("%*s└─ ", 3 * (int)(depth - 1), "");
	print_line(stdout, "%s", slash != NULL ? slash + 1 : node->path);
}

static void print_below(const struct forest *f, size_t index, unsigned depth)
{
	print_node(&f->node[index], depth);
	for (size_t i = 0; i < f->count; i++) {
		if (f->node[i].up == index)
			print_below(f, i, depth + 1);
	}
}

static void print_missing(const struct forest *f, const char *digest)
{
	printf("%.12s %4s  %-19s %9s  %-9s  %s\n", strchr(digest, ':') + 1, "-", "-", "-",
	       "missing", digest);
	for (size_t i = 0; i < f->count; i++) {
		if (lacks_parent(&f->node[i]) && strcmp(f->node[i].parent, digest) == 0)
			print_below(f, i, 1);
	}
}

static void print_tree(const struct forest *f)
{
	printf("%-12s %4s  %-19s %9s  %-9s  %s\n", "IDENTITY", "GEN", "SAVED (UTC)", "MiB", "KIND",
	       "FILE");
	for (size_t i = 0; i < f->count; i++) {
		if (first_to_lack(f, i))
			print_missing(f, f->node[i].parent);
		else if (f->node[i].up == NO_NODE && !f->node[i].increment)
			print_below(f, i, 0);
	}
}

static int collect_files(struct options *opts, struct forest *f, struct err *err)
{
	struct target target;
	const char *operand;
	int ret = sandbox_enter(SANDBOX_READ, err);

	if (ret < 0)
		return ret;
	while ((operand = options_operand(opts)) != NULL) {
		ret = target_find_file(&target, operand, err);
		if (ret < 0)
			return ret;
		ret = add_file(target.file, f, err);
		if (ret < 0)
			return ret;
	}
	ret = add_store(f, err);
	return ret < 0 ? ret : add_parents(f, err);
}

static int cmd_tree_run(struct options *opts, struct err *err)
{
	struct forest forest = {0};
	bool json = false;
	int ret = options_flags(opts, OPTION_JSON, &json, err);

	if (ret < 0)
		return ret;
	ret = collect_files(opts, &forest, err);
	if (ret >= 0) {
		connect_nodes(&forest);
		if (json)
			print_json(&forest);
		else
			print_tree(&forest);
	}
	forest_free(&forest);
	return ret;
}

const struct command cmd_tree = {
	.name = "tree",
	.args = "[FILE|NAME…]",
	.summary = "show which appliances stand on which: those in the store, and FILEs",
	.detail = "An increment stands below its parent, a full file below what its machine woke "
		  "from. "
		  "A parent\n"
		  "without which an increment cannot wake is listed as missing, by its digest.",
	.options = options_json,
	.run = cmd_tree_run,
};
