/* What guests made from images boot from: archives, modules, kernels, what the init is told. */
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootfiles/cpio.h"
#include "bootfiles/initramfs.h"
#include "bootfiles/kernel.h"
#include "bootfiles/modules.h"
#include "bootfiles/setup.h"
#include "bootfiles/unpack.h"
#include "guest/init_bytes.h"

static char root[] = "/tmp/torpor-bootfiles-XXXXXX";

static void make_root(void)
{
	cr_assert(ne(ptr, mkdtemp(root), NULL));
}

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	cr_assert(eq(int, system(command), 0));
}

TestSuite(bootfiles, .init = make_root, .fini = remove_root);

/* A path below the root; its folders are made. */
static const char *below(const char *path)
{
	static char full[4][512];
	static unsigned turn;
	char *text = full[turn++ % 4];

	snprintf(text, sizeof(full[0]), "%s/%s", root, path);
	for (char *at = text + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		(void)mkdir(text, 0755);
		*at = '/';
	}
	return text;
}

static void put(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(below(path), "w");

	cr_assert(eq(sz, fwrite(data, 1, len, f), len));
	fclose(f);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

/* As far as we look at it: a module is bytes with a .modinfo in between. */
static void put_module(const char *path, const char *depends)
{
	char data[256];
	int len = snprintf(data, sizeof(data), "ELF%clicense=GPL%cdepends=%s%cname=x%c", 0, 0,
			   depends, 0, 0);

	put(path, data, (size_t)len);
}

static void put_xz(const char *path, const char *from)
{
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	size_t len;
	uint8_t *data;

	cr_assert(eq(int, unpack_file(below(from), 4096, &data, &len, NULL), 0));
	archive_write_add_filter_xz(a);
	archive_write_set_format_raw(a);
	cr_assert(eq(int, archive_write_open_filename(a, below(path)), ARCHIVE_OK));
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_pathname(entry, "x");
	archive_write_header(a, entry);
	archive_write_data(a, data, len);
	archive_entry_free(entry);
	archive_write_free(a);
	free(data);
}

Test(bootfiles, a_cpio_archive_as_libarchive_reads_it)
{
	static const struct {
		const char *path;
		unsigned mode;
		size_t size;
	} expected[] = {{"dev", S_IFDIR | 0755, 0},
			{"dev/console", S_IFCHR | 0600, 0},
			{"init", S_IFREG | 0755, 5},
			{"empty", S_IFREG | 0644, 0}};
	struct buf buf = {0};
	struct cpio cpio = {.out = &buf};
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	char data[8];

	cpio_folder(&cpio, "dev");
	cpio_device(&cpio, "dev/console", 0600, 5, 1);
	cpio_file(&cpio, "init", 0755, "hello", 5);
	cpio_file(&cpio, "empty", 0644, NULL, 0);
	cpio_end(&cpio);
	cr_assert(eq(sz, buf.len % 4, 0));
	archive_read_support_format_cpio(a);
	cr_assert(eq(int, archive_read_open_memory(a, buf.data, buf.len), ARCHIVE_OK));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		cr_assert(eq(int, archive_read_next_header(a, &entry), ARCHIVE_OK));
		cr_assert(eq(str, (char *)archive_entry_pathname(entry), (char *)expected[i].path));
		cr_assert(eq(uint, archive_entry_mode(entry), expected[i].mode));
		cr_assert(eq(i64, archive_entry_size(entry), (int64_t)expected[i].size));
		cr_assert(eq(i64, archive_entry_mtime(entry), 0));
		cr_assert(eq(i64, archive_entry_uid(entry), 0));
		if (i == 1) {
			cr_assert(eq(uint, (unsigned)archive_entry_rdevmajor(entry), 5));
			cr_assert(eq(uint, (unsigned)archive_entry_rdevminor(entry), 1));
		}
		if (i == 2) {
			cr_assert(eq(i64, archive_read_data(a, data, sizeof(data)), 5));
			cr_assert(eq(int, memcmp(data, "hello", 5), 0));
		}
	}
	cr_assert(eq(int, archive_read_next_header(a, &entry), ARCHIVE_EOF));
	archive_read_free(a);
	buf_free(&buf);
}

Test(bootfiles, names_of_modules)
{
	char name[MODULE_NAME_SIZE];

	cr_assert(module_name("/lib/virtio-rng.ko", name));
	cr_assert(eq(str, name, (char *)"virtio_rng"));
	cr_assert(module_name("ext4.ko.zst", name));
	cr_assert(eq(str, name, (char *)"ext4"));
	cr_assert(not(module_name("modules.dep", name)));
	cr_assert(not(module_name(".ko", name)));
}

static void put_tree(void)
{
	put_module("m/kernel/drivers/virtio-mmio.ko", "virtio,virtio_ring");
	put_module("m/kernel/drivers/virtio_ring.ko", "virtio");
	put_module("m/kernel/drivers/plain/virtio.ko", "");
	put_module("loop", "b");
	put_module("m/kernel/a.ko", "b");
	put_module("m/kernel/b.ko", "a");
	put_text("m/modules.builtin", "kernel/fs/ext4/ext4.ko\nkernel/drivers/net/virtio-net.ko\n");
}

Test(bootfiles, a_module_comes_behind_what_it_depends_on)
{
	struct modules m;

	put_tree();
	cr_assert(eq(int, modules_open(&m, below("m"), NULL), 0));
	cr_assert(eq(int, modules_load(&m, "virtio_mmio", NULL), 0));
	cr_assert(eq(int, modules_load(&m, "virtio_ring", NULL), 0));
	cr_assert(eq(int, modules_load(&m, "ext4", NULL), 0));
	cr_assert(modules_has(&m, "virtio_net"));
	cr_assert(not(modules_has(&m, "virtio_blk")));
	cr_assert(eq(sz, m.nmodules, 3));
	cr_assert(eq(str, m.module[0].name, (char *)"virtio"));
	cr_assert(eq(str, m.module[1].name, (char *)"virtio_ring"));
	cr_assert(eq(str, m.module[2].name, (char *)"virtio_mmio"));
	modules_close(&m);
}

Test(bootfiles, a_folder_of_modules_may_have_any_name)
{
	struct modules m;

	put_module("odd [x]*?\\/lib/modules/6.1/kernel/fine.ko", "");
	put_module("odd x/lib/modules/6.1/kernel/other.ko", "");
	cr_assert(eq(int, modules_open(&m, below("odd [x]*?\\"), NULL), 0));
	cr_assert(modules_has(&m, "fine"));
	modules_close(&m);
	cr_assert(eq(int, modules_open(&m, below("odd ?"), NULL), -ENOENT));
}

Test(bootfiles, modules_that_are_not_there_or_go_in_a_circle)
{
	struct modules m;
	struct err err;

	cr_assert(eq(int, modules_open(&m, below("nothing"), &err), -ENOENT));
	put_tree();
	cr_assert(eq(int, modules_open(&m, root, &err), -ENOENT));
	cr_assert(eq(int, modules_open(&m, below("m"), NULL), 0));
	cr_assert(eq(int, modules_load(&m, "nonesuch", &err), -ENOENT));
	cr_assert(eq(str, err.text, (char *)"the kernel has no module nonesuch"));
	cr_assert(eq(int, modules_load(&m, "a", &err), -EINVAL));
	cr_assert(eq(int, err.kind, ERR_FAILED));
	modules_close(&m);
}

Test(bootfiles, compressed_modules)
{
	struct modules m;

	put_module("plain.ko", "dep");
	put_xz("t/usr/lib/modules/6.1/kernel/packed.ko.xz", "plain.ko");
	put_module("t/usr/lib/modules/6.1/kernel/dep.ko", "");
	cr_assert(eq(int, modules_open(&m, below("t"), NULL), 0));
	cr_assert(eq(int, modules_load(&m, "packed", NULL), 0));
	cr_assert(eq(sz, m.nmodules, 2));
	cr_assert(eq(int, memcmp(m.module[1].data, "ELF", 4), 0));
	modules_close(&m);
	put("t/usr/lib/modules/6.1/kernel/bad.ko.xz",
	    "\xfd"
	    "7zXZ\0broken",
	    12);
	cr_assert(eq(int, modules_open(&m, below("t"), NULL), 0));
	cr_assert(eq(int, modules_load(&m, "bad", NULL), -EINVAL));
	modules_close(&m);
}

Test(bootfiles, a_file_that_is_too_large_is_refused)
{
	uint8_t *data;
	size_t len;

	put_text("f", "12345");
	cr_assert(eq(int, unpack_file(below("f"), 4, &data, &len, NULL), -EFBIG));
	cr_assert(eq(int, unpack_file(below("f"), 5, &data, &len, NULL), 0));
	cr_assert(eq(str, (char *)data, (char *)"12345"));
	free(data);
	cr_assert(eq(int, unpack_file(root, 5, &data, &len, NULL), -EINVAL));
}

Test(bootfiles, the_newest_kernel_that_has_modules)
{
	static const char *const releases[] = {"6.1.0-9", "6.1.0-12", "6.1.0-2"};
	struct kernel_files files;
	char boot[512], lib[512], path[128];
	struct err err;

	snprintf(boot, sizeof(boot), "%s", below("boot"));
	snprintf(lib, sizeof(lib), "%s", below("lib/modules"));
	cr_assert(eq(int, kernel_find(&files, boot, lib, NULL, &err), -ENOENT));
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "boot/vmlinuz-%s", releases[i]);
		put_text(path, "kernel");
		snprintf(path, sizeof(path), "lib/modules/%s/kernel/a.ko", releases[i]);
		put_text(path, "module");
	}
	put_text("boot/vmlinuz-7.0.0", "without modules");
	cr_assert(eq(int, kernel_find(&files, boot, lib, NULL, NULL), 0));
	cr_assert(ne(ptr, strstr(files.kernel, "vmlinuz-6.1.0-12"), NULL));
	cr_assert(ne(ptr, strstr(files.modules, "modules/6.1.0-12"), NULL));
}

Test(bootfiles, a_kernel_that_was_downloaded_before)
{
	struct kernel_files files;
	char none[512];

	snprintf(none, sizeof(none), "%s", below("none"));
	put_text("cache/linux-image-6.1.0-5-cloud/boot/vmlinuz-6.1.0-5-cloud", "kernel");
	put_text("cache/linux-image-6.1.0-5-cloud/lib/modules/6.1.0-5-cloud/kernel/a.ko", "module");
	put_text("cache/linux-image-7.0-cloud/boot/vmlinuz-7.0-cloud", "kernel");
	put_text("cache/linux-image-7.0-cloud/usr/lib/modules/7.0-cloud/kernel/a.ko", "module");
	cr_assert(eq(int, kernel_find(&files, none, none, below("cache"), NULL), 0));
	cr_assert(ne(ptr, strstr(files.kernel, "vmlinuz-7.0-cloud"), NULL));
	cr_assert(ne(ptr, strstr(files.modules, "usr/lib/modules/7.0-cloud"), NULL));
}

Test(bootfiles, stop_signals)
{
	cr_assert(eq(int, setup_signal("SIGTERM"), SIGTERM));
	cr_assert(eq(int, setup_signal("QUIT"), SIGQUIT));
	cr_assert(eq(int, setup_signal("9"), 9));
	cr_assert(eq(int, setup_signal("SIGRTMIN+3"), 37));
	cr_assert(eq(int, setup_signal("RTMAX-1"), 63));
	cr_assert(eq(int, setup_signal("0"), -EINVAL));
	cr_assert(eq(int, setup_signal("65"), -EINVAL));
	cr_assert(eq(int, setup_signal("SIGRTMIN+31"), -EINVAL));
	cr_assert(eq(int, setup_signal("SIGNONE"), -EINVAL));
	cr_assert(eq(int, setup_signal(""), -EINVAL));
	cr_assert(eq(int, setup_signal("15x"), -EINVAL));
}

Test(bootfiles, host_names)
{
	static const struct {
		const char *source, *name;
	} cases[] = {
		{"docker://registry.example:5000/library/redis:7", "redis"},
		{"oci:/tmp/my_image:latest", "my-image"},
		{"oci:redis", "redis"},
		{"docker-archive:web.tar", "web"},
		{"rootfs/", "rootfs"},
		{"docker://host/a@sha256:00", "a"},
		{"/", "guest"},
		{"tar:...", "guest"},
	};
	char name[SETUP_HOSTNAME_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup_hostname(cases[i].source, name);
		cr_assert(eq(str, name, (char *)cases[i].name), "%s", cases[i].source);
	}
}

static const char sample[] =
	"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"User\":\"redis\",\"Env\":[\"A="
	"1\"],"
	"\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\",\"d\"],\"WorkingDir\":\"/"
	"data\",\"StopSignal\":\"SIGINT\","
	"\"Volumes\":{\"/data\":{}}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";

Test(bootfiles, what_the_init_is_told)
{
	static const char expected[] =
		"m/modules/a.ko\0r/dev/vda\0text4\0hbox\0uredis\0w/data\0s2\0"
		"v/data\0eA=1\0a/e\0ac\0ad";
	static const char other[] =
		"r/dev/vda\0text4\0hbox\0uredis\0w/data\0s2\0v/data\0eA=1\0a/e\0"
		"ax";
	const char *module = "/modules/a.ko";
	char *command[] = {(char[]){"x"}, NULL};
	struct image_config image;
	struct setup setup = {.image = &image,
			      .root = "/dev/vda",
			      .root_type = "ext4",
			      .hostname = "box",
			      .modules = &module,
			      .nmodules = 1};
	struct buf out = {0};

	cr_assert(eq(int, image_config_parse(&image, (const uint8_t *)sample, strlen(sample), NULL),
		     0));
	cr_assert(eq(int, setup_write(&setup, &out, NULL), 0));
	cr_assert(eq(sz, out.len, sizeof(expected)));
	cr_assert(eq(int, memcmp(out.data, expected, sizeof(expected)), 0));
	buf_free(&out);
	setup.nmodules = 0;
	setup.command = command;
	cr_assert(eq(int, setup_write(&setup, &out, NULL), 0));
	cr_assert(eq(sz, out.len, sizeof(other)));
	cr_assert(eq(int, memcmp(out.data, other, sizeof(other)), 0));
	buf_free(&out);
	image_config_free(&image);
}

Test(bootfiles, an_initramfs_is_the_same_each_time)
{
	static const char *const all[] = {"virtio_mmio", "virtio_blk", "virtio_console", "ext4"};
	struct image_config image;
	struct initramfs_params params = {.image = &image, .hostname = "box"};
	struct buf one = {0}, two = {0};
	char path[64], modules[512];
	struct err err;

	cr_assert(eq(int, image_config_parse(&image, (const uint8_t *)sample, strlen(sample), NULL),
		     0));
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "k/kernel/%s.ko", all[i]);
		put_module(path, "");
	}
	snprintf(modules, sizeof(modules), "%s", below("k"));
	params.modules = modules;
	cr_assert(eq(int, initramfs_make(&params, &one, &err), -ENOENT));
	cr_assert(eq(str, err.text, (char *)"the kernel has no module virtio_net"));
	put_module("k/kernel/virtio_net.ko", "");
	cr_assert(eq(int, initramfs_make(&params, &one, NULL), 0));
	cr_assert(eq(int, initramfs_make(&params, &two, NULL), 0));
	cr_assert(eq(sz, one.len, two.len));
	cr_assert(eq(int, memcmp(one.data, two.data, one.len), 0));
	cr_assert(ne(ptr, memmem(one.data, one.len, init_bytes, init_bytes_len), NULL));
	buf_free(&one);
	buf_free(&two);
	image_config_free(&image);
}
