/* See kernel.h. */
#include "bootfiles/kernel.h"

#include <errno.h>
#include <glob.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arch.h"
#include "base/num.h"

#define PACKAGE "linux-image-cloud-" ARCH_GO

/* apt checks the archive's signature and the packages' digests. Since 7.0 kernel and modules have
 * packages of their own. */
static const char download_script[] =
	"set -e\n"
	"cd \"$1\"\n"
	"named() { apt-cache depends \"$1\" | sed -n \"s/^ *Depends: \\($2[0-9].*\\)/\\1/p\"; }\n"
	"image=$(named \"$2\" linux-image-)\n"
	"[ -n \"$image\" ] || { echo \"apt knows no package $2: run apt-get update\" >&2; exit 1; "
	"}\n"
	"if [ -t 2 ]; then\n"
	"	echo \"torpor: downloading $image, the kernel of guests, to $1 (once)\" >&2\n"
	"fi\n"
	"part=$(mktemp -d \"part.XXXXXX\")\n"
	"trap 'rm -rf \"$part\"' EXIT\n"
	"cd \"$part\"\n"
	"apt-get -qq -o APT::Sandbox::User=\"$(id -un)\" download \"$image\" \\\n"
	"	$(named \"$image\" 'linux-\\(binary\\|modules\\)-') >&2\n"
	"for deb in *.deb; do dpkg-deb -x \"$deb\" tree; done\n"
	"cd ..\n"
	"[ -d \"$image\" ] || mv -T \"$part/tree\" \"$image\"\n";

static bool has_modules(const char *folder)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/kernel", folder) < (int)sizeof(path) &&
	       access(path, R_OK) == 0;
}

/* The newest kernel that `pattern` finds, whose modules are below `lib`/RELEASE, or where `tree` is
 * set, below the tree that it is in. */
static bool find_newest(struct kernel_files *files, const char *pattern, const char *lib, bool tree)
{
	const char *newest = "";
	bool found = false;
	glob_t all;

	if (glob(pattern, 0, NULL, &all) != 0)
		return false;
	for (size_t i = 0; i < all.gl_pathc; i++) {
		const char *path = all.gl_pathv[i], *base = strrchr(path, '/') + 1;
		const char *release = base + strlen("vmlinuz-");
		char modules[PATH_MAX], usr[PATH_MAX];
		int root = (int)(base - path - (long)strlen("/boot/"));

		if (access(path, R_OK) < 0 || (found && strverscmp(release, newest) < 0))
			continue;
		snprintf(modules, sizeof(modules), "%.*s%s/%s", tree ? root : 0, path, lib,
			 release);
		snprintf(usr, sizeof(usr), "%.*s/usr/lib/modules/%s", tree ? root : 0, path,
			 release);
		if (!has_modules(modules) && (!tree || !has_modules(usr)))
			continue;
		snprintf(files->kernel, sizeof(files->kernel), "%s", path);
		snprintf(files->modules, sizeof(files->modules), "%s",
			 has_modules(modules) ? modules : usr);
		newest = release;
		found = true;
	}
	globfree(&all);
	return found;
}

static bool find_cached(struct kernel_files *files, const char *cache)
{
	char pattern[PATH_MAX];

	return snprintf(pattern, sizeof(pattern), "%s/linux-image-*/boot/vmlinuz-*", cache) <
		       (int)sizeof(pattern) &&
	       find_newest(files, pattern, "/lib/modules", true);
}

static int download(const char *cache, struct err *err)
{
	/* posix_spawn(3) takes them without const and changes none. */
	const char *const words[] = {"sh", "-c", download_script, "torpor", cache, PACKAGE, NULL};
	char *argv[ARRAY_SIZE(words)];
	int status = 0, ret;
	pid_t pid;

	memcpy(argv, words, sizeof(argv));
	ret = posix_spawnp(&pid, "sh", NULL, NULL, argv, environ);
	if (ret != 0)
		return err_sys(err, ret, "run apt-get");
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_sys(err, errno, "wait for apt-get");
	}
	if (status != 0)
		return err_set(err, ERR_FAILED, "the package " PACKAGE " cannot be downloaded");
	return 0;
}

static bool host_has(const char *program)
{
	char path[64];

	return snprintf(path, sizeof(path), "/usr/bin/%s", program) < (int)sizeof(path) &&
	       access(path, X_OK) == 0;
}

int kernel_find(struct kernel_files *files, const char *boot, const char *lib, const char *cache,
		struct err *err)
{
	char pattern[PATH_MAX];
	int ret;

	if (snprintf(pattern, sizeof(pattern), "%s/vmlinuz-*", boot) >= (int)sizeof(pattern))
		return err_sys(err, ENAMETOOLONG, "%s", boot);
	if (find_newest(files, pattern, lib, false))
		return 0;
	if (cache != NULL && find_cached(files, cache))
		return 0;
	if (cache == NULL || !host_has("apt-get") || !host_has("dpkg-deb"))
		return err_set(err, ERR_NOT_FOUND,
			       "no kernel for the guest is in %s with its modules in %s: give "
			       "--kernel FILE and --modules FOLDER",
			       boot, lib);
	ret = download(cache, err);
	if (ret < 0)
		return err_context(err, ret, "no kernel for the guest is on this host, and");
	return find_cached(files, cache)
		       ? 0
		       : err_set(err, ERR_NOT_FOUND, PACKAGE " has no kernel with modules");
}
