/* See image_build.h. */
#include "cli/image_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "base/tempfile.h"
#include "bootfiles/initramfs.h"
#include "cli/print_line.h"
#include "cli/target.h"
#include "container/root_cache.h"
#include "host/paths.h"
#include "meter/meter.h"

/* A guest that panics restarts; nothing but panics of the kernel is printed on its console. */
#define COMMAND_LINE_SERIAL "console=ttyS0 quiet loglevel=3 panic=-1"
#define COMMAND_LINE_HVC    "console=hvc0 quiet loglevel=3 panic=-1"
#define MAX_SPACE	    GIB(32)
#define DEFAULT_SPACE	    GIB(4)
#define SOURCE_SIZE	    (PATH_MAX + 8u)

/* In the store already, under that name. */
static bool is_pulled_appliance(const char *text)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	char digest[DIGEST_TEXT_SIZE];
	struct cas_image image;
	struct reference ref;
	bool appliance;

	if (reference_parse(&ref, text, NULL) < 0 || registry_args_store(&cas, CAS_LOOK, NULL) < 0)
		return false;
	if (cas_resolve(&cas, &ref, digest, NULL) < 0 ||
	    cas_image_read(&image, &cas, digest, NULL) < 0)
		return false;
	appliance = strcmp(image.config.media_type, OCI_CONFIG_TYPE) == 0;
	cas_image_free(&image);
	return appliance;
}

static bool is_image_layout(const char *folder)
{
	char layout[PATH_MAX];

	return snprintf(layout, sizeof(layout), "%s/" OCI_LAYOUT_NAME, folder) <
		       (int)sizeof(layout) &&
	       access(layout, F_OK) == 0;
}

/* By its name alone, as `torpor images` has it; a file or saved machine of that name comes first. */
static bool is_pulled_image(const char *text)
{
	struct target target;
	struct err why;

	return !reference_is_remote(text) && !container_source_has_scheme(text) &&
	       target_find_file(&target, text, &why) == 0 && target.kind == TARGET_IMAGE &&
	       !is_pulled_appliance(text);
}

bool image_source_is(const char *text)
{
	struct stat st;

	if (reference_is_remote(text))
		return !is_pulled_appliance(text);
	if (container_source_has_scheme(text) || is_pulled_image(text))
		return true;
	return stat(text, &st) == 0 && S_ISDIR(st.st_mode) && !is_image_layout(text);
}

/* Whether docker://TEXT may be what was meant. A dot is of a file's name. */
static bool may_be_in_registry(const char *text)
{
	char whole[sizeof(REFERENCE_SCHEME) + REFERENCE_TEXT];
	const char *slash = strrchr(text, '/');
	struct reference ref;

	return !reference_is_remote(text) && strlen(text) < REFERENCE_TEXT &&
	       strchr(slash != NULL ? slash : text, '.') == NULL &&
	       snprintf(whole, sizeof(whole), REFERENCE_SCHEME "%s", text) > 0 &&
	       reference_parse(&ref, whole, NULL) == 0;
}

int image_source_explain(const char *text, int ret, struct err *err)
{
	struct err why;

	if (err == NULL)
		return ret;
	why = *err;
	if (why.kind == ERR_NOT_FOUND && may_be_in_registry(text))
		err_set(err, why.kind, "%s; an image of a registry is " REFERENCE_SCHEME "%s",
			why.text, text);
	else if (why.kind != ERR_NOT_FOUND && strstr(text, ".tar") != NULL &&
		 !container_source_has_scheme(text))
		err_set(err, why.kind,
			"%s; the tar of a root file system is tar:%s, and that of an image "
			"oci-archive:%s or docker-archive:%s",
			why.text, text, text, text);
	return ret;
}

/* What is no folder is said here, for behind it the name alone is known. */
static int check_folder(const char *path, struct err *err)
{
	struct stat st;
	int ret = 0;

	if (stat(path, &st) < 0)
		ret = err_sys(err, errno, "open %s", path);
	else if (!S_ISDIR(st.st_mode))
		ret = err_set(err, ERR_USAGE, "%s is no folder", path);
	return ret < 0 ? image_source_explain(path, ret, err) : 0;
}

static int take_space(struct image_args *args, const char *value, struct err *err)
{
	int ret = parse_memory(value, &args->space, err);

	if (ret < 0)
		return err_context(err, ret, "--space");
	if (args->space > MAX_SPACE)
		return err_set(err, ERR_USAGE, "--space: %s is more than 32G", value);
	return 1;
}

static int take_pull(struct image_args *args, const char *value, struct err *err)
{
	static const char *const words[] = {
		[PULL_ALWAYS] = "always", [PULL_MISSING] = "missing", [PULL_NEVER] = "never"};

	for (size_t i = PULL_ALWAYS; i < ARRAY_SIZE(words); i++) {
		if (strcmp(value, words[i]) != 0)
			continue;
		args->pull = (enum image_pull)i;
		return 1;
	}
	return err_set(err, ERR_USAGE, "--pull: '%s' is not always, missing or never", value);
}

int image_args_take(struct image_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPT_FROM:
		args->from = value;
		return 1;
	case OPT_MODULES:
		args->modules = value;
		return 1;
	case OPT_MODULE:
		if (args->nmodules == IMAGE_MODULES_MAX)
			return err_set(err, ERR_USAGE, "--module: more than %u", IMAGE_MODULES_MAX);
		args->module[args->nmodules++] = value;
		return 1;
	case OPT_PULL:
		return take_pull(args, value, err);
	case OPT_SPACE:
		args->has_space = true;
		return take_space(args, value, err);
	default:
		return registry_args_take(&args->registry, id, value, err);
	}
}

static int check_options(const struct image_args *args, const struct machine_args *machine,
			 struct err *err)
{
	if (machine->initrd != NULL)
		return err_set(err, ERR_USAGE, "--initrd: an image's is made here");
	if ((machine->kernel == NULL) != (args->modules == NULL))
		return err_set(err, ERR_USAGE,
			       "--kernel FILE and --modules FOLDER go together for an image: the "
			       "guest loads drivers of that kernel");
	if (machine->disks.n == APPLIANCE_MAX_DISKS)
		return err_set(err, ERR_USAGE, "--disk: more than %u, the root disk included",
			       APPLIANCE_MAX_DISKS);
	return 0;
}

/* --- the root disk --- */

static int refuse_appliance(const char *text, struct err *err)
{
	return err_set(err, ERR_USAGE,
		       "%s is an appliance and no container image: torpor run or resume takes it "
		       "as it is",
		       text);
}

/* What was pulled before under that name: 1, and it is held; 0: nothing. */
static int find_pulled(const struct reference *ref, char path[PATH_MAX], struct err *err)
{
	cleanup_cas struct cas cas = {.folder = -1, .lock = -1};
	char digest[DIGEST_TEXT_SIZE];
	int ret = registry_args_store(&cas, CAS_LOOK, err);

	if (ret == 0)
		ret = cas_resolve(&cas, ref, digest, err);
	if (ret == 0)
		ret = cas_image_path(&cas, digest, path, err);
	if (ret == 0)
		ret = cas_hold(path, err);
	if (ret < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : ret;
	return 1;
}

static int pull_image(const struct image_args *args, enum image_use use, bool *appliance,
		      char path[PATH_MAX], struct err *err)
{
	const struct registry_pull what = {.wanted = use == IMAGE_RUN ? REGISTRY_BOOTABLE
								      : REGISTRY_CONTAINER};
	enum image_pull when = args->pull;
	struct registry_pulled pulled;
	struct reference ref;
	int ret = reference_parse(&ref, args->from, err);

	if (ret < 0)
		return ret;
	if (when == PULL_UNSAID)
		when = use == IMAGE_RUN || !reference_is_remote(args->from) ? PULL_MISSING
									    : PULL_ALWAYS;
	if (is_pulled_appliance(args->from) && when != PULL_ALWAYS)
		return refuse_appliance(args->from, err);
	if (when != PULL_ALWAYS) {
		ret = find_pulled(&ref, path, err);
		if (ret != 0)
			return ret < 0 ? ret : 0;
	}
	if (when == PULL_NEVER)
		return err_set(err, ERR_NOT_FOUND, "%s is not on this host, and --pull is never",
			       args->from);
	ret = registry_args_reference(&ref, args->from, err);
	if (ret < 0)
		return ret;
	ret = registry_args_pull(&ref, &args->registry, &what, use == IMAGE_RUN ? "run" : "build",
				 &pulled, path, err);
	*appliance = ret == 0 && pulled.appliance;
	return ret;
}

/* As a source that is on this host. */
static int bring_image(const struct image_args *args, enum image_use use, bool *appliance,
		       char source[SOURCE_SIZE], struct err *err)
{
	char path[PATH_MAX];
	int ret;

	if (!container_source_has_scheme(args->from) && is_image_layout(args->from))
		return err_set(err, ERR_USAGE, "%s is an OCI image layout: name it oci:%s",
			       args->from, args->from);
	if (!reference_is_remote(args->from) && !is_pulled_image(args->from)) {
		if (strlen(args->from) >= SOURCE_SIZE)
			return err_sys(err, ENAMETOOLONG, "%s", args->from);
		strcpy(source, args->from);
		return container_source_has_scheme(source) ? 0 : check_folder(source, err);
	}
	ret = pull_image(args, use, appliance, path, err);
	if (ret == 0)
		snprintf(source, SOURCE_SIZE, "oci:%s", path);
	return ret;
}

/* What is there of the file system, whose size is not known before. On the meter's thread. */
static bool look_at_root(void *opaque, uint64_t *done, uint64_t *expected)
{
	const int *fd = opaque;
	struct stat st;

	if (fstat(*fd, &st) < 0)
		return false;
	*done = (uint64_t)st.st_blocks * 512;
	*expected = 0;
	return true;
}

static int make_shown(struct container_root_params *params, enum image_use use,
		      struct container_root *root, struct err *err)
{
	const struct meter_params shown = {
		.verb = use == IMAGE_RUN ? "run" : "build",
		.cancelled = "nothing was written",
		.look = look_at_root,
		.opaque = &params->fd,
	};
	int ret = meter_begin(&shown, err);

	if (ret < 0)
		return ret;
	meter_run();
	ret = container_root(params, root, err);
	meter_end(ret);
	return ret;
}

static int make_anew(struct image_parts *parts, const struct container_root_params *given,
		     enum image_use use, struct err *err)
{
	struct container_root_params params = *given;

	parts->root_fd = tempfile_unnamed(path_temporary(), err);
	if (parts->root_fd < 0)
		return parts->root_fd;
	params.fd = parts->root_fd;
	return make_shown(&params, use, &parts->root, err);
}

/* Into the cache, if there can be one. */
static int make_kept(struct image_parts *parts, const struct container_root_params *given,
		     const struct path *cache, const struct root_key *key, struct err *err)
{
	struct container_root_params params = *given;
	struct tempfile file;
	struct err why;
	int ret;

	if (root_cache_begin(&file, cache->text, key, &why) < 0) {
		tempfile_close(&file);
		return make_anew(parts, given, IMAGE_RUN, err);
	}
	params.fd = file.fd;
	ret = make_shown(&params, IMAGE_RUN, &parts->root, err);
	if (ret == 0) {
		/* Open before it has a name that may go again. */
		parts->root_fd = fcntl(file.fd, F_DUPFD_CLOEXEC, 3);
		if (parts->root_fd < 0)
			ret = err_sys(err, errno, "the root file system");
	}
	if (ret == 0 && root_cache_keep(&file, cache->text, key, &parts->root, &why) < 0)
		print_line(stderr, "torpor: run: %s is not kept for the next run: %s",
			   given->source, why.text);
	tempfile_close(&file);
	return ret;
}

static int find_or_make(struct image_parts *parts, const struct container_root_params *params,
			struct err *err)
{
	struct root_key key;
	struct path cache;
	int ret = path_cache(&cache, IMAGE_ROOTS, err);

	if (ret == 0)
		ret = path_make_parents(&cache, err);
	if (ret < 0)
		return make_anew(parts, params, IMAGE_RUN, err);
	ret = root_key_make(&key, params->source, params->spare, err);
	if (ret < 0)
		return ret;
	parts->cached = root_cache_find(cache.text, &key, &parts->root, &parts->root_fd) == 1;
	return parts->cached ? 0 : make_kept(parts, params, &cache, &key, err);
}

static int make_root(struct image_parts *parts, const struct image_args *args, enum image_use use,
		     const char *source, struct err *err)
{
	struct container_root_params params = {.source = source};
	int ret;

	params.spare = args->has_space ? args->space : DEFAULT_SPACE;
	ret = use == IMAGE_RUN ? find_or_make(parts, &params, err)
			       : make_anew(parts, &params, use, err);
	if (ret < 0)
		return ret;
	snprintf(parts->root_path, sizeof(parts->root_path), "/proc/self/fd/%d", parts->root_fd);
	return 0;
}

/* --- kernel and initramfs --- */

static int find_kernel(struct image_parts *parts, const struct image_args *args,
		       const struct machine_args *machine, struct err *err)
{
	struct path cache;
	int ret;

	if (machine->kernel != NULL) {
		snprintf(parts->kernel.kernel, PATH_MAX, "%s", machine->kernel);
		snprintf(parts->kernel.modules, PATH_MAX, "%s", args->modules);
		return 0;
	}
	ret = path_cache(&cache, "kernels", err);
	if (ret < 0)
		return ret;
	ret = path_make_dirs(&cache, err);
	if (ret < 0)
		return ret;
	return kernel_find(&parts->kernel, "/boot", "/lib/modules", cache.text, err);
}

static int make_initramfs(struct image_parts *parts, const struct image_args *args, struct err *err)
{
	const struct initramfs_params params = {
		.modules = parts->kernel.modules,
		.extra = args->module,
		.nextra = args->nmodules,
		.image = &parts->root.config,
		.command = args->command,
		.hostname = parts->hostname,
		.share = args->share,
		.nshares = args->nshares,
		.vsock = args->vsock,
	};
	cleanup_buf struct buf buf = {0};
	int ret = initramfs_make(&params, &buf, err);

	if (ret < 0)
		return ret;
	parts->initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	if (parts->initrd_fd < 0)
		return err_sys(err, errno, "memory for the initramfs");
	snprintf(parts->initrd_path, sizeof(parts->initrd_path), "/proc/self/fd/%d",
		 parts->initrd_fd);
	ret = io_pwrite(parts->initrd_fd, buf.data, buf.len, 0);
	return ret < 0 ? err_sys(err, -ret, "memory for the initramfs") : 0;
}

/* What the user gave for the machine stays. */
static int fill_machine(const struct image_parts *parts, struct machine_args *machine,
			struct err *err)
{
	machine->kernel = parts->kernel.kernel;
	machine->initrd = parts->initrd_path;
	if (machine->append == NULL)
		machine->append = machine->has_console && machine->console == CONSOLE_HVC
					  ? COMMAND_LINE_HVC
					  : COMMAND_LINE_SERIAL;
	return disk_args_insert(&machine->disks, parts->root_path, "root", err);
}

int image_parts_make(struct image_parts *parts, const struct image_args *args,
		     struct machine_args *machine, enum image_use use, struct err *err)
{
	const bool remote = reference_is_remote(args->from);
	char source[SOURCE_SIZE];
	int ret;

	*parts = (struct image_parts)IMAGE_PARTS_NONE;
	ret = check_options(args, machine, err);
	if (ret < 0)
		return ret;
	setup_hostname(args->from, parts->hostname);
	/* What a registry has may need no kernel; what came stays when there is none. */
	if (remote) {
		ret = bring_image(args, use, &parts->appliance, source, err);
		if (ret < 0 || parts->appliance)
			return ret;
	}
	/* First what may be missing, then what takes long. */
	ret = find_kernel(parts, args, machine, err);
	if (ret < 0)
		return ret;
	if (!remote)
		ret = bring_image(args, use, &parts->appliance, source, err);
	if (ret == 0)
		ret = make_root(parts, args, use, source, err);
	if (ret < 0)
		return ret;
	ret = make_initramfs(parts, args, err);
	if (ret == 0)
		ret = fill_machine(parts, machine, err);
	return ret;
}

/* --- what else the image says --- */

static int add_ports(json_t *annotations, const struct image_config *image)
{
	cleanup_buf struct buf text = {0};

	if (image->ports.count == 0)
		return 0;
	for (size_t i = 0; i < image->ports.count; i++)
		buf_printf(&text, "%s%s%s", i > 0 ? " " : "", image->ports.item[i],
			   strchr(image->ports.item[i], '/') == NULL ? "/tcp" : "");
	buf_add_u8(&text, 0);
	if (buf_failed(&text))
		return -1;
	return json_object_set_new(annotations, ANNOTATION_PORTS,
				   json_string((const char *)text.data));
}

/* A source is named only where another host can find it, too. */
static int collect_annotations(const struct image_parts *parts, const struct image_args *args,
			       json_t *annotations)
{
	const struct image_config *image = &parts->root.config;
	int failed = 0;

	/* What we say ourselves an image cannot say. */
	for (size_t i = 0; i < image->labels; i++) {
		if (strncmp(image->label[i].key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) == 0)
			continue;
		failed |= json_object_set_new(annotations, image->label[i].key,
					      json_string(image->label[i].value));
	}
	failed |= add_ports(annotations, image);
	if (parts->root.manifest[0] != '\0')
		failed |= json_object_set_new(annotations, ANNOTATION_MANIFEST,
					      json_string(parts->root.manifest));
	if (reference_is_remote(args->from))
		failed |=
			json_object_set_new(annotations, ANNOTATION_IMAGE, json_string(args->from));
	return failed;
}

int image_parts_annotate(const struct image_parts *parts, const struct image_args *args,
			 struct appliance *a, struct err *err)
{
	cleanup_json json_t *annotations = json_object();

	if (annotations == NULL || collect_annotations(parts, args, annotations) < 0)
		return err_sys(err, ENOMEM, "note what the image says");
	if (json_object_size(annotations) == 0)
		return 0;
	a->annotations = json_dumps(annotations, JSON_COMPACT | JSON_SORT_KEYS);
	if (a->annotations == NULL)
		return err_sys(err, ENOMEM, "note what the image says");
	if (strlen(a->annotations) > APPLIANCE_MAX_ANNOTATIONS)
		return err_set(err, ERR_USAGE, "%s: the image's labels are longer than 64 KiB",
			       args->from);
	return 0;
}

void image_parts_close(struct image_parts *parts)
{
	cleanup_fd_fn(&parts->root_fd);
	cleanup_fd_fn(&parts->initrd_fd);
	container_root_free(&parts->root);
}
