/*
 * mounted FOLDER AT [ro]: what a guest has of a shared folder, on this host: the server as a machine has it,
 * in a process of its own and confined, behind this kernel's own FUSE driver in the place of a guest's. As
 * root, for mount(2).
 *
 * A line `wake [FOLDER]` on standard input is a save and a resume: the server's record is taken, the server
 * ends, and a new one wakes from it, for that folder or the same one. `woken` or an error is the answer. The
 * end of the input is that of all.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "share/link.h"
#include "share/record.h"

static struct share_link server;
static char folder[4096];
static bool readonly;
static int device;

static void give_up(const char *what, const char *why)
{
	fprintf(stderr, "mounted: %s: %s\n", what, why);
	exit(1);
}

static void start_server(void)
{
	struct share_ends ends;
	struct err err = {0};
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		give_up(folder, strerror(errno));
	if (share_start(&ends, fd, readonly, &err) < 0 || share_link_open(&server, &ends, &err) < 0)
		give_up(folder, err.text);
	close(fd);
}

/* The next message of that kind; what the server says beside it is printed. */
static struct share_message await(enum share_kind kind)
{
	struct share_message m;
	int got;

	for (;;) {
		share_link_wait(&server, 60000);
		got = share_link_receive(&server, &m);
		if (got < 0)
			give_up("server", "it has ended");
		if (got > 0 && m.kind == SHARE_SAID)
			printf("said %s\n", m.text);
		else if (got > 0 && m.kind == kind)
			return m;
		else if (got > 0)
			give_up("server", "it says something else");
	}
}

static void tell(struct share_message m)
{
	if (share_link_send(&server, &m) < 0)
		give_up("server", "it has ended");
}

/* One request of the kernel. False: the file system was unmounted. */
static bool serve_request(void)
{
	uint8_t *slot = share_link_slot(&server, 0);
	ssize_t len = read(device, slot, SHARE_SLOT_SIZE);
	struct share_message done;

	if (len < 0 && errno == ENODEV)
		return false;
	if (len < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
		return true;
	if (len < 0)
		give_up("/dev/fuse", strerror(errno));
	tell((struct share_message){
		.kind = SHARE_REQUEST, .len = (uint32_t)len, .room = SHARE_SLOT_SIZE});
	done = await(SHARE_DONE);
	/* Who has asked may be gone. */
	if (done.len > 0 && write(device, slot, done.len) < 0 && errno != ENOENT)
		give_up("/dev/fuse", strerror(errno));
	return true;
}

static void wake(const char *where)
{
	struct share_message saved;
	struct err err = {0};
	uint8_t *record;

	tell((struct share_message){.kind = SHARE_SAVE});
	saved = await(SHARE_SAVED);
	if (saved.bytes == UINT64_MAX)
		give_up("save", saved.text);
	if (share_link_take_record(&server, &record, saved.bytes) < 0)
		give_up("save", "no record");
	if (share_record_check(record, saved.bytes, &err) < 0)
		give_up("save", err.text);
	share_link_close(&server);
	if (where[0] != '\0')
		snprintf(folder, sizeof(folder), "%s", where);
	start_server();
	if (share_link_put_record(&server, record, saved.bytes) < 0)
		give_up("wake", "no memory");
	tell((struct share_message){.kind = SHARE_LOAD, .bytes = saved.bytes});
	(void)await(SHARE_LOADED);
	free(record);
	printf("woken %llu\n", (unsigned long long)saved.bytes);
}

/* False: it is to end. */
static bool take_command(void)
{
	char line[sizeof(folder)], *end;

	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	end = strchr(line, '\n');
	if (end == NULL || strncmp(line, "wake", 4) != 0)
		give_up("command", "unknown");
	*end = '\0';
	wake(line[4] == ' ' ? line + 5 : "");
	return true;
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
	char options[128];

	if (argc < 3)
		give_up("usage", "mounted FOLDER AT [ro]");
	snprintf(folder, sizeof(folder), "%s", argv[1]);
	readonly = argc > 3;
	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	start_server();
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		give_up("/dev/fuse", strerror(errno));
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
		 device);
	if (mount("torpor", argv[2], "fuse.torpor", MS_NOSUID | MS_NODEV, options) < 0)
		give_up(argv[2], strerror(errno));
	fds[1].fd = device;
	printf("mounted\n");
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			give_up("poll", strerror(errno));
		/* Between two requests, as a pause is. */
		if (fds[0].revents != 0 && !take_command())
			break;
		if (fds[1].revents != 0 && !serve_request())
			break;
	}
	(void)umount2(argv[2], MNT_DETACH);
	share_link_close(&server);
	return 0;
}
