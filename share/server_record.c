/* What the guest has of a folder, into a record and back; see server.h and record.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "share/server_internal.h"

/* --- save --- */

#define DELETED " (deleted)"

/* Path of a descriptor, as /proc has it. Returns its length, or -1. */
static ssize_t path_of(const struct share_server *s, int fd, char *path, size_t size)
{
	char name[16];
	ssize_t len;

	snprintf(name, sizeof(name), "%d", fd);
	len = readlinkat(s->proc, name, path, size);
	return len < (ssize_t)size ? len : -1;
}

static int open_recorded(const struct share_server *s, const char *path)
{
	return file_open_named(s->nodes.node[NODE_ROOT]->fd, path[0] != '\0' ? path : ".");
}

/* A name may end as that of a deleted file does. */
static bool leads_to(const struct share_server *s, const char *path,
		     const struct share_identity *self)
{
	cleanup_fd int fd = open_recorded(s, path);
	struct share_identity found;
	struct statx st;

	if (fd < 0 || file_status(fd, &st) < 0)
		return false;
	file_identity(&st, &found);
	return file_is(&found, self);
}

/* Fill in path or `gone`. `root`: the path of the folder, with a '/' behind it. */
static void record_path(const struct share_server *s, const char *root, int fd,
			struct share_file_state *file)
{
	static char path[2 * SHARE_PATH_MAX];
	const size_t base = strlen(root);
	ssize_t len = fd < 0 ? -1 : path_of(s, fd, path, sizeof(path) - 1);
	size_t n;

	file->gone = 1;
	file->npath = 0;
	if (len < 0)
		return;
	path[len] = '\0';
	if (strcmp(path, root) == 0 ||
	    ((size_t)len == base - 1 && strncmp(path, root, base - 1) == 0)) {
		file->gone = 0;
		return;
	}
	if (strncmp(path, root, base) != 0)
		return;
	n = (size_t)len - base;
	if (n == 0 || n >= SHARE_PATH_MAX)
		return;
	if (n > strlen(DELETED) && strcmp(path + len - strlen(DELETED), DELETED) == 0 &&
	    !leads_to(s, path + base, &file->self))
		return;
	file->gone = 0;
	file->npath = (uint32_t)n;
	memcpy(file->path, path + base, n);
}

static void save_nodes(struct share_server *s, const char *root, struct share_file_state *file,
		       struct buf *out)
{
	for (uint32_t i = NODE_ROOT + 1; i < s->nodes.nnodes; i++) {
		const struct node *node = s->nodes.node[i];

		if (node == NULL)
			continue;
		file->id = node->id;
		file->lookups = node->lookups;
		file->self = node->self;
		file->type = node->type;
		file->flags = 0;
		record_path(s, root, node->fd, file);
		share_record_add(out, SHARE_ENTRY_NODE, file);
	}
}

static unsigned save_handles(struct share_server *s, const char *root,
			     struct share_file_state *file, struct buf *out)
{
	unsigned nameless = 0;

	for (uint32_t i = 0; i < s->nodes.nhandles; i++) {
		const struct handle *handle = &s->nodes.handle[i];

		if (!handle->used)
			continue;
		file->id = i;
		file->lookups = 0;
		file->self = handle->self;
		file->type = handle->directory ? S_IFDIR : S_IFREG;
		file->flags = handle->flags;
		record_path(s, root, handle->fd, file);
		nameless += file->gone != 0 && handle->fd >= 0;
		share_record_add(out, SHARE_ENTRY_HANDLE, file);
	}
	return nameless;
}

int share_server_save(struct share_server *s, size_t most, struct buf *out, struct err *err)
{
	const struct node *folder = s->nodes.node[NODE_ROOT];
	struct share_folder_state self = {.self = folder->self, .started = s->started};
	cleanup_free struct share_file_state *file = calloc(1, sizeof(*file));
	char root[SHARE_PATH_MAX], line[128];
	const size_t start = out->len;
	ssize_t len = path_of(s, folder->fd, root, sizeof(root) - 1);
	unsigned nameless;

	if (file == NULL)
		return err_sys(err, ENOMEM, "record a shared folder");
	if (len < 0)
		return err_sys(err, ENAMETOOLONG, "record a shared folder");
	root[len] = '\0';
	if (strcmp(root, "/") != 0)
		strcpy(root + len, "/");
	share_record_add(out, SHARE_ENTRY_FOLDER, &self);
	save_nodes(s, root, file, out);
	nameless = save_handles(s, root, file, out);
	if (buf_failed(out))
		return err_sys(err, ENOMEM, "record a shared folder");
	if (out->len - start > most) {
		err_set(err, ERR_FAILED,
			"the guest knows %u files of the shared folder, which are too many to be "
			"recorded",
			s->nodes.count);
		return -E2BIG;
	}
	if (nameless > 0) {
		snprintf(line, sizeof(line),
			 "%u open file%s without a name any more: gone for whoever wakes", nameless,
			 nameless == 1 ? "" : "s");
		s->params.say(s->params.opaque, line);
	}
	return 0;
}

/* --- load --- */

/* Of files that are gone, in the log, which takes 10 lines a second. */
#define NAMED_KNOWN 3u
#define NAMED_OPEN  5u

struct loading {
	struct share_folder_state folder;
	bool moved; /* another folder than the one that was saved */
	unsigned files, gone;
	unsigned open_gone; /* of those it has open, which it will miss */
};

static void say_gone(struct share_server *s, struct loading *l, const struct share_file_state *file,
		     bool is_open)
{
	char line[SHARE_PATH_MAX + 64];

	if (is_open ? l->open_gone++ >= NAMED_OPEN : l->gone++ >= NAMED_KNOWN)
		return;
	snprintf(line, sizeof(line), "%.*s is gone%s: the guest gets ESTALE",
		 file->npath > 0 ? (int)file->npath : 16,
		 file->npath > 0 ? (const char *)file->path : "an unnamed file",
		 is_open ? ", and was open" : "");
	s->params.say(s->params.opaque, line);
}

/* The file of an entry, named only; -1: it is gone. In another folder a file is what lies there under its path;
 * in the same one it has to be the same. */
static int find_recorded(struct share_server *s, struct loading *l,
			 const struct share_file_state *file, struct share_identity *self)
{
	cleanup_fd int fd = -1;
	struct statx st;

	l->files++;
	if (file->gone == 0)
		fd = open_recorded(s, (const char *)file->path);
	if (fd < 0 || file_status(fd, &st) < 0 || (st.stx_mode & S_IFMT) != file->type)
		return -1;
	file_identity(&st, self);
	if (!l->moved && !file_is(self, &file->self))
		return -1;
	return take_fd(&fd);
}

static int load_node(struct share_server *s, struct loading *l, const struct share_file_state *file,
		     struct err *err)
{
	struct share_identity self = file->self;
	int fd = find_recorded(s, l, file, &self);
	struct node *node;

	if (fd < 0)
		say_gone(s, l, file, false);
	node = nodes_add(&s->nodes, (uint32_t)file->id, fd, file->type, &self);
	if (node == NULL && fd >= 0) {
		/* No descriptor for it. */
		say_gone(s, l, file, false);
		node = nodes_add(&s->nodes, (uint32_t)file->id, -1, file->type, &file->self);
	}
	if (node == NULL)
		return err_sys(err, ENOMEM, "open the files of a shared folder again");
	node->lookups = file->lookups;
	return 0;
}

static int load_handle(struct share_server *s, struct loading *l,
		       const struct share_file_state *file, struct err *err)
{
	const bool directory = file->type == S_IFDIR;
	struct share_identity self = file->self;
	int named = find_recorded(s, l, file, &self), fd = -1;
	int flags = (file_open_flags(file->flags) & ~O_TRUNC) | (directory ? O_DIRECTORY : 0);
	uint32_t id = (uint32_t)file->id;
	struct handle *handle;

	if (named >= 0 && s->params.readonly)
		flags &= ~O_ACCMODE;
	if (named >= 0) {
		fd = file_reopen(s, named, flags);
		close(named);
	}
	if (fd < 0)
		say_gone(s, l, file, true);
	handle = nodes_open_handle(&s->nodes, &id, fd < 0 ? -1 : fd, directory, file->flags, &self);
	if (handle == NULL && fd >= 0) {
		say_gone(s, l, file, true);
		handle = nodes_open_handle(&s->nodes, &id, -1, directory, file->flags, &file->self);
	}
	if (handle == NULL)
		return err_sys(err, ENOMEM, "open the files of a shared folder again");
	handle->moved = l->moved;
	return 0;
}

static int load_entries(struct share_server *s, struct share_entries e, struct loading *l,
			struct share_file_state *file, struct err *err)
{
	enum share_entry kind;
	int ret;

	while ((ret = share_record_next(&e, &kind, &l->folder, file, err)) > 0) {
		if (kind == SHARE_ENTRY_FOLDER) {
			s->started = l->folder.started != 0;
			l->moved = !file_is(&s->nodes.node[NODE_ROOT]->self, &l->folder.self);
		} else if (file->id != NODE_ROOT || kind == SHARE_ENTRY_HANDLE) {
			ret = kind == SHARE_ENTRY_NODE ? load_node(s, l, file, err)
						       : load_handle(s, l, file, err);
		}
		if (ret < 0)
			return ret;
	}
	return ret;
}

int share_server_load(struct share_server *s, const uint8_t *record, size_t len, struct err *err)
{
	cleanup_free struct share_file_state *file = calloc(1, sizeof(*file));
	struct loading l = {0};
	char line[128];
	int ret = file != NULL ? share_record_check(record, len, err)
			       : err_sys(err, ENOMEM, "open the files of a shared folder again");

	share_server_reset(s);
	if (ret < 0)
		return ret;
	ret = load_entries(s, (struct share_entries){record, len}, &l, file, err);
	if (ret < 0) {
		share_server_reset(s);
		return ret;
	}
	if (l.gone > NAMED_KNOWN || l.open_gone > NAMED_OPEN) {
		snprintf(line, sizeof(line),
			 "of %u files that the guest knew %u are gone, and %u that were open",
			 l.files, l.gone, l.open_gone);
		s->params.say(s->params.opaque, line);
	}
	return 0;
}
