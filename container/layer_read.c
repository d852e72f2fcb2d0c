/*
 * See layer_read.h. Two readers of libarchive, one behind the other: the first unpacks the blob,
 * the second reads the tar. Between them the digest of the tar is computed. Neither guesses: the
 * formats are set.
 */
#include "container/layer_read.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "container/archive_api.h"

#define PIECE	  (256u << 10)
#define MAX_MAJOR 0xfffu
#define MAX_MINOR 0xfffffu
#define ACL_ENTRY 8u
#define NO_ID	  UINT32_MAX
#define TAR_BLOCK 512u

struct reader {
	const struct archive_api *api;
	const struct layer_source *source;
	struct layer_tree *tree;
	struct ext4_image *img;
	struct layer_budget *budget;
	struct archive *packed, *tar; /* owned */
	struct digest *blob_sum, *tar_sum;
	uint8_t *piece;	    /* owned */
	uint64_t at;	    /* read of the blob */
	bool drained;	    /* the packed stream has ended */
	uint64_t tar_len;   /* bytes of the tar so far */
	uint64_t body_left; /* bytes of the entry's contents that are still to come */
	int ret;	    /* of a callback that failed, with *err set */
	struct err *err;
};

int layer_read_prepare(struct err *err)
{
	uint8_t digest[DIGEST_SIZE];

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	if (archive_api(err) == NULL)
		return -EINVAL;
	/* libcrypto reads its configuration when it is first used. */
	return digest_bytes("", 0, digest, err);
}

static int failed(struct reader *r, struct archive *a)
{
	const char *text = r->api->error_string(a);

	if (r->ret < 0)
		return r->ret;
	return err_set(r->err, ERR_INTEGRITY, "the layer cannot be read: %s",
		       text != NULL ? text : "damaged");
}

/* --- the streams --- */

static la_ssize_t on_blob_read(struct archive *a, void *opaque, const void **data)
{
	struct reader *r = opaque;
	uint64_t len = u64_min(PIECE, r->source->blob.len - r->at);

	(void)a;
	*data = r->piece;
	if (len == 0)
		return 0;
	r->ret = blob_read(&r->source->blob, r->at, r->piece, len, r->err);
	if (r->ret < 0)
		return -1;
	digest_add(r->blob_sum, r->piece, len);
	r->at += len;
	return (la_ssize_t)len;
}

/* The next piece of the tar; 0 at the end. */
static la_ssize_t next_piece(struct reader *r, const void **data)
{
	la_int64_t at;
	size_t len = 0;
	int ret;

	if (r->drained)
		return 0;
	do {
		ret = r->api->read_data(r->packed, data, &len, &at);
	} while (ret == ARCHIVE_OK && len == 0);
	if (ret == ARCHIVE_EOF) {
		r->drained = true;
		return 0;
	}
	if (ret != ARCHIVE_OK) {
		r->ret = failed(r, r->packed);
		return -1;
	}
	if (len > r->budget->stream) {
		r->ret =
			err_set(r->err, ERR_INTEGRITY, "its layers unpack to more than is allowed");
		return -1;
	}
	r->budget->stream -= len;
	r->tar_len += len;
	digest_add(r->tar_sum, *data, len);
	return (la_ssize_t)len;
}

/* Some programs (umoci insert) leave out what pads the last block of the tar, which Go's reader
 * and GNU tar's do without. It is made up here, once all of the contents have come. */
static la_ssize_t on_tar_read(struct archive *a, void *opaque, const void **data)
{
	static const uint8_t zeros[TAR_BLOCK];
	struct reader *r = opaque;
	la_ssize_t len = next_piece(r, data);
	uint64_t missing = -r->tar_len % TAR_BLOCK;

	(void)a;
	if (len != 0 || missing == 0 || r->body_left > 0)
		return len;
	r->tar_len += missing;
	*data = zeros;
	return (la_ssize_t)missing;
}

/* What is behind the end of the tar counts for the digests, too. */
static int drain(struct reader *r)
{
	const void *data;
	la_ssize_t got;

	do {
		got = next_piece(r, &data);
	} while (got > 0);
	while (got == 0 && r->at < r->source->blob.len)
		got = on_blob_read(NULL, r, &data) < 0 ? -1 : 0;
	return got < 0 ? r->ret : 0;
}

/* --- entries --- */

/* From 0 to 2^32 - 2. */
static int take_id(uint32_t *id, la_int64_t value, struct err *err)
{
	if (value < 0 || value >= NO_ID)
		return err_set(err, ERR_INTEGRITY, "an owner of number %lld", (long long)value);
	*id = (uint32_t)value;
	return 0;
}

static int take_attributes(struct reader *r, struct archive_entry *e, struct tree_attr *attr)
{
	long nsec = r->api->entry_mtime_nsec(e);
	int ret;

	*attr = (struct tree_attr){0};
	attr->mode = r->api->entry_type(e) | (r->api->entry_perm(e) & 07777);
	attr->mtime = r->api->entry_mtime(e);
	attr->nsec = nsec >= 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
	ret = take_id(&attr->uid, r->api->entry_uid(e), r->err);
	if (ret < 0)
		return ret;
	ret = take_id(&attr->gid, r->api->entry_gid(e), r->err);
	if (ret < 0)
		return ret;
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
		return 0;
	case S_IFLNK:
		attr->target = r->api->entry_symlink(e);
		if (attr->target == NULL || attr->target[0] == '\0')
			return err_set(r->err, ERR_INTEGRITY, "a symbolic link to nothing");
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		attr->major = (uint32_t)r->api->entry_major(e);
		attr->minor = (uint32_t)r->api->entry_minor(e);
		if (attr->major > MAX_MAJOR || attr->minor > MAX_MINOR)
			return err_set(r->err, ERR_INTEGRITY, "a device of number %u:%u",
				       attr->major, attr->minor);
		return 0;
	default:
		return err_set(r->err, ERR_INTEGRITY, "a file of no known type");
	}
}

/* trusted.overlay.… would mean something to an overlay that has this as its lower layer. */
static bool is_kept(const char *name)
{
	return name != NULL && strncmp(name, "trusted.overlay.", 16) != 0;
}

static int put_xattrs(struct reader *r, struct archive_entry *e, struct tree_inode *inode)
{
	const char *name;
	const void *value;
	size_t len;

	r->api->entry_xattr_reset(e);
	while (r->api->entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
		int ret = is_kept(name) ? layer_tree_xattr(r->tree, inode, name, value, len, r->err)
					: 0;

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* In the order that the kernel asks for. */
static const struct {
	int archive;
	uint16_t tag;
	bool named;
} acl_tags[] = {
	{ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01, false},  {ARCHIVE_ENTRY_ACL_USER, 0x02, true},
	{ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04, false}, {ARCHIVE_ENTRY_ACL_GROUP, 0x08, true},
	{ARCHIVE_ENTRY_ACL_MASK, 0x10, false},	    {ARCHIVE_ENTRY_ACL_OTHER, 0x20, false},
};

static int by_tag_and_id(const void *a, const void *b)
{
	const uint8_t *x = a, *y = b;

	if (le_get16(x) != le_get16(y))
		return le_get16(x) < le_get16(y) ? -1 : 1;
	return le_get32(x + 4) < le_get32(y + 4) ? -1 : le_get32(x + 4) > le_get32(y + 4);
}

static int add_acl_entry(struct buf *acl, int tag, int permset, int id, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(acl_tags); i++) {
		if (acl_tags[i].archive != tag)
			continue;
		if (acl_tags[i].named && id < 0)
			return err_set(err, ERR_INTEGRITY,
				       "an access control list names an owner without a number");
		buf_add_le16(acl, acl_tags[i].tag);
		buf_add_le16(acl, (uint16_t)(permset & 7));
		buf_add_le32(acl, acl_tags[i].named ? (uint32_t)id : NO_ID);
	}
	return 0;
}

/* An access control list in star's form, to the form of the system call. */
static int put_acl(struct reader *r, struct archive_entry *e, struct tree_inode *inode, int type,
		   const char *name)
{
	cleanup_buf struct buf acl = {0};
	int got, permset, tag, id;
	const char *who;

	if (r->api->entry_acl_reset(e, type) == 0)
		return 0;
	buf_add_le32(&acl, 2);
	while (r->api->entry_acl_next(e, type, &got, &permset, &tag, &id, &who) == ARCHIVE_OK) {
		int ret = add_acl_entry(&acl, tag, permset, id, r->err);

		if (ret < 0)
			return ret;
	}
	if (buf_failed(&acl))
		return err_sys(r->err, ENOMEM, "read a layer");
	qsort(acl.data + 4, (acl.len - 4) / ACL_ENTRY, ACL_ENTRY, by_tag_and_id);
	return layer_tree_xattr(r->tree, inode, name, acl.data, acl.len, r->err);
}

static int put_contents(struct reader *r, struct archive_entry *e, const char *path,
			struct tree_inode *inode)
{
	la_int64_t size = r->api->entry_size(e), at;
	const void *data;
	size_t len;
	int ret;

	if (size < 0)
		return err_set(r->err, ERR_INTEGRITY, "a file of a negative size");
	ret = ext4_file_begin(r->img, inode, path, (uint64_t)size, r->err);
	if (ret < 0)
		return ret;
	while ((ret = r->api->read_data(r->tar, &data, &len, &at)) == ARCHIVE_OK) {
		if (at < 0 || !range_within((uint64_t)at, len, (uint64_t)size))
			return err_set(r->err, ERR_INTEGRITY, "a file with bytes behind its end");
		r->body_left = (uint64_t)size - (uint64_t)at - len;
		ret = ext4_file_write(r->img, data, len, (uint64_t)at, r->err);
		if (ret < 0)
			return ret;
	}
	if (ret != ARCHIVE_EOF)
		return failed(r, r->tar);
	return ext4_file_end(r->img, (uint64_t)size, r->err);
}

static int put_file(struct reader *r, struct archive_entry *e, const char *path)
{
	struct tree_inode *inode;
	struct tree_attr attr;
	int ret = take_attributes(r, e, &attr);

	if (ret < 0)
		return ret;
	ret = layer_tree_add(r->tree, path, &attr, &inode, r->err);
	if (ret < 0 || inode == NULL)
		return ret;
	ret = put_xattrs(r, e, inode);
	if (ret < 0)
		return ret;
	ret = put_acl(r, e, inode, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access");
	if (ret < 0)
		return ret;
	if (S_ISDIR(attr.mode))
		ret = put_acl(r, e, inode, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT,
			      "system.posix_acl_default");
	else if (S_ISREG(attr.mode))
		ret = put_contents(r, e, path, inode);
	return ret;
}

static int put_entries(struct reader *r)
{
	struct archive_entry *e;
	int ret;

	while ((ret = r->api->read_next(r->tar, &e)) == ARCHIVE_OK || ret == ARCHIVE_WARN) {
		const char *path = r->api->entry_path(e), *link = r->api->entry_hardlink(e);

		if (path == NULL)
			return err_set(r->err, ERR_INTEGRITY, "a file without a name");
		r->body_left = r->api->entry_size(e) > 0 ? (uint64_t)r->api->entry_size(e) : 0;
		ret = link != NULL ? layer_tree_link(r->tree, path, link, r->err)
				   : put_file(r, e, path);
		if (ret < 0)
			return link != NULL ? ret : err_context(r->err, ret, "%.256s", path);
	}
	return ret == ARCHIVE_EOF ? 0 : failed(r, r->tar);
}

/* --- the layer --- */

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && strcmp(text + a - b, end) == 0;
}

static int expected_filter(const char *media_type)
{
	if (strstr(media_type, "tar") == NULL)
		return -1;
	if (ends_with(media_type, "gzip"))
		return ARCHIVE_FILTER_GZIP;
	if (ends_with(media_type, "zstd"))
		return ARCHIVE_FILTER_ZSTD;
	return ends_with(media_type, "tar") ? ARCHIVE_FILTER_NONE : -1;
}

/* By its first bytes, and the media type must say the same. */
static int find_filter(const struct layer_source *source, struct err *err)
{
	static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
	int filter = ARCHIVE_FILTER_NONE;
	uint8_t head[4] = {0};
	int ret = blob_read(&source->blob, 0, head, u64_min(sizeof(head), source->blob.len), err);

	if (ret < 0)
		return ret;
	if (memcmp(head, gzip, sizeof(gzip)) == 0)
		filter = ARCHIVE_FILTER_GZIP;
	else if (memcmp(head, zstd, sizeof(zstd)) == 0)
		filter = ARCHIVE_FILTER_ZSTD;
	if (source->media_type[0] == '\0' || expected_filter(source->media_type) == filter)
		return filter;
	return expected_filter(source->media_type) < 0
		       ? err_set(err, ERR_INTEGRITY, "a layer of type %s, which holds no files",
				 source->media_type)
		       : err_set(err, ERR_INTEGRITY, "a layer of type %s is packed otherwise",
				 source->media_type);
}

static int open_streams(struct reader *r, int filter)
{
	struct archive_entry *e;
	int ret;

	r->packed = r->api->read_new();
	r->tar = r->api->read_new();
	r->piece = malloc(PIECE);
	if (r->packed == NULL || r->tar == NULL || r->piece == NULL)
		return err_sys(r->err, ENOMEM, "read a layer");
	r->api->read_raw(r->packed);
	r->api->read_empty(r->packed);
	if (r->api->read_filter(r->packed, filter) < ARCHIVE_WARN ||
	    r->api->read_open(r->packed, r, NULL, on_blob_read, NULL) != ARCHIVE_OK)
		return failed(r, r->packed);
	ret = r->api->read_next(r->packed, &e);
	r->drained = ret == ARCHIVE_EOF; /* it is empty */
	if (ret != ARCHIVE_OK && !r->drained)
		return failed(r, r->packed);
	r->api->read_tar(r->tar);
	r->api->read_empty(r->tar);
	if (r->api->read_filter(r->tar, ARCHIVE_FILTER_NONE) < ARCHIVE_WARN ||
	    r->api->read_open(r->tar, r, NULL, on_tar_read, NULL) != ARCHIVE_OK)
		return failed(r, r->tar);
	return 0;
}

static int check_digest(struct digest *sum, const char *expected, const char *what,
			char text[DIGEST_TEXT_SIZE], struct err *err)
{
	uint8_t digest[DIGEST_SIZE];
	int ret = digest_end(sum, digest, err);

	if (ret < 0)
		return ret;
	digest_text(digest, text);
	if (expected[0] == '\0' || strcmp(text, expected) == 0)
		return 0;
	return err_set(err, ERR_INTEGRITY, "%s is not %s", what, expected);
}

static int read_all(struct reader *r, char diff_id[DIGEST_TEXT_SIZE])
{
	char blob[DIGEST_TEXT_SIZE];
	int ret = find_filter(r->source, r->err);

	if (ret < 0)
		return ret;
	ret = open_streams(r, ret);
	if (ret < 0)
		return ret;
	ret = ext4_image_align(r->img, r->err);
	if (ret < 0)
		return ret;
	layer_tree_begin_layer(r->tree, true);
	ret = put_entries(r);
	if (ret < 0)
		return ret;
	ret = layer_tree_end_layer(r->tree, r->err);
	if (ret < 0)
		return ret;
	ret = drain(r);
	if (ret < 0)
		return ret;
	ret = check_digest(r->blob_sum, r->source->digest, "the digest of the layer", blob, r->err);
	return ret < 0 ? ret
		       : check_digest(r->tar_sum, r->source->diff_id,
				      "the digest of the unpacked layer", diff_id, r->err);
}

int layer_read(const struct layer_source *source, struct layer_tree *tree, struct ext4_image *img,
	       struct layer_budget *budget, char diff_id[DIGEST_TEXT_SIZE], struct err *err)
{
	cleanup_digest struct digest *blob_sum = NULL, *tar_sum = NULL;
	struct reader r = {.api = archive_api(err),
			   .source = source,
			   .tree = tree,
			   .img = img,
			   .budget = budget,
			   .err = err};
	int ret;

	if (r.api == NULL)
		return -EINVAL;
	ret = digest_new(&blob_sum, err);
	if (ret < 0)
		return ret;
	ret = digest_new(&tar_sum, err);
	if (ret < 0)
		return ret;
	r.blob_sum = blob_sum;
	r.tar_sum = tar_sum;
	ret = read_all(&r, diff_id);
	if (r.tar != NULL)
		r.api->read_free(r.tar);
	if (r.packed != NULL)
		r.api->read_free(r.packed);
	free(r.piece);
	return ret;
}
