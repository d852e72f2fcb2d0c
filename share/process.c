/* See process.h. */
#include "share/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "host/sandbox.h"
#include "share/channel.h"
#include "share/server.h"

#define PATIENCE_MS 20000
#define SPARE_FILES 32u /* of the process itself */

struct share_process {
	int socket, memory, folder;
	bool readonly;
	uint8_t *slots; /* mapped */
	struct share_server *server;
};

/* --- the server's side --- */

static void send_message(const struct share_process *p, struct share_message *m, const char *text)
{
	size_t len = SHARE_MESSAGE_HEAD;

	if (text != NULL) {
		m->len = (uint32_t)strnlen(text, SHARE_TEXT_MAX);
		memcpy(m->text, text, m->len);
		len += m->len;
	}
	/* A machine that is gone is seen at the next read. */
	(void)!write(p->socket, m, len);
}

static void send_said(void *opaque, const char *text)
{
	struct share_message m = {.kind = SHARE_SAID};

	send_message(opaque, &m, text);
}

static void serve_request(struct share_process *p, const struct share_message *m)
{
	struct share_message done = {.kind = SHARE_DONE, .slot = m->slot};
	uint8_t *slot = p->slots + (size_t)m->slot * SHARE_SLOT_SIZE;

	done.len = (uint32_t)share_server_request(p->server, slot, m->len, slot, m->room);
	send_message(p, &done, NULL);
}

static void serve_save(struct share_process *p)
{
	struct share_message saved = {.kind = SHARE_SAVED, .bytes = UINT64_MAX};
	cleanup_buf struct buf record = {0};
	struct err err;
	int ret = share_server_save(p->server, SHARE_RECORD_MAX, &record, &err);

	if (ret == 0) {
		/* Behind the slots, in memory that grows with it. */
		ret = io_pwrite(p->memory, record.data, record.len, SHARE_RECORD_AT);
		if (ret < 0)
			err_sys(&err, -ret, "record a shared folder");
	}
	if (ret == 0)
		saved.bytes = record.len;
	send_message(p, &saved, ret < 0 ? err.text : NULL);
}

static void serve_load(struct share_process *p, uint64_t bytes)
{
	struct share_message loaded = {.kind = SHARE_LOADED};
	cleanup_free uint8_t *record = bytes <= SHARE_RECORD_MAX ? malloc(bytes + 1) : NULL;
	struct err err = {0};
	int ret = record != NULL ? io_pread(p->memory, record, bytes, SHARE_RECORD_AT) : -ENOMEM;

	if (ret < 0)
		err_sys(&err, -ret, "open the files of a shared folder again");
	else
		ret = share_server_load(p->server, record, bytes, &err);
	if (ret < 0)
		send_said(p, err.text);
	send_message(p, &loaded, NULL);
}

/* False: the machine is gone, or breaks the rules. */
static bool serve_message(struct share_process *p)
{
	struct share_message m;
	ssize_t got;

	while ((got = read(p->socket, &m, sizeof(m))) < 0 && errno == EINTR)
		;
	if (got < (ssize_t)SHARE_MESSAGE_HEAD)
		return false;
	switch (m.kind) {
	case SHARE_REQUEST:
		if (m.slot >= SHARE_SLOTS || m.len > SHARE_SLOT_SIZE || m.room > SHARE_SLOT_SIZE)
			return false;
		serve_request(p, &m);
		return true;
	case SHARE_RESET:
		share_server_reset(p->server);
		return true;
	case SHARE_SAVE:
		serve_save(p);
		return true;
	case SHARE_LOAD:
		serve_load(p, m.bytes);
		return true;
	default:
		return false;
	}
}

/* As many as the host lets it: each file that the guest knows is one. */
static unsigned raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 256;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 4 * SPARE_FILES)
		return 2 * SPARE_FILES;
	return limit.rlim_cur > INT_MAX ? INT_MAX : (unsigned)limit.rlim_cur - SPARE_FILES;
}

static int prepare_server(struct share_process *p, struct err *err)
{
	const struct share_server_params params = {
		.folder = p->folder,
		.readonly = p->readonly,
		.files = raise_files(),
		.say = send_said,
		.opaque = p,
	};
	int ret;

	(void)prctl(PR_SET_NAME, "torpor-folder", 0, 0, 0);
	p->slots = mmap(NULL, SHARE_RECORD_AT, PROT_READ | PROT_WRITE, MAP_SHARED, p->memory, 0);
	if (p->slots == MAP_FAILED)
		return err_sys(err, errno, "share a folder");
	ret = share_server_open(&p->server, &params, err);
	if (ret < 0)
		return ret;
	return sandbox_enter_folder(p->folder, p->readonly, err);
}

static void share_main(void *opaque)
{
	struct share_process *p = opaque;
	struct share_message m = {.kind = SHARE_READY};
	struct err err;

	if (prepare_server(p, &err) < 0) {
		m.kind = SHARE_FAILED;
		send_message(p, &m, err.text);
		return;
	}
	send_message(p, &m, NULL);
	while (serve_message(p))
		;
	share_server_close(p->server);
}

/* --- the machine's side --- */

static int await_ready(int socket, struct err *err)
{
	struct pollfd poll_fd = {.fd = socket, .events = POLLIN};
	struct share_message m;
	ssize_t got;
	int ret;

	while ((ret = poll(&poll_fd, 1, PATIENCE_MS)) < 0 && errno == EINTR)
		;
	if (ret < 0)
		return err_sys(err, errno, "poll");
	got = ret > 0 ? read(socket, &m, sizeof(m)) : -1;
	if (got < (ssize_t)SHARE_MESSAGE_HEAD || (m.kind != SHARE_READY && m.kind != SHARE_FAILED))
		return err_set(err, ERR_FAILED, "the process that serves it does not answer");
	if (m.kind == SHARE_READY)
		return 0;
	return err_set(err, ERR_FAILED, "%.*s", (int)((size_t)got - SHARE_MESSAGE_HEAD), m.text);
}

/* The machine reads what a process of a guest's wishes writes: it must not shrink below it. */
static int make_memory(struct err *err)
{
	cleanup_fd int fd = memfd_create("torpor-folder", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	if (ftruncate(fd, (off_t)SHARE_RECORD_AT) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return err_sys(err, errno, "memory for a shared folder");
	return take_fd(&fd);
}

int share_start(struct share_ends *ends, int folder, bool readonly, struct err *err)
{
	struct share_process process = {.folder = folder, .readonly = readonly};
	int pair[2], ret;

	*ends = (struct share_ends)SHARE_ENDS_CLOSED;
	ends->memory = make_memory(err);
	if (ends->memory < 0)
		return ends->memory;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		ret = err_sys(err, errno, "socketpair");
		share_ends_close(ends);
		return ret;
	}
	ends->socket = pair[0];
	process.socket = pair[1];
	process.memory = ends->memory;
	ret = child_detach(share_main, &process,
			   (const int[]){process.socket, process.memory, folder}, 3, err);
	close(pair[1]);
	if (ret == 0)
		ret = await_ready(ends->socket, err);
	if (ret < 0)
		share_ends_close(ends);
	return ret;
}

void share_ends_close(struct share_ends *ends)
{
	cleanup_fd_fn(&ends->socket);
	cleanup_fd_fn(&ends->memory);
	*ends = (struct share_ends)SHARE_ENDS_CLOSED;
}
