/* virtio-blk (virtio 1.2 §5.2). Sectors written by dwrite tell their own number, so that a lost or
 * misplaced one shows. */
#include "images/tiny/tiny.h"

enum { DISKS = 8, CHUNK = 128 }; /* sectors a request */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { TIMEOUT = -1, OK = 0, UNSUPPORTED = 2 };
#define F_RO	       (1ull << 5)
#define F_FLUSH	       (1ull << 9)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

static struct disk disks[DISKS];
static unsigned disks_len;
static _Alignas(PAGE) uint64_t data[CHUNK * SECTOR / sizeof(uint64_t)];

bool blk_start(struct disk *d, uint64_t more_features)
{
	uint64_t wanted = F_RO | F_FLUSH | F_DISCARD | F_WRITE_ZEROES | more_features;

	if (!virtio_negotiate(&d->dev, wanted) || !virtio_queue(&d->dev, 0))
		return false;
	virtio_start(&d->dev);
	d->read_only = d->dev.features & F_RO;
	d->sectors = virtio_config64(&d->dev, 0);
	return true;
}

bool blk_restart(struct disk *d)
{
	return blk_start(d, options.indirect ? F_INDIRECT : 0);
}

void blk_probe(uint64_t base)
{
	struct disk *d = &disks[disks_len];

	if (disks_len == DISKS)
		return;
	d->dev.base = base;
	if (blk_restart(d))
		disks_len++;
}

struct disk *blk_disk(uint64_t number)
{
	if (number < disks_len)
		return &disks[number];
	say("error disk");
	return NULL;
}

/* The status byte of the device, or TIMEOUT, after which the device has been started anew. */
static int request(struct disk *d, uint32_t type, uint64_t sector, uint64_t addr, uint32_t len)
{
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	static volatile uint8_t status;
	struct seg seg[4];
	bool to_guest = type == T_IN || type == T_GET_ID;
	uint32_t first = options.split && len > SECTOR ? SECTOR : len;
	unsigned n = 0;

	header.type = type;
	header.sector = sector;
	status = 0xff;
	seg[n++] = (struct seg){(uint64_t)&header, sizeof(header), false};
	if (first)
		seg[n++] = (struct seg){addr, first, to_guest};
	if (len > first)
		seg[n++] = (struct seg){addr + first, len - first, to_guest};
	seg[n++] = (struct seg){(uint64_t)&status, 1, true};
	if (queue_request(&d->dev.queue[0], seg, n) >= 0)
		return status;
	blk_restart(d);
	return TIMEOUT;
}

static void answer(const char *command, int status)
{
	if (status == OK)
		say("%s ok", command);
	else if (status == TIMEOUT)
		say("%s error timeout", command);
	else
		say("%s error %u", command, (uint64_t)status);
}

static void pattern(uint64_t *to, uint64_t sector, uint64_t seed)
{
	uint64_t v = mix(sector ^ seed);

	for (unsigned i = 0; i < SECTOR / sizeof(*to); i++, v += 0x9e3779b97f4a7c15)
		to[i] = v;
}

static bool pattern_matches(const uint64_t *from, uint64_t sector, uint64_t seed)
{
	uint64_t v = mix(sector ^ seed);

	for (unsigned i = 0; i < SECTOR / sizeof(*from); i++, v += 0x9e3779b97f4a7c15) {
		if (from[i] != v)
			return false;
	}
	return true;
}

/* Sectors of the next request when LEFT remain. */
static uint64_t chunk(uint64_t left)
{
	return left < CHUNK ? left : CHUNK;
}

void cmd_disks(const char *args)
{
	static char list[DISKS * 24];
	char *p = list;

	(void)args;
	for (unsigned i = 0; i < disks_len; i++) {
		uint64_t v = disks[i].sectors * SECTOR;
		char digits[20];
		int n = 0;

		do {
			digits[n++] = (char)('0' + v % 10);
			v /= 10;
		} while (v);
		*p++ = ' ';
		while (n)
			*p++ = digits[--n];
		for (const char *s = disks[i].read_only ? ":ro" : ""; *s; s++)
			*p++ = *s;
	}
	*p = 0;
	say("disks %u%s", (uint64_t)disks_len, list);
}

void cmd_dwrite(const char *args)
{
	uint64_t v[4];
	struct disk *d;
	int status = OK;

	if (!args_get(args, 4, v) || !(d = blk_disk(v[0])))
		return;
	for (uint64_t s = v[1], left = v[2]; left && status == OK;) {
		uint64_t n = chunk(left);

		for (uint64_t i = 0; i < n; i++)
			pattern(&data[i * SECTOR / sizeof(*data)], s + i, v[3]);
		status = request(d, T_OUT, s, (uint64_t)data, (uint32_t)(n * SECTOR));
		s += n;
		left -= n;
	}
	answer("dwrite", status);
}

void cmd_dread(const char *args)
{
	uint64_t v[4];
	struct disk *d;
	int status = OK;

	if (!args_get(args, 4, v) || !(d = blk_disk(v[0])))
		return;
	for (uint64_t s = v[1], left = v[2]; left && status == OK;) {
		uint64_t n = chunk(left);

		status = request(d, T_IN, s, (uint64_t)data, (uint32_t)(n * SECTOR));
		for (uint64_t i = 0; i < n && status == OK; i++) {
			if (!pattern_matches(&data[i * SECTOR / sizeof(*data)], s + i, v[3])) {
				say("dread bad sector %u", s + i);
				return;
			}
		}
		s += n;
		left -= n;
	}
	answer("dread", status);
}

/* FNV-1a, a little-endian 64-bit word at a time. */
void cmd_dsum(const char *args)
{
	uint64_t v[3], sum = 0xcbf29ce484222325;
	struct disk *d;
	int status = OK;

	if (!args_get(args, 3, v) || !(d = blk_disk(v[0])))
		return;
	for (uint64_t s = v[1], left = v[2]; left && status == OK;) {
		uint64_t n = chunk(left);

		status = request(d, T_IN, s, (uint64_t)data, (uint32_t)(n * SECTOR));
		for (uint64_t i = 0; i < n * SECTOR / sizeof(*data); i++)
			sum = (sum ^ data[i]) * 0x100000001b3;
		s += n;
		left -= n;
	}
	if (status == OK)
		say("dsum %X", sum);
	else
		answer("dsum", status);
}

/* DISK SECTOR START_MiB MiB: disk to RAM, wherever that RAM is. */
void cmd_dload(const char *args)
{
	uint64_t v[4];
	struct disk *d;
	int status = OK;

	if (!args_get(args, 4, v) || !(d = blk_disk(v[0])))
		return;
	if (!mem_usable(ram_at(v[2]), v[3] * MIB)) {
		say("error range");
		return;
	}
	for (uint64_t i = 0; i < v[3] && status == OK; i++)
		status = request(d, T_IN, v[1] + i * MIB / SECTOR, ram_at(v[2] + i), MIB);
	answer("dload", status);
}

static void range_request(const char *command, const char *args, uint32_t type, uint64_t feature)
{
	static struct {
		uint64_t sector;
		uint32_t count, flags;
	} range;
	uint64_t v[3];
	struct disk *d;

	if (!args_get(args, 3, v) || !(d = blk_disk(v[0])))
		return;
	range.sector = v[1];
	range.count = (uint32_t)v[2];
	if (d->dev.features & feature)
		answer(command, request(d, type, 0, (uint64_t)&range, sizeof(range)));
	else
		say("%s error not offered", command);
}

void cmd_ddiscard(const char *args)
{
	range_request("ddiscard", args, T_DISCARD, F_DISCARD);
}

void cmd_dzeroes(const char *args)
{
	range_request("dzeroes", args, T_WRITE_ZEROES, F_WRITE_ZEROES);
}

void cmd_dflush(const char *args)
{
	uint64_t v;
	struct disk *d;

	if (args_get(args, 1, &v) && (d = blk_disk(v)))
		answer("dflush", request(d, T_FLUSH, 0, 0, 0));
}

void cmd_dserial(const char *args)
{
	static char id[21];
	uint64_t v;
	struct disk *d;
	int status;

	if (!args_get(args, 1, &v) || !(d = blk_disk(v)))
		return;
	status = request(d, T_GET_ID, 0, (uint64_t)id, 20);
	if (status == OK)
		say("dserial %s", id);
	else
		answer("dserial", status);
}
