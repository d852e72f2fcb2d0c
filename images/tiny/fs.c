/* virtio-fs (virtio 1.2 §5.11), one folder: FUSE requests (Linux uapi fuse.h, 7.31) put together by hand. */
#include "images/tiny/tiny.h"

enum { LOOKUP = 1, UNLINK = 10, OPEN = 14, READ = 15, WRITE = 16, INIT = 26, CREATE = 35 };
enum { REQUESTS = 1, O_RDWR = 2, TEXT = 64, ROOM = 512 };

struct header {
	uint32_t len, opcode;
	uint64_t unique, node;
	uint32_t uid, gid, pid, pad;
};

struct answer {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};

static struct vdev fs;
static struct {
	struct header head;
	uint8_t args[ROOM];
} request;
static struct {
	struct answer head;
	uint8_t data[ROOM];
} answer;

void fs_probe(uint64_t base)
{
	if (fs.base)
		return;
	fs.base = base;
	if (virtio_negotiate(&fs, F_INDIRECT) && virtio_queue(&fs, 0) &&
	    virtio_queue(&fs, REQUESTS))
		virtio_start(&fs);
	else
		fs.base = 0;
}

static void ask(uint32_t opcode, uint64_t node, uint32_t nargs)
{
	static uint64_t unique;

	request.head = (struct header){.len = sizeof(request.head) + nargs,
				       .opcode = opcode,
				       .unique = ++unique,
				       .node = node};
	__builtin_memset(&answer, 0, sizeof(answer));
}

/* Returns the bytes behind the answer's header, or -1: then the command is answered. */
static int64_t answered(int64_t len)
{
	if (len < (int64_t)sizeof(answer.head))
		say("error fs silent");
	else if (answer.head.error)
		say("error fs %u", (uint64_t)-answer.head.error);
	else if (answer.head.unique != request.head.unique)
		say("error fs unique");
	else
		return len - (int64_t)sizeof(answer.head);
	return -1;
}

static int64_t call(uint32_t opcode, uint64_t node, uint32_t nargs)
{
	struct seg s[2] = {{(uint64_t)&request, (uint32_t)sizeof(request.head) + nargs, false},
			   {(uint64_t)&answer, sizeof(answer), true}};

	if (!fs.base) {
		say("error fs none");
		return -1;
	}
	ask(opcode, node, nargs);
	return answered(queue_request(&fs.queue[REQUESTS], s, 2));
}

static uint32_t put_text(uint32_t at, const char *text)
{
	while (at < ROOM - 1 && *text)
		request.args[at++] = (uint8_t)*text++;
	request.args[at++] = 0;
	return at;
}

static void put64(uint32_t at, uint64_t v)
{
	__builtin_memcpy(request.args + at, &v, sizeof(v));
}

static void put32(uint32_t at, uint32_t v)
{
	__builtin_memcpy(request.args + at, &v, sizeof(v));
}

static uint64_t got64(uint32_t at)
{
	uint64_t v;

	__builtin_memcpy(&v, answer.data + at, sizeof(v));
	return v;
}

/* N numbers, and text behind a space. */
static const char *numbers_then_text(const char *args, unsigned n, uint64_t *v)
{
	for (unsigned i = 0; i < n; i++) {
		if (!str_number(&args, &v[i]) || *args != ' ') {
			say("error arguments");
			return 0;
		}
		args++;
	}
	return args;
}

void cmd_fs(const char *args)
{
	static char tag[37];

	(void)args;
	__builtin_memset(request.args, 0, 64);
	put32(0, 7);
	put32(4, 31);
	put32(8, 65536);
	if (call(INIT, 0, 64) < 0)
		return;
	for (uint32_t i = 0; i < 36; i += 4) {
		uint64_t word = virtio_config64(&fs, i);

		__builtin_memcpy(tag + i, &word, 4);
	}
	say("fs %s", tag);
}

/* The entry's size lies behind node, generation, two times and their nanoseconds, and the inode's number. */
void cmd_flook(const char *args)
{
	uint64_t node;
	const char *name = numbers_then_text(args, 1, &node);

	if (name && call(LOOKUP, node, put_text(0, name)) > 0)
		say("flook %u %u", got64(0), got64(48));
}

void cmd_funlink(const char *args)
{
	uint64_t node;
	const char *name = numbers_then_text(args, 1, &node);

	if (name && call(UNLINK, node, put_text(0, name)) >= 0)
		say("funlink ok");
}

void cmd_fopen(const char *args)
{
	uint64_t node;

	if (!args_get(args, 1, &node))
		return;
	put32(0, O_RDWR);
	put32(4, 0);
	if (call(OPEN, node, 8) > 0)
		say("fopen %u", got64(0));
}

void cmd_fcreate(const char *args)
{
	uint64_t node;
	const char *name = numbers_then_text(args, 1, &node);

	put32(0, O_RDWR);
	put32(4, 0600);
	put64(8, 0);
	if (name && call(CREATE, node, put_text(16, name)) > 0)
		say("fcreate %u %u", got64(0), got64(128));
}

static void put_read(const uint64_t *v)
{
	__builtin_memset(request.args, 0, 40);
	put64(0, v[0]);
	put64(8, v[1]);
	put32(16, TEXT);
}

/* Up to the end of the line. */
static void say_text(const char *what, int64_t len)
{
	uint64_t n = 0;

	while ((int64_t)n < len && answer.data[n] != '\n')
		n++;
	answer.data[n] = 0;
	say("%s %s", what, (const char *)answer.data);
}

void cmd_fread(const char *args)
{
	uint64_t v[2];
	int64_t len;

	if (!args_get(args, 2, v))
		return;
	put_read(v);
	len = call(READ, 1, 40);
	if (len >= 0)
		say_text("fread", len);
}

void cmd_fwrite(const char *args)
{
	uint64_t v[2];
	const char *text = numbers_then_text(args, 2, v);
	uint32_t end;

	if (!text)
		return;
	__builtin_memset(request.args, 0, 40);
	put64(0, v[0]);
	put64(8, v[1]);
	end = put_text(40, text) - 1;
	put32(16, end - 40);
	if (call(WRITE, 1, end) > 0)
		say("fwrite %u", got64(0) & 0xffffffff);
}

/* Of nothing but ones. */
void cmd_fraw(const char *args)
{
	uint64_t v[3];

	if (!args_get(args, 3, v))
		return;
	__builtin_memset(request.args, 0xff, ROOM);
	if (call((uint32_t)v[0], v[1], (uint32_t)(v[2] < ROOM ? v[2] : ROOM)) >= 0)
		say("fraw ok");
}

/* A read whose answer is heard later. */
void cmd_fask(const char *args)
{
	struct queue *q = &fs.queue[REQUESTS];
	uint64_t v[2];

	if (!args_get(args, 2, v))
		return;
	put_read(v);
	ask(READ, 1, 40);
	q->desc[0] = (struct desc){(uint64_t)&request, sizeof(request.head) + 40, DESC_NEXT, 1};
	q->desc[1] = (struct desc){(uint64_t)&answer, sizeof(answer), DESC_WRITE, 0};
	queue_post(q, 0);
	say("fask ok");
}

void cmd_fhear(const char *args)
{
	struct spin wait = {0};
	uint32_t id, len;
	int64_t got;

	(void)args;
	while (!queue_take(&fs.queue[REQUESTS], &id, &len)) {
		if (!spin(&wait)) {
			say("fhear nothing");
			return;
		}
	}
	got = answered(len);
	if (got >= 0)
		say_text("fhear", got);
}
