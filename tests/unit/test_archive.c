/* Files as wholes: what is written comes back, other tools read it, strangers are told so. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "format/archive.h"
#include "format/archive_writer.h"
#include "format/oci_index.h"
#include "sample.h"

TestSuite(archive, .init = sample_begin, .fini = sample_end);

static struct archive *open_ok(const char *path)
{
	struct archive *a;
	struct err err = {0};

	cr_assert(eq(int, archive_open(&a, path, &err), 0), "%s", err.text);
	return a;
}

static void write_ok(const char *path)
{
	struct err err = {0};

	cr_assert(eq(int, sample_write(path, &err), 0), "%s", err.text);
}

static void check_refused(const char *path, enum err_kind kind, const char *why)
{
	struct err err = {0};

	cr_assert(lt(int, sample_check(path, &err), 0), "%s passes", path);
	cr_assert_eq(err.kind, kind, "%s", err.text);
	cr_assert_not_null(strstr(err.text, why), "%s", err.text);
}

/* All frames of an image against what the sample has there. */
static void check_image(const struct image *image, unsigned content, const char *kinds)
{
	static uint8_t expected[FRAME_SIZE], got[FRAME_SIZE];
	uint64_t frames = align_up(image->map.size, FRAME_SIZE) / FRAME_SIZE, run;

	for (uint64_t i = 0; i < frames; i++) {
		const struct extent *e = image_map_find(&image->map, i);
		char kind = kinds[i % strlen(kinds)];
		struct blob blob;

		cr_assert_eq(e->kind, (uint32_t)(kind - '0'), "frame %d", (int)i);
		if (e->kind != EXTENT_DATA)
			continue;
		blob = image_place(image, e->place + (i - e->frame), 1, &run);
		cr_assert(eq(int, blob_read(&blob, 0, got, FRAME_SIZE, NULL), 0));
		sample_frame(content, i, expected);
		cr_assert_arr_eq(got, expected, FRAME_SIZE, "frame %d", (int)i);
	}
}

/* Everything sample_write() put in. */
static void check_sample(const struct archive *a)
{
	const struct appliance *app = archive_appliance(a);
	struct blob blob;
	char text[16] = "";

	cr_assert(app->live);
	cr_assert_str_eq(app->name, "web");
	cr_assert(archive_blob(a, ROLE_STATE, &blob));
	cr_assert(eq(u64, blob.len, 9));
	cr_assert(eq(int, blob_read(&blob, 0, text, 9, NULL), 0));
	cr_assert_str_eq(text, "the state");
	cr_assert(archive_blob(a, ROLE_KERNEL, &blob));
	cr_assert(eq(u64, blob.len, 100000));
	cr_assert_not(archive_blob(a, ROLE_INITRD, &blob));
	check_image(archive_image(a, "memory.0"), 1, "112");
	check_image(archive_image(a, "disk.0"), 2, "11211");
	check_image(archive_image(a, "disk.1"), 2, "11211");
	check_image(archive_image(a, "disk.0.overlay"), 3, "13332");
	cr_assert_null(archive_image(a, "memory.1"));
}

Test(archive, what_is_written_comes_back)
{
	const struct archive_entry *entries;
	struct archive *a;
	struct err err = {0};

	write_ok("web.torpor");
	a = open_ok("web.torpor");
	check_sample(a);
	cr_assert(archive_aligned(a));
	cr_assert_eq(strncmp(archive_digest(a), "sha256:", 7), 0);
	/* manifest, config, state, kernel; map, hashes and a part for each of four images */
	cr_assert(eq(sz, archive_entries(a, &entries), 4 + 4 * 3));
	cr_assert(eq(int, archive_verify(a, NULL, NULL, &err), 0), "%s", err.text);
	archive_close(a);
}

Test(archive, one_machine_is_one_file)
{
	write_ok("a.torpor");
	write_ok("b.torpor");
	cr_assert_eq(sample_shell("cmp a.torpor b.torpor"), 0);
}

Test(archive, bulk_is_aligned_and_metadata_in_front)
{
	const struct archive_entry *entries;
	struct archive *a;
	size_t n;

	write_ok("web.torpor");
	a = open_ok("web.torpor");
	n = archive_entries(a, &entries);
	for (size_t i = 0; i < n; i++) {
		bool bulk = strcmp(entries[i].media_type, OCI_FLAT_TYPE) == 0 ||
			    strcmp(entries[i].media_type, OCI_KERNEL_TYPE) == 0;

		cr_assert_eq(entries[i].blob.offset % FRAME_SIZE == 0, bulk, "%s", entries[i].role);
		cr_assert_eq(entries[i].blob.offset >= KIB(256), bulk, "%s", entries[i].role);
	}
	archive_close(a);
}

Test(archive, gaps_are_holes_and_equal_blobs_are_kept_once)
{
	struct archive *a;
	struct stat st;

	write_ok("web.torpor");
	a = open_ok("web.torpor");
	cr_assert(eq(u64, archive_image(a, "disk.0")->part[0].offset,
		     archive_image(a, "disk.1")->part[0].offset));
	archive_close(a);
	cr_assert(eq(int, stat("web.torpor", &st), 0));
	cr_assert(lt(i64, st.st_blocks * 512, st.st_size - (int64_t)KIB(192)));
}

Test(archive, cold_appliances_have_no_state)
{
	struct archive_writer *w;
	struct blob kernel = {.fd = open("/bin/sh", O_RDONLY | O_CLOEXEC), .len = 4096};
	struct archive *a;
	struct appliance app;
	struct err err = {0};

	sample_appliance(&app, false);
	cr_assert(eq(int, archive_writer_open(&w, "cold.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_blob(w, ROLE_KERNEL, &kernel, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_publish(w, &app, NULL, &err), 0), "%s", err.text);
	archive_writer_free(w);
	a = open_ok("cold.torpor");
	cr_assert_not(archive_appliance(a)->live);
	archive_close(a);
	cr_assert(eq(int, sample_check("cold.torpor", &err), 0), "%s", err.text);
	appliance_free(&app);
	close(kernel.fd);
}

static void copy_all(const struct archive *from, const char *to)
{
	static const char roles[][16] = {"memory.0", "disk.0", "disk.0.overlay", "disk.1"};
	struct archive_writer *w;
	struct blob blob;
	struct err err = {0};

	cr_assert(eq(int, archive_writer_open(&w, to, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_bytes(w, ROLE_STATE, "the state", 9, &err), 0));
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		cr_assert(eq(int,
			     archive_writer_copy_image(w, roles[i], archive_image(from, roles[i]),
						       &err),
			     0),
			  "%s", err.text);
	cr_assert(archive_blob(from, ROLE_KERNEL, &blob));
	cr_assert(eq(int, archive_writer_blob(w, ROLE_KERNEL, &blob, &err), 0), "%s", err.text);
	cr_assert(eq(int, archive_writer_publish(w, archive_appliance(from), NULL, &err), 0), "%s",
		  err.text);
	archive_writer_free(w);
}

Test(archive, copied_images_make_the_same_file)
{
	struct archive *a;

	write_ok("a.torpor");
	a = open_ok("a.torpor");
	copy_all(a, "b.torpor"); /* known to be good */
	sample_shell("rm -r torpor");
	copy_all(a, "c.torpor"); /* not known: hashed on the way */
	archive_close(a);
	cr_assert_eq(sample_shell("cmp a.torpor b.torpor && cmp a.torpor c.torpor"), 0);
}

Test(archive, copying_from_a_damaged_file_is_refused)
{
	struct archive_writer *w;
	const struct image *image;
	struct archive *a;
	struct err err = {0};
	int fd;

	write_ok("a.torpor");
	a = open_ok("a.torpor");
	image = archive_image(a, "memory.0");
	fd = open("a.torpor", O_WRONLY | O_CLOEXEC);
	cr_assert(eq(i64, pwrite(fd, "x", 1, (off_t)image->part[0].offset + 70000), 1));
	close(fd);
	cr_assert(eq(int, archive_writer_open(&w, "b.torpor", &err), 0));
	cr_assert(lt(int, archive_writer_copy_image(w, "memory.0", image, &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_INTEGRITY));
	archive_writer_free(w);
	archive_close(a);
	cr_assert_eq(sample_shell("test ! -e b.torpor"), 0);
}

static bool have(const char *program)
{
	if (sample_shell("command -v %s > /dev/null", program) == 0)
		return true;
	cr_log_warn("SKIP: %s is not installed\n", program);
	return false;
}

Test(archive, tar_lists_and_unpacks_it)
{
	write_ok("web.torpor");
	cr_assert_eq(sample_shell("tar tf web.torpor | grep -x memory.0.0 > /dev/null"), 0);
	cr_assert_eq(sample_shell("mkdir out && tar xf web.torpor -C out && cd out && "
				  "test \"$(sha256sum < state)\" = "
				  "\"$(printf 'the state' | sha256sum)\" && "
				  "cd blobs/sha256 && for f in *; do echo $f $f; done | "
				  "sha256sum --status -c"),
		     0);
}

Test(archive, bsdtar_lists_it)
{
	if (!have("bsdtar"))
		return;
	write_ok("web.torpor");
	cr_assert_eq(sample_shell("bsdtar tf web.torpor | grep -x memory.0.0 > /dev/null"), 0);
}

Test(archive, python_lists_it)
{
	if (!have("python3"))
		return;
	write_ok("web.torpor");
	cr_assert_eq(sample_shell("python3 -m tarfile -l web.torpor | grep memory.0.0 > /dev/null"),
		     0);
}

Test(archive, a_folder_is_read_too)
{
	struct archive *a;
	struct err err = {0};

	write_ok("web.torpor");
	cr_assert_eq(sample_shell("mkdir out && tar xf web.torpor -C out"), 0);
	a = open_ok("out");
	check_sample(a);
	cr_assert(archive_aligned(a));
	archive_close(a);
	cr_assert(eq(int, sample_check("oci:out", &err), 0), "%s", err.text);
	cr_assert_eq(sample_shell("cd out/blobs/sha256 && printf X | "
				  "dd of=$(readlink -f ../../disk.1.0) bs=1 seek=65536 "
				  "conv=notrunc status=none"),
		     0);
	check_refused("out", ERR_INTEGRITY, "frame 1 of disk.");
}

Test(archive, repacked_by_tar_it_is_the_same_appliance)
{
	struct archive *a, *b;
	struct err err = {0};

	write_ok("web.torpor");
	cr_assert_eq(sample_shell("mkdir out && tar xf web.torpor -C out && "
				  "tar cf again.tar -C out . && tar cf pax.tar -H pax -C out ."),
		     0);
	a = open_ok("web.torpor");
	b = open_ok("again.tar");
	check_sample(b);
	cr_assert_str_eq(archive_digest(a), archive_digest(b));
	cr_assert_not(archive_aligned(b));
	archive_close(a);
	archive_close(b);
	cr_assert(eq(int, sample_check("pax.tar", &err), 0), "%s", err.text);
}

Test(archive, skopeo_there_and_back)
{
	struct archive *a;
	struct err err = {0};

	if (!have("skopeo"))
		return;
	write_ok("web.torpor");
	cr_assert_eq(
		sample_shell("skopeo --insecure-policy copy -q oci-archive:web.torpor oci:dir && "
			     "skopeo --insecure-policy copy -q oci:dir oci-archive:back.torpor"),
		0);
	a = open_ok("back.torpor");
	check_sample(a);
	archive_close(a);
	cr_assert(eq(int, sample_check("back.torpor", &err), 0), "%s", err.text);
	cr_assert(eq(int, sample_check("oci:dir", &err), 0), "%s", err.text);
}

Test(archive, strangers_are_told_so)
{
	static const char config[] = "application/vnd.oci.image.config.v1+json";

	check_refused("none.torpor", ERR_NOT_FOUND, "none.torpor");
	cr_assert_eq(
		sample_shell(
			": > empty && head -c 511 /dev/zero > short && "
			"head -c 5000 /dev/urandom > noise && head -c 9999 /dev/zero > zeros && "
			"tar cf plain.tar short noise"),
		0);
	check_refused("empty", ERR_INTEGRITY, "not a torpor file");
	check_refused("short", ERR_INTEGRITY, "not a torpor file");
	check_refused("noise", ERR_INTEGRITY, "not a torpor file");
	check_refused("zeros", ERR_INTEGRITY, "not a torpor file");
	check_refused("plain.tar", ERR_INTEGRITY, "not a torpor file: it has no oci-layout");
	check_refused(".", ERR_INTEGRITY, "not a torpor file: it has no oci-layout");
	check_refused("/dev/null", ERR_INTEGRITY, "not a torpor file");
	sample_folder("other", "application/vnd.cncf.helm.config.v1+json", "{\"name\":\"chart\"}");
	check_refused("other", ERR_INTEGRITY,
		      "not a torpor file: no config of type " OCI_CONFIG_TYPE);
	sample_folder("docker", config, "{\"architecture\":\"amd64\",\"os\":\"linux\"}");
	check_refused("docker", ERR_INTEGRITY,
		      "not a torpor file but a container's image: torpor run docker://REF");
	cr_assert_eq(sample_shell("tar cf docker.tar -C docker ."), 0);
	check_refused("docker.tar", ERR_INTEGRITY, "a container's image: torpor run");
}

static const char cold_config[] =
	"{\"arch\":\"x86_64\",\"cmdline\":\"\",\"console\":\"hvc\",\"contents\":{},\"cpu\":{"
	"\"profile\":\"\","
	"\"vendor\":\"\",\"words\":[]},\"disks\":[],\"format\":\"1.0\",\"machine\":\"torpor-1\","
	"\"memory\":65536,\"vcpus\":1}";

Test(archive, newer_versions_are_refused_by_name)
{
	char config[sizeof(cold_config)];
	struct err err = {0};

	sample_folder("now", OCI_CONFIG_TYPE, cold_config);
	cr_assert(eq(int, sample_check("now", &err), 0), "%s", err.text);
	sample_folder("later", "application/vnd.torpor.config.v2+json", "{}");
	check_refused("later", ERR_INCOMPATIBLE,
		      "made by a newer torpor (format 2); this one reads 1.x");
	strcpy(config, cold_config);
	*strstr(config, "1.0") = '3';
	sample_folder("major", OCI_CONFIG_TYPE, config);
	check_refused("major", ERR_INCOMPATIBLE,
		      "made by a newer torpor (format 3.0); this one reads 1.x and 2.x");
	cr_assert_eq(sample_shell("echo '{\"imageLayoutVersion\":\"2.0.0\"}' > now/oci-layout"), 0);
	check_refused("now", ERR_INCOMPATIBLE, "layout version 2.0.0");
}

/* index.json with the descriptors that these two shell words hold. */
static void list_two(const char *first, const char *second)
{
	cr_assert_eq(sample_shell("d=$(grep -o '{\"mediaType[^}]*}' docker.json); "
				  "o=$(grep -o '{\"mediaType[^}]*}' ours.json); "
				  "printf '{\"schemaVersion\":2,\"manifests\":[%%s,%%s]}' "
				  "\"%s\" \"%s\" > both/index.json",
				  first, second),
		     0);
}

Test(archive, of_several_images_ours_is_taken)
{
	struct err err = {0};

	sample_folder("both", "application/vnd.oci.image.config.v1+json", "{\"os\":\"linux\"}");
	cr_assert_eq(sample_shell("mv both/index.json docker.json"), 0);
	sample_folder("both", OCI_CONFIG_TYPE, cold_config);
	cr_assert_eq(sample_shell("mv both/index.json ours.json"), 0);
	list_two("$d", "$o");
	cr_assert(eq(int, sample_check("both", &err), 0), "%s", err.text);
	list_two("$o", "$d");
	cr_assert(eq(int, sample_check("both", &err), 0), "%s", err.text);
	list_two("$d", "$d");
	check_refused("both", ERR_INTEGRITY, "a container's image");
	/* Under two names. */
	list_two("$o", "$o");
	cr_assert(eq(int, sample_check("both", &err), 0), "%s", err.text);
}

/* index.json from a format with up to three descriptors, as the test above has them. */
static void list_ours(const char *format)
{
	cr_assert_eq(sample_shell("one=$(grep -o '{\"mediaType[^}]*' one.json); "
				  "two=$(grep -o '{\"mediaType[^}]*' two.json); "
				  "printf '{\"schemaVersion\":2,\"manifests\":[%%s]}' \"%s\" "
				  "> both/index.json",
				  format),
		     0);
}

#define FOR(arch)                                                                                  \
	",\\\"platform\\\":{\\\"os\\\":\\\"linux\\\",\\\"architecture\\\":\\\"" arch "\\\"}}"

Test(archive, of_several_appliances_the_one_for_this_host_is_taken)
{
	cleanup_archive struct archive *a = NULL;
	char other[sizeof(cold_config)], wanted[DIGEST_TEXT_SIZE];
	char *arch;
	struct err err = {0};

	strcpy(other, cold_config);
	arch = strstr(other, "x86_64");
	cr_assert_not_null(arch);
	memcpy(arch, "riscv6", 6);
	sample_folder("both", OCI_CONFIG_TYPE, other);
	cr_assert_eq(sample_shell("mv both/index.json two.json"), 0);
	sample_folder("both", OCI_CONFIG_TYPE, cold_config);
	cr_assert(eq(int, archive_identify("both", wanted, &err), 0), "%s", err.text);
	cr_assert_eq(sample_shell("mv both/index.json one.json"), 0);
	list_ours("$one},$two}");
	check_refused("both", ERR_INTEGRITY, "more than one appliance");
	list_ours("$two" FOR("riscv64") ",$one" FOR(OCI_ARCHITECTURE));
	a = open_ok("both");
	cr_expect(eq(str, (char *)archive_digest(a), wanted));
	/* One for another host can be looked at, but not one of two. */
	list_ours("$two" FOR("riscv64"));
	cr_assert(eq(int, sample_check("both", &err), 0), "%s", err.text);
	list_ours("$two" FOR("riscv64") ",$one" FOR("s390x"));
	check_refused("both", ERR_INCOMPATIBLE, "none for linux/" OCI_ARCHITECTURE);
	/* What says for whom it is comes before what does not. */
	list_ours("$two},$one" FOR(OCI_ARCHITECTURE));
	cr_assert(eq(int, sample_check("both", &err), 0), "%s", err.text);
}

Test(archive, indexes_in_indexes)
{
	struct err err = {0};

	sample_folder("both", OCI_CONFIG_TYPE, cold_config);
	/* As skopeo writes the images of several platforms. */
	cr_assert_eq(
		sample_shell("nest() { d=$(sha256sum <both/index.json | cut -c1-64); "
			     "n=$(stat -c %%s both/index.json); "
			     "mv both/index.json both/blobs/sha256/$d; "
			     "printf "
			     "'{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI_INDEX_TYPE
			     "\",\"digest\":\"sha256:%%s\",\"size\":%%d}]}' $d $n "
			     "> both/index.json; }; nest; cp both/index.json once.json; "
			     "for i in $(seq 20); do nest; done; mv both/index.json many.json"),
		0);
	cr_assert_eq(sample_shell("cp once.json both/index.json"), 0);
	cr_assert(eq(int, sample_check("both", &err), 0), "%s", err.text);
	cr_assert_eq(sample_shell("cp many.json both/index.json"), 0);
	check_refused("both", ERR_INTEGRITY, "more than 16");
}

static int count_files(void)
{
	return WEXITSTATUS(sample_shell("exit $(ls -A | grep -c torpor)"));
}

Test(archive, a_full_disk_leaves_the_old_file)
{
	struct rlimit limit = {KIB(600), KIB(600)};
	struct err err = {0};

	write_ok("web.torpor");
	cr_assert_eq(sample_shell("cp web.torpor copy"), 0);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert(eq(int, setrlimit(RLIMIT_FSIZE, &limit), 0));
	cr_assert(lt(int, sample_write("web.torpor", &err), 0));
	cr_assert_not_null(strstr(err.text, "write web.torpor: File too large; "
					    "the old file is unchanged"),
			   "%s", err.text);
	cr_assert(eq(int, (int)err.kind, ERR_FAILED));
	cr_assert(lt(int, sample_write("new.torpor", &err), 0));
	cr_assert_null(strstr(err.text, "old file"), "%s", err.text);
	cr_assert_eq(sample_shell("cmp web.torpor copy"), 0);
	cr_assert(eq(int, count_files(), 2), "web.torpor and torpor/ only");
}

Test(archive, what_killed_writers_left_is_removed)
{
	int fd;

	cr_assert_eq(sample_shell("touch .old.torpor.abc123 .live.torpor.abc124 "
				  ".other.torpor.ABC .torpor.abc125 old.torpor.abc126"),
		     0);
	fd = open(".live.torpor.abc124", O_RDWR | O_CLOEXEC);
	cr_assert(eq(int, flock(fd, LOCK_EX), 0));
	write_ok("web.torpor");
	cr_assert_eq(sample_shell("test ! -e .old.torpor.abc123"), 0);
	cr_assert_eq(sample_shell("test -e .live.torpor.abc124 -a -e .other.torpor.ABC -a "
				  "-e .torpor.abc125 -a -e old.torpor.abc126"),
		     0);
	close(fd);
}

Test(archive, an_abandoned_writer_leaves_nothing)
{
	struct archive_writer *w;
	struct err err = {0};

	cr_assert(eq(int, archive_writer_open(&w, "web.torpor", &err), 0));
	cr_assert(eq(int, archive_writer_bytes(w, ROLE_STATE, "x", 1, &err), 0));
	/* None where files without a name can be had. */
	cr_assert(le(int, count_files(), 1));
	archive_writer_free(w);
	cr_assert(eq(int, count_files(), 0));
	archive_writer_free(NULL);
}

/* An image whose frame number `at` cancels what it is written for. */
struct cancelling {
	struct progress progress;
	uint64_t at;
	unsigned asked; /* how often for that one */
	unsigned cancel_when;
};

static int cancelling_frame(void *opaque, uint64_t index, uint8_t *scratch, const uint8_t **data,
			    enum extent_kind *kind, struct err *err)
{
	struct cancelling *c = opaque;

	(void)err;
	if (index == c->at && ++c->asked == c->cancel_when)
		progress_cancel(&c->progress);
	sample_frame(1, 3 * index, scratch);
	*data = scratch;
	*kind = EXTENT_DATA;
	return 0;
}

/* While its images are looked at (the first asking), while they are written (the second), and
 * before it is published. */
Test(archive, a_cancelled_writer_leaves_the_old_file)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		for (unsigned when = 1; when <= 3; when++) {
			struct cancelling c = {.at = 7, .cancel_when = when};
			const struct image_source source = {
				.size = SAMPLE_MEMORY, .opaque = &c, .frame = cancelling_frame};
			struct archive_writer *w;
			struct appliance a;
			struct err err = {0};
			int ret;

			write_ok("web.torpor");
			cr_assert_eq(sample_shell("cp web.torpor copy"), 0);
			cr_assert(eq(int, progress_init(&c.progress, NULL), 0));
			cr_assert(eq(int, archive_writer_open(&w, "web.torpor", &err), 0));
			archive_writer_watch(w, &c.progress);
			if (packed == 1)
				archive_writer_pack(w, 1);
			ret = archive_writer_image(w, ROLE_MEMORY ".0", &source, &err);
			if (when == 3) {
				cr_assert(eq(int, ret, 0), "%s", err.text);
				progress_cancel(&c.progress);
				sample_appliance(&a, false);
				ret = archive_writer_publish(w, &a, NULL, &err);
				appliance_free(&a);
			}
			cr_expect(eq(int, ret, -ECANCELED), "%s", err.text);
			archive_writer_free(w);
			progress_free(&c.progress);
			cr_expect_eq(sample_shell("cmp web.torpor copy"), 0);
			cr_expect(eq(int, count_files(), 2), "web.torpor and torpor/ only");
		}
	}
}

Test(archive, targets_that_cannot_be_are_refused)
{
	struct archive_writer *w;
	struct err err = {0};

	cr_assert(lt(int, archive_writer_open(&w, "no/such/web.torpor", &err), 0));
	cr_assert(eq(int, (int)err.kind, ERR_NOT_FOUND));
	cr_assert(lt(int, archive_writer_open(&w, "/dev/null", &err), 0));
	cr_assert(lt(int, archive_writer_open(&w, ".", &err), 0));
	cr_assert(lt(int, archive_writer_open(&w, "", &err), 0));
}

Test(archive, through_a_link_the_file_is_replaced_and_is_private)
{
	struct stat st;

	cr_assert_eq(
		sample_shell("mkdir real && touch real/x.torpor && ln -s real/x.torpor l.torpor"),
		0);
	write_ok("l.torpor");
	cr_assert(eq(int, lstat("l.torpor", &st), 0));
	cr_assert_neq(S_ISLNK(st.st_mode), 0);
	cr_assert(eq(int, stat("real/x.torpor", &st), 0));
	cr_assert(eq(int, (int)(st.st_mode & 0777), 0600));
	cr_assert(ge(i64, st.st_size, 1001));
}
