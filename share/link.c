/* See link.h. */
#include "share/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

int share_link_open(struct share_link *link, struct share_ends *ends, struct err *err)
{
	void *slots;

	*link = (struct share_link){.ends = *ends};
	*ends = (struct share_ends)SHARE_ENDS_CLOSED;
	slots = mmap(NULL, SHARE_RECORD_AT, PROT_READ | PROT_WRITE, MAP_SHARED, link->ends.memory,
		     0);
	if (slots == MAP_FAILED || fcntl(link->ends.socket, F_SETFL, O_NONBLOCK) < 0) {
		int ret = err_sys(err, errno, "share a folder");

		share_ends_close(&link->ends);
		return ret;
	}
	link->slots = slots;
	return 0;
}

void share_link_close(struct share_link *link)
{
	if (link->slots == NULL)
		return;
	munmap(link->slots, SHARE_RECORD_AT);
	link->slots = NULL;
	share_ends_close(&link->ends);
}

int share_link_send(const struct share_link *link, const struct share_message *m)
{
	/* SHARE_SLOTS messages and a few more are less than any socket holds. */
	return send(link->ends.socket, m, SHARE_MESSAGE_HEAD, MSG_NOSIGNAL) < 0 ? -EPIPE : 0;
}

int share_link_receive(const struct share_link *link, struct share_message *m)
{
	ssize_t got = recv(link->ends.socket, m, sizeof(*m), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got < (ssize_t)SHARE_MESSAGE_HEAD)
		return -EPIPE;
	got -= (ssize_t)SHARE_MESSAGE_HEAD;
	m->text[got < (ssize_t)sizeof(m->text) ? got : (ssize_t)sizeof(m->text) - 1] = '\0';
	return 1;
}

void share_link_wait(const struct share_link *link, uint64_t ms)
{
	struct pollfd fd = {.fd = link->ends.socket, .events = POLLIN};

	(void)poll(&fd, 1, (int)u64_min(ms, 60000));
}

int share_link_put_record(const struct share_link *link, const uint8_t *record, size_t len)
{
	/* Memory grows with what is written, and is sealed against shrinking. */
	return io_pwrite(link->ends.memory, record, len, SHARE_RECORD_AT);
}

int share_link_take_record(const struct share_link *link, uint8_t **record, uint64_t len)
{
	int ret;

	*record = malloc(len + 1);
	if (*record == NULL)
		return -ENOMEM;
	ret = io_pread(link->ends.memory, *record, len, SHARE_RECORD_AT);
	(void)!fallocate(link->ends.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)SHARE_RECORD_AT, (off_t)align_up(len, 4096));
	if (ret == 0)
		return 0;
	free(*record);
	*record = NULL;
	return ret;
}
