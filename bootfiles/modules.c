/* See modules.h. */
#include "bootfiles/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "bootfiles/unpack.h"

#define DEPTH_MAX     64u /* of folders, and of what depends on what */
#define BUILTIN_BYTES (1u << 20)

static const char *const endings[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};

bool module_name(const char *path, char name[MODULE_NAME_SIZE])
{
	const char *base = strrchr(path, '/');
	size_t len;

	base = base != NULL ? base + 1 : path;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		len = strlen(base);
		if (len <= strlen(endings[i]) ||
		    strcmp(base + len - strlen(endings[i]), endings[i]) != 0)
			continue;
		len -= strlen(endings[i]);
		if (len >= MODULE_NAME_SIZE)
			return false;
		memcpy(name, base, len);
		name[len] = '\0';
		for (char *c = name; *c != '\0'; c++)
			*c = (char)(*c == '-' ? '_' : *c);
		return true;
	}
	return false;
}

static int by_name(const void *a, const void *b)
{
	const struct module_file *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : strcmp(x->path, y->path);
}

/* --- the files --- */

/* nftw(3) gives its callback no pointer. */
static __thread struct modules *walked;

static int add_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	struct module_file *grown, found;

	(void)st;
	(void)where;
	if (type != FTW_F || !module_name(path, found.name))
		return 0;
	grown = array_grow(walked->file, walked->nfiles, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	walked->file = grown;
	found.path = strdup(path);
	if (found.path == NULL)
		return -ENOMEM;
	grown[walked->nfiles++] = found;
	return 0;
}

static int read_builtin(struct modules *m, const char *folder, struct err *err)
{
	char path[PATH_MAX];
	uint8_t *text;
	size_t len;
	int ret;

	if (snprintf(path, sizeof(path), "%s/modules.builtin", folder) >= (int)sizeof(path))
		return err_sys(err, ENAMETOOLONG, "%s", folder);
	if (access(path, R_OK) < 0) {
		m->builtin = strdup("");
		return m->builtin != NULL ? 0 : err_sys(err, ENOMEM, "%s", path);
	}
	ret = unpack_file(path, BUILTIN_BYTES, &text, &len, err);
	if (ret == 0)
		m->builtin = (char *)text;
	return ret;
}

/* A path as a pattern of glob(7) that matches nothing else. */
static void quote_path(const char *path, char pattern[2 * PATH_MAX])
{
	size_t len = 0;

	for (; *path != '\0' && len < 2 * PATH_MAX - 2; path++) {
		if (strchr("*?[\\", *path) != NULL)
			pattern[len++] = '\\';
		pattern[len++] = *path;
	}
	pattern[len] = '\0';
}

/* The folder with `kernel` in it: the one given, or the one that a tree has. */
static int find_folder(const char *given, char folder[PATH_MAX], struct err *err)
{
	static const char *const below[] = {"", "/lib/modules/*", "/usr/lib/modules/*"};
	char quoted[2 * PATH_MAX], pattern[2 * PATH_MAX];
	glob_t found;

	quote_path(given, quoted);
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		int ret = snprintf(pattern, sizeof(pattern), "%s%s/kernel", quoted, below[i]);

		if (ret >= (int)sizeof(pattern))
			return err_sys(err, ENAMETOOLONG, "%s", given);
		if (glob(pattern, 0, NULL, &found) != 0)
			continue;
		ret = snprintf(folder, PATH_MAX, "%s", found.gl_pathv[found.gl_pathc - 1]);
		globfree(&found);
		if (ret >= PATH_MAX)
			return err_sys(err, ENAMETOOLONG, "%s", given);
		folder[ret - (int)strlen("/kernel")] = '\0';
		return 0;
	}
	return err_set(err, ERR_NOT_FOUND,
		       "%s: no modules of a kernel (/lib/modules/RELEASE, or a tree with one)",
		       given);
}

int modules_open(struct modules *m, const char *folder, struct err *err)
{
	char found[PATH_MAX];
	int ret = find_folder(folder, found, err);

	*m = (struct modules){0};
	if (ret < 0)
		return ret;
	ret = read_builtin(m, found, err);
	if (ret < 0)
		return ret;
	walked = m;
	ret = nftw(found, add_file, DEPTH_MAX, FTW_PHYS);
	if (ret != 0) {
		modules_close(m);
		return err_sys(err, ret < -1 ? -ret : errno, "list %s", found);
	}
	if (m->nfiles > 0)
		qsort(m->file, m->nfiles, sizeof(m->file[0]), by_name);
	return 0;
}

static const struct module_file *find_file(const struct modules *m, const char *name)
{
	for (size_t i = 0; i < m->nfiles; i++) {
		if (strcmp(m->file[i].name, name) == 0)
			return &m->file[i];
	}
	return NULL;
}

bool modules_is_builtin(const struct modules *m, const char *name)
{
	char found[MODULE_NAME_SIZE];
	const char *at = m->builtin;

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, "\n");
		char line[256];

		if (len < sizeof(line)) {
			memcpy(line, at, len);
			line[len] = '\0';
			if (module_name(line, found) && strcmp(found, name) == 0)
				return true;
		}
		at += len + (at[len] != '\0');
	}
	return false;
}

bool modules_has(const struct modules *m, const char *name)
{
	return modules_is_builtin(m, name) || find_file(m, name) != NULL;
}

/* --- one module and what it needs --- */

static bool is_loaded(const struct modules *m, const char *name)
{
	for (size_t i = 0; i < m->nmodules; i++) {
		if (strcmp(m->module[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The value of `depends` in .modinfo, a run of texts with NUL behind each: names with commas. NULL:
 * there is none, or the file is damaged. */
static const char *find_depends(const uint8_t *data, size_t len)
{
	static const char key[] = "\0depends=";
	const uint8_t *at = memmem(data, len, key, sizeof(key) - 1);

	if (at == NULL)
		return NULL;
	at += sizeof(key) - 1;
	return memchr(at, '\0', len - (size_t)(at - data)) != NULL ? (const char *)at : NULL;
}

static int load_at_depth(struct modules *m, const char *name, unsigned depth, struct err *err);

static int load_depends(struct modules *m, const struct module *module, unsigned depth,
			struct err *err)
{
	const char *at = find_depends(module->data, module->len);
	char name[MODULE_NAME_SIZE];

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, ",");
		int ret;

		if (len == 0 || len >= sizeof(name))
			return err_set(err, ERR_FAILED, "module %s: what it depends on has no name",
				       module->name);
		memcpy(name, at, len);
		name[len] = '\0';
		for (char *c = name; *c != '\0'; c++)
			*c = (char)(*c == '-' ? '_' : *c);
		ret = load_at_depth(m, name, depth + 1, err);
		if (ret < 0)
			return ret;
		at += len + (at[len] == ',');
	}
	return 0;
}

static int add_module(struct modules *m, const struct module *module, struct err *err)
{
	struct module *grown = array_grow(m->module, m->nmodules, sizeof(*grown));

	if (grown == NULL)
		return err_sys(err, ENOMEM, "module %s", module->name);
	m->module = grown;
	grown[m->nmodules++] = *module;
	return 0;
}

static int load_at_depth(struct modules *m, const char *name, unsigned depth, struct err *err)
{
	const struct module_file *file = find_file(m, name);
	struct module module = {.data = NULL};
	int ret;

	if (is_loaded(m, name) || (file == NULL && modules_is_builtin(m, name)))
		return 0;
	if (file == NULL)
		return err_set(err, ERR_NOT_FOUND, "the kernel has no module %s", name);
	if (depth == DEPTH_MAX)
		return err_set(err, ERR_FAILED, "module %s depends on itself", name);
	snprintf(module.name, sizeof(module.name), "%s", file->name);
	ret = unpack_file(file->path, MODULE_MAX_BYTES, &module.data, &module.len, err);
	if (ret < 0)
		return ret;
	ret = load_depends(m, &module, depth, err);
	if (ret == 0)
		ret = add_module(m, &module, err);
	if (ret < 0)
		free(module.data);
	return ret;
}

int modules_load(struct modules *m, const char *name, struct err *err)
{
	return load_at_depth(m, name, 0, err);
}

void modules_close(struct modules *m)
{
	for (size_t i = 0; i < m->nfiles; i++)
		free(m->file[i].path);
	for (size_t i = 0; i < m->nmodules; i++)
		free(m->module[i].data);
	free(m->file);
	free(m->module);
	free(m->builtin);
	*m = (struct modules){0};
}
