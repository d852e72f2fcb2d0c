/* Inside share/server*.c. */
#ifndef TORPOR_SHARE_SERVER_INTERNAL_H
#define TORPOR_SHARE_SERVER_INTERNAL_H

#include <linux/fuse.h>
#include <sys/stat.h>

#include "share/nodes.h"
#include "share/server.h"

#define DENTS_SIZE 8192u
#define LISTINGS   16u /* open folders that what was read of is kept for */

/*
 * What was read of an open folder and is not answered yet. File systems whose positions are mere counts (tmpfs
 * before Linux 6.6) skip names when others are removed between a seek and the next one, so a guest that goes on
 * where it stopped gets what was read, and then what the descriptor reads next.
 */
struct listing {
	uint32_t handle; /* 0: none */
	uint64_t next;	 /* the position at which that is */
	size_t at, len;	 /* in dents */
	_Alignas(8) uint8_t dents[DENTS_SIZE];
};

struct share_server {
	struct share_server_params params;
	struct nodes nodes;
	int proc; /* owned: /proc/self/fd, through which what only has a name is opened */
	uid_t uid;
	gid_t gid;
	bool started; /* FUSE_INIT was answered */
	_Alignas(8) uint8_t args[SHARE_ARGS_MAX];
	struct listing listing[LISTINGS];
	unsigned oldest_listing;
};

/* A request: the header and what follows it, copied, and of a write its bytes where they are. */
struct share_request {
	struct fuse_in_header header;
	const uint8_t *args;
	size_t nargs;
	const uint8_t *data;
	size_t ndata;
};

/* Where the answer behind its header goes. */
struct share_answer {
	uint8_t *at;
	size_t room;
};

/* Each returns the length of the answer behind its header, or a negative errno for the guest. */
typedef int share_operation(struct share_server *s, const struct share_request *r,
			    struct share_answer *a);

/* The structure at the start of the arguments; the table of operations says that it is there. */
static inline const void *request_args(const struct share_request *r)
{
	return r->args;
}

/* A name that begins at `at` in the arguments and ends with NUL; *at moves behind it. NULL: it is none, or not
 * the name of one file in a folder. */
const char *request_name(const struct share_request *r, size_t *at);
/* The node that the request is about; NULL: -ESTALE. */
struct node *request_node(const struct share_server *s, const struct share_request *r);
/* The same, a folder: 0, -ESTALE or -ENOTDIR. */
int request_folder(const struct share_server *s, const struct share_request *r, struct node **node);
/* The same, and a name in it that begins at `at` in the arguments, as request_name() takes it: also -EINVAL. */
int request_place(const struct share_server *s, const struct share_request *r, size_t *at,
		  struct node **folder, const char **name);

/* Put a structure into the answer. Returns its length, or -EIO without room. */
int answer_with(struct share_answer *a, const void *data, size_t len);

/* statx(2) of a descriptor: 0 or a negative errno. */
int file_status(int fd, struct statx *st);
void file_identity(const struct statx *st, struct share_identity *self);
/* Whether both are the same file. Numbers of devices change from boot to boot: where a file system says when a
 * file was born, they do not count. */
bool file_is(const struct share_identity *a, const struct share_identity *b);

/* A descriptor that names what lies below a folder, through no link; or a negative errno. */
int file_open_named(int folder, const char *path);
/* Open again what `fd` only names, or once more what it has open. A guest's root may open its files whatever
 * their mode says: those of the user get the bits for a moment. Returns a descriptor or a negative errno. */
int file_reopen(const struct share_server *s, int fd, int flags);
/* What open(2) of the guest comes to here. */
int file_open_flags(uint32_t flags);

/* A node for a descriptor that names a file, which is taken; that counts as a lookup. Returns 0 or a negative
 * errno. */
int share_enter(struct share_server *s, int fd, struct fuse_entry_out *out);
/* Look a name up and count that. Returns 0 or a negative errno. */
int folder_lookup(struct share_server *s, int folder, const char *name, struct fuse_entry_out *out);
void fill_attr(const struct share_server *s, const struct statx *st, struct fuse_attr *attr);

#define ATTR_SECONDS 1u

share_operation share_create, share_open, share_opendir, share_read, share_write, share_release,
	share_fsync, share_fallocate, share_lseek, share_readdir, share_readdirplus;

#endif
