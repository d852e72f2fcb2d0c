/*
 * Verifying an archive on all cores; see archive.h. Every byte of the file is looked at: blobs
 * against their digests and hash lists, everything between them against zero. (Tar headers carry a
 * sum, which the reader checked, as it parsed oci-layout and index.json, when the file was opened.)
 *
 * Jobs run on several threads; findings are told one at a time, under one mutex.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arrival.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "base/parallel.h"
#include "format/archive_internal.h"
#include "format/image/frame_reader.h"
#include "format/verified.h"

#define CHUNK MIB(1)

struct verify;
struct hashing;
struct verify_job;

#define JOB_FRAMES 256u

/* One thing to do: hash a blob, which may be a flat part of an image; or compare frames with the
 * hash list, packed ones or those of the hot set. */
struct verify_job {
	int (*check)(struct verify *v, const struct verify_job *job, struct hashing *h,
		     struct err *err);
	const char *name;
	const char *digest; /* 64 hex digits */
	struct blob blob;
	const struct image *image;
	uint64_t first_place; /* of a part; of packed frames */
	uint64_t frames;      /* packed */
};

struct verify {
	const struct archive *a;
	struct verify_job *jobs;
	size_t njobs;
	bool everything; /* packed frames, too, that are compared whenever they are used */
	struct verified_set files; /* of a folder, as they were before */
	void (*report)(void *opaque, const char *finding);
	void *opaque;
	pthread_mutex_t lock; /* guards what follows, and report() */
	uint64_t findings;
	char first[512];
};

static void add_finding(struct verify *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_finding(struct verify *v, const char *fmt, ...)
{
	char text[sizeof(v->first)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&v->lock);
	if (v->findings++ == 0)
		strcpy(v->first, text);
	if (v->report != NULL)
		v->report(v->opaque, text);
	pthread_mutex_unlock(&v->lock);
}

static const char *hex_of(const char *digest)
{
	return strchr(digest, ':') + 1;
}

struct hashing {
	struct digest *whole;
	struct digest *frame;
	struct frame_reader *reader;
	uint8_t *chunk;
	bool frames_differ;
};

static int verify_frame(struct verify *v, const struct image *image, uint64_t place,
			const uint8_t *frame, struct hashing *h, struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret;

	digest_add(h->frame, frame, FRAME_SIZE);
	ret = digest_end(h->frame, digest, err);
	if (ret < 0 ||
	    memcmp(digest, image->hash_list + place * IMAGE_HASH_SIZE, sizeof(digest)) == 0)
		return ret;
	h->frames_differ = true;
	add_finding(v, "frame %llu of %s: SHA-256 differs",
		    (unsigned long long)image_map_frame_at(&image->map, place), image->role);
	return 0;
}

/* A damaged frame is a finding; the others are looked at all the same. */
static int packed_job(struct verify *v, const struct verify_job *job, struct hashing *h,
		      struct err *err)
{
	for (uint64_t i = 0; i < job->frames; i++) {
		struct err found = {0};
		int ret = progress_check(v->a->progress, err);

		if (ret < 0)
			return ret;
		progress_add(v->a->progress, FRAME_SIZE);
		ret = frame_read(h->reader, job->image, job->first_place + i, h->chunk, &found);

		if (ret < 0 && found.kind != ERR_INTEGRITY)
			return err_copy(err, ret, &found);
		if (ret < 0)
			add_finding(v, "%s", found.text);
	}
	return 0;
}

/* The hot set: frames that are in the parts too, so their hashes are known. */
static int hot_job(struct verify *v, const struct verify_job *job, struct hashing *h,
		   struct err *err)
{
	const struct image *image = job->image;
	int ret = 0;

	for (uint64_t i = 0; i < image->hot.len / FRAME_SIZE; i++) {
		uint8_t place[8];

		ret = blob_read(&image->hotlist, i * sizeof(place), place, sizeof(place), err);
		if (ret < 0)
			return ret;
		if (le_get64(place) >= image->map.data_frames) {
			add_finding(v, "the hot set of %s: a place outside the data", image->role);
			return 0;
		}
		ret = blob_read(&image->hot, i * FRAME_SIZE, h->chunk, FRAME_SIZE, err);
		if (ret < 0)
			return ret;
		ret = verify_frame(v, image, le_get64(place), h->chunk, h, err);
		if (ret < 0)
			return ret;
		progress_add(v->a->progress, FRAME_SIZE);
	}
	return 0;
}

static uint64_t job_bytes(const struct verify_job *job)
{
	if (job->image == NULL || job->blob.len > 0)
		return job->blob.len;
	return job->frames > 0 ? job->frames * FRAME_SIZE : job->image->hot.len;
}

static int hash_blob(const struct blob *blob, char text[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_digest struct digest *digest = NULL;
	cleanup_free uint8_t *chunk = malloc(CHUNK);
	uint8_t sum[DIGEST_SIZE];
	int ret = chunk != NULL ? digest_new(&digest, err) : err_sys(err, ENOMEM, "hash it");

	if (ret < 0)
		return ret;
	if (blob->arrival != NULL)
		arrival_want(blob->arrival, blob->offset, blob->len);
	for (uint64_t at = 0; at < blob->len; at += CHUNK) {
		uint64_t len = u64_min(CHUNK, blob->len - at);

		ret = blob_read(blob, at, chunk, len, err);
		if (ret < 0)
			return ret;
		digest_add(digest, chunk, len);
	}
	ret = digest_end(digest, sum, err);
	if (ret == 0)
		digest_text(sum, text);
	return ret;
}

/* What arrived wrong is asked for once more; `digest` is 64 hex digits, and *right says whether it is
 * what it should be then. */
static int hash_again(const struct blob *blob, const char *digest, bool *right, struct err *err)
{
	char text[DIGEST_TEXT_SIZE];
	int ret;

	*right = false;
	if (blob->arrival == NULL || blob->len == 0)
		return 0;
	ret = arrival_again(blob->arrival, blob->offset, blob->len, err);
	if (ret == 0)
		ret = hash_blob(blob, text, err);
	*right = ret == 0 && strcmp(hex_of(text), digest) == 0;
	return ret;
}

static int hash_job(struct verify *v, const struct verify_job *job, struct hashing *h,
		    struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	char text[DIGEST_TEXT_SIZE];
	bool right;
	int ret;

	for (uint64_t at = 0; at < job->blob.len; at += CHUNK) {
		uint64_t len = u64_min(CHUNK, job->blob.len - at);

		ret = progress_check(v->a->progress, err);
		if (ret < 0)
			return ret;
		progress_add(v->a->progress, len);
		ret = blob_read(&job->blob, at, h->chunk, len, err);
		if (ret < 0)
			return err_context(err, ret, "%s", job->name);
		digest_add(h->whole, h->chunk, len);
		for (uint64_t done = 0; job->image != NULL && done < len; done += FRAME_SIZE) {
			ret = verify_frame(v, job->image,
					   job->first_place + (at + done) / FRAME_SIZE,
					   h->chunk + done, h, err);
			if (ret < 0)
				return err_context(err, ret, "%s", job->name);
		}
	}
	ret = digest_end(h->whole, digest, err);
	if (ret < 0)
		return err_context(err, ret, "%s", job->name);
	digest_text(digest, text);
	if (strcmp(hex_of(text), job->digest) == 0 || h->frames_differ)
		return 0;
	ret = hash_again(&job->blob, job->digest, &right, err);
	if (ret < 0)
		return err_context(err, ret, "%s", job->name);
	if (!right)
		add_finding(v, "%s: SHA-256 differs", job->name);
	return 0;
}

static int check_zeros(struct verify *v, const char *name, uint64_t from, uint64_t to,
		       uint8_t *chunk, struct err *err)
{
	struct blob gap = {.fd = v->a->container.fd,
			   .offset = from,
			   .len = to - from,
			   .arrival = v->a->container.arrival};

	for (uint64_t at = 0; at < gap.len; at += CHUNK) {
		uint64_t len = u64_min(CHUNK, gap.len - at);
		int ret = blob_read(&gap, at, chunk, len, err);

		if (ret < 0)
			return ret;
		if (!is_zero(chunk, len)) {
			add_finding(v, "%s: bytes that should be zero are not", name);
			break;
		}
	}
	return 0;
}

/* Padding, fillers, and members that an image layout does not have. */
static int check_between(struct verify *v, uint8_t *chunk, struct err *err)
{
	const struct tar *tar = &v->a->container.tar;
	int ret = 0;

	for (size_t i = 0; i < tar->nentries; i++) {
		const struct tar_entry *entry = &tar->entries[i];
		uint64_t end = entry->offset + entry->size;

		if (entry->type != TAR_FILE)
			continue;
		ret = check_zeros(v, entry->name, tar_is_filler(entry) ? entry->offset : end,
				  align_up(end, TAR_BLOCK), chunk, err);
		if (!tar_is_filler(entry) && strcmp(entry->name, OCI_LAYOUT_NAME) != 0 &&
		    strcmp(entry->name, OCI_INDEX_NAME) != 0 &&
		    strncmp(entry->name, OCI_BLOB_PREFIX, sizeof(OCI_BLOB_PREFIX) - 1) != 0)
			add_finding(v, "%s: not a part of an image layout", entry->name);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void hashing_free(struct hashing *h)
{
	frame_reader_free(h->reader);
	digest_free(h->whole);
	digest_free(h->frame);
	free(h->chunk);
}

/* The last job is what lies between the blobs. */
static int run_verify_job(void *opaque, uint64_t index, struct err *err)
{
	__attribute__((cleanup(hashing_free))) struct hashing h = {.chunk = malloc(CHUNK)};
	struct verify *v = opaque;
	int ret;

	if (h.chunk == NULL)
		return err_sys(err, ENOMEM, "verify");
	ret = digest_new(&h.whole, err);
	if (ret < 0)
		return ret;
	ret = digest_new(&h.frame, err);
	if (ret < 0)
		return ret;
	ret = frame_reader_new(&h.reader, err);
	if (ret < 0)
		return ret;
	if (index < v->njobs)
		return v->jobs[index].check(v, &v->jobs[index], &h, err);
	return v->a->given && !v->everything ? 0 : check_between(v, h.chunk, err);
}

/* Tell a part's job where its hashes are. */
static void attach_image(struct verify *v, struct verify_job *job)
{
	for (size_t i = 0; i < v->a->nimages; i++) {
		const struct archive_image *image = &v->a->images[i];
		size_t len = strlen(image->role);
		const char *part = job->name + len + 1;

		if (strncmp(job->name, image->role, len) != 0 || job->name[len] != '.' ||
		    part[strspn(part, "0123456789")] != '\0')
			continue;
		job->image = &image->image;
		job->first_place = strtoul(part, NULL, 10) * image->image.part_frames;
	}
}

static bool is_ours(const struct archive *a, const struct tar_entry *entry)
{
	for (size_t i = 0; i < a->nentries; i++) {
		if (a->entries[i].blob.offset == entry->offset)
			return true;
	}
	return false;
}

/* Blobs of other images in the same tar are called what their digest is. */
static void add_strangers(struct verify *v)
{
	const struct tar *tar = &v->a->container.tar;
	const size_t prefix = sizeof(OCI_BLOB_PREFIX) - 1;

	for (size_t i = 0; i < tar->nentries; i++) {
		const struct tar_entry *entry = &tar->entries[i];

		if (entry->type == TAR_FILE && strncmp(entry->name, OCI_BLOB_PREFIX, prefix) == 0 &&
		    !is_ours(v->a, entry))
			v->jobs[v->njobs++] = (struct verify_job){
				.check = hash_job,
				.name = entry->name,
				.digest = entry->name + prefix,
				.blob = {.fd = v->a->container.fd,
					 .offset = entry->offset,
					 .len = entry->size,
					 .arrival = v->a->container.arrival},
			};
	}
}

/* The packed frames of an image, some at a time, and its hot set. */
static void add_frames(struct verify *v, const struct image *image)
{
	bool looked_at = image->encoding == IMAGE_PACKED && v->everything &&
			 image_check_open(image, NULL) == 0;
	uint64_t frames = looked_at ? image->map.data_frames : 0;

	for (uint64_t first = 0; first < frames; first += JOB_FRAMES)
		v->jobs[v->njobs++] = (struct verify_job){
			.check = packed_job,
			.image = image,
			.first_place = first,
			.frames = u64_min(JOB_FRAMES, frames - first),
		};
	if (image->hot.len > 0)
		v->jobs[v->njobs++] = (struct verify_job){.check = hot_job, .image = image};
}

static size_t most_jobs(const struct verify *v)
{
	size_t jobs = v->a->nentries + v->a->container.tar.nentries;

	for (size_t i = 0; i < v->a->nimages; i++)
		jobs += v->a->images[i].image.map.data_frames / JOB_FRAMES + 2;
	return jobs;
}

/* Checked when it is used: packed frames against their hash list, and, of what is given, flat ones
 * and those of the hot set as well, kernel and initrd by archive_check_boot(). */
static bool checked_later(const struct verify *v, const struct archive_entry *entry)
{
	if (v->everything)
		return false;
	if (strcmp(entry->media_type, OCI_PACKED_TYPE) == 0)
		return true;
	return v->a->given &&
	       (strcmp(entry->media_type, OCI_FLAT_TYPE) == 0 ||
		strcmp(entry->media_type, OCI_HOT_TYPE) == 0 ||
		strcmp(entry->role, ROLE_KERNEL) == 0 || strcmp(entry->role, ROLE_INITRD) == 0);
}

static int make_jobs(struct verify *v, struct err *err)
{
	v->jobs = calloc(most_jobs(v) + 1, sizeof(v->jobs[0]));
	if (v->jobs == NULL)
		return err_sys(err, ENOMEM, "verify");
	for (size_t i = 0; i < v->a->nentries; i++) {
		const struct archive_entry *entry = &v->a->entries[i];
		struct verify_job *job = &v->jobs[v->njobs];

		if (checked_later(v, entry))
			continue;
		v->njobs++;
		*job = (struct verify_job){
			.check = hash_job,
			.name = entry->role,
			.digest = hex_of(entry->digest),
			.blob = entry->blob,
		};
		if (strcmp(entry->media_type, OCI_FLAT_TYPE) == 0)
			attach_image(v, job);
	}
	if (v->a->given && !v->everything)
		return 0;
	for (size_t i = 0; i < v->a->nimages; i++)
		add_frames(v, &v->a->images[i].image);
	add_strangers(v);
	return 0;
}

/* Its files, as they are now. */
static int folder_files(const struct archive *a, struct verified_set *set, struct err *err)
{
	struct stat st;

	verified_set_init(set, a->manifest.digest);
	for (size_t i = 0; i < a->nentries; i++) {
		if (fstat(a->entries[i].blob.fd, &st) < 0)
			return err_sys(err, errno, "%s", a->entries[i].role);
		verified_set_add(set, &st, a->entries[i].digest);
	}
	return 0;
}

static int conclude_folder(struct archive *a, const struct verify *v, struct err *err)
{
	struct verified_set now;
	int ret = folder_files(a, &now, err);

	if (ret < 0)
		return ret;
	if (!verified_set_same(&v->files, &now))
		return err_set(err, ERR_INTEGRITY, "it changed while it was verified");
	verified_set_remember(&v->files);
	a->known = true;
	return 0;
}

static int conclude(struct archive *a, const struct verify *v, struct err *err)
{
	struct stat now;

	if (v->findings == 1)
		return err_set(err, ERR_INTEGRITY, "%s", v->first);
	if (v->findings > 1)
		return err_set(err, ERR_INTEGRITY, "%s, and %llu more", v->first,
			       (unsigned long long)v->findings - 1);
	if (a->given)
		return 0;
	if (a->container.folder)
		return conclude_folder(a, v, err);
	if (fstat(a->container.fd, &now) < 0)
		return err_sys(err, errno, "verify");
	if (!verified_same(&a->st, &now))
		return err_set(err, ERR_INTEGRITY, "it changed while it was verified");
	if (a->settled)
		verified_remember(&now);
	a->known = true;
	return 0;
}

/* Not compared with their digests: a wrong list is a finding of its own job. */
static int load_hash_lists(struct archive *a, struct err *err)
{
	for (size_t i = 0; i < a->nimages; i++) {
		int ret;

		if (image_check_open(&a->images[i].image, NULL) < 0)
			continue;
		ret = image_load_hashes(&a->images[i].image, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int run_verify(struct verify *v, struct archive *a, struct err *err)
{
	int ret = load_hash_lists(a, err);

	if (ret < 0)
		return ret;
	ret = make_jobs(v, err);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < v->njobs; i++)
		progress_expect(a->progress, job_bytes(&v->jobs[i]));
	ret = parallel_run(v->njobs + 1, run_verify_job, v, err);
	if (ret < 0)
		return ret;
	return conclude(a, v, err);
}

static void forget(const struct archive *a, const struct verify *v)
{
	if (a->container.folder)
		verified_set_forget(&v->files);
	else if (!a->given)
		verified_forget(&a->st);
}

static int verify_archive(struct archive *a, bool everything,
			  void (*report)(void *opaque, const char *finding), void *opaque,
			  struct err *err)
{
	struct verify v = {.a = a, .everything = everything, .report = report, .opaque = opaque};
	int ret;

	if (a->container.folder) {
		ret = folder_files(a, &v.files, err);
		if (ret < 0)
			return err_context(err, ret, "%s", a->path);
		a->known = !everything && verified_set_known(&v.files);
		if (a->known)
			return 0;
	}
	pthread_mutex_init(&v.lock, NULL);
	ret = run_verify(&v, a, err);
	if (ret < 0) {
		forget(a, &v);
		a->known = false;
	}
	free(v.jobs);
	pthread_mutex_destroy(&v.lock);
	return ret < 0 ? err_context(err, ret, "%s", a->path) : 0;
}

int archive_verify(struct archive *a, void (*report)(void *opaque, const char *finding),
		   void *opaque, struct err *err)
{
	return verify_archive(a, true, report, opaque, err);
}

int archive_ensure_verified(struct archive *a, struct err *err)
{
	return a->known ? 0 : verify_archive(a, false, NULL, NULL, err);
}

static int check_boot_blob(const struct archive_entry *entry, struct err *err)
{
	char digest[DIGEST_TEXT_SIZE];
	bool right;
	int ret = hash_blob(&entry->blob, digest, err);

	if (ret < 0 || strcmp(digest, entry->digest) == 0)
		return ret;
	ret = hash_again(&entry->blob, hex_of(entry->digest), &right, err);
	if (ret < 0 || right)
		return ret;
	return err_set(err, ERR_INTEGRITY, "SHA-256 differs");
}

int archive_check_boot(struct archive *a, struct err *err)
{
	static const char *const roles[] = {ROLE_KERNEL, ROLE_INITRD};

	for (size_t i = 0; a->given && !a->boot_checked && i < ARRAY_SIZE(roles); i++) {
		const struct archive_entry *entry = archive_find(a, roles[i]);
		int ret = entry != NULL ? check_boot_blob(entry, err) : 0;

		if (ret < 0)
			return err_context(err, ret, "%s: %s", a->path, roles[i]);
	}
	a->boot_checked = true;
	return 0;
}
