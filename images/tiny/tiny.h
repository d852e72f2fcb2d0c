/*
 * The polling test kernel: everything its files share. Each architecture has a folder: arch.h is its
 * instructions and addresses, start.S and boot.c how it begins and what it maps, cpu.c its commands.
 *
 * One processor runs everything (see tiny_main); others only count (ap_main). Interrupts are never
 * enabled. All memory is identity mapped. A command answers with exactly one line, written by say().
 */
#ifndef TINY_H
#define TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include "images/tiny/x86_64/arch.h"
#include "images/tiny/x86_64/layout.h"
#elif defined(__aarch64__)
#include "images/tiny/arm64/arch.h"
#include "images/tiny/arm64/layout.h"
#endif

#define PAGE   4096u
#define SECTOR 512u
#define MIB    (1ull << 20)

/* --- str.c: strings, numbers, patterns --- */

bool str_equal(const char *a, const char *b);
/* What follows PREFIX in S, or NULL when S does not begin with it. */
const char *str_after(const char *s, const char *prefix);
/* Reads a decimal or 0x number and moves *S behind it; false when there is none. */
bool str_number(const char **s, uint64_t *v);
/* Reads exactly N numbers separated by spaces; otherwise answers "error arguments" and returns
 * false. */
bool args_get(const char *args, unsigned n, uint64_t *v);
/* One line to the console: %s, %u (uint64_t, decimal), %x (uint64_t), %b (unsigned, 2 digits), %X
 * (16 digits). */
void say(const char *format, ...);
/* One step of splitmix64: well mixed for any input. */
uint64_t mix(uint64_t v);

/* --- serial.c: 16550, polled --- */

void serial_init(void);
void serial_write(const char *s, size_t n);
int serial_getc(void);	 /* a byte or -1 */
void serial_bench(void); /* writes dots without end until a byte comes in */

/* --- main.c --- */

struct options {
	bool hvc;      /* console=hvc0 */
	bool quiet;    /* no READY line */
	bool bench;    /* start with serial_bench(), before any device is touched */
	bool indirect; /* blk: use indirect descriptors when offered */
	bool eventidx; /* negotiate EVENT_IDX when offered */
	bool split;    /* blk: two descriptors for the data of a request */
	uint64_t mmio_base, mmio_stride, mmio_count;
	char autocmd[256]; /* commands to run after READY, separated by ';', '_' for a space */
};
extern struct options options;
extern volatile uint64_t count;

struct command {
	const char *name;
	void (*run)(const char *args);
};

/* What the machine says of itself. */
struct ram {
	uint64_t addr, size;
};

enum { RAM_MAX = 16 };

struct boot {
	const char *cmdline;
	struct ram ram[RAM_MAX];
	unsigned nram;
};

/* Everything; called by the architecture's boot.c. */
_Noreturn void tiny_main(const struct boot *boot);

/* --- the architecture's boot.c and cpu.c --- */

/* Maps RAM up to `end` as far as it can, and returns how far that is. */
uint64_t arch_map(uint64_t end);
extern const struct command arch_commands[]; /* the last one has no name */
void cmd_smp(const char *args);
void cmd_poweroff(const char *args);
void cmd_reset(const char *args);
void cmd_halt(const char *args);

/* --- mem.c --- */

/* Keeps the RAM map. */
void mem_init(const struct boot *boot);
/* The address so many MiB behind the start of RAM. */
static inline uint64_t ram_at(uint64_t mib)
{
	return RAM_START + mib * MIB;
}
/* True when [addr, addr + size) is RAM, mapped, and not ours. */
bool mem_usable(uint64_t addr, uint64_t size);
void cmd_mem(const char *args);
void cmd_fill(const char *args);
void cmd_fillall(const char *args);
void cmd_touch(const char *args);
void cmd_check(const char *args);
void cmd_checkall(const char *args);
void cmd_memsum(const char *args);
void cmd_genid(const char *args);

/* --- cpu.c --- */

/* Bounded waiting, about ten seconds: `struct spin s = { 0 }; while (!done && spin(&s)) ;`. */
struct spin {
	uint64_t last, spent;
};

bool spin(struct spin *s);
_Noreturn void ap_main(void);
extern volatile uint64_t count2;
extern volatile uint32_t ap_count; /* of processors that came up, this one not counted */
void cmd_tsc(const char *args);
void cmd_churn(const char *args);
void cmd_churned(const char *args);

/* --- virtio.c: virtio 1.2 over MMIO (§4.2), split queues (§2.7), polled --- */

enum {
	VIRTIO_NET = 1,
	VIRTIO_BLK = 2,
	VIRTIO_CONSOLE = 3,
	VIRTIO_RNG = 4,
	VIRTIO_BALLOON = 5,
	VIRTIO_VSOCK = 19,
	VIRTIO_FS = 26
};
enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
};
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
#define F_INDIRECT  (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_VERSION_1 (1ull << 32)

#define QUEUE_LEN 8 /* a rng often offers no more */
#define QUEUES	  4

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct queue {
	/* Shared with the device. */
	_Alignas(16) struct desc desc[QUEUE_LEN];
	struct desc indirect[QUEUE_LEN];
	struct {
		uint16_t flags, idx, ring[QUEUE_LEN], used_event;
	} avail;
	struct {
		_Alignas(4) uint16_t flags;
		uint16_t idx;
		struct {
			uint32_t id, len;
		} ring[QUEUE_LEN];
		uint16_t avail_event;
	} used;
	/* Ours. */
	struct vdev *dev;
	uint32_t index;
	uint16_t seen; /* used entries taken so far */
};

struct vdev {
	uint64_t base;	   /* 0: no such device */
	uint64_t features; /* negotiated */
	struct queue queue[QUEUES];
};

/* A piece of a request's memory. */
struct seg {
	uint64_t addr;
	uint32_t len;
	bool write; /* the device writes it */
};

/* Finds the devices and starts their drivers. */
void virtio_scan(void);
/* Resets and negotiates at most WANTED; then set up queues and call virtio_start(). */
bool virtio_negotiate(struct vdev *d, uint64_t wanted);
bool virtio_queue(struct vdev *d, uint32_t index);
void virtio_queue_at(struct vdev *d, uint32_t index, uint64_t desc, uint64_t avail, uint64_t used);
/* The same with so many entries. */
void virtio_queue_of(struct vdev *d, uint32_t index, uint32_t len, uint64_t desc, uint64_t avail,
		     uint64_t used);
void virtio_notify(const struct vdev *d, uint32_t index);
void virtio_start(struct vdev *d);
uint32_t virtio_status(const struct vdev *d);
uint64_t virtio_config64(const struct vdev *d, uint32_t offset);
/* Makes descriptor HEAD available and notifies the device if it wants that. */
void queue_post(struct queue *q, uint16_t head);
void queue_kick(struct queue *q, uint16_t old_idx);
/* Takes one used element: true when there was one. */
bool queue_take(struct queue *q, uint32_t *id, uint32_t *len);
/* A whole request and its answer: the bytes the device wrote, or -1 after a timeout. */
int64_t queue_request(struct queue *q, const struct seg *seg, unsigned n);

/* --- blk.c, blkbench.c, badqueue.c --- */

struct disk {
	struct vdev dev;
	uint64_t sectors;
	bool read_only;
};

void blk_probe(uint64_t base);
/* Resets the device and starts it with more or just the usual features. */
bool blk_start(struct disk *d, uint64_t more_features);
bool blk_restart(struct disk *d);
struct disk *blk_disk(uint64_t number); /* answers "error disk" when NULL */
void cmd_disks(const char *args);
void cmd_dwrite(const char *args);
void cmd_dread(const char *args);
void cmd_dsum(const char *args);
void cmd_dload(const char *args);
void cmd_ddiscard(const char *args);
void cmd_dzeroes(const char *args);
void cmd_dflush(const char *args);
void cmd_dserial(const char *args);
void cmd_dbench(const char *args);
void cmd_badqueue(const char *args);

/* --- console.c: port 0, with and without multiport --- */

void console_probe(uint64_t base);
bool console_present(void);
bool console_write(const char *s, size_t n);
int console_getc(void); /* a byte or -1; also answers control messages */
void cmd_hvc(const char *args);

/* --- balloon.c --- */

void balloon_probe(uint64_t base);
void cmd_give(const char *args);

/* --- rng.c --- */

void rng_probe(uint64_t base);
bool rng_read(uint64_t addr, uint64_t len);
void cmd_rng(const char *args);
void cmd_rngfill(const char *args);

/* --- net.c --- */

void net_probe(uint64_t base);
void cmd_net(const char *args);
void cmd_arp(const char *args);
void cmd_arpask(const char *args);
void cmd_arphear(const char *args);

/* --- fs.c --- */

void fs_probe(uint64_t base);
void cmd_fs(const char *args);
void cmd_flook(const char *args);
void cmd_fopen(const char *args);
void cmd_fcreate(const char *args);
void cmd_fread(const char *args);
void cmd_fwrite(const char *args);
void cmd_funlink(const char *args);
void cmd_fraw(const char *args);
void cmd_fask(const char *args);
void cmd_fhear(const char *args);

/* --- vsock.c --- */

void vsock_probe(uint64_t base);
void cmd_vsock(const char *args);
void cmd_vsay(const char *args);
void cmd_vhear(const char *args);
void cmd_vevent(const char *args);

#endif
