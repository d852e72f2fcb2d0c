/* The sample appliance; see sample.h. */
#include "sample.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/crypto/digest.h"

static char folder[64];

void sample_begin(void)
{
	strcpy(folder, "/tmp/torpor-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
	setenv("XDG_CACHE_HOME", folder, 1);
}

void sample_end(void)
{
	if (chdir("/") == 0)
		sample_shell("rm -rf %s", folder);
}

int sample_shell(const char *fmt, ...)
{
	char command[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	return system(command);
}

void sample_frame(unsigned image, uint64_t index, uint8_t out[FRAME_SIZE])
{
	memset(out, 0, FRAME_SIZE);
	if (index % 3 == 2)
		return;
	for (size_t i = 0; i < FRAME_SIZE; i++)
		out[i] = (uint8_t)(i * 7 + index * 13 + image * 29 + (i >> 8));
}

/* Data without being asked whether it is zero. */
static int plain_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
		       enum extent_kind *kind, struct err *err)
{
	(void)err;
	sample_frame(*(unsigned *)opaque, index, scratch);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

/* The first frame was written, and zeros over the last; the rest is as underneath. */
static int overlay_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			 enum extent_kind *kind, struct err *err)
{
	(void)err;
	*kind = EXTENT_PARENT;
	if (index == 0)
		*kind = EXTENT_DATA;
	else if (index == 4)
		*kind = EXTENT_ZERO;
	sample_frame(*(unsigned *)opaque, index, scratch);
	*data = scratch;
	return 0;
}

void sample_appliance(struct appliance *a, bool live)
{
	cr_assert_eq(appliance_init(a, NULL), 0);
	strcpy(a->machine, "torpor-1");
	strcpy(a->arch, "x86_64");
	free(a->cmdline);
	a->cmdline = strdup("console=ttyS0 quiet=\"é\"");
	a->memory = SAMPLE_MEMORY;
	a->vcpus = 2;
	a->console = CONSOLE_HVC;
	strcpy(a->cpu.profile, "v3");
	if (!live)
		return;
	a->ndisks = 2;
	strcpy(a->disk[0].id, "root");
	strcpy(a->disk[1].id, "spare");
	a->disk[1].readonly = true;
	a->disk[0].size = a->disk[1].size = SAMPLE_DISK;
	a->live = true;
	strcpy(a->name, "web");
	a->saved_ns = 1700000000123456789;
	a->generation = 3;
	strcpy(a->cpu.vendor, "AuthenticAMD");
	a->cpu.nwords = 2;
	a->cpu.word[0] = (struct cpu_word){1, 0, 2, 0x80000001};
	a->cpu.word[1] = (struct cpu_word){0x80000001, 0, 3, 5};
	a->needs = (struct host_needs){
		.page_size = 4096,
		.nmsrs = 2,
		.msr = {0x10, 0xc0000080},
		.ncaps = 2,
		.cap = {"KVM_CAP_MP_STATE", "KVM_CAP_XSAVE"},
	};
}

static int write_contents(struct archive_writer *w, struct err *err)
{
	static const char kernel[100000] = "not much of a kernel";
	unsigned memory = 1, disk = 2, overlay = 3;
	struct image_source memory_source = {
		.size = SAMPLE_MEMORY, .opaque = &memory, .frame = plain_frame};
	struct image_source disk_source = {
		.size = SAMPLE_DISK, .opaque = &disk, .frame = plain_frame};
	struct image_source overlay_source = {
		.size = SAMPLE_DISK, .opaque = &overlay, .frame = overlay_frame};
	struct blob blob = {.fd = memfd_create("kernel", MFD_CLOEXEC), .len = sizeof(kernel)};
	int ret = archive_writer_bytes(w, ROLE_STATE, "the state", 9, err);

	cr_assert_eq(write(blob.fd, kernel, sizeof(kernel)), sizeof(kernel));
	if (ret == 0)
		ret = archive_writer_image(w, "memory.0", &memory_source, err);
	if (ret == 0)
		ret = archive_writer_image(w, "disk.0", &disk_source, err);
	if (ret == 0)
		ret = archive_writer_image(w, "disk.0.overlay", &overlay_source, err);
	if (ret == 0)
		ret = archive_writer_image(w, "disk.1", &disk_source, err);
	if (ret == 0)
		ret = archive_writer_blob(w, ROLE_KERNEL, &blob, err);
	close(blob.fd);
	return ret;
}

int sample_fill(struct archive_writer *w, struct err *err)
{
	struct appliance a;
	int ret = write_contents(w, err);

	sample_appliance(&a, true);
	if (ret == 0)
		ret = archive_writer_publish(w, &a, NULL, err);
	appliance_free(&a);
	return ret;
}

/* Level 0: flat. */
static int write_sample(const char *path, int level, struct err *err)
{
	struct archive_writer *w;
	int ret = archive_writer_open(&w, path, err);

	if (ret < 0)
		return ret;
	if (level > 0)
		archive_writer_pack(w, level);
	ret = sample_fill(w, err);
	archive_writer_free(w);
	return ret;
}

int sample_write(const char *path, struct err *err)
{
	return write_sample(path, 0, err);
}

int sample_write_packed(const char *path, int level, struct err *err)
{
	return write_sample(path, level, err);
}

static const char editor[] =
	"import hashlib, json, sys\n"
	"folder, statements = sys.argv[1:]\n"
	"def blob(data):\n"
	"    name = hashlib.sha256(data).hexdigest()\n"
	"    open(f'{folder}/blobs/sha256/{name}', 'wb').write(data)\n"
	"    return {'digest': 'sha256:' + name, 'size': len(data)}\n"
	"def content(digest):\n"
	"    return open(f'{folder}/blobs/sha256/{digest[7:]}', 'rb').read()\n"
	"def role(name):\n"
	"    return next(d for d in m['layers'] if d['annotations']['org.torpor.role'] == name)\n"
	"def add(name, kind, data, optional=False):\n"
	"    notes = {'org.torpor.role': name} | ({'org.torpor.optional': 'true'} if optional else "
	"{})\n"
	"    m['layers'].append(blob(data) | {'annotations': notes,\n"
	"        'mediaType': f'application/vnd.torpor.{kind}.v1'})\n"
	"def drop(*names):\n"
	"    for name in names: m['layers'].remove(role(name))\n"
	"index = json.load(open(folder + '/index.json'))\n"
	"m = json.loads(content(index['manifests'][0]['digest']))\n"
	"c = json.loads(content(m['config']['digest']))\n"
	"exec(statements)\n"
	"m['config'].update(blob(json.dumps(c, sort_keys=True, separators=(',', ':'),\n"
	"    ensure_ascii=False).encode()))\n"
	"index['manifests'][0].update(blob(json.dumps(m).encode()))\n"
	"json.dump(index, open(folder + '/index.json', 'w'))\n";

void sample_edit(const char *path, const char *to, const char *statements)
{
	FILE *file = fopen("editor.py", "w");

	cr_assert(file != NULL && fputs(editor, file) >= 0 && fclose(file) == 0);
	cr_assert_eq(sample_shell("rm -rf %s && mkdir %s && tar xf %s -C %s", to, to, path, to), 0);
	cr_assert_eq(sample_shell("python3 editor.py %s \"%s\"", to, statements), 0, "%s",
		     statements);
}

int sample_check(const char *path, struct err *err)
{
	struct archive *a;
	int ret = archive_open(&a, path, err);

	if (ret < 0)
		return ret;
	ret = archive_verify(a, NULL, NULL, err);
	archive_close(a);
	return ret;
}

/* Store a text as a blob and describe it. */
static void store(const char *path, const char *text, char digest[DIGEST_TEXT_SIZE])
{
	uint8_t raw[DIGEST_SIZE];

	cr_assert_eq(digest_bytes(text, strlen(text), raw, NULL), 0);
	digest_text(raw, digest);
	cr_assert_eq(sample_shell("cat > %s/blobs/sha256/%s <<'END'\n%s\nEND\n"
				  "truncate -s -1 %s/blobs/sha256/%s",
				  path, digest + 7, text, path, digest + 7),
		     0);
}

void sample_folder(const char *path, const char *config_type, const char *config)
{
	char manifest[2048], digest[DIGEST_TEXT_SIZE];

	cr_assert_eq(sample_shell("mkdir -p %s/blobs/sha256", path), 0);
	store(path, config, digest);
	snprintf(manifest, sizeof(manifest),
		 "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\","
		 "\"size\":%zu},\"layers\":[]}",
		 config_type, digest, strlen(config));
	store(path, manifest, digest);
	cr_assert_eq(
		sample_shell("echo '{\"imageLayoutVersion\":\"1.0.0\"}' > %s/oci-layout", path), 0);
	cr_assert_eq(
		sample_shell("echo '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
			     "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\","
			     "\"size\":%zu}]}' > %s/index.json",
			     digest, strlen(manifest), path),
		0);
}
