/*
 * The files and ports of a running machine; see sandbox.h.
 *
 * All that it opens by a path once its appliance is open: its own folders, devices, libraries, and
 * what libc and libslirp read. Everything else it has as descriptors: disks and appliances from the
 * start, what a save reads and writes from the client that asks for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "host/landlock.h"
#include "host/paths.h"
#include "host/sandbox.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define TAP_DEVICE  "/dev/net/tun"

static const struct {
	const char *path;
	enum landlock_access access;
} system_files[] = {
	/* Libraries are loaded when they are needed. */
	{"/usr", LANDLOCK_READ},
	{"/lib", LANDLOCK_READ},
	{"/lib64", LANDLOCK_READ},
	{"/nix/store", LANDLOCK_READ},
	{"/gnu/store", LANDLOCK_READ},
	{"/etc/ld.so.cache", LANDLOCK_READ},
	{"/etc/ssl/openssl.cnf", LANDLOCK_READ},
	/* Its own counters and page tables, the number of processors. What other processes keep
	 * there is behind ptrace's checks, which a domain fails. */
	{"/proc", LANDLOCK_READ},
	{"/sys/devices/system/cpu", LANDLOCK_READ},
	{"/dev/null", LANDLOCK_DEVICE},
	{"/dev/kvm", LANDLOCK_DEVICE},
	{"/dev/userfaultfd", LANDLOCK_DEVICE},
};

static int allow_library_path(struct landlock *l, struct err *err)
{
	const char *from = getenv("LD_LIBRARY_PATH");
	char folder[PATH_MAX];
	int ret = 0;

	while (ret == 0 && from != NULL && *from != '\0') {
		size_t len = strcspn(from, ":;");

		if (len > 0 && len < sizeof(folder)) {
			memcpy(folder, from, len);
			folder[len] = '\0';
			ret = landlock_allow(l, folder, LANDLOCK_READ, err);
		}
		from += len + (from[len] != '\0');
	}
	return ret;
}

/* Name servers are read anew when the file changes, and whoever manages them replaces it: so its
 * folder is readable. Where that is /etc, root would read secrets there: then it is the file alone,
 * and servers that come later are not seen. */
static int allow_resolver(struct landlock *l, struct err *err)
{
	char path[PATH_MAX], *slash;
	bool wide;
	int ret;

	if (realpath(RESOLV_CONF, path) == NULL)
		return 0;
	ret = landlock_allow(l, path, LANDLOCK_READ, err);
	slash = strrchr(path, '/');
	*slash = '\0';
	if (strcmp(path, "/etc") == 0)
		wide = geteuid() == 0;
	else
		wide = strrchr(path, '/') == path; /* /run itself, say */
	return ret < 0 || wide ? ret : landlock_allow(l, path, LANDLOCK_READ, err);
}

/* It makes its two folders, and removes them in the end. */
static int allow_own(struct landlock *l, const char *name, struct err *err)
{
	static int (*const roots[])(struct path * path, struct err * err) = {path_runtime_root,
									     path_state_root};
	static int (*const folders[])(struct path * path, const char *name, const char *file,
				      struct err *err) = {path_runtime, path_state};
	struct path path;

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		int ret = roots[i](&path, err);

		if (ret < 0)
			return ret;
		ret = landlock_allow(l, path.text, LANDLOCK_PARENT, err);
		if (ret < 0)
			return ret;
		ret = folders[i](&path, name, "", err);
		if (ret < 0)
			return ret;
		ret = landlock_allow(l, path.text, LANDLOCK_OWN, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* What the kernel chooses for one address is bound at another one, too. */
static bool chooses_port(const struct sandbox_reach *reach)
{
	for (unsigned i = 0; i < reach->nports; i++) {
		if (reach->port[i] == 0)
			return true;
	}
	return false;
}

static unsigned free_tcp(const struct sandbox_reach *reach)
{
	if ((reach->nets & SANDBOX_NET_USER) == 0)
		return 0;
	return LANDLOCK_TCP_CONNECT | (chooses_port(reach) ? LANDLOCK_TCP_BIND : 0u);
}

static int allow_network(struct landlock *l, const struct sandbox_reach *reach, struct err *err)
{
	int ret = 0;

	if ((reach->nets & SANDBOX_NET_TAP) != 0)
		ret = landlock_allow(l, TAP_DEVICE, LANDLOCK_DEVICE, err);
	if (ret < 0 || (reach->nets & SANDBOX_NET_USER) == 0)
		return ret;
	for (unsigned i = 0; i < reach->nports && !chooses_port(reach); i++) {
		ret = landlock_allow_bind(l, reach->port[i], err);
		if (ret < 0)
			return ret;
	}
	return allow_resolver(l, err);
}

/* What finds hosts (nsswitch.conf(5), gai.conf(5)), and what says whom to trust. */
static const char *const download_files[] = {
	"/etc/hosts",
	"/etc/host.conf",
	"/etc/nsswitch.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/ssl/certs",
	"/etc/ssl/cert.pem",
	"/etc/pki/tls/certs",
	"/etc/pki/tls/cert.pem",
	"/etc/pki/ca-trust/extracted",
	"/etc/crypto-policies",
};

int sandbox_restrict_download(const char *store, const char *ca_file, struct err *err)
{
	cleanup_landlock struct landlock l = {.fd = -1};
	int ret = landlock_begin(&l, LANDLOCK_TCP_CONNECT | LANDLOCK_KEEP_IN, err);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(system_files); i++) {
		if (strcmp(system_files[i].path, "/dev/kvm") != 0 &&
		    strcmp(system_files[i].path, "/dev/userfaultfd") != 0)
			ret = landlock_allow(&l, system_files[i].path, system_files[i].access, err);
	}
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(download_files); i++)
		ret = landlock_allow(&l, download_files[i], LANDLOCK_READ, err);
	if (ret == 0 && ca_file != NULL)
		ret = landlock_allow(&l, ca_file, LANDLOCK_READ, err);
	if (ret == 0)
		ret = allow_library_path(&l, err);
	if (ret == 0)
		ret = allow_resolver(&l, err);
	if (ret == 0)
		ret = landlock_allow(&l, store, LANDLOCK_STORE, err);
	return ret < 0 ? ret : landlock_end(&l, err);
}

int sandbox_restrict(const struct sandbox_reach *reach, struct err *err)
{
	cleanup_landlock struct landlock l = {.fd = -1};
	int ret;

	if (!SANDBOX_GUARDS)
		return 0;
	ret = landlock_begin(&l, free_tcp(reach), err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(system_files); i++) {
		ret = landlock_allow(&l, system_files[i].path, system_files[i].access, err);
		if (ret < 0)
			return ret;
	}
	ret = allow_library_path(&l, err);
	if (ret < 0)
		return ret;
	ret = allow_own(&l, reach->name, err);
	if (ret < 0)
		return ret;
	ret = allow_network(&l, reach, err);
	return ret < 0 ? ret : landlock_end(&l, err);
}

int sandbox_restrict_folder(int folder, bool readonly, struct err *err)
{
	cleanup_landlock struct landlock l = {.fd = -1};
	char path[32];
	int ret = landlock_begin(&l, LANDLOCK_KEEP_IN, err);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
	if (ret == 0)
		ret = landlock_allow(&l, path, readonly ? LANDLOCK_TREE : LANDLOCK_FOLDER, err);
	return ret < 0 ? ret : landlock_end(&l, err);
}

int sandbox_restrict_dialer(const char *folder, struct err *err)
{
	cleanup_landlock struct landlock l = {.fd = -1};
	int ret = landlock_begin(&l, LANDLOCK_KEEP_IN, err);

	if (ret == 0)
		ret = landlock_allow(&l, folder, LANDLOCK_NAMES, err);
	return ret < 0 ? ret : landlock_end(&l, err);
}

int sandbox_restrict_server(const char *const *folder, size_t nfolders, struct err *err)
{
	cleanup_landlock struct landlock l = {.fd = -1};
	int ret = landlock_begin(&l, 0, err);

	for (size_t i = 0; ret == 0 && i < nfolders; i++)
		ret = landlock_allow(&l, folder[i], LANDLOCK_TREE, err);
	return ret < 0 ? ret : landlock_end(&l, err);
}

bool sandbox_files_restricted(void)
{
	cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return root < 0 && errno == EACCES;
}
